/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* meters.c - the table and the threads of meters.h. */
#include "meters.h"

#include "core/timeouts.h"
#include "jobs.h"
#include "vms.h"

/* So many at a time: a libvirt that answers late for one VM keeps the others waiting no longer than
 * need be. */
#define THREADS 8

typedef struct {
    gint64 at_us;
    gint64 tried_us; /* the last time, in vain or not */
    gboolean is_wanted, is_counting;
    MigUse use;
} Known;

struct MigMeters {
    MigDaemon *daemon;
    GMutex lock;
    GCond counted;
    GHashTable *known; /* uuid -> Known */
    GThreadPool *pool; /* of Wanted */
};

typedef struct {
    char *vm, *uuid;
    gint64 max_age_ms;
} Wanted;

/* Lock held. */
static Known *
known_of(MigMeters *meters, const char *uuid)
{
    Known *known = g_hash_table_lookup(meters->known, uuid);

    if (!known) {
        known = g_new0(Known, 1);
        g_hash_table_replace(meters->known, g_strdup(uuid), known);
    }
    return known;
}

/* ---- counting ---- */

/* It has been begun; TRUE: here is what came of it. */
static gboolean
await(MigMeters *meters, const char *vm, const char *uuid, MigMeter *meter)
{
    const MigHv *hv = meters->daemon->hv;
    gint64 until_us = g_get_monotonic_time() + MIG_METER_LATE_MS * G_GINT64_CONSTANT(1000);

    do {
        g_usleep(MIG_METER_LOOK_MS * 1000);
        /* a move that has begun meanwhile is not to be kept waiting by questions */
        if (mig_jobs_has_vm(meters->daemon->jobs, vm) ||
            !hv->read_meter(hv->self, vm, uuid, meter, NULL))
            return FALSE;
        if (meter->is_done)
            return TRUE;
    } while (g_get_monotonic_time() < until_us);
    return FALSE;
}

static gboolean
count_for(MigMeters *meters, const char *vm, const char *uuid, guint s, MigMeter *meter)
{
    const MigHv *hv = meters->daemon->hv;
    g_autoptr(GError) error = NULL;

    if (mig_jobs_has_vm(meters->daemon->jobs, vm))
        return FALSE;
    if (!hv->start_meter(hv->self, vm, uuid, s, &error)) {
        g_debug("%s: %s", vm, error->message);
        return FALSE;
    }
    g_usleep(s * G_USEC_PER_SEC);
    return await(meters, vm, uuid, meter);
}

/* That of its processors' time which they ran in; at least 1. */
static guint
busy_percent(const MigMeter *before, const MigMeter *after, gint64 took_us)
{
    if (!before->vcpu_us || after->vcpu_us < before->vcpu_us || took_us <= 0)
        return 0;
    return (guint)CLAMP((after->vcpu_us - before->vcpu_us) * 100 / (guint64)took_us, 1, 100);
}

/* is_counting is set for it. */
static void
count(MigMeters *meters, const char *vm, const char *uuid)
{
    MigMeter meter, after;
    MigUse use = {0};
    Known *known;

    if (count_for(meters, vm, uuid, MIG_METER_S, &meter)) {
        gint64 since_us = g_get_monotonic_time();

        use = (MigUse){
            .used_bytes = meter.used_bytes, .has_moved = meter.has_moved, .dirtied = meter.dirtied};
        if (count_for(meters, vm, uuid, MIG_METER_LATER_S, &after)) {
            use.later = after.dirtied;
            use.busy_percent = busy_percent(&meter, &after, g_get_monotonic_time() - since_us);
        }
    }
    g_mutex_lock(&meters->lock);
    known = known_of(meters, uuid);
    known->is_counting = FALSE;
    known->tried_us = g_get_monotonic_time();
    if (use.dirtied.ms) {
        known->use = use;
        known->at_us = known->tried_us;
    }
    g_cond_broadcast(&meters->counted);
    g_mutex_unlock(&meters->lock);
}

static gboolean
is_known(const Known *known, gint64 max_age_ms)
{
    return known && known->at_us && g_get_monotonic_time() - known->at_us <= max_age_ms * 1000;
}

/* TRUE: it is the caller who has to count. FALSE: somebody did, or it is known already. */
static gboolean
has_to_count(MigMeters *meters, const char *uuid, gint64 max_age_ms)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&meters->lock);
    gboolean has_waited = FALSE;

    /* whoever counts comes to an end: each of its steps has one */
    while (known_of(meters, uuid)->is_counting) {
        g_cond_wait(&meters->counted, &meters->lock);
        has_waited = TRUE;
    }
    if (has_waited || is_known(known_of(meters, uuid), max_age_ms))
        return FALSE;
    known_of(meters, uuid)->is_counting = TRUE;
    return TRUE;
}

gboolean
mig_meters_get(MigMeters *meters, const char *vm, const char *uuid, gint64 max_age_ms,
               gboolean is_patient, MigUse *use)
{
    g_autoptr(GMutexLocker) locker = NULL;
    const Known *known;

    *use = (MigUse){0};
    if (is_patient && !mig_jobs_has_vm(meters->daemon->jobs, vm) &&
        has_to_count(meters, uuid, max_age_ms))
        count(meters, vm, uuid);
    locker = g_mutex_locker_new(&meters->lock);
    known = g_hash_table_lookup(meters->known, uuid);
    if (!is_known(known, max_age_ms))
        return FALSE;
    *use = known->use;
    return TRUE;
}

void
mig_meters_refine(MigMeters *meters, const char *vm, const char *uuid, MigUse *use)
{
    guint64 sum = use->later.bytes;
    guint count = 1;
    MigMeter meter;
    Known *known;

    if (use->is_refined || !has_to_count(meters, uuid, -1)) /* whatever is known */
        return;
    while (count <= MIG_METER_MORE && count_for(meters, vm, uuid, MIG_METER_LATER_S, &meter)) {
        sum += meter.dirtied.bytes;
        count++;
    }
    use->later.bytes = sum / count;
    use->is_refined = TRUE;
    g_mutex_lock(&meters->lock);
    known = known_of(meters, uuid);
    known->is_counting = FALSE;
    known->tried_us = known->at_us = g_get_monotonic_time();
    known->use = *use;
    g_cond_broadcast(&meters->counted);
    g_mutex_unlock(&meters->lock);
}

static void
count_wanted(gpointer data, gpointer user_data)
{
    Wanted *wanted = data;
    MigMeters *meters = user_data;
    MigUse use;

    mig_meters_get(meters, wanted->vm, wanted->uuid, wanted->max_age_ms, TRUE, &use);
    g_mutex_lock(&meters->lock);
    known_of(meters, wanted->uuid)->is_wanted = FALSE;
    g_mutex_unlock(&meters->lock);
    g_free(wanted->vm);
    g_free(wanted->uuid);
    g_free(wanted);
}

static void
want(MigMeters *meters, const char *vm, const char *uuid, gint64 max_age_ms)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&meters->lock);
    Known *known = known_of(meters, uuid);
    Wanted *wanted;

    if (known->is_wanted || is_known(known, max_age_ms))
        return;
    known->is_wanted = TRUE;
    wanted = g_new0(Wanted, 1);
    *wanted = (Wanted){g_strdup(vm), g_strdup(uuid), max_age_ms};
    g_thread_pool_push(meters->pool, wanted, NULL);
}

void
mig_meters_want(MigMeters *meters, const char *vm, const char *uuid)
{
    want(meters, vm, uuid, MIG_METER_FRESH_MS);
}

/* ---- now and then ---- */

static gboolean
is_due(MigMeters *meters, const MigRunning *running)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&meters->lock);
    const Known *known = g_hash_table_lookup(meters->known, running->uuid);

    return running->state == MIG_DOMAIN_RUNNING &&
           (!known || g_get_monotonic_time() - known->tried_us >=
                          MIG_METER_EVERY_MS * G_GINT64_CONSTANT(1000));
}

static gboolean
is_in(const GPtrArray *all, const char *uuid)
{
    for (guint i = 0; i < all->len; i++) {
        if (g_str_equal(((const MigRunning *)g_ptr_array_index(all, i))->uuid, uuid))
            return TRUE;
    }
    return FALSE;
}

/* Whoever runs here no more is measured anew when it comes back. */
static void
forget_gone(MigMeters *meters, const GPtrArray *all)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&meters->lock);
    GHashTableIter iter;
    const char *uuid;
    const Known *known;

    g_hash_table_iter_init(&iter, meters->known);
    while (g_hash_table_iter_next(&iter, (gpointer *)&uuid, (gpointer *)&known)) {
        if (!is_in(all, uuid) && !known->is_counting && !known->is_wanted)
            g_hash_table_iter_remove(&iter);
    }
}

static gpointer
meters_thread(gpointer data)
{
    MigMeters *meters = data;

    for (;;) {
        g_autoptr(GPtrArray) all = mig_vms_list(meters->daemon->vms);

        forget_gone(meters, all);
        for (guint i = 0; i < all->len; i++) {
            const MigRunning *running = g_ptr_array_index(all, i);

            if (is_due(meters, running))
                want(meters, running->name, running->uuid, MIG_METER_EVERY_MS / 2);
        }
        g_usleep(MIG_METER_ROUND_MS * 1000);
    }
    return NULL;
}

/* ---- life ---- */

MigMeters *
mig_meters_new(MigDaemon *daemon)
{
    MigMeters *meters = g_new0(MigMeters, 1);

    meters->daemon = daemon;
    g_mutex_init(&meters->lock);
    g_cond_init(&meters->counted);
    meters->pool = g_thread_pool_new(count_wanted, meters, THREADS, FALSE, NULL);
    meters->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return meters;
}

void
mig_meters_free(MigMeters *meters)
{
    if (!meters)
        return;
    g_thread_pool_free(meters->pool, TRUE, TRUE);
    g_hash_table_unref(meters->known);
    g_cond_clear(&meters->counted);
    g_mutex_clear(&meters->lock);
    g_free(meters);
}

void
mig_meters_start(MigMeters *meters)
{
    g_thread_unref(g_thread_new("meters", meters_thread, meters));
}
