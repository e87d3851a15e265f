/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-node.c - nodes. */

#include "cli.h"
#include "output.h"
#include "tables.h"

gboolean
mig_cmd_node_list(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigListNodesReply) reply =
        mig_cli_call(cli, "io.migrated.ListNodes", &mig_type_Empty, NULL, &mig_type_ListNodesReply,
                     MIG_CLI_READ_TIMEOUT_MS, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_ListNodesReply, reply, FALSE);
    else
        mig_print_nodes(reply->nodes);
    return TRUE;
}

static const char *
ago(gint64 age_ms)
{
    static char text[3][48];
    static guint next;
    char *to = text[next++ % 3];

    g_snprintf(to, sizeof text[0], "%s ago", mig_show_ms(age_ms));
    return age_ms < 0 ? NULL : to;
}

gboolean
mig_cmd_node_remove(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[0]};

    return mig_cli_do(cli, "io.migrated.RemoveNode", &mig_type_NameRequest, &request, error,
                      "node %s is removed", request.name);
}

gboolean
mig_cmd_node_pardon(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[0]};

    return mig_cli_do(cli, "io.migrated.PardonNode", &mig_type_NameRequest, &request, error,
                      "node %s gets VMs like any other", request.name);
}

gboolean
mig_cmd_node_rotate_key(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigRotateKeyReply) reply = mig_cli_call(cli, "io.migrated.RotateKey", &mig_type_Empty,
                                                      NULL, &mig_type_RotateKeyReply, 0, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_RotateKeyReply, reply, FALSE);
    else if (reply->connections)
        mig_talk(
            "this node has a new key; the old certificate is given up when %s connections that "
            "were made with it have ended",
            mig_show_int(reply->connections));
    else
        mig_talk("this node has a new key; the old certificate is given up in a moment");
    return TRUE;
}

gboolean
mig_cmd_node_show(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[0]};
    g_autoptr(MigNodeReply) reply =
        mig_cli_call(cli, "io.migrated.GetNode", &mig_type_NameRequest, &request,
                     &mig_type_NodeReply, MIG_CLI_READ_TIMEOUT_MS, error);
    MigApiNode *node;
    g_autofree char *heartbeat = NULL;

    if (!reply)
        return FALSE;
    if (cli->json) {
        mig_print_json(&mig_type_NodeReply, reply, FALSE);
        return TRUE;
    }
    node = reply->node;
    heartbeat = g_strdup_printf("%s, last seen %s ago", mig_show_int(node->heartbeat),
                                mig_show_ms(node->heartbeat_age_ms));
    mig_print_field("Name", node->name);
    mig_print_field("Host id", mig_show_int(node->host_id));
    mig_print_field("State", node->state);
    mig_print_field("Because", node->rule);
    mig_print_field("Answering", mig_show_yes(node->local));
    mig_print_field("Draining", mig_show_yes(node->draining));
    mig_print_field("Died too often", mig_show_yes(node->flapping));
    mig_print_field("Management", node->management);
    mig_print_field("Port", mig_show_int(node->port));
    mig_print_field("Migration", node->migration);
    mig_print_field("Restarts VMs", mig_show_yes(!node->passive));
    mig_print_field("Encrypts moves", mig_show_yes(node->encrypts));
    mig_print_field("CPU vendor", node->cpu_vendor);
    mig_print_field("CPUs", mig_show_int(node->cpus));
    mig_print_field("Memory", mig_show_size(node->memory));
    mig_print_field("Memory free", mig_show_size(node->memory_free));
    mig_print_field("Heartbeat", heartbeat);
    if (!node->local) {
        mig_print_field("Daemon answered", ago(node->peer_age_ms));
        mig_print_field("Ping management", ago(node->ping_age_ms));
        mig_print_field("Ping migration", ago(node->ping_migration_age_ms));
        mig_print_field("Fence agent", mig_show_yes(node->fenceable));
    }
    mig_print_field("Sanlock", node->sanlock);
    mig_print_field("Watchdog", mig_show_yes(node->watchdog));
    mig_print_field("Version", node->version);
    mig_print_field_list("Certificates", node->certificates);
    mig_print_field_list("Volumes", node->volumes);
    mig_print_field_list("VMs", node->vms);
    return TRUE;
}
