/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-xml.h - libvirt's domain XML, read and completed with libxml2. */
#pragma once

#include "core/types.h"

/* What the daemon needs to know of a definition. */
typedef struct {
    char *name;
    char *uuid;
    guint64 memory_bytes;
    guint32 vcpus;
    char **images;   /* "volume/image" of each disk under /dev/csv */
    char *lockspace; /* of its <lease>, NULL without */
    guint leases;    /* how many it has, whatever is in them; what comes from people has none */
    char *problem;   /* first thing that keeps it from being a cluster VM, with advice; or NULL */
    GPtrArray *problems; /* all of these, as far as they were looked for */
} MigDefinition;

void mig_definition_free(MigDefinition *definition);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigDefinition, mig_definition_free)

/* Any domain XML, trusted or not: no network, no DTD, no entities, capped size. Problems with the
 * *content* are in ->problem; NULL + MIG_ERROR_BAD_DEFINITION only where it cannot be read. Any
 * thread. */
MigDefinition *mig_definition_parse(const char *xml, GError **error);
/* The XML to give to libvirt: with this uuid, and with the VM's lease. g_free(). */
char *
mig_definition_complete(const char *xml, const char *uuid, const MigLease *lease, GError **error);
/* The XML to show to people: passwords masked, else as it is. NULL where it cannot be read, and so
 * not be masked. g_free(). */
char *mig_definition_mask(const char *xml);
/* <host><cpu><vendor> of libvirt's capabilities, or NULL. g_free(). */
char *mig_capabilities_cpu_vendor(const char *xml);
/* Its <host><secmodel>: uid and gid that QEMU runs with; -1: it does not say. */
void mig_capabilities_qemu(const char *xml, gint64 *user, gint64 *group);
