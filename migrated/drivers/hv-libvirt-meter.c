/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-meter.c - how much of its memory a guest uses, and how fast it dirties it. */
#include "drivers/hv-libvirt-private.h"

#include "base/error.h"

/*
 * QEMU looks at a sample of the guest's pages (512 of each GiB) at the beginning and at the end of
 * the time, and counts those that have changed. It costs the guest nothing, and works without help
 * of the CPU.
 */

static virDomainPtr
find_domain(virConnectPtr connection, const char *vm, const char *uuid, GError **error)
{
    g_autoptr(GError) local = NULL;
    virDomainPtr domain = mig_libvirt_lookup(connection, vm, uuid, &local);

    if (local)
        g_propagate_error(error, g_steal_pointer(&local));
    else if (!domain)
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED, "%s does not run here", vm);
    return domain;
}

gboolean
mig_libvirt_start_meter(gpointer self, const char *vm, const char *uuid, guint s, GError **error)
{
    /* alone: libvirt lets it wait for whatever else is done to that domain */
    virConnectPtr connection = mig_libvirt_connect_alone(self, error);
    virDomainPtr domain = connection ? find_domain(connection, vm, uuid, error) : NULL;
    gboolean ok = domain && virDomainStartDirtyRateCalc(domain, (int)s, 0) == 0;

    if (domain && !ok)
        mig_libvirt_set_error(error, "counting dirty pages");
    if (domain)
        virDomainFree(domain);
    if (connection)
        virConnectClose(connection);
    return ok;
}

/* A QEMU that was filled by a move has touched what the guest had in use, and no more. */
static gboolean
has_moved(virDomainPtr domain)
{
    int state = 0, reason = 0;

    return virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_RUNNING &&
           reason == VIR_DOMAIN_RUNNING_MIGRATED;
}

static void
read_record(virDomainStatsRecordPtr record, MigMeter *meter)
{
    int status = VIR_DOMAIN_DIRTYRATE_UNSTARTED;
    long long mib_s = 0;
    unsigned long long rss_kib = 0;

    virTypedParamsGetInt(record->params, record->nparams, "dirtyrate.calc_status", &status);
    meter->is_done = status == VIR_DOMAIN_DIRTYRATE_MEASURED;
    if (meter->is_done && virTypedParamsGetLLong(record->params, record->nparams,
                                                 "dirtyrate.megabytes_per_second", &mib_s) == 1)
        meter->dirty_bytes_s = (guint64)MAX(mib_s, 0) << 20;
    if (virTypedParamsGetULLong(record->params, record->nparams, "balloon.rss", &rss_kib) == 1)
        meter->used_bytes = rss_kib * 1024;
}

gboolean
mig_libvirt_read_meter(gpointer self, const char *vm, const char *uuid, MigMeter *meter,
                       GError **error)
{
    virConnectPtr connection = mig_libvirt_connect_alone(self, error);
    virDomainPtr domain = connection ? find_domain(connection, vm, uuid, error) : NULL;
    virDomainPtr domains[] = {domain, NULL};
    virDomainStatsRecordPtr *records = NULL;
    int count = -1;

    *meter = (MigMeter){0};
    if (domain) {
        meter->has_moved = has_moved(domain);
        count = virDomainListGetStats(
            domains, VIR_DOMAIN_STATS_DIRTYRATE | VIR_DOMAIN_STATS_BALLOON, &records, 0);
        if (count < 0)
            mig_libvirt_set_error(error, "asking for dirty pages");
        virDomainFree(domain);
    }
    for (int i = 0; i < count; i++)
        read_record(records[i], meter);
    if (records)
        virDomainStatsRecordListFree(records);
    if (connection)
        virConnectClose(connection);
    return count >= 0;
}
