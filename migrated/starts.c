/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* starts.c - starts of VMs under way, here and on other nodes. */
#include "starts.h"

#include "base/error.h"
#include "core/timeouts.h"

#define STARTERS 8

typedef struct {
    MigStart *start;
    gint64 begun_us;   /* 0: not yet */
    gboolean is_alone; /* nobody waits for it; its thread was given a stand-in */
} One;

struct MigStarts {
    MigStartsDo run;
    MigStartsEnded ended;
    gpointer data;
    GThreadPool *pool;
    GMutex lock;          /* guards what follows, and the pool's size */
    GPtrArray *under_way; /* of One, also those that wait for a thread */
};

static void
start_free(MigStart *start)
{
    g_free(start->vm);
    g_free(start->node);
    g_free(start);
}

/* lock held */
static void
resize(MigStarts *starts, int by)
{
    g_thread_pool_set_max_threads(starts->pool, g_thread_pool_get_max_threads(starts->pool) + by,
                                  NULL);
}

/* lock held. One that has no thread yet needs no stand-in: it gets its turn, and then does nothing.
 */
static void
leave_alone(MigStarts *starts, One *one)
{
    one->is_alone = TRUE;
    if (one->begun_us)
        resize(starts, 1);
}

/* FALSE: it is not wanted any more. */
static gboolean
begin(MigStarts *starts, One *one)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&starts->lock);

    if (one->is_alone)
        return FALSE;
    one->begun_us = g_get_monotonic_time();
    return TRUE;
}

/* FALSE: nobody waits for it any more. */
static gboolean
end(MigStarts *starts, One *one)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&starts->lock);

    g_ptr_array_remove_fast(starts->under_way, one);
    if (one->is_alone && one->begun_us)
        resize(starts, -1);
    return !one->is_alone;
}

static void
work(gpointer data, gpointer user_data)
{
    MigStarts *starts = user_data;
    One *one = data;
    g_autoptr(GError) error = NULL;

    if (begin(starts, one))
        starts->run(one->start, starts->data, &error);
    if (end(starts, one))
        starts->ended(one->start, error, starts->data);
    else if (one->begun_us)
        g_message("%s: the start on %s that was given up has ended: %s", one->start->vm,
                  one->start->node, error ? error->message : "it runs");
    start_free(one->start);
    g_free(one);
}

MigStarts *
mig_starts_new(MigStartsDo run, MigStartsEnded ended, gpointer data)
{
    MigStarts *starts = g_new0(MigStarts, 1);

    starts->run = run;
    starts->ended = ended;
    starts->data = data;
    starts->pool = g_thread_pool_new(work, starts, STARTERS, FALSE, NULL);
    starts->under_way = g_ptr_array_new();
    g_mutex_init(&starts->lock);
    return starts;
}

void
mig_starts_begin(MigStarts *starts, MigStart *start)
{
    One *one = g_new0(One, 1);

    one->start = start;
    g_mutex_lock(&starts->lock);
    g_ptr_array_add(starts->under_way, one);
    g_mutex_unlock(&starts->lock);
    g_thread_pool_push(starts->pool, one, NULL);
}

void
mig_starts_abandon(MigStarts *starts, guint64 serial)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&starts->lock);

    for (guint i = 0; i < starts->under_way->len; i++) {
        One *one = g_ptr_array_index(starts->under_way, i);

        if (one->start->serial == serial && !one->is_alone)
            leave_alone(starts, one);
    }
}

static MigStart *
start_copy(const MigStart *start)
{
    MigStart *copy = g_memdup2(start, sizeof(*copy));

    copy->vm = g_strdup(start->vm);
    copy->node = g_strdup(start->node);
    return copy;
}

/* Those that are late, from now on alone. Their threads may end while the caller tells of them, so
 * these are copies. */
static GPtrArray *
take_late(MigStarts *starts, gint64 now_us)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&starts->lock);
    GPtrArray *late = g_ptr_array_new_with_free_func((GDestroyNotify)start_free);
    gint64 before = now_us - MIG_START_LATE_MS * (gint64)1000;

    for (guint i = 0; i < starts->under_way->len; i++) {
        One *one = g_ptr_array_index(starts->under_way, i);

        if (one->is_alone || !one->begun_us || one->begun_us > before)
            continue;
        leave_alone(starts, one);
        g_ptr_array_add(late, start_copy(one->start));
    }
    return late;
}

void
mig_starts_expire(MigStarts *starts, gint64 now_us)
{
    g_autoptr(GPtrArray) late = take_late(starts, now_us);
    g_autoptr(GError) error =
        g_error_new(MIG_ERROR, MIG_ERROR_TIMEOUT,
                    "it has not ended in %d s; look at libvirt and at its hooks there",
                    MIG_START_LATE_MS / 1000);

    for (guint i = 0; i < late->len; i++)
        starts->ended(g_ptr_array_index(late, i), error, starts->data);
}
