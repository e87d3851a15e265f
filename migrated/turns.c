/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* turns.c - core/queue.h with a lock, files and wake-up calls. */
#include "turns.h"

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "core/timeouts.h"
#include "jobs.h"

#include <glib/gstdio.h>
#include <string.h>

/* Calls under way at once to nodes whose jobs are to be woken. */
#define WAKERS 4
/* Node name, dash, number. */
#define JOB_ID_MAX 80

struct MigTurns {
    MigDaemon *daemon;
    char *directory;
    GMutex lock;
    MigQueue *queue;
    GHashTable *restored;     /* jobs whose turns are of an earlier life */
    GHashTable *silent_since; /* job -> monotonic ms since when its source does not answer */
    GThreadPool *wakers;
};

static gint64
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

void
mig_turn_holder_free(MigTurnHolder *holder)
{
    g_free(holder->job);
    g_free(holder->source);
    g_free(holder);
}

static GPtrArray *
names_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)mig_turn_holder_free);
}

static void
add_named(const char *job, const char *source, gpointer user_data)
{
    MigTurnHolder *named = g_new0(MigTurnHolder, 1);

    named->job = g_strdup(job);
    named->source = g_strdup(source);
    g_ptr_array_add(user_data, named);
}

/* ---- files ---- */

static char *
path_of(const MigTurns *turns, const char *job)
{
    return g_build_filename(turns->directory, job, NULL);
}

/* Ids become names of files: only what a node makes of its own name, a dash and a number. */
static gboolean
is_job_of(const char *job, const char *source)
{
    gsize length = strlen(source);

    return strlen(job) <= JOB_ID_MAX && g_str_has_prefix(job, source) && job[length] == '-' &&
           job[length + 1] != '\0' && job[0] != '.' && !strchr(job, '/') &&
           strspn(job + length + 1, "0123456789") == strlen(job + length + 1);
}

static gboolean
keep_file(const MigTurns *turns, const MigWish *wish, GError **error)
{
    const char *const lines[] = {wish->source, wish->target, NULL};
    g_autofree char *path = path_of(turns, wish->job);

    return mig_store_write_lines(path, lines, error);
}

static void
restore(MigTurns *turns, const char *job, char *const *lines)
{
    mig_queue_restore(turns->queue, job, lines[0], lines[1]);
    g_hash_table_add(turns->restored, g_strdup(job));
}

static void
load(MigTurns *turns)
{
    g_autoptr(GDir) directory = g_dir_open(turns->directory, 0, NULL);
    const char *job;

    while (directory && (job = g_dir_read_name(directory))) {
        g_autofree char *path = path_of(turns, job);
        g_auto(GStrv) lines = mig_store_read_lines(path);

        if (g_strv_length(lines) == 2 && is_job_of(job, lines[0]))
            restore(turns, job, lines);
        else
            g_unlink(path);
    }
}

/* ---- waking ---- */

static void
wake_there(gpointer data, gpointer user_data)
{
    MigTurnHolder *named = data;
    MigTurns *turns = user_data;
    MigJobRequest request = {.id = named->job};
    g_autoptr(GError) error = NULL;
    g_autoptr(MigEmpty) reply =
        mig_peer_rpc_call(turns->daemon->peer, named->source, "Wake", &mig_type_JobRequest,
                          &request, &mig_type_Empty, MIG_PEER_CALL_MS, &error);

    if (!reply) /* it asks again by itself before long */
        g_debug("job %s was not woken: %s", named->job, error->message);
    mig_turn_holder_free(named);
}

/* Lock not held. */
static void
wake_all(MigTurns *turns, GPtrArray *ready)
{
    g_ptr_array_set_free_func(ready, NULL);
    for (guint i = 0; i < ready->len; i++) {
        MigTurnHolder *named = g_ptr_array_index(ready, i);

        if (g_str_equal(named->source, turns->daemon->node)) {
            mig_jobs_wake(turns->daemon->jobs, named->job);
            mig_turn_holder_free(named);
        } else {
            g_thread_pool_push(turns->wakers, named, NULL);
        }
    }
}

/* ---- public ---- */

gboolean
mig_turns_ask(MigTurns *turns, const MigWish *wish, MigTurn *turn, GError **error)
{
    const char *node = turns->daemon->node;
    g_autoptr(GMutexLocker) locker = NULL;

    if (!is_job_of(wish->job, wish->source) || g_str_equal(wish->source, wish->target) ||
        (!g_str_equal(wish->source, node) && !g_str_equal(wish->target, node)) ||
        strchr(wish->target, '\n')) {
        g_autofree char *shown = mig_log_escape(wish->job);

        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "'%s' is not a job of a node that moves something to or from %s", shown, node);
        return FALSE;
    }
    locker = g_mutex_locker_new(&turns->lock);
    gboolean had_it = mig_queue_has(turns->queue, wish->job);

    mig_queue_ask(turns->queue, wish, now_ms(), turn);
    /* on disk before anybody acts on it */
    if (turn->is_granted && !had_it && !keep_file(turns, wish, error)) {
        mig_queue_release(turns->queue, wish->job);
        return FALSE;
    }
    return TRUE;
}

char *
mig_turns_peek(MigTurns *turns, const char *job, const char *source, const char *target)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&turns->lock);

    return job && mig_queue_has(turns->queue, job)
               ? NULL
               : mig_queue_peek(turns->queue, source, target, now_ms());
}

void
mig_turns_release(MigTurns *turns, const char *job)
{
    g_autoptr(GPtrArray) ready = names_new();

    g_mutex_lock(&turns->lock);
    if (mig_queue_has(turns->queue, job)) {
        g_autofree char *path = path_of(turns, job);

        g_unlink(path);
    }
    mig_queue_release(turns->queue, job);
    g_hash_table_remove(turns->silent_since, job);
    g_hash_table_remove(turns->restored, job);
    mig_queue_ready(turns->queue, now_ms(), add_named, ready);
    g_mutex_unlock(&turns->lock);
    wake_all(turns, ready);
}

gboolean
mig_turns_has(MigTurns *turns, const char *job)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&turns->lock);

    return mig_queue_has(turns->queue, job);
}

static void
count_one(const char *job, const char *source, gpointer user_data)
{
    ++*(guint *)user_data;
}

guint
mig_turns_count(MigTurns *turns)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&turns->lock);
    guint count = 0;

    mig_queue_turns(turns->queue, count_one, &count);
    return count;
}

GPtrArray *
mig_turns_incoming(MigTurns *turns)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&turns->lock);
    GPtrArray *holders = names_new();

    mig_queue_turns(turns->queue, add_named, holders);
    for (guint i = holders->len; i-- > 0;) {
        MigTurnHolder *holder = g_ptr_array_index(holders, i);

        holder->is_restored = g_hash_table_contains(turns->restored, holder->job);
        if (g_str_equal(holder->source, turns->daemon->node))
            g_ptr_array_remove_index_fast(holders, i);
    }
    return holders;
}

/* ---- sweep ---- */

MigJobFate
mig_turns_ask_fate(MigDaemon *daemon, const char *source, const char *job)
{
    MigJobRequest request = {.id = (char *)job};
    g_autoptr(GError) error = NULL;
    g_autoptr(MigJobReply) reply = NULL;
    g_autoptr(MigApiJob) own = NULL;

    if (g_str_equal(source, daemon->node)) {
        own = mig_jobs_get(daemon->jobs, job, NULL);
        return own && !own->ended ? MIG_JOB_GOES_ON : MIG_JOB_IS_OVER;
    }
    reply = mig_peer_rpc_call(daemon->peer, source, "GetJob", &mig_type_JobRequest, &request,
                              &mig_type_JobReply, MIG_PEER_CALL_MS, &error);
    if (reply)
        return ((MigApiJob *)reply->job)->ended ? MIG_JOB_IS_OVER : MIG_JOB_GOES_ON;
    return g_error_matches(error, MIG_ERROR, MIG_ERROR_JOB_UNKNOWN) ? MIG_JOB_IS_OVER
                                                                    : MIG_JOB_NOBODY_KNOWS;
}

/* A source that does not answer may be starting again; one that stays silent is given up. */
static gboolean
is_given_up(MigTurns *turns, const char *job, MigJobFate fate)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&turns->lock);
    gint64 *since = g_hash_table_lookup(turns->silent_since, job);

    if (fate != MIG_JOB_NOBODY_KNOWS) {
        g_hash_table_remove(turns->silent_since, job);
        return FALSE;
    }
    if (since)
        return now_ms() - *since > MIG_AWAY_MS;
    since = g_new(gint64, 1);
    *since = now_ms();
    g_hash_table_insert(turns->silent_since, g_strdup(job), since);
    return FALSE;
}

/* The target's half of a move that libvirt is not through with. */
static gboolean
has_incoming_domain(MigDaemon *daemon)
{
    g_autoptr(GPtrArray) domains = daemon->hv->list(daemon->hv->self, NULL);

    for (guint i = 0; domains && i < domains->len; i++) {
        const MigDomain *domain = g_ptr_array_index(domains, i);

        if (domain->state == MIG_DOMAIN_INCOMING || domain->is_half)
            return TRUE;
    }
    return domains == NULL;
}

void
mig_turns_sweep(MigTurns *turns, gboolean (*has_prepared)(MigIncoming *, const char *job))
{
    MigDaemon *daemon = turns->daemon;
    g_autoptr(GPtrArray) all = names_new();

    g_mutex_lock(&turns->lock);
    mig_queue_turns(turns->queue, add_named, all);
    g_mutex_unlock(&turns->lock);
    for (guint i = 0; i < all->len; i++) {
        const MigTurnHolder *named = g_ptr_array_index(all, i);

        if (has_prepared(daemon->incoming, named->job))
            continue;
        MigJobFate fate = mig_turns_ask_fate(daemon, named->source, named->job);

        if (fate != MIG_JOB_IS_OVER &&
            (!is_given_up(turns, named->job, fate) || has_incoming_domain(daemon)))
            continue;
        g_message("job %s of %s has no turn here any more: it is over there, or nobody answers",
                  named->job, named->source);
        mig_turns_release(turns, named->job);
    }
}

/* ---- life ---- */

MigTurns *
mig_turns_new(MigDaemon *daemon, GError **error)
{
    g_autofree char *directory = g_build_filename(daemon->config->run_dir, "turns", NULL);

    if (!mig_io_make_dir(directory, 0700, error))
        return NULL;
    MigTurns *turns = g_new0(MigTurns, 1);

    turns->daemon = daemon;
    turns->directory = g_steal_pointer(&directory);
    g_mutex_init(&turns->lock);
    turns->queue = mig_queue_new(daemon->node, (guint)daemon->config->max_moves_per_node);
    turns->restored = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    turns->silent_since = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    turns->wakers = g_thread_pool_new(wake_there, turns, WAKERS, FALSE, NULL);
    load(turns);
    return turns;
}

void
mig_turns_free(MigTurns *turns)
{
    if (!turns)
        return;
    g_thread_pool_free(turns->wakers, TRUE, TRUE);
    mig_queue_free(turns->queue);
    g_hash_table_unref(turns->restored);
    g_hash_table_unref(turns->silent_since);
    g_mutex_clear(&turns->lock);
    g_free(turns->directory);
    g_free(turns);
}
