/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* join.c - how a node comes into a cluster: host id, slot, addresses, configuration. */
#include "join.h"

#include "base/error.h"
#include "base/io.h"
#include "core/checks.h"
#include "drivers/store-file.h"
#include "drivers/volume-csv.h"
#include "net.h"
#include "unfence.h"

#include <string.h>
#include <unistd.h>

#define TRIES       50    /* host ids drawn at most */
#define REGISTRY_MS 30000 /* others that join hold the lease for a moment each */

typedef struct {
    const MigConfig *config;
    MigSanlock *sanlock;
    MigCsv *csv;
    MigLease *lockspace;
    MigJoined *joined;
    gint64 port;
} Join;

void
mig_joined_free(MigJoined *joined)
{
    if (!joined)
        return;
    g_free(joined->node);
    g_free(joined->volume);
    g_free(joined->management);
    g_free(joined->migration);
    g_free(joined);
}

/* ---- name and addresses ---- */

static gboolean
choose_name(Join *join, const char *wanted, GError **error)
{
    char host[256] = "";
    g_autofree char *complaint = NULL;

    if (!wanted && gethostname(host, sizeof host - 1) == 0) {
        host[strcspn(host, ".")] = '\0';
        wanted = host;
    }
    complaint = mig_config_complaint("node", "name", wanted ? wanted : "");
    if (complaint) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_NAME,
                    "node name \"%.60s\" is not %s; give one with --node", wanted ? wanted : "",
                    complaint);
        return FALSE;
    }
    join->joined->node = g_strdup(wanted);
    return TRUE;
}

/* The wish, or an address of this host in a network of the nodes that are there already. */
static char *
choose_address(GPtrArray *nodes, const char *key, const char *wanted, GError **error)
{
    gboolean is_migration = g_str_equal(key, "migration");
    g_autofree char *complaint = wanted ? mig_config_complaint("network", key, wanted) : NULL;

    if (complaint) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "--%s: \"%.60s\" is not %s", key, wanted,
                    complaint);
        return NULL;
    }
    if (wanted)
        return g_strdup(wanted);
    for (guint i = 0; i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);
        char *found = is_migration ? mig_net_own_address(node->migration)
                                   : mig_net_own_near(node->management);

        if (found)
            return found;
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                nodes->len
                    ? "no address of this host is in the %s network of the other nodes; give "
                      "it with --%s %s"
                    : "nothing tells the %s network of the first node; give its address "
                      "with --%s %s",
                key, key, is_migration ? "ADDRESS/PREFIX" : "ADDRESS");
    return NULL;
}

static gboolean
choose(Join *join, const MigJoinWish *wish, GPtrArray *nodes, GError **error)
{
    MigJoined *joined = join->joined;

    if (!choose_name(join, wish->node ? wish->node : join->config->node_name, error))
        return FALSE;
    joined->management = choose_address(
        nodes, "management", wish->management ? wish->management : join->config->management, error);
    if (!joined->management)
        return FALSE;
    joined->migration = choose_address(
        nodes, "migration", wish->migration ? wish->migration : join->config->migration, error);
    join->port = join->config->port;
    if (nodes->len) /* the same on every node */
        join->port = ((const MigNode *)g_ptr_array_index(nodes, 0))->port;
    return joined->migration != NULL;
}

/* ---- host id ---- */

static const MigNode *
find_node(GPtrArray *nodes, guint32 host_id, const char *name)
{
    for (guint i = 0; i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);

        if (host_id ? node->host_id == host_id : g_strcmp0(node->name, name) == 0)
            return node;
    }
    return NULL;
}

/* One of those that no slot uses, by lot; 0: there is none, or not one that was not tried. */
static guint32
draw(GPtrArray *nodes, guint32 max_nodes, const guint8 *tried)
{
    guint32 free_ids[256], count = 0;

    for (guint32 id = 1; id <= max_nodes && id < 256; id++) {
        if (!tried[id] && !find_node(nodes, id, NULL))
            free_ids[count++] = id;
    }
    return count ? free_ids[g_random_int_range(0, (gint32)count)] : 0;
}

static gboolean
take_host_id(Join *join, GPtrArray *nodes, guint32 max_nodes, GError **error)
{
    const MigNode *before = find_node(nodes, 0, join->joined->node);
    guint32 held = mig_sanlock_joined_as(join->sanlock, mig_csv_name(join->csv));
    guint8 tried[256] = {0};

    /* an earlier try of ours that was cut short; or this node was here before, and left */
    if (before && before->host_id != held && !before->has_left) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "volume %s knows a node %s already (host id %u); give this one another name "
                    "with --node, or, if that one is gone for good, 'migratectl node remove %s' on "
                    "another node",
                    mig_csv_name(join->csv), before->name, before->host_id, before->name);
        return FALSE;
    }
    for (guint i = 0; i < TRIES; i++) {
        g_autoptr(GError) refused = NULL;
        guint32 id = held ? held : before && !i ? before->host_id : draw(nodes, max_nodes, tried);

        if (id == 0)
            break;
        if (mig_sanlock_join(join->sanlock, join->lockspace, id, mig_csv_io_timeout_s(join->csv),
                             &refused)) {
            join->joined->host_id = id;
            return TRUE;
        }
        if (held || !g_error_matches(refused, MIG_ERROR, MIG_ERROR_LEASE_HELD)) {
            g_propagate_error(error, g_steal_pointer(&refused));
            return FALSE;
        }
        tried[id] = 1; /* another host was quicker, or uses it without a slot */
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_VOLUME_FULL,
                "no host id is free on volume %s: it has %u node slots; 'migratectl node remove' "
                "frees those of nodes that are gone for good",
                mig_csv_name(join->csv), max_nodes);
    return FALSE;
}

/* ---- slot ---- */

/* Under the registry lease. */
static gboolean
write_slot(Join *join, GError **error)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(join->csv, error);
    const MigJoined *joined = join->joined;
    const MigNode *same_id = nodes ? find_node(nodes, joined->host_id, NULL) : NULL;
    const MigNode *same_name = nodes ? find_node(nodes, 0, joined->node) : NULL;
    g_autoptr(MigNode) node = NULL;

    if (!nodes)
        return FALSE;
    if ((same_id && same_id != same_name) || (same_name && same_name != same_id)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "another node has just joined as %s (host id %u); try again, under another "
                    "name if it is the same",
                    (same_name ? same_name : same_id)->name,
                    (same_name ? same_name : same_id)->host_id);
        return FALSE;
    }
    node = g_new0(MigNode, 1);
    node->host_id = joined->host_id;
    node->name = g_strdup(joined->node);
    node->management = g_strdup(joined->management);
    node->port = (guint16)join->port;
    node->migration = g_strdup(joined->migration);
    node->version = g_strdup(MIG_VERSION);
    node->heartbeat = same_id ? same_id->heartbeat : 0;
    return mig_csv_node_write(join->csv, node, error);
}

static gboolean
take_slot(Join *join, GError **error)
{
    g_autoptr(MigLease) lease = mig_csv_registry_lease(join->csv);
    gint64 deadline = g_get_monotonic_time() + REGISTRY_MS * 1000;
    gboolean ok;

    for (;;) {
        g_autoptr(GError) refused = NULL;

        if (mig_sanlock_acquire(join->sanlock, lease, &refused))
            break;
        if (!g_error_matches(refused, MIG_ERROR, MIG_ERROR_LEASE_HELD) ||
            g_get_monotonic_time() > deadline) {
            g_propagate_error(error, g_steal_pointer(&refused));
            return FALSE;
        }
        g_usleep((gulong)g_random_int_range(50, 150) * 1000);
    }
    ok = write_slot(join, error);
    mig_sanlock_release(join->sanlock, lease, NULL);
    return ok;
}

/* ---- what stays on this host ---- */

static gboolean
write_files(Join *join, const char *config_path, GError **error)
{
    const MigJoined *joined = join->joined;
    g_autofree char *host_id = g_strdup_printf("%u", joined->host_id);
    g_autofree char *port = g_strdup_printf("%" G_GINT64_FORMAT, join->port);
    g_autofree char *list = g_build_filename(join->config->state_dir, "volumes", NULL);
    const char *const devices[] = {mig_csv_device(join->csv), NULL};
    const MigConfigValue values[] = {{"node", "name", joined->node},
                                     {"node", "host_id", host_id},
                                     {"network", "management", joined->management},
                                     {"network", "port", port},
                                     {"network", "migration", joined->migration},
                                     {NULL}};

    return mig_io_make_dir(join->config->state_dir, 0700, error) &&
           mig_store_write_lines(list, devices, error) &&
           mig_config_set(config_path, values, error);
}

static gboolean
run(Join *join, const char *config_path, const MigJoinWish *wish, GError **error)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(join->csv, error);
    g_autoptr(MigVolumeInfo) info = nodes ? mig_csv_info(join->csv, error) : NULL;

    if (!info || !choose(join, wish, nodes, error) ||
        !mig_unfence(join->config, join->joined->node, error) ||
        !mig_csv_devices_attach(join->csv, error))
        return FALSE;
    if (!take_host_id(join, nodes, info->max_nodes, error)) {
        mig_csv_devices_detach(join->csv, NULL);
        return FALSE;
    }
    if (!take_slot(join, error)) {
        mig_sanlock_leave(join->sanlock, join->lockspace, join->joined->host_id, NULL);
        mig_csv_devices_detach(join->csv, NULL);
        return FALSE;
    }
    if (write_files(join, config_path, error))
        return TRUE;
    mig_csv_node_leave(join->csv, join->joined->host_id, join->joined->node, NULL);
    mig_sanlock_leave(join->sanlock, join->lockspace, join->joined->host_id, NULL);
    mig_csv_devices_detach(join->csv, NULL);
    return FALSE;
}

gboolean
mig_join_is_sound(const MigConfig *config, const MigJoinWish *wish, GError **error)
{
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    g_autoptr(MigJoined) joined = g_new0(MigJoined, 1);
    Join join = {.config = config, .joined = joined};

    return choose(&join, wish, none, error);
}

MigJoined *
mig_join(const MigConfig *config, const char *config_path, MigSanlock *sanlock,
         const MigJoinWish *wish, GError **error)
{
    g_autoptr(MigCsv) csv = mig_csv_open(wish->device, error);
    g_autoptr(MigLease) lockspace = csv ? mig_csv_lockspace(csv) : NULL;
    g_autoptr(MigJoined) joined = g_new0(MigJoined, 1);
    Join join = {
        .config = config, .sanlock = sanlock, .csv = csv, .lockspace = lockspace, .joined = joined};

    if (!csv)
        return NULL;
    joined->volume = g_strdup(mig_csv_name(csv));
    return run(&join, config_path, wish, error) ? g_steal_pointer(&joined) : NULL;
}
