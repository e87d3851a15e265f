/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-events.c - what libvirt and the QEMUs tell by themselves; the thread that hears it. */
#include "drivers/hv-libvirt-private.h"

#include "base/log.h"

#include <libvirt/libvirt-qemu.h>
#include <string.h>

/*
 * When a guest stops and runs is QEMU's to say: its events carry the time at which it sent them.
 * libvirt's own event of a stop comes after it has given up the lease, and one of a start after
 * everything else. QEMU's are an addition of libvirt's for this hypervisor; where they cannot be
 * had, switch-overs are not measured, and all else works.
 */
#define QEMU_EVENTS "^(STOP|RESUME|MIGRATION)$"

/* Of this many VMs what was seen last is kept. */
#define KEPT 256

/* QEMU's time is the wall clock's; one that was set meanwhile makes no event older than this. */
#define OLDEST_US (10 * G_USEC_PER_SEC)

/* Of a VM whose move is waited for. */
typedef struct {
    gint64 since_us;
    MigSwitchSeen seen;
} Watch;

/* Lock held. NULL: nobody wants to know. */
static MigSwitchSeen *
find(MigLibvirt *libvirt, const char *uuid)
{
    g_autofree char *key = g_ascii_strdown(uuid, -1);
    Watch *watch = g_hash_table_lookup(libvirt->watches, key);

    return watch ? &watch->seen : NULL;
}

/* ---- from libvirt's thread ---- */

static int
on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *opaque)
{
    MigLibvirt *libvirt = opaque;
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    virDomainGetUUIDString(domain, uuid);
    if (event == VIR_DOMAIN_EVENT_SUSPENDED) {
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&libvirt->watch_lock);
        MigSwitchSeen *seen = find(libvirt, uuid);

        if (seen)
            seen->released_us = g_get_monotonic_time();
    }
    libvirt->changed(virDomainGetName(domain), uuid, event == VIR_DOMAIN_EVENT_STOPPED,
                     libvirt->user_data);
    return 0;
}

static gint64
sent_at_us(long long seconds, unsigned micros)
{
    gint64 age_us = g_get_real_time() - ((gint64)seconds * G_USEC_PER_SEC + micros);

    return g_get_monotonic_time() - CLAMP(age_us, 0, OLDEST_US);
}

/* Of MIGRATION the one that says that all has arrived; on the source it means that all was sent. */
static gboolean
is_completed(const char *details)
{
    return details && strstr(details, "\"completed\"");
}

static void
on_qemu_event(virConnectPtr connection, virDomainPtr domain, const char *event, long long seconds,
              unsigned micros, const char *details, void *opaque)
{
    MigLibvirt *libvirt = opaque;
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    gint64 at_us = sent_at_us(seconds, micros);

    virDomainGetUUIDString(domain, uuid);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&libvirt->watch_lock);
    MigSwitchSeen *seen = find(libvirt, uuid);

    if (!seen)
        return;
    if (g_str_equal(event, "STOP"))
        mig_switchover_stopped(seen, at_us);
    else if (g_str_equal(event, "RESUME"))
        mig_switchover_running(seen, at_us);
    else if (is_completed(details))
        mig_switchover_arrived(seen, at_us);
    g_cond_broadcast(&libvirt->watch_changed);
}

gboolean
mig_libvirt_register(MigLibvirt *libvirt, virConnectPtr connection, GError **error)
{
    libvirt->qemu_id = -1;
    libvirt->lifecycle_id =
        virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                         VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), libvirt, NULL);
    if (libvirt->lifecycle_id < 0) {
        mig_libvirt_set_error(error, "registering for events");
        return FALSE;
    }
    libvirt->qemu_id = virConnectDomainQemuMonitorEventRegister(
        connection, NULL, QEMU_EVENTS, on_qemu_event, libvirt, NULL,
        VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX);
    g_atomic_int_set(&libvirt->hears_qemu, libvirt->qemu_id >= 0);
    if (libvirt->qemu_id < 0)
        g_message("no blackout of a move will be known: libvirt does not pass on QEMU's events: %s",
                  virGetLastErrorMessage());
    return TRUE;
}

/* What is told between two connections nobody hears. */
static void
miss(MigLibvirt *libvirt)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&libvirt->watch_lock);
    GHashTableIter iter;
    Watch *watch;

    g_hash_table_iter_init(&iter, libvirt->watches);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&watch))
        watch->seen.is_complete = FALSE;
}

void
mig_libvirt_unregister(MigLibvirt *libvirt, virConnectPtr connection)
{
    g_atomic_int_set(&libvirt->hears_qemu, 0);
    miss(libvirt);
    if (libvirt->lifecycle_id >= 0)
        virConnectDomainEventDeregisterAny(connection, libvirt->lifecycle_id);
    if (libvirt->qemu_id >= 0)
        virConnectDomainQemuMonitorEventDeregister(connection, libvirt->qemu_id);
    libvirt->lifecycle_id = libvirt->qemu_id = -1;
}

static void
on_timer(int timer, void *opaque)
{
    /* wakes the event loop so that it sees should_stop */
}

gpointer
mig_libvirt_event_thread(gpointer data)
{
    MigLibvirt *libvirt = data;

    virEventAddTimeout(1000, on_timer, NULL, NULL);
    while (!g_atomic_int_get(&libvirt->should_stop)) {
        if (virEventRunDefaultImpl() < 0)
            g_usleep(100 * 1000);
    }
    return NULL;
}

/* ---- for moves ---- */

static void
forget_oldest(GHashTable *watches)
{
    GHashTableIter iter;
    const char *key, *oldest = NULL;
    const Watch *watch;
    gint64 since_us = G_MAXINT64;

    g_hash_table_iter_init(&iter, watches);
    while (g_hash_table_iter_next(&iter, (gpointer *)&key, (gpointer *)&watch)) {
        if (watch->since_us < since_us) {
            oldest = key;
            since_us = watch->since_us;
        }
    }
    if (oldest)
        g_hash_table_remove(watches, oldest);
}

void
mig_libvirt_watch_switchover(gpointer self, const char *uuid)
{
    MigLibvirt *libvirt = self;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&libvirt->watch_lock);
    Watch *watch = g_new0(Watch, 1);

    watch->since_us = g_get_monotonic_time();
    watch->seen.is_complete = g_atomic_int_get(&libvirt->hears_qemu);
    g_hash_table_replace(libvirt->watches, g_ascii_strdown(uuid, -1), watch);
    if (g_hash_table_size(libvirt->watches) > KEPT)
        forget_oldest(libvirt->watches);
}

void
mig_libvirt_get_switchover(gpointer self, const char *uuid, guint wait_ms, MigSwitchSeen *seen)
{
    MigLibvirt *libvirt = self;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&libvirt->watch_lock);
    gint64 until_us = g_get_monotonic_time() + (gint64)wait_ms * 1000;
    const MigSwitchSeen *found;

    /* found anew each time: the lock is given up meanwhile */
    while ((found = find(libvirt, uuid)) && wait_ms && !found->running_us) {
        if (!g_cond_wait_until(&libvirt->watch_changed, &libvirt->watch_lock, until_us))
            wait_ms = 0;
    }
    *seen = found ? *found : (MigSwitchSeen){0};
}
