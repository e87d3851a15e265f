/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peer-rpc.c - the port core/peer.h, as calls of io.migrated.Peer. */
#include "drivers/peer-rpc.h"

#include "base/error.h"
#include "core/timeouts.h"

struct MigPeerRpc {
    char *node;
    MigPeerRpcHooks hooks;
    MigPeer port;
    GMutex lock;
    GHashTable *kept; /* node -> Kept; of those that were there at once the last one */
};

/* A connection between two calls. */
typedef struct {
    MigRpcClient *client;
    gint64 made_us, idle_us;
} Kept;

typedef struct {
    MigPeerRpc *rpc;
    const char *node;
} Target;

static GIOStream *
secure(GSocket *socket, gpointer user_data, GError **error)
{
    Target *target = user_data;

    return target->rpc->hooks.secure(target->rpc->hooks.self, socket, target->node, error);
}

gboolean
mig_peer_rpc_again(MigPeerRpc *rpc, gint64 *since, GError **error)
{
    gint64 now = g_get_monotonic_time();

    if (!*since)
        *since = now;
    if (!*error || !g_error_matches(*error, MIG_ERROR, MIG_ERROR_PEER_REFUSED) ||
        now - *since > MIG_PEER_STRANGE_MS * 1000)
        return FALSE;
    g_clear_error(error);
    g_usleep(MIG_PEER_STRANGE_MS * 1000 / 10);
    if (rpc->hooks.look)
        rpc->hooks.look(rpc->hooks.self);
    return TRUE;
}

MigRpcClient *
mig_peer_rpc_open(MigPeerRpc *rpc, const char *node, GError **error)
{
    g_autofree char *address = NULL;
    guint16 port = 0;

    if (!rpc->hooks.locate(rpc->hooks.self, node, &address, &port, error))
        return NULL;
    Target target = {rpc, node};
    MigRpcClient *client = mig_rpc_client_new_tcp(
        address, port, MIG_PEER_CONNECT_MS, rpc->hooks.secure ? secure : NULL, &target, error);

    if (!client)
        g_prefix_error(error, "%s: ", node);
    return client;
}

MigRpcClient *
mig_peer_rpc_open_for(MigPeerRpc *rpc, const char *node, guint32 uid, GError **error)
{
    const MigPeerRpcHooks *hooks = &rpc->hooks;
    MigRpcClient *client = mig_peer_rpc_open(rpc, node, error);

    if (client && uid != G_MAXUINT32 && hooks->hears_callers &&
        hooks->hears_callers(hooks->self, node))
        mig_rpc_client_set_caller(client, uid);
    return client;
}

gpointer
mig_peer_rpc_call(MigPeerRpc *rpc, const char *node, const char *method,
                  const MigType *request_type, gconstpointer request, const MigType *reply_type,
                  guint timeout_ms, GError **error)
{
    g_autofree char *name = g_strconcat(MIG_PEER_INTERFACE ".", method, NULL);
    GError *bad = NULL;
    gint64 since = 0;

    do {
        g_autoptr(MigRpcClient) client = mig_peer_rpc_open(rpc, node, &bad);
        gpointer reply = client ? mig_rpc_client_call(client, name, request_type, request,
                                                      reply_type, timeout_ms, NULL, &bad)
                                : NULL;

        if (reply)
            return reply;
    } while (mig_peer_rpc_again(rpc, &since, &bad));
    g_propagate_error(error, bad);
    return NULL;
}

GIOStream *
mig_peer_rpc_upgrade(MigPeerRpc *rpc, const char *node, const char *method, GError **error)
{
    g_autofree char *name = g_strconcat(MIG_PEER_INTERFACE ".", method, NULL);
    GIOStream *stream = NULL;
    GError *bad = NULL;
    gint64 since = 0;

    do {
        g_autoptr(MigRpcClient) client = mig_peer_rpc_open(rpc, node, &bad);

        if (client)
            stream = mig_rpc_client_upgrade(client, name, &mig_type_Empty, NULL, &mig_type_Empty,
                                            NULL, MIG_PEER_CALL_MS, &bad);
    } while (!stream && mig_peer_rpc_again(rpc, &since, &bad));
    if (!stream)
        g_propagate_error(error, bad);
    return stream;
}

/* ---- kept connections ---- */

static void
kept_free(gpointer data)
{
    Kept *kept = data;

    mig_rpc_client_free(kept->client);
    g_free(kept);
}

static gboolean
is_old(const Kept *kept, gint64 now_us)
{
    return now_us - kept->idle_us > MIG_PEER_KEEP_MS * 1000 ||
           now_us - kept->made_us > MIG_PEER_KEPT_MOST_MS * 1000;
}

static gboolean
is_old_one(gpointer node, gpointer kept, gpointer now_us)
{
    return is_old(kept, *(const gint64 *)now_us);
}

void
mig_peer_rpc_sweep(MigPeerRpc *rpc)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&rpc->lock);
    gint64 now_us = g_get_monotonic_time();

    g_hash_table_foreach_remove(rpc->kept, is_old_one, &now_us);
}

/* NULL: none that is worth a try. */
static Kept *
take_kept(MigPeerRpc *rpc, const char *node)
{
    gint64 now_us = g_get_monotonic_time();
    gpointer name = NULL, value = NULL;

    g_mutex_lock(&rpc->lock);
    g_hash_table_steal_extended(rpc->kept, node, &name, &value);
    g_mutex_unlock(&rpc->lock);
    g_free(name);
    Kept *kept = value;

    if (!kept || (!is_old(kept, now_us) && mig_rpc_client_is_idle(kept->client) &&
                  (!rpc->hooks.stands || rpc->hooks.stands(mig_rpc_client_stream(kept->client)))))
        return kept;
    kept_free(kept);
    return NULL;
}

static void
keep(MigPeerRpc *rpc, const char *node, Kept *kept)
{
    if (!mig_rpc_client_is_idle(kept->client)) {
        kept_free(kept);
        return;
    }
    kept->idle_us = g_get_monotonic_time();
    g_mutex_lock(&rpc->lock);
    g_hash_table_replace(rpc->kept, g_strdup(node), kept);
    g_mutex_unlock(&rpc->lock);
}

static Kept *
open_to_keep(MigPeerRpc *rpc, const char *node, GError **error)
{
    MigRpcClient *client = mig_peer_rpc_open(rpc, node, error);
    Kept *kept;

    if (!client)
        return NULL;
    kept = g_new0(Kept, 1);
    kept->client = client;
    kept->made_us = g_get_monotonic_time();
    return kept;
}

gpointer
mig_peer_rpc_call_kept(MigPeerRpc *rpc, const char *node, const char *method,
                       const MigType *request_type, gconstpointer request,
                       const MigType *reply_type, guint timeout_ms, GError **error)
{
    g_autofree char *name = g_strconcat(MIG_PEER_INTERFACE ".", method, NULL);
    Kept *kept = take_kept(rpc, node);
    gboolean was_kept = kept != NULL, is_again = FALSE;
    GError *bad = NULL;
    gint64 since = 0;

    for (;;) {
        gpointer reply = NULL;

        if (!kept)
            kept = open_to_keep(rpc, node, &bad);
        if (kept) {
            reply = mig_rpc_client_call(kept->client, name, request_type, request, reply_type,
                                        timeout_ms, NULL, &bad);
            is_again = was_kept && !reply && !mig_rpc_client_is_idle(kept->client) &&
                       !g_error_matches(bad, MIG_ERROR, MIG_ERROR_TIMEOUT);
            keep(rpc, node, g_steal_pointer(&kept));
        }
        if (reply)
            return reply;
        if (is_again)
            g_clear_error(&bad); /* the other end had closed it, as far as can be told */
        else if (!mig_peer_rpc_again(rpc, &since, &bad))
            break;
        was_kept = is_again = FALSE;
    }
    g_propagate_error(error, bad);
    return NULL;
}

/* ---- the port ---- */

#define CALL(rpc, node, method, Request, request, Reply, error)                                \
    mig_peer_rpc_call_kept(rpc, node, method, &mig_type_##Request, request, &mig_type_##Reply, \
                           MIG_PEER_CALL_MS, error)

static gboolean
peer_reserve(gpointer self, const char *node, const MigJob *job, gint64 waited_ms, MigTurn *turn,
             GError **error)
{
    MigPeerRpc *rpc = self;
    const MigWish wish = {.job = job->id,
                          .source = job->source,
                          .target = job->target,
                          .priority = job->priority,
                          .waited_ms = waited_ms};
    MigPeerReserveRequest request = {.job = job->id,
                                     .source = job->source,
                                     .target = job->target,
                                     .priority = job->priority,
                                     .waited_ms = waited_ms};
    g_autoptr(MigPeerReserveReply) reply = NULL;

    if (g_str_equal(node, rpc->node))
        return rpc->hooks.ask(rpc->hooks.self, &wish, turn, error);
    reply = CALL(rpc, node, "Reserve", PeerReserveRequest, &request, PeerReserveReply, error);
    if (!reply)
        return FALSE;
    turn->is_granted = reply->granted;
    turn->position = (guint)CLAMP(reply->position, 0, G_MAXINT);
    if (!reply->granted)
        turn->waits_for = g_strdup(reply->waits_for ? reply->waits_for : node);
    return TRUE;
}

static gboolean
peer_release(gpointer self, const char *node, const MigJob *job, GError **error)
{
    MigPeerRpc *rpc = self;
    MigJobRequest request = {.id = job->id};
    g_autoptr(MigEmpty) reply = NULL;

    if (g_str_equal(node, rpc->node)) {
        rpc->hooks.release(rpc->hooks.self, job->id);
        return TRUE;
    }
    reply = CALL(rpc, node, "Release", JobRequest, &request, Empty, error);
    return reply != NULL;
}

static gboolean
peer_prepare(gpointer self, const MigJob *job, const char *cpu_vendor, const char *migration,
             const char *certificate, GPtrArray *checks, MigReady *ready, GError **error)
{
    MigPeerPrepareRequest request = {.job = job->id,
                                     .vm = job->vm,
                                     .uuid = job->uuid,
                                     .volume = job->volume,
                                     .source = job->source,
                                     .memory = (gint64)job->memory_bytes,
                                     .cpu_vendor = (char *)cpu_vendor,
                                     .migration = (char *)migration,
                                     .certificate = (char *)certificate,
                                     .images = job->images,
                                     .hugepage = (gint64)job->hugepage_bytes};
    g_autoptr(MigPeerPrepareReply) reply =
        CALL(self, job->target, "Prepare", PeerPrepareRequest, &request, PeerPrepareReply, error);

    if (!reply)
        return FALSE;
    for (guint i = 0; reply->checks && i < reply->checks->len; i++) {
        const MigApiCheck *check = g_ptr_array_index(reply->checks, i);

        g_ptr_array_add(checks, mig_check_new(check->name, mig_verdict_from_name(check->verdict),
                                              g_strdup(check->text), check->advice));
    }
    if (!reply->ready || !reply->migration_address) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED, "%s is not ready to take %s",
                    job->target, job->vm);
        return FALSE;
    }
    ready->ram_address = g_steal_pointer(&reply->migration_address);
    ready->certificate = g_steal_pointer(&reply->certificate);
    ready->granted_bytes_s = (guint64)MAX(reply->bandwidth, 0);
    return TRUE;
}

static gboolean
peer_finish(gpointer self, const MigJob *job, gboolean keep, MigOutcome *outcome, GError **error)
{
    MigPeerFinishRequest request = {
        .job = job->id, .vm = job->vm, .uuid = job->uuid, .volume = job->volume, .keep = keep};
    gint64 asked_us = g_get_monotonic_time();
    g_autoptr(MigPeerFinishReply) reply =
        CALL(self, job->target, "Finish", PeerFinishRequest, &request, PeerFinishReply, error);

    if (reply && outcome) {
        const MigSwitchTold told = {.arrived_ago_us = reply->arrived_ago_us,
                                    .running_ago_us = reply->running_ago_us,
                                    .took_us = reply->took_us};

        outcome->downtime_ms = reply->downtime_ms;
        outcome->transferred_bytes = (guint64)MAX(reply->transferred, 0);
        outcome->rate_bytes_s = (guint64)MAX(reply->rate, 0);
        outcome->was_booted = reply->was_booted;
        outcome->there = mig_switchover_there(&told, asked_us, g_get_monotonic_time());
    }
    return reply != NULL;
}

static MigPeerDomainReply *
look(MigPeerRpc *rpc, const char *node, const char *vm, const char *uuid, GError **error)
{
    MigPeerDomainRequest request = {.vm = (char *)vm, .uuid = (char *)uuid};

    return mig_peer_rpc_call_kept(rpc, node, "GetDomain", &mig_type_PeerDomainRequest, &request,
                                  &mig_type_PeerDomainReply, MIG_PEER_LOOK_MS, error);
}

static gboolean
peer_get_domain(gpointer self, const char *node, const char *vm, const char *uuid,
                MigDomainState *state, GError **error)
{
    g_autoptr(MigPeerDomainReply) reply = look(self, node, vm, uuid, error);

    if (reply)
        *state = mig_domain_state_from_name(reply->state);
    return reply != NULL;
}

static gboolean
peer_was_shut_down(gpointer self, const char *node, const char *vm, const char *uuid)
{
    g_autoptr(MigPeerDomainReply) reply = look(self, node, vm, uuid, NULL);

    return reply && reply->was_shut_down;
}

static gboolean
peer_never_ran(gpointer self, const char *node, const char *vm, const char *uuid, gboolean *never,
               GError **error)
{
    g_autoptr(MigPeerDomainReply) reply = look(self, node, vm, uuid, error);

    *never =
        reply && mig_domain_state_from_name(reply->state) == MIG_DOMAIN_ABSENT && reply->never_ran;
    return reply != NULL;
}

static gboolean
peer_is_stuck(gpointer self, const char *node, const char *vm, const char *uuid)
{
    g_autoptr(MigPeerDomainReply) reply = look(self, node, vm, uuid, NULL);

    return reply && reply->is_stuck;
}

static char *
peer_libvirt_uri(gpointer self, const char *node, GError **error)
{
    MigPeerRpc *rpc = self;
    g_autofree char *path = rpc->hooks.libvirt_socket(rpc->hooks.self, node, error);

    return path ? g_strdup_printf("qemu+unix:///system?socket=%s", path) : NULL;
}

MigPeerRpc *
mig_peer_rpc_new(const char *this_node, const MigPeerRpcHooks *hooks)
{
    MigPeerRpc *rpc = g_new0(MigPeerRpc, 1);

    rpc->node = g_strdup(this_node);
    rpc->hooks = *hooks;
    g_mutex_init(&rpc->lock);
    rpc->kept = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, kept_free);
    rpc->port = (MigPeer){.self = rpc,
                          .reserve = peer_reserve,
                          .release = peer_release,
                          .prepare = peer_prepare,
                          .finish = peer_finish,
                          .get_domain = peer_get_domain,
                          .was_shut_down = peer_was_shut_down,
                          .never_ran = peer_never_ran,
                          .is_stuck = peer_is_stuck,
                          .libvirt_uri = peer_libvirt_uri};
    return rpc;
}

void
mig_peer_rpc_free(MigPeerRpc *rpc)
{
    if (!rpc)
        return;
    g_hash_table_unref(rpc->kept);
    g_mutex_clear(&rpc->lock);
    g_free(rpc->node);
    g_free(rpc);
}

const MigPeer *
mig_peer_rpc_port(MigPeerRpc *rpc)
{
    return &rpc->port;
}
