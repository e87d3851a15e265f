/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-local.c - local definitions, hot-plugged leases and block copies. */
#include "drivers/hv-libvirt-local.h"

#include "drivers/hv-libvirt-private.h"

#include "base/error.h"
#include "drivers/definition-adopt.h"
#include "drivers/definition-disks.h"

void
mig_local_domain_free(MigLocalDomain *domain)
{
    if (!domain)
        return;
    g_free(domain->name);
    g_free(domain->uuid);
    g_free(domain->xml);
    g_free(domain->live_xml);
    g_free(domain->obstacle);
    g_free(domain);
}

/* ---- definition ---- */

static char *
xml_of(virDomainPtr domain, unsigned flags)
{
    char *xml = virDomainGetXMLDesc(domain, flags);
    char *copy = g_strdup(xml);

    free(xml);
    return copy;
}

static char *
obstacle_of(virDomainPtr domain)
{
    if (virDomainHasManagedSaveImage(domain, 0) == 1)
        return g_strdup("its memory is saved on this host (virsh managedsave), and would be lost; "
                        "start it, or 'virsh managedsave-remove' it");
    if (virDomainSnapshotNum(domain, 0) > 0)
        return g_strdup("it has snapshots, which would be lost; 'virsh snapshot-delete' them");
    if (virDomainListAllCheckpoints(domain, NULL, 0) > 0)
        return g_strdup("it has checkpoints, which would be lost; 'virsh checkpoint-delete' them");
    return NULL;
}

static MigDomainState
state_of(virDomainPtr domain)
{
    int state = 0;

    if (virDomainGetState(domain, &state, NULL, 0) < 0)
        return MIG_DOMAIN_UNKNOWN;
    if (state == VIR_DOMAIN_SHUTOFF)
        return MIG_DOMAIN_ABSENT;
    return state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED ? MIG_DOMAIN_RUNNING
                                                                      : MIG_DOMAIN_PAUSED;
}

MigLocalDomain *
mig_libvirt_local(MigLibvirt *libvirt, const char *name, GError **error)
{
    virConnectPtr connection = mig_libvirt_connect(libvirt, error);
    g_autoptr(MigLocalDomain) result = g_new0(MigLocalDomain, 1);
    g_autoptr(GError) local = NULL;
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    virDomainPtr domain;

    if (!connection)
        return NULL;
    domain = mig_libvirt_lookup(connection, name, NULL, &local);
    if (local) {
        g_propagate_error(error, g_steal_pointer(&local));
    } else if (!domain || virDomainIsPersistent(domain) != 1) {
        g_autofree char *shown = g_strescape(name, NULL);

        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN,
                    "libvirt on this node has no domain %s with a local definition; see 'virsh "
                    "list --all --persistent', and ask the node that has it",
                    shown);
    } else {
        result->name = g_strdup(virDomainGetName(domain));
        virDomainGetUUIDString(domain, uuid);
        result->uuid = g_strdup(uuid);
        result->state = state_of(domain);
        result->xml = xml_of(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
        if (result->state != MIG_DOMAIN_ABSENT)
            result->live_xml = xml_of(domain, VIR_DOMAIN_XML_SECURE);
        result->obstacle = obstacle_of(domain);
        if (!result->xml)
            mig_libvirt_set_error(error, "reading a definition");
    }
    if (domain)
        virDomainFree(domain);
    virConnectClose(connection);
    return result->xml ? g_steal_pointer(&result) : NULL;
}

gboolean
mig_libvirt_local_define(MigLibvirt *libvirt, const char *xml, GError **error)
{
    virConnectPtr connection = mig_libvirt_connect(libvirt, error);
    virDomainPtr domain;

    if (!connection)
        return FALSE;
    domain = virDomainDefineXML(connection, xml);
    if (!domain)
        mig_libvirt_set_error(error, "defining");
    else
        virDomainFree(domain);
    virConnectClose(connection);
    return domain != NULL;
}

/* NULL: an error, or (without one) no such domain. */
static virDomainPtr
open_domain(MigLibvirt *libvirt, const char *name, const char *uuid, GError **error)
{
    virConnectPtr connection = mig_libvirt_connect(libvirt, error);
    virDomainPtr domain = connection ? mig_libvirt_lookup(connection, name, uuid, error) : NULL;

    if (connection)
        virConnectClose(connection); /* the domain has a reference of its own */
    return domain;
}

/* The same, and a domain that is not there is an error. */
static virDomainPtr
open_running(MigLibvirt *libvirt, const char *name, const char *uuid, GError **error)
{
    g_autoptr(GError) local = NULL;
    virDomainPtr domain = open_domain(libvirt, name, uuid, &local);

    if (local)
        g_propagate_error(error, g_steal_pointer(&local));
    else if (!domain || virDomainIsActive(domain) != 1) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED, "%s does not run here any more", name);
        g_clear_pointer(&domain, virDomainFree);
    }
    return domain;
}

static gboolean
close_with(virDomainPtr domain, int result, const char *doing, GError **error)
{
    if (result < 0)
        mig_libvirt_set_error(error, doing);
    virDomainFree(domain);
    return result >= 0;
}

gboolean
mig_libvirt_local_undefine(MigLibvirt *libvirt, const char *name, const char *uuid, GError **error)
{
    g_autoptr(GError) local = NULL;
    virDomainPtr domain = open_domain(libvirt, name, uuid, &local);

    if (local) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (!domain)
        return TRUE;
    return close_with(domain,
                      virDomainIsPersistent(domain) == 1 ? virDomainUndefineFlags(domain, 0) : 0,
                      "undefining", error);
}

gboolean
mig_libvirt_local_lease(MigLibvirt *libvirt, const char *name, const char *uuid,
                        const MigLease *lease, gboolean attach, GError **error)
{
    virDomainPtr domain = open_running(libvirt, name, uuid, error);
    g_autofree char *xml = g_markup_printf_escaped(
        "<lease><lockspace>%s</lockspace><key>%s</key><target path='%s' "
        "offset='%" G_GUINT64_FORMAT "'/></lease>",
        lease->lockspace, lease->resource, lease->path, lease->offset_bytes);

    if (!domain)
        return FALSE;
    return close_with(domain,
                      attach ? virDomainAttachDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_LIVE)
                             : virDomainDetachDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_LIVE),
                      attach ? "giving a running domain its lease" : "taking its lease", error);
}

/* ---- copies ---- */

gboolean
mig_libvirt_disk_size(MigLibvirt *libvirt, const char *name, const char *uuid, const char *target,
                      guint64 *bytes, GError **error)
{
    virDomainPtr domain = open_running(libvirt, name, uuid, error);
    virDomainBlockInfo info = {0};

    if (!domain)
        return FALSE;
    if (!close_with(domain, virDomainGetBlockInfo(domain, target, &info, 0), "asking for a disk",
                    error))
        return FALSE;
    *bytes = info.capacity;
    return TRUE;
}

gboolean
mig_libvirt_disk_resize(MigLibvirt *libvirt, const char *name, const char *uuid, const char *disk,
                        guint64 bytes, GError **error)
{
    virDomainPtr domain = open_running(libvirt, name, uuid, error);

    if (!domain)
        return FALSE;
    return close_with(domain,
                      virDomainBlockResize(domain, disk, bytes, VIR_DOMAIN_BLOCK_RESIZE_BYTES),
                      "telling a guest of the size of its disk", error);
}

gboolean
mig_libvirt_copy_start(MigLibvirt *libvirt, const char *name, const char *uuid, const char *target,
                       const char *device, GError **error)
{
    g_autofree char *xml = mig_definition_copy_disk(device);
    virDomainPtr domain = open_running(libvirt, name, uuid, error);

    if (!domain)
        return FALSE;
    return close_with(domain,
                      virDomainBlockCopy(domain, target, xml, NULL, 0,
                                         VIR_DOMAIN_BLOCK_COPY_REUSE_EXT |
                                             VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB |
                                             VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES),
                      "copying a disk", error);
}

/* By libvirt's own mark, which it sets when QEMU says so; cur == end alone may be true before. */
static gboolean
is_ready(virDomainPtr domain, const char *target)
{
    g_autofree char *xml = xml_of(domain, 0);

    return xml && mig_definition_is_copied(xml, target);
}

gboolean
mig_libvirt_copy_look(MigLibvirt *libvirt, const char *name, const char *uuid, const char *target,
                      MigDiskCopy *copy, guint64 *done_bytes, GError **error)
{
    virDomainPtr domain = open_running(libvirt, name, uuid, error);
    virDomainBlockJobInfo info = {0};
    int result;

    if (!domain)
        return FALSE;
    result = virDomainGetBlockJobInfo(domain, target, &info, 0);
    if (result <= 0 || info.type != VIR_DOMAIN_BLOCK_JOB_TYPE_COPY)
        *copy = MIG_DISK_COPY_NONE;
    else
        *copy = info.cur == info.end && is_ready(domain, target) ? MIG_DISK_COPY_READY
                                                                 : MIG_DISK_COPY_RUNS;
    if (done_bytes && result > 0)
        *done_bytes = info.cur;
    return close_with(domain, result, "asking for the copy of a disk", error);
}

gboolean
mig_libvirt_copy_end(MigLibvirt *libvirt, const char *name, const char *uuid, const char *target,
                     gboolean use, GError **error)
{
    virDomainPtr domain = open_running(libvirt, name, uuid, error);

    if (!domain)
        return FALSE;
    return close_with(
        domain, virDomainBlockJobAbort(domain, target, use ? VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT : 0),
        use ? "changing over to the copy of a disk" : "ending the copy of a disk", error);
}
