/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lease-sanlock.h - talking to the sanlock daemon: lockspaces, hosts, and our own leases. */
#pragma once

#include "core/types.h"

typedef struct MigSanlock MigSanlock;

typedef enum {
    MIG_HOST_STATE_UNKNOWN,
    MIG_HOST_STATE_FREE, /* holds no delta lease */
    MIG_HOST_STATE_LIVE,
    MIG_HOST_STATE_FAIL, /* renewals have failed, its processes are being killed */
    MIG_HOST_STATE_DEAD, /* its watchdog has fired */
} MigHostState;

typedef struct {
    guint32 host_id;
    guint64 generation;
    MigHostState state;
} MigSanlockHost;

const char *mig_host_state_name(MigHostState state);

/* Leases that this process takes belong to one registered connection; sanlock drops them when
 * the process dies. */
MigSanlock *mig_sanlock_new(void);
void mig_sanlock_free(MigSanlock *sanlock);

/* Joins the lockspace as host_id: takes the delta lease, and blocks for some io_timeouts. Being in
 * it already, as the same host, is success. */
gboolean mig_sanlock_join(MigSanlock *sanlock, const MigLease *lockspace, guint32 host_id,
                          guint io_timeout_s, GError **error);
/* Is this host in the lockspace, as far as the running sanlock daemon knows? Quick. */
gboolean mig_sanlock_is_joined(MigSanlock *sanlock, const MigLease *lockspace, guint32 host_id,
                               GError **error);
/* Refused (MIG_ERROR_VOLUME_IN_USE) while any process here holds a lease in it. */
gboolean
mig_sanlock_leave(MigSanlock *sanlock, const MigLease *lockspace, guint32 host_id, GError **error);
/* Something here writes to the volume and holds no lease, or none does so any more. sanlock gives
 * a lockspace that is in use up only when this is taken back, as it waits for who holds leases in
 * it; until then its watchdog is not fed. Saying it again tells whether it is still worth
 * something: FALSE where sanlock gives the lockspace up, or has, or does not answer. It outlives
 * this process. Quick; never asks the LUN. */
gboolean
mig_sanlock_set_used(MigSanlock *sanlock, const char *lockspace, gboolean is_used, GError **error);
/* As which host id this host is in the lockspace now; 0: it is not. */
guint32 mig_sanlock_joined_as(MigSanlock *sanlock, const char *lockspace);
/* GArray of MigSanlockHost, all that were ever seen alive. */
GArray *mig_sanlock_hosts(MigSanlock *sanlock, const char *lockspace, GError **error);

/* For this process. MIG_ERROR_LEASE_HELD where another host has it and lives. */
gboolean mig_sanlock_acquire(MigSanlock *sanlock, const MigLease *lease, GError **error);
/* For another process of this host that is registered with sanlock, as each QEMU of libvirt's
 * sanlock driver is: what libvirt itself does before it lets a CPU run. */
gboolean
mig_sanlock_acquire_for(MigSanlock *sanlock, const MigLease *lease, int pid, GError **error);
gboolean
mig_sanlock_release_for(MigSanlock *sanlock, const MigLease *lease, int pid, GError **error);
gboolean mig_sanlock_release(MigSanlock *sanlock, const MigLease *lease, GError **error);
/* Asks the sanlock of the host that has the lease to kill the process that holds it, which frees
 * it: for one that hangs. version: of the lease as it was seen; a later owner is not meant. What
 * comes of it shows some renewals later, in the lease. */
gboolean
mig_sanlock_request(MigSanlock *sanlock, const MigLease *lease, guint64 version, GError **error);
/* Releases, and gives the lease another name in the same disk write: whoever knows it by the old
 * one cannot take it any more. */
gboolean mig_sanlock_release_renamed(MigSanlock *sanlock, const MigLease *lease,
                                     const char *new_name, GError **error);

/* Does the running sanlock daemon use the watchdog? A host that it calls dead has then been reset.
 * FALSE where it cannot be asked: *is_armed is as it was. Runs sanlock's own command, some ms. */
gboolean mig_sanlock_is_armed(MigSanlock *sanlock, gboolean *is_armed);
