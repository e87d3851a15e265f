/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-adopt.h - the definition of a local domain becomes that of a cluster VM. */
#pragma once

#include <glib.h>

/* A disk that has to be copied. */
typedef struct {
    char *target; /* vda */
    char *path;   /* of the file or device that it is on today */
    char *format; /* raw, qcow2 ... */
    char *image;  /* VOLUME/NAME-TARGET, where it goes to */
} MigAdoptDisk;

typedef struct {
    char *name, *uuid;
    guint64 memory_bytes;
    guint32 vcpus;
    GPtrArray *disks; /* of MigAdoptDisk */
    char *xml;        /* with images for disks, without a lease */
    char *lockspace;  /* of the <lease> that it has already, NULL: none */
    guint leases;     /* how many it has already, whatever is in them */
    char *problem; /* all that keeps it from being a cluster VM, with advice, one line; or NULL */
} MigAdoption;

void mig_adoption_free(MigAdoption *adoption);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigAdoption, mig_adoption_free)

/* xml is what libvirt says of the domain. Each disk becomes a raw block device without the host's
 * cache; with keeps_cache its cache mode stays, since that of a running one cannot be changed, and
 * a wrong one is a problem. All else stays as it is, and is vetted like any definition. NULL +
 * MIG_ERROR_BAD_DEFINITION only where it cannot be read. Any thread. */
MigAdoption *
mig_definition_adopt(const char *xml, const char *volume, gboolean keeps_cache, GError **error);

/* While it is being adopted, a VM's definition on the volume has a type that no libvirt starts, of
 * whatever version the daemon is that tries. g_free(). */
char *mig_definition_lock(const char *xml, GError **error);
gboolean mig_definition_is_locked(const char *xml);
/* Back to the type that like has. g_free(). */
char *mig_definition_unlock(const char *xml, const char *like, GError **error);

/* What libvirt says of a running domain's disk, by its target. */
/* Its file or device; NULL: there is none. g_free(). */
char *mig_definition_disk_path(const char *xml, const char *target);
/* Of a VM whose definition that is: targets of the disks that the running domain has elsewhere than
 * in their images. g_strfreev(). */
char **mig_definition_disks_elsewhere(const char *xml, const char *live_xml, GError **error);
/* Has a copy of it been made that is kept equal, and waits to be used? */
gboolean mig_definition_is_copied(const char *xml, const char *target);
