/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-cluster.c - this host comes into a cluster, and leaves it. */

#include "cli.h"
#include "output.h"

#include "base/error.h"

#include <string.h>

#define WAIT_MS \
    (10 * 60 * 1000) /* for the volume: some of sanlock's I/O timeouts, and a recovery */
#define LEAVE_MS 30000
#define LOOK_MS  250

static char *option_name, *option_extent, *option_node, *option_management, *option_migration;
static gint option_io_timeout, option_max_nodes, option_max_vms, option_max_images;
static gboolean option_force;

#define NODE_OPTIONS                                                                            \
    {"node", 0, 0, G_OPTION_ARG_STRING, &option_node, "This node's name (the host's)", "NAME"}, \
        {"management",                                                                          \
         0,                                                                                     \
         0,                                                                                     \
         G_OPTION_ARG_STRING,                                                                   \
         &option_management,                                                                    \
         "This node's address for the other nodes",                                             \
         "ADDRESS"},                                                                            \
    {                                                                                           \
        "migration", 0, 0, G_OPTION_ARG_STRING, &option_migration,                              \
            "This node's address on the migration network", "ADDRESS/PREFIX"                    \
    }

const GOptionEntry mig_options_cluster_create[] = {
    NODE_OPTIONS,
    {"name", 0, 0, G_OPTION_ARG_STRING, &option_name, "The volume's name (required)", "NAME"},
    {"io-timeout", 0, 0, G_OPTION_ARG_INT, &option_io_timeout,
     "sanlock's I/O timeout in seconds, 1 to 60 (10)", "S"},
    {"max-nodes", 0, 0, G_OPTION_ARG_INT, &option_max_nodes, "Node slots, 2 to 250 (64)", "N"},
    {"max-vms", 0, 0, G_OPTION_ARG_INT, &option_max_vms, "VM slots (256)", "N"},
    {"max-images", 0, 0, G_OPTION_ARG_INT, &option_max_images, "Image slots (1024)", "N"},
    {"extent", 0, 0, G_OPTION_ARG_STRING, &option_extent, "Allocation unit, 1M to 1G (4M)", "SIZE"},
    {"force", 0, 0, G_OPTION_ARG_NONE, &option_force, "Overwrite what is on the device", NULL},
    {NULL},
};

const GOptionEntry mig_options_cluster_join[] = {NODE_OPTIONS, {NULL}};

/* One look at the daemon that starts anew: is it the node, with the volume attached? */
static gboolean
is_there(MigCli *cli, const MigClusterReply *wanted)
{
    g_autoptr(MigRpcClient) client = mig_cli_connect(cli, NULL);
    g_autoptr(MigStatusReply) status = NULL;

    if (client)
        status = mig_rpc_client_call(client, "io.migrated.GetStatus", &mig_type_Empty, NULL,
                                     &mig_type_StatusReply, MIG_CLI_READ_TIMEOUT_MS, NULL, NULL);
    if (!status || !g_str_equal(status->node, wanted->node))
        return FALSE;
    for (guint i = 0; status->volumes && i < status->volumes->len; i++) {
        const MigApiVolume *volume = status->volumes->pdata[i];

        if (g_str_equal(volume->name, wanted->volume))
            return g_str_equal(volume->state, "attached");
    }
    return FALSE;
}

static gboolean
finish(MigCli *cli, const MigClusterReply *reply, GError **error)
{
    for (guint waited_ms = 0; !is_there(cli, reply); waited_ms += LOOK_MS) {
        if (waited_ms > WAIT_MS) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_TIMEOUT,
                        "this node is %s now, but volume %s is not attached yet; look at "
                        "'migratectl status' and the journal of migrated",
                        reply->node, reply->volume);
            return FALSE;
        }
        g_usleep(LOOK_MS * 1000);
    }
    if (cli->json)
        mig_print_json(&mig_type_ClusterReply, reply, FALSE);
    else
        mig_talk("this node is %s, host id %s, of the cluster on volume %s; management %s, "
                 "migration %s",
                 reply->node, mig_show_int(reply->host_id), reply->volume, reply->management,
                 reply->migration);
    return TRUE;
}

gboolean
mig_cmd_cluster_create(MigCli *cli, char **arguments, GError **error)
{
    g_autofree char *device = g_canonicalize_filename(arguments[0], NULL);
    MigCreateClusterRequest request = {.device = device,
                                       .name = option_name,
                                       .io_timeout = option_io_timeout,
                                       .max_nodes = option_max_nodes,
                                       .max_vms = option_max_vms,
                                       .max_images = option_max_images,
                                       .force = option_force,
                                       .node = option_node,
                                       .management = option_management,
                                       .migration = option_migration};
    g_autoptr(MigClusterReply) reply = NULL;

    if (!option_name) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE,
                    "cluster create needs --name, the volume's; see \"migratectl cluster create "
                    "--help\"");
        return FALSE;
    }
    if (!mig_cli_check_range("--io-timeout", option_io_timeout, 0, 60, error) ||
        !mig_cli_check_range("--max-nodes", option_max_nodes, 0, 250, error) ||
        !mig_cli_check_range("--max-vms", option_max_vms, 0, G_MAXINT, error) ||
        !mig_cli_check_range("--max-images", option_max_images, 0, G_MAXINT, error))
        return FALSE;
    if (option_extent && !mig_cli_parse_size("size", option_extent, &request.extent, error))
        return FALSE;
    reply = mig_cli_call(cli, "io.migrated.CreateCluster", &mig_type_CreateClusterRequest, &request,
                         &mig_type_ClusterReply, 0, error);
    return reply && finish(cli, reply, error);
}

gboolean
mig_cmd_cluster_join(MigCli *cli, char **arguments, GError **error)
{
    g_autofree char *device = g_canonicalize_filename(arguments[0], NULL);
    const MigJoinClusterRequest request = {.device = device,
                                           .node = option_node,
                                           .management = option_management,
                                           .migration = option_migration};
    g_autoptr(MigClusterReply) reply =
        mig_cli_call(cli, "io.migrated.JoinCluster", &mig_type_JoinClusterRequest, &request,
                     &mig_type_ClusterReply, 0, error);

    return reply && finish(cli, reply, error);
}

static gboolean
has_left(MigCli *cli)
{
    g_autoptr(MigRpcClient) client = mig_cli_connect(cli, NULL);
    g_autoptr(MigStatusReply) status = NULL;
    g_autoptr(GError) error = NULL;

    if (client)
        status = mig_rpc_client_call(client, "io.migrated.GetStatus", &mig_type_Empty, NULL,
                                     &mig_type_StatusReply, MIG_CLI_READ_TIMEOUT_MS, NULL, &error);
    return g_error_matches(error, MIG_ERROR, MIG_ERROR_NO_CLUSTER);
}

gboolean
mig_cmd_cluster_leave(MigCli *cli, char **arguments, GError **error)
{
    if (!mig_cli_do(cli, "io.migrated.LeaveCluster", &mig_type_Empty, NULL, error,
                    "this node is in no cluster any more"))
        return FALSE;
    /* the daemon starts anew: who joins at once has to find the new one */
    for (guint waited_ms = 0; waited_ms < LEAVE_MS && !has_left(cli); waited_ms += LOOK_MS)
        g_usleep(LOOK_MS * 1000);
    return TRUE;
}
