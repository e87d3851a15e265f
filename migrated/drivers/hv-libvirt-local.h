/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-local.h - local definitions, and the disks of running domains. */
#pragma once

#include "drivers/hv-libvirt.h"

/*
 * But for the size of a disk, for adoption (adopt.h) only: a cluster VM has no local definition,
 * and nothing else here makes or removes one. All calls block and may be made from any worker
 * thread; a domain is named by name and uuid as in core/hv.h.
 */

typedef struct {
    char *name, *uuid;
    char *xml;      /* what its next start would use, with secrets */
    char *live_xml; /* as it runs; NULL: it does not */
    MigDomainState state;
    char *obstacle; /* what libvirt keeps of it beside the definition and would be lost; or NULL */
} MigLocalDomain;

void mig_local_domain_free(MigLocalDomain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigLocalDomain, mig_local_domain_free)

/* MIG_ERROR_VM_UNKNOWN: libvirt here has none with a local definition. */
MigLocalDomain *mig_libvirt_local(MigLibvirt *libvirt, const char *name, GError **error);
/* Replaces the local definition; one that runs runs on as it does. */
gboolean mig_libvirt_local_define(MigLibvirt *libvirt, const char *xml, GError **error);
/* One that runs runs on as a transient domain. None there is success. */
gboolean
mig_libvirt_local_undefine(MigLibvirt *libvirt, const char *name, const char *uuid, GError **error);
/* Gives a running QEMU the lease, or takes it away. TRUE does not prove that it has it: libvirt
 * says yes too where QEMU is not known to sanlock; look at the lease. */
gboolean mig_libvirt_local_lease(MigLibvirt *libvirt, const char *name, const char *uuid,
                                 const MigLease *lease, gboolean attach, GError **error);

/* Copies of a running domain's disks, made by its QEMU. */

/* Virtual size of a disk. */
gboolean mig_libvirt_disk_size(MigLibvirt *libvirt, const char *name, const char *uuid,
                               const char *target, guint64 *bytes, GError **error);
/* Tells the guest that a disk has become longer; disk is its path or target, as long already. */
gboolean mig_libvirt_disk_resize(MigLibvirt *libvirt, const char *name, const char *uuid,
                                 const char *disk, guint64 bytes, GError **error);
/* device is raw, exists, and gets the disk's content; from the end of the copy until it is used or
 * ended each write of the guest goes to both before the guest is told that it is done. */
gboolean mig_libvirt_copy_start(MigLibvirt *libvirt, const char *name, const char *uuid,
                                const char *target, const char *device, GError **error);

typedef enum {
    MIG_DISK_COPY_NONE, /* there is no such copy, or it has failed */
    MIG_DISK_COPY_RUNS,
    MIG_DISK_COPY_READY, /* both are the same, and stay so */
} MigDiskCopy;

/* done_bytes may be NULL. */
gboolean
mig_libvirt_copy_look(MigLibvirt *libvirt, const char *name, const char *uuid, const char *target,
                      MigDiskCopy *copy, guint64 *done_bytes, GError **error);
/* use: the guest goes on with the copy; else with what it had. */
gboolean mig_libvirt_copy_end(MigLibvirt *libvirt, const char *name, const char *uuid,
                              const char *target, gboolean use, GError **error);
