/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-private.h - what the files of the libvirt driver share. */
#pragma once

#include "drivers/hv-libvirt.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

struct MigLibvirt {
    char *uri;
    GMutex lock; /* guards the next five */
    virConnectPtr connection;
    int lifecycle_id, qemu_id; /* its registrations for events; -1: none */
    char *capabilities;        /* said over this connection, see hv-libvirt-host.c; or NULL */
    gint64 capabilities_at_us;
    GThread *thread;
    gint should_stop;
    gint hears_qemu;   /* atomic: QEMU's events come over the connection */
    GMutex watch_lock; /* guards watches; held for moments, by the event thread, too */
    GCond watch_changed;
    GHashTable *watches; /* uuid -> Watch, of hv-libvirt-events.c */
    MigLibvirtChanged changed;
    gpointer user_data;
    MigHv port;
};

/* A reference to the live connection: virConnectClose() it. */
virConnectPtr mig_libvirt_connect(MigLibvirt *libvirt, GError **error);
/*
 * One of its own, for a call that takes long (a move, a start). Of the threads that share a
 * connection the first one waits for all of them, and libvirt's client (9.0) can fail to wake it: a
 * second call is then sent only when something arrives, up to 5 s later with the next keepalive.
 * virConnectClose() it.
 */
virConnectPtr mig_libvirt_connect_alone(MigLibvirt *libvirt, GError **error);
/* NULL without error: no such domain. uuid NULL: any. */
virDomainPtr
mig_libvirt_lookup(virConnectPtr connection, const char *vm, const char *uuid, GError **error);
/* Does libvirt's or QEMU's text say that another process has a disk locked? */
gboolean mig_libvirt_is_locked(const char *text);
/* From libvirt's last error of this thread. */
void mig_libvirt_set_error(GError **error, const char *doing);

/* Asks for the events of this connection. */
gboolean mig_libvirt_register(MigLibvirt *libvirt, virConnectPtr connection, GError **error);
/* No more of them: each holds the connection, which would never be freed. One that is dead is fine.
 */
void mig_libvirt_unregister(MigLibvirt *libvirt, virConnectPtr connection);
/* Its thread's function; data: the MigLibvirt. */
gpointer mig_libvirt_event_thread(gpointer data);
void mig_libvirt_watch_switchover(gpointer self, const char *uuid);
void
mig_libvirt_get_switchover(gpointer self, const char *uuid, guint wait_ms, MigSwitchSeen *seen);

gboolean
mig_libvirt_start_meter(gpointer self, const char *vm, const char *uuid, guint s, GError **error);
gboolean mig_libvirt_read_meter(gpointer self, const char *vm, const char *uuid, MigMeter *meter,
                                GError **error);

gboolean mig_libvirt_migrate(gpointer self, const MigMigration *migration, GError **error);
gboolean
mig_libvirt_get_progress(gpointer self, const char *vm, MigProgress *progress, GError **error);
gboolean mig_libvirt_set_max_downtime(gpointer self, const char *vm, guint ms, GError **error);
gboolean
mig_libvirt_set_postcopy_bandwidth(gpointer self, const char *vm, guint64 bytes_s, GError **error);
gboolean mig_libvirt_set_bandwidth(gpointer self, const char *vm, guint64 bytes_s, GError **error);
gboolean mig_libvirt_abort(gpointer self, const char *vm, GError **error);
gboolean mig_libvirt_start_postcopy(gpointer self, const char *vm, GError **error);
gboolean mig_libvirt_pause_postcopy(gpointer self, const char *vm, GError **error);

MigHostCpu *mig_libvirt_get_cpu(gpointer self, GError **error);
char *mig_libvirt_get_definition(gpointer self, const char *vm, const char *uuid, GError **error);
MigFit *mig_libvirt_fit(gpointer self, const MigNeeds *needs, const char *vm, const char *uuid,
                        GError **error);
char *mig_libvirt_baseline(gpointer self, const char *const *cpus, GError **error);
