/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-migrate.c - libvirt's peer-to-peer live migration and its statistics. */
#include "drivers/hv-libvirt-private.h"

#include "base/error.h"
#include "drivers/definition-disks.h"

#include <stdlib.h>

/* The domain if it is active here. connection is taken where this fails; NULL with the error set
 * passes through. */
static virDomainPtr
active_domain_by(virConnectPtr *connection, const char *vm, const char *uuid, GError **error)
{
    g_autoptr(GError) local = NULL;
    virDomainPtr domain;

    if (!*connection)
        return NULL;
    domain = mig_libvirt_lookup(*connection, vm, uuid, &local);
    if (domain)
        return domain;
    if (local)
        g_propagate_error(error, g_steal_pointer(&local));
    else
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED, "%s does not run here", vm);
    g_clear_pointer(connection, virConnectClose);
    return NULL;
}

/* The same, with a reference to the connection that all share in *connection. */
static virDomainPtr
active_domain(MigLibvirt *libvirt, const char *vm, const char *uuid, virConnectPtr *connection,
              GError **error)
{
    *connection = mig_libvirt_connect(libvirt, error);
    return active_domain_by(connection, vm, uuid, error);
}

static gboolean
close_domain(virDomainPtr domain, virConnectPtr connection, int result, const char *doing,
             GError **error)
{
    if (result < 0)
        mig_libvirt_set_error(error, doing);
    virDomainFree(domain);
    virConnectClose(connection);
    return result >= 0;
}

/* libvirt keeps a VM's speed beyond the move for which it was set, and takes it for the next one
 * that names none, ours or virsh's. */
static void
lift_bandwidth(virDomainPtr domain)
{
    const unsigned long most = G_MAXINT64 >> 20; /* MiB/s; libvirt's own default */

    if (virDomainMigrateSetMaxSpeed(domain, most, 0) < 0)
        g_message("libvirt does not lift the bandwidth: %s", virGetLastErrorMessage());
}

static gboolean
has_files(virDomainPtr domain)
{
    char *xml = virDomainGetXMLDesc(domain, 0);
    gboolean result = xml && mig_definition_has_files(xml);

    free(xml);
    return result;
}

/*
 * UNSAFE where images are files: libvirt has a list of file systems that it holds for shared, and
 * knows of no other one. That all disks are images of a volume attached at both ends, without the
 * host's cache, is a check of ours.
 *
 * PEER2PEER: the source's libvirtd drives the move, so it does not hang on this process's life
 * beyond the tunnel. AUTO_CONVERGE only bites where rounds do not shrink; whether it may, and how
 * hard, is the policy's. No PERSIST_DEST: our VMs
 * are transient on purpose, and libvirt would write the definition inside of the blackout. POSTCOPY
 * changes nothing by itself, but cannot be had later; the call returns when the last page is there.
 * ABORT_ON_ERROR: an I/O error on the way ends the move, not the guest.
 */
gboolean
mig_libvirt_migrate(gpointer self, const MigMigration *migration, GError **error)
{
    unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_ABORT_ON_ERROR;
    virTypedParameterPtr params = NULL;
    int count = 0, capacity = 0, result;
    virConnectPtr connection = mig_libvirt_connect_alone(self, error);
    virDomainPtr domain = active_domain_by(&connection, migration->vm, migration->uuid, error);

    if (!domain)
        return FALSE;
    if (has_files(domain))
        flags |= VIR_MIGRATE_UNSAFE;
    virTypedParamsAddString(&params, &count, &capacity, VIR_MIGRATE_PARAM_URI, migration->ram_uri);
    virTypedParamsAddString(&params, &count, &capacity, VIR_MIGRATE_PARAM_LISTEN_ADDRESS,
                            migration->ram_address);
    if (migration->tls_name) {
        flags |= VIR_MIGRATE_TLS;
        virTypedParamsAddString(&params, &count, &capacity, VIR_MIGRATE_PARAM_TLS_DESTINATION,
                                migration->tls_name);
    }
    if (migration->may_postcopy)
        flags |= VIR_MIGRATE_POSTCOPY;
    if (migration->is_recovery)
        flags |= VIR_MIGRATE_POSTCOPY_RESUME;
    if (migration->channels) {
        flags |= VIR_MIGRATE_PARALLEL;
        virTypedParamsAddInt(&params, &count, &capacity, VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS,
                             (int)migration->channels);
    }
    if (migration->throttle_first) {
        flags |= VIR_MIGRATE_AUTO_CONVERGE;
        virTypedParamsAddInt(&params, &count, &capacity, VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL,
                             (int)migration->throttle_first);
        virTypedParamsAddInt(&params, &count, &capacity, VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT,
                             (int)migration->throttle_step);
    }
    if (migration->bandwidth_bytes_s)
        virTypedParamsAddULLong(&params, &count, &capacity, VIR_MIGRATE_PARAM_BANDWIDTH,
                                MAX(migration->bandwidth_bytes_s >> 20, 1)); /* MiB/s */
    else if (!migration->is_recovery)
        lift_bandwidth(domain);
    /* there is no typed parameter for it; QEMU keeps it for the move that follows */
    if (!migration->is_recovery &&
        virDomainMigrateSetMaxDowntime(domain, migration->downtime_ms, 0) < 0)
        g_message("libvirt takes no downtime limit before the move: %s", virGetLastErrorMessage());
    result = virDomainMigrateToURI3(domain, migration->target_uri, params, (unsigned)count, flags);
    if (result < 0) {
        mig_libvirt_set_error(error, "moving"); /* before another call of libvirt's forgets it */
        error = NULL;
        if (!migration->is_recovery && virDomainIsActive(domain) == 1)
            lift_bandwidth(domain);
    }
    gboolean ok = close_domain(domain, connection, result, "moving", error);

    virTypedParamsFree(params, count);
    return ok;
}

static guint64
get_u64(virTypedParameterPtr params, int count, const char *name)
{
    unsigned long long value = 0;

    return virTypedParamsGetULLong(params, count, name, &value) == 1 ? value : 0;
}

gboolean
mig_libvirt_get_progress(gpointer self, const char *vm, MigProgress *progress, GError **error)
{
    virConnectPtr connection;
    virDomainPtr domain = active_domain(self, vm, NULL, &connection, error);
    virTypedParameterPtr params = NULL;
    int type = VIR_DOMAIN_JOB_NONE, count = 0, operation = 0, throttle = 0;
    int state = VIR_DOMAIN_NOSTATE, why = 0;

    if (!domain)
        return FALSE;
    int result = virDomainGetJobStats(domain, &type, &params, &count, 0);

    if (result == 0)
        result = virDomainGetState(domain, &state, &why, 0);

    if (!close_domain(domain, connection, result, "asking for the job's statistics", error))
        return FALSE;
    virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, &throttle);
    *progress = (MigProgress){
        .is_active =
            type != VIR_DOMAIN_JOB_NONE && operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
        .total_bytes = get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_TOTAL),
        .transferred_bytes = get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_PROCESSED),
        .remaining_bytes = get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_REMAINING),
        .rate_bytes_s = get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_BPS),
        .dirty_rate_bytes_s = get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE) *
                              get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE),
        .iteration = get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_ITERATION),
        .throttle_percent = (guint)CLAMP(throttle, 0, 100),
        .is_postcopy = state == VIR_DOMAIN_PAUSED && (why == VIR_DOMAIN_PAUSED_POSTCOPY ||
                                                      why == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED),
        .is_broken = state == VIR_DOMAIN_PAUSED && why == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED,
        .downtime_ms = -1,
    };
    virTypedParamsFree(params, count);
    return TRUE;
}

gboolean
mig_libvirt_set_max_downtime(gpointer self, const char *vm, guint ms, GError **error)
{
    virConnectPtr connection;
    virDomainPtr domain = active_domain(self, vm, NULL, &connection, error);

    if (!domain)
        return FALSE;
    return close_domain(domain, connection, virDomainMigrateSetMaxDowntime(domain, ms, 0),
                        "setting the downtime limit", error);
}

static gboolean
set_speed(gpointer self, const char *vm, guint64 bytes_s, unsigned flags, GError **error)
{
    virConnectPtr connection;
    virDomainPtr domain = active_domain(self, vm, NULL, &connection, error);
    unsigned long mib_s = MAX((unsigned long)(bytes_s >> 20), 1);

    if (!domain)
        return FALSE;
    return close_domain(domain, connection, virDomainMigrateSetMaxSpeed(domain, mib_s, flags),
                        "setting the bandwidth", error);
}

gboolean
mig_libvirt_set_bandwidth(gpointer self, const char *vm, guint64 bytes_s, GError **error)
{
    return set_speed(self, vm, bytes_s, 0, error);
}

gboolean
mig_libvirt_set_postcopy_bandwidth(gpointer self, const char *vm, guint64 bytes_s, GError **error)
{
    return set_speed(self, vm, bytes_s, VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY, error);
}

/* Longer than any hand-over. One that has stood still for longer was suspended by somebody while
 * its memory went over: libvirt gives the same reason for that. */
#define HANDED_OVER_MOST_US (60 * G_USEC_PER_SEC)

/* Stopped by QEMU itself, for its memory's last pages. */
static gboolean
is_handed_over(MigLibvirt *libvirt, virDomainPtr domain)
{
    int state = 0, reason = 0;
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    MigSwitchSeen seen = {0};

    if (virDomainGetState(domain, &state, &reason, 0) < 0 || state != VIR_DOMAIN_PAUSED ||
        reason != VIR_DOMAIN_PAUSED_MIGRATION)
        return FALSE;
    virDomainGetUUIDString(domain, uuid);
    mig_libvirt_get_switchover(libvirt, uuid, 0, &seen);
    return !seen.stopped_us || g_get_monotonic_time() - seen.stopped_us < HANDED_OVER_MOST_US;
}

/* The target runs it, or is about to. libvirt (9.0) refuses an end in that phase, but not where the
 * link was lost in it; and QEMU would take it, and forget the memory that is here only. */
static gboolean
is_in_postcopy(virDomainPtr domain)
{
    int state = 0, reason = 0;

    return virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
           (reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED);
}

/* A QEMU (7.2) that is cancelled behind the stop of its guest has given its disks up by then, lets
 * the guest go on all the same, and dies of an assertion at its first write. The question waits for
 * whatever libvirt does at that stop; what is left is the moment between it and the order. */
gboolean
mig_libvirt_abort(gpointer self, const char *vm, GError **error)
{
    virConnectPtr connection;
    virDomainPtr domain = active_domain(self, vm, NULL, &connection, error);

    if (!domain)
        return FALSE;
    if (is_in_postcopy(domain) || is_handed_over(self, domain)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "%s is being handed over: it is too late to stop its move", vm);
        virDomainFree(domain);
        virConnectClose(connection);
        return FALSE;
    }
    return close_domain(domain, connection, virDomainAbortJob(domain), "cancelling", error);
}

gboolean
mig_libvirt_start_postcopy(gpointer self, const char *vm, GError **error)
{
    virConnectPtr connection;
    virDomainPtr domain = active_domain(self, vm, NULL, &connection, error);

    if (!domain)
        return FALSE;
    return close_domain(domain, connection, virDomainMigrateStartPostCopy(domain, 0),
                        "beginning with post-copy", error);
}

gboolean
mig_libvirt_pause_postcopy(gpointer self, const char *vm, GError **error)
{
    virConnectPtr connection;
    virDomainPtr domain = active_domain(self, vm, NULL, &connection, error);

    if (!domain)
        return FALSE;
    return close_domain(domain, connection,
                        virDomainAbortJobFlags(domain, VIR_DOMAIN_ABORT_JOB_POSTCOPY),
                        "giving up the link", error);
}

void
mig_libvirt_moved(MigLibvirt *libvirt, const char *vm, MigProgress *progress)
{
    virConnectPtr connection;
    virDomainPtr domain = active_domain(libvirt, vm, NULL, &connection, NULL);
    virTypedParameterPtr params = NULL;
    int type, count = 0;
    unsigned long long downtime_ms = 0;

    *progress = (MigProgress){.downtime_ms = -1};
    if (!domain)
        return;
    if (virDomainGetJobStats(domain, &type, &params, &count, VIR_DOMAIN_JOB_STATS_COMPLETED) == 0) {
        if (virTypedParamsGetULLong(params, count, VIR_DOMAIN_JOB_DOWNTIME, &downtime_ms) == 1)
            progress->downtime_ms = (gint64)downtime_ms;
        progress->transferred_bytes = get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_PROCESSED);
        progress->rate_bytes_s = get_u64(params, count, VIR_DOMAIN_JOB_MEMORY_BPS);
    }
    virTypedParamsFree(params, count);
    virDomainFree(domain);
    virConnectClose(connection);
}
