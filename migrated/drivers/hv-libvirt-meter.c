/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-meter.c - how much of its memory a guest uses, and how fast it dirties it. */
#include "drivers/hv-libvirt-private.h"

#include "base/error.h"

/*
 * QEMU looks at a sample of the guest's pages (512 of each GiB) at the beginning and at the end of
 * the time, and counts those that have changed. It costs the guest nothing, and works without help
 * of the CPU. Its other two ways of counting are exact, but have the guest's writes logged, which
 * costs it, and work with KVM only; how many pages a sample has libvirt does not let one say.
 */
#define SAMPLE_PER_GIB 512

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

/* QEMU tells whole MiB/s, and leaves out the rest of what its sample came to: that was a page or
 * none, each of which stands for 2 MiB. */
static guint64
bytes_of(long long mib_s, int s)
{
    const double page_mib_s = 1024.0 / SAMPLE_PER_GIB / MAX(s, 1);
    double lost_mib_s = page_mib_s < 1 ? (1 - page_mib_s) / 2 : 0;

    return (guint64)(((double)MAX(mib_s, 0) + lost_mib_s) * MAX(s, 1) * 1048576);
}

static guint64
vcpu_us(virDomainStatsRecordPtr record)
{
    unsigned long long sum_ns = 0;
    unsigned count = 0, seen = 0;

    virTypedParamsGetUInt(record->params, record->nparams, "vcpu.maximum", &count);
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("vcpu.%u.time", i);
        unsigned long long ns = 0;

        seen += virTypedParamsGetULLong(record->params, record->nparams, name, &ns) == 1;
        sum_ns += ns;
    }
    return seen ? sum_ns / seen / 1000 : 0;
}

static void
read_record(virDomainStatsRecordPtr record, MigMeter *meter)
{
    int status = VIR_DOMAIN_DIRTYRATE_UNSTARTED, s = 0;
    long long mib_s = 0;
    unsigned long long rss_kib = 0;

    virTypedParamsGetInt(record->params, record->nparams, "dirtyrate.calc_status", &status);
    meter->is_done = status == VIR_DOMAIN_DIRTYRATE_MEASURED;
    if (meter->is_done &&
        virTypedParamsGetInt(record->params, record->nparams, "dirtyrate.calc_period", &s) == 1 &&
        virTypedParamsGetLLong(record->params, record->nparams, "dirtyrate.megabytes_per_second",
                               &mib_s) == 1)
        meter->dirtied = (MigDirtied){.ms = MAX(s, 1) * 1000, .bytes = bytes_of(mib_s, s)};
    if (virTypedParamsGetULLong(record->params, record->nparams, "balloon.rss", &rss_kib) == 1)
        meter->used_bytes = rss_kib * 1024;
    meter->vcpu_us = vcpu_us(record);
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
            domains, VIR_DOMAIN_STATS_DIRTYRATE | VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_VCPU,
            &records, 0);
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
