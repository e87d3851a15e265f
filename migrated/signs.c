/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signs.c - asking all nodes for signs of life. */
#include "signs.h"

#include "core/failover.h"
#include "core/timeouts.h"
#include "drivers/ping.h"
#include "volumes.h"

#include <string.h>

#define ASKERS 16

typedef struct {
    gint64 asked_ms; /* first time: nothing is missing before */
    gint64 peer_ms, management_ms, migration_ms;
    gint volumes;          /* see MigEvidence */
    char **beats;          /* as its daemon said last, see MigListJobsReply; or NULL */
    GHashTable *elsewhere; /* uuid -> heartbeat (guint64) that its slot had as it was seen to be */
    gint64 peer_asked_ms;  /* last time */
    gint64 round_ms;       /* last round in which it was on the list */
    gboolean has_migration, is_asking;
} Node;

struct MigSigns {
    MigDaemon *daemon;
    MigPinger *pinger;
    GThreadPool *askers; /* one task for each daemon that is being asked */
    GMutex lock;         /* guards what follows */
    GHashTable *nodes;   /* name -> Node */
    gint64 watched_ms;   /* since */
};

static void
node_free(gpointer data)
{
    Node *node = data;

    g_strfreev(node->beats);
    g_hash_table_unref(node->elsewhere);
    g_free(node);
}

static gint64
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* lock held */
static Node *
node_of(MigSigns *signs, const char *name)
{
    Node *node = g_hash_table_lookup(signs->nodes, name);

    if (!node) {
        node = g_new0(Node, 1);
        node->asked_ms = now_ms();
        node->volumes = -1;
        node->elsewhere = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_hash_table_insert(signs->nodes, g_strdup(name), node);
    }
    return node;
}

static void
ask_daemon(gpointer data, gpointer user_data)
{
    MigSigns *signs = user_data;
    g_autofree char *name = data;
    g_autoptr(MigListJobsReply) reply =
        mig_peer_rpc_call(signs->daemon->peer, name, "ListJobs", &mig_type_Empty, NULL,
                          &mig_type_ListJobsReply, MIG_SIGN_ANSWER_MS, NULL);

    g_mutex_lock(&signs->lock);
    if (reply) {
        node_of(signs, name)->peer_ms = now_ms();
        node_of(signs, name)->volumes = (gint)CLAMP(reply->volumes - 1, -1, G_MAXINT16);
        g_strfreev(node_of(signs, name)->beats);
        node_of(signs, name)->beats = g_steal_pointer(&reply->beats);
    }
    node_of(signs, name)->is_asking = FALSE;
    g_mutex_unlock(&signs->lock);
}

/* Asks daemons less often than machines, unless the heartbeat is late. */
static void
ask_daemons(MigSigns *signs, GPtrArray *views)
{
    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);
        gint64 period_ms = view->age_ms > MIG_HEARTBEAT_MS * 3 / 2 ? 0 : MIG_SIGN_PEER_MS;
        Node *node;
        gboolean is_due;

        if (view->is_local || view->state == MIG_NODE_LEFT)
            continue;
        g_mutex_lock(&signs->lock);
        node = node_of(signs, view->node->name);
        is_due = !node->is_asking && now_ms() - node->peer_asked_ms >= period_ms;
        if (is_due) {
            node->is_asking = TRUE;
            node->peer_asked_ms = now_ms();
        }
        g_mutex_unlock(&signs->lock);
        if (is_due)
            g_thread_pool_push(signs->askers, g_strdup(view->node->name), NULL);
    }
}

static void
ping_all(MigSigns *signs, GPtrArray *views)
{
    g_autoptr(GPtrArray) owned = g_ptr_array_new_with_free_func(g_free);
    g_autofree const char **addresses = g_new0(const char *, 2 * views->len + 1);
    g_autofree gboolean *answered = g_new0(gboolean, 2 * views->len + 1);

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (view->is_local || view->state == MIG_NODE_LEFT)
            continue;
        addresses[2 * i] = view->node->management;
        if (view->node->migration && *view->node->migration) {
            char *address = g_strdup(view->node->migration);

            g_ptr_array_add(owned, address);
            address[strcspn(address, "/")] = '\0';
            addresses[2 * i + 1] = address;
        }
    }
    mig_pinger_ask(signs->pinger, addresses, 2 * views->len, MIG_SIGN_PING_MS, answered);
    g_mutex_lock(&signs->lock);
    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);
        Node *node = node_of(signs, view->node->name);

        /* removed or left, and here again: what it did not answer meanwhile it was not asked */
        if (now_ms() - node->round_ms > MIG_SIGN_GAP_MS)
            node->asked_ms = now_ms();
        if (view->state != MIG_NODE_LEFT)
            node->round_ms = now_ms();
        node->has_migration = addresses[2 * i + 1] != NULL;
        if (answered[2 * i])
            node->management_ms = now_ms();
        if (answered[2 * i + 1])
            node->migration_ms = now_ms();
    }
    g_mutex_unlock(&signs->lock);
}

static gpointer
signs_thread(gpointer data)
{
    MigSigns *signs = data;
    gint64 last_ms = now_ms();

    for (;;) {
        g_autoptr(GPtrArray) views = mig_volumes_nodes(signs->daemon->volumes);

        if (now_ms() - last_ms > MIG_SIGN_GAP_MS) {
            g_message("this node has not watched the others for %" G_GINT64_FORMAT
                      " ms; what it has missed counts for nothing",
                      now_ms() - last_ms);
            g_mutex_lock(&signs->lock);
            signs->watched_ms = now_ms();
            g_mutex_unlock(&signs->lock);
        }
        last_ms = now_ms();
        ask_daemons(signs, views);
        ping_all(signs, views);
        mig_peer_rpc_sweep(signs->daemon->peer);
        if (now_ms() - last_ms < MIG_SIGN_EVERY_MS)
            g_usleep((gulong)(MIG_SIGN_EVERY_MS - (now_ms() - last_ms)) * 1000);
    }
    return NULL;
}

void
mig_signs_ages(MigSigns *signs, const char *node, MigSignAges *ages)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&signs->lock);
    const Node *known = node_of(signs, node);
    gint64 base = MAX(known->asked_ms, signs->watched_ms), now = now_ms();

    if (now - known->round_ms > MIG_SIGN_GAP_MS)
        base = now; /* it is not being asked, or not yet again */

    ages->volumes = known->volumes;
    ages->peer_ms = now - MAX(known->peer_ms, base);
    ages->management_ms = now - MAX(known->management_ms, base);
    ages->migration_ms =
        known->has_migration ? now - MAX(known->migration_ms, base) : MIG_NEVER_ASKED;
}

gboolean
mig_signs_is_elsewhere(MigSigns *signs, const char *node, const char *uuid, guint64 heartbeat)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&signs->lock);
    const Node *known = g_hash_table_lookup(signs->nodes, node);
    const guint64 *then = known ? g_hash_table_lookup(known->elsewhere, uuid) : NULL;

    /* what was written elsewhere once stays so, also when its daemon answers no more */
    if (then && *then == heartbeat)
        return TRUE;
    if (then)
        g_hash_table_remove(known->elsewhere, uuid);
    if (!known || !known->beats || now_ms() - known->peer_ms >= MIG_SIGN_BEATS_MS ||
        !mig_failover_is_elsewhere((const char *const *)known->beats, uuid, heartbeat))
        return FALSE;
    g_hash_table_insert(known->elsewhere, g_strdup(uuid), g_memdup2(&heartbeat, sizeof heartbeat));
    return TRUE;
}

void
mig_signs_heard(MigSigns *signs, const char *node, MigHeard *heard)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&signs->lock);
    const Node *known = node_of(signs, node);
    gint64 now = now_ms();

    *heard = (MigHeard){.peer_ms = now - known->peer_ms,
                        .management_ms = now - known->management_ms,
                        .migration_ms = now - known->migration_ms};
}

gint64
mig_signs_watched_ms(MigSigns *signs)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&signs->lock);

    /* who may not ping does not know what a silent machine is */
    return mig_pinger_works(signs->pinger) ? now_ms() - signs->watched_ms : 0;
}

MigSigns *
mig_signs_new(MigDaemon *daemon)
{
    MigSigns *signs = g_new0(MigSigns, 1);

    signs->daemon = daemon;
    signs->pinger = mig_pinger_new();
    if (!mig_pinger_works(signs->pinger))
        g_warning("this process may not send pings: no node is ever taken for dead from here");
    signs->askers = g_thread_pool_new(ask_daemon, signs, ASKERS, FALSE, NULL);
    signs->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_free);
    signs->watched_ms = now_ms();
    g_mutex_init(&signs->lock);
    return signs;
}

void
mig_signs_start(MigSigns *signs)
{
    g_thread_unref(g_thread_new("signs", signs_thread, signs));
}
