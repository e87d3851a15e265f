/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* meters.c - the table and the thread of meters.h. */
#include "meters.h"

#include "core/timeouts.h"
#include "jobs.h"
#include "vms.h"

typedef struct {
    gint64 at_us;
    gint64 tried_us; /* the last time, in vain or not */
    MigMeter meter;
} Known;

struct MigMeters {
    MigDaemon *daemon;
    GMutex lock;
    GHashTable *known; /* uuid -> Known */
};

static gboolean
look_up(MigMeters *meters, const char *uuid, gint64 max_age_ms, MigMeter *meter)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&meters->lock);
    const Known *known = g_hash_table_lookup(meters->known, uuid);

    if (!known || !known->at_us || g_get_monotonic_time() - known->at_us > max_age_ms * 1000)
        return FALSE;
    *meter = known->meter;
    return TRUE;
}

/* meter NULL: it could not be had. */
static void
keep(MigMeters *meters, const char *uuid, const MigMeter *meter)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&meters->lock);
    Known *known = g_hash_table_lookup(meters->known, uuid);

    if (!known) {
        known = g_new0(Known, 1);
        g_hash_table_replace(meters->known, g_strdup(uuid), known);
    }
    known->tried_us = g_get_monotonic_time();
    if (meter) {
        known->meter = *meter;
        known->at_us = known->tried_us;
    }
}

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
            break;
        if (meter->is_done) {
            keep(meters, uuid, meter);
            return TRUE;
        }
    } while (g_get_monotonic_time() < until_us);
    keep(meters, uuid, NULL);
    return FALSE;
}

gboolean
mig_meters_get(MigMeters *meters, const char *vm, const char *uuid, gint64 max_age_ms,
               gboolean is_patient, MigMeter *meter)
{
    const MigHv *hv = meters->daemon->hv;
    g_autoptr(GError) error = NULL;

    *meter = (MigMeter){0};
    if (look_up(meters, uuid, max_age_ms, meter))
        return TRUE;
    if (!is_patient || mig_jobs_has_vm(meters->daemon->jobs, vm))
        return FALSE;
    if (hv->start_meter(hv->self, vm, uuid, MIG_METER_S, &error)) {
        g_usleep(MIG_METER_S * G_USEC_PER_SEC);
        return await(meters, vm, uuid, meter);
    }
    g_debug("%s: %s", vm, error->message);
    keep(meters, uuid, NULL);
    return FALSE;
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

    g_hash_table_iter_init(&iter, meters->known);
    while (g_hash_table_iter_next(&iter, (gpointer *)&uuid, NULL)) {
        if (!is_in(all, uuid))
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
            MigMeter meter;

            if (is_due(meters, running))
                mig_meters_get(meters, running->name, running->uuid, 0, TRUE, &meter);
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
    meters->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return meters;
}

void
mig_meters_free(MigMeters *meters)
{
    if (!meters)
        return;
    g_hash_table_unref(meters->known);
    g_mutex_clear(&meters->lock);
    g_free(meters);
}

void
mig_meters_start(MigMeters *meters)
{
    g_thread_unref(g_thread_new("meters", meters_thread, meters));
}
