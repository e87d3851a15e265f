/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* change.c - asking the coordinator until it answers, and answering as one. */
#include "change.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "role.h"

#define PAUSE_MS   20
#define PAUSES_MAX 10 /* PAUSE_MS grows up to that many times itself */

/* ---- answers given ---- */

typedef struct {
    char *change, *volume, *name; /* to what; name may be NULL */
    MigPeerChangeReply *reply;    /* or NULL: refused */
    GError *error;
    gint64 at_us;
} Answer;

static GMutex answers_lock;
static GHashTable *answers;   /* id -> Answer, of this process */
static GHashTable *under_way; /* ids of changes that are being made here */

static void
answer_free(gpointer data)
{
    Answer *answer = data;

    g_free(answer->change);
    g_free(answer->volume);
    g_free(answer->name);
    mig_PeerChangeReply_free(answer->reply);
    g_clear_error(&answer->error);
    g_free(answer);
}

static gboolean
is_old(gpointer id, gpointer data, gpointer now)
{
    const Answer *answer = data;

    return *(gint64 *)now - answer->at_us > (gint64)MIG_CHANGE_KEEP_MS * 1000;
}

/* Marks an id while its change is being made here: a large image takes longer than an asker waits
 * for one answer. */
static void
set_under_way(const char *id, gboolean is_under_way)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&answers_lock);

    if (!under_way)
        under_way = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (is_under_way)
        g_hash_table_add(under_way, g_strdup(id));
    else
        g_hash_table_remove(under_way, id);
}

static gboolean
is_under_way(const char *id)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&answers_lock);

    return under_way && g_hash_table_contains(under_way, id);
}

static gboolean
recall(const MigPeerChangeRequest *request, MigPeerChangeReply **reply, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&answers_lock);
    const Answer *answer = answers ? g_hash_table_lookup(answers, request->id) : NULL;

    if (!answer)
        return FALSE;
    if (!g_str_equal(answer->change, request->change) ||
        !g_str_equal(answer->volume, request->volume) ||
        g_strcmp0(answer->name, request->name) != 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "request id %s was another change's; each change needs one of its own",
                    request->id);
    } else if (answer->reply) {
        mig_PeerChangeReply_free(*reply);
        *reply = mig_message_copy(&mig_type_PeerChangeReply, answer->reply);
    } else {
        g_propagate_error(error, g_error_copy(answer->error));
    }
    return TRUE;
}

/* Of an I/O error nobody knows what it has left on the LUN, and damage may be mended: asked again,
 * that is looked for. */
static void
keep(const MigPeerChangeRequest *request, const MigPeerChangeReply *reply, const GError *error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&answers_lock);
    Answer *answer;
    gint64 now = g_get_monotonic_time();
    static gint64 swept_us;

    if (g_error_matches(error, MIG_ERROR, MIG_ERROR_IO) ||
        g_error_matches(error, MIG_ERROR, MIG_ERROR_FENCED) ||
        g_error_matches(error, MIG_ERROR, MIG_ERROR_DAMAGED))
        return;
    if (!answers)
        answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, answer_free);
    if (now - swept_us > G_USEC_PER_SEC) {
        g_hash_table_foreach_remove(answers, is_old, &now);
        swept_us = now;
    }
    answer = g_new0(Answer, 1);
    answer->change = g_strdup(request->change);
    answer->volume = g_strdup(request->volume);
    answer->name = g_strdup(request->name);
    answer->reply = reply ? mig_message_copy(&mig_type_PeerChangeReply, reply) : NULL;
    answer->error = reply ? NULL : g_error_copy(error);
    answer->at_us = now;
    g_hash_table_insert(answers, g_strdup(request->id), answer);
}

/* ---- as coordinator ---- */

static gboolean
run(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_overtaken,
    MigPeerChangeReply *reply, GError **error)
{
    MigChangeRun change = mig_change_find(request->change);
    g_autofree char *name = NULL;
    g_autoptr(GError) unknown = NULL;
    gboolean is_begun = FALSE;

    if (!change) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "%s, which coordinates volume %s, knows no such change; update migrated there",
                    catalog->daemon->node, request->volume);
        return FALSE;
    }
    /* One slot that cannot be read must not stop what may as well be done twice: VMs of a dead node
     * are started by such changes. */
    if ((request->again || is_overtaken) &&
        !mig_csv_request_find(mig_attached_csv(catalog->attached), request->id, &is_begun, &name,
                              &unknown) &&
        !(g_error_matches(unknown, MIG_ERROR, MIG_ERROR_DAMAGED) &&
          mig_change_is_repeatable(request->change))) {
        g_propagate_error(error, g_steal_pointer(&unknown));
        return FALSE;
    }
    return change(catalog, request, is_begun, reply, error);
}

MigPeerChangeReply *
mig_change_here(MigDaemon *daemon, MigAttached *attached, const MigPeerChangeRequest *request,
                GError **error)
{
    MigRole *role = mig_attached_role(attached);
    gboolean is_alone = !mig_role_may_stand(role), is_known;
    guint64 version = mig_role_version(role);
    MigCatalog catalog = {.attached = attached, .daemon = daemon};
    g_autoptr(MigPeerChangeReply) reply = mig_PeerChangeReply_new();
    g_autoptr(GError) failed = NULL;

    if (!mig_role_enter(role, MIG_CHANGE_TURN_MS, is_alone, &catalog.epoch, &failed)) {
        if (failed) {
            g_propagate_error(error, g_steal_pointer(&failed));
            return NULL;
        }
        reply->under_way = mig_role_is_held(role) && is_under_way(request->id);
        reply->coordinator = mig_role_coordinator(role);
        return g_steal_pointer(&reply);
    }
    set_under_way(request->id, TRUE);
    catalog.epoch.request = request->id;
    /* while it waited for its turn it may have been asked again: here, or of another node that was
     * coordinator meanwhile */
    is_known = recall(request, &reply, &failed);
    if (!is_known)
        reply->done =
            run(&catalog, request, !is_alone && version != catalog.epoch.version, reply, &failed);
    /* stopped by the guard, or overtaken: not an answer, another coordinator gives one */
    if (failed && g_error_matches(failed, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY)) {
        mig_role_lost(role);
        g_clear_error(&failed);
    } else if (!is_known) {
        keep(request, reply->done ? reply : NULL, failed);
    }
    set_under_way(request->id, FALSE);
    mig_role_leave(role);
    if (failed) {
        g_propagate_error(error, g_steal_pointer(&failed));
        return NULL;
    }
    return g_steal_pointer(&reply);
}

/* ---- asking ---- */

typedef struct {
    MigDaemon *daemon;
    MigAttached *attached;
    MigPeerChangeRequest request;
    char *why; /* there is no answer yet */
} Asking;

static void
wait_for(Asking *asking, char *why_take)
{
    g_free(asking->why);
    asking->why = why_take;
}

/* This node would do it itself, and has not got the lease. */
static char *
why_not_here(const Asking *asking)
{
    MigRole *role = mig_attached_role(asking->attached);
    const char *volume = mig_attached_name(asking->attached);
    g_autofree char *coordinator = NULL;

    if (mig_role_may_stand(role))
        return g_strdup_printf("volume %s changes its coordinator", volume);
    coordinator = mig_role_is_cut_off(role) ? mig_role_coordinator(role) : NULL;
    if (coordinator && !g_str_equal(coordinator, asking->daemon->node))
        return g_strdup_printf("%s coordinates volume %s, and this node is cut off from all others",
                               coordinator, volume);
    return g_strdup_printf("other nodes are changing volume %s, one after the other", volume);
}

/* Is it one of the way there, and not of the change? Then it may have been done. */
static gboolean
is_lost(const GError *error)
{
    return g_error_matches(error, MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE) ||
           g_error_matches(error, MIG_ERROR, MIG_ERROR_TIMEOUT) ||
           g_error_matches(error, MIG_ERROR, MIG_ERROR_PEER_REFUSED) ||
           g_error_matches(error, MIG_ERROR, MIG_ERROR_VOLUME_UNKNOWN) ||
           g_error_matches(error, MIG_ERROR, MIG_ERROR_BUSY) ||
           g_error_matches(error, MIG_ERROR, MIG_ERROR_PROTOCOL);
}

static MigPeerChangeReply *
ask(Asking *asking, const char *node, GError **error)
{
    MigDaemon *daemon = asking->daemon;
    const char *volume = mig_attached_name(asking->attached);
    g_autoptr(GError) failed = NULL;
    MigPeerChangeReply *reply;

    if (g_str_equal(node, daemon->node)) {
        reply = mig_change_here(daemon, asking->attached, &asking->request, error);
        if (reply && !reply->done)
            wait_for(asking, why_not_here(asking));
        return reply;
    }
    reply =
        mig_peer_rpc_call(daemon->peer, node, "Change", &mig_type_PeerChangeRequest,
                          &asking->request, &mig_type_PeerChangeReply, MIG_PEER_CALL_MS, &failed);
    if (reply && reply->under_way) {
        wait_for(asking,
                 g_strdup_printf("%s, which coordinates volume %s, is at it", node, volume));
        return reply;
    }
    if (reply && !reply->done) {
        wait_for(asking, g_strdup_printf("%s, which coordinates volume %s, is busy with other "
                                         "changes, or hands that role over",
                                         node, volume));
        return reply;
    }
    if (reply || !is_lost(failed)) {
        if (failed)
            g_propagate_error(error, g_steal_pointer(&failed));
        return reply;
    }
    wait_for(asking, g_strdup_printf("%s coordinates volume %s and does not answer (%s)", node,
                                     volume, failed->message));
    return mig_PeerChangeReply_new();
}

static MigPeerChangeReply *
try_once(Asking *asking, GError **error)
{
    MigRole *role = mig_attached_role(asking->attached);
    g_autofree char *node = NULL;

    if (mig_role_is_held(role) || !mig_role_may_stand(role))
        return ask(asking, asking->daemon->node, error);
    node = mig_role_coordinator(role);
    if (!node) {
        wait_for(asking, g_strdup_printf("nobody coordinates volume %s",
                                         mig_attached_name(asking->attached)));
        mig_role_need(role);
        return mig_PeerChangeReply_new();
    }
    if (g_str_equal(node, asking->daemon->node)) { /* an earlier life of ours: sanlock frees it */
        wait_for(asking, g_strdup("this node has just been started"));
        return mig_PeerChangeReply_new();
    }
    return ask(asking, node, error);
}

MigPeerChangeReply *
mig_change(MigDaemon *daemon, MigAttached *attached, const MigPeerChangeRequest *request,
           GError **error)
{
    Asking asking = {.daemon = daemon, .attached = attached, .request = *request};
    g_autofree char *id = request->id ? g_ascii_strdown(request->id, -1) : g_uuid_string_random();
    guint wait_ms = mig_timeouts_change_ms(mig_csv_io_timeout_s(mig_attached_csv(attached)));
    gint64 deadline = g_get_monotonic_time() + (gint64)wait_ms * 1000;
    gint64 begun = g_get_monotonic_time();
    gint64 longest = begun + (gint64)MIG_CHANGE_LONGEST_MS * 1000;
    g_autofree char *why = NULL;

    if (!g_uuid_string_is_valid(id)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "a request's id is a uuid");
        return NULL;
    }
    asking.request.id = id;
    asking.request.volume = (char *)mig_attached_name(attached);
    asking.request.again = request->id != NULL;
    for (guint tries = 1;; tries++) {
        g_autoptr(MigPeerChangeReply) reply = try_once(&asking, error);

        if (!reply || reply->done) {
            g_free(asking.why);
            return g_steal_pointer(&reply);
        }
        asking.request.again = TRUE;
        if (reply->under_way) /* whoever does it is alive; a large image takes its time */
            deadline = MIN(g_get_monotonic_time() + (gint64)wait_ms * 1000, longest);
        if (g_get_monotonic_time() > deadline)
            break;
        if (tries == PAUSES_MAX * 2)
            g_message("a change of volume %s waits: %s", asking.request.volume, asking.why);
        g_usleep((gulong)(PAUSE_MS * MIN(tries, PAUSES_MAX)) * 1000);
    }
    why = asking.why;
    g_set_error(error, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY,
                "not known to be done after %u s: %s; look whether it is, then try again",
                (guint)((g_get_monotonic_time() - begun) / G_USEC_PER_SEC), why);
    return NULL;
}
