/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* needs.h - what a running VM needs of a node, and how far a node has it. */
#pragma once

#include <glib.h>

/*
 * Drivers gather both: needs from the VM's live definition, the fit from the hypervisor of the node
 * that is to take it. What follows from them is for core/checks.h to say.
 */

typedef enum {
    MIG_CPU_DEFAULT,     /* QEMU's own model of the machine type */
    MIG_CPU_MODEL,       /* named, with features: can be compared */
    MIG_CPU_PASSTHROUGH, /* the host's own, whatever that is */
    MIG_CPU_MAXIMUM,     /* all that this QEMU can do on this host */
} MigCpuMode;

typedef struct {
    char *emulator, *arch, *machine, *virt_type;
    MigCpuMode cpu_mode;
    char *cpu;              /* <cpu> as XML, or NULL */
    guint64 memory_bytes;   /* all of it */
    guint64 hugepage_bytes; /* size of one, 0: none */
    char *numa_nodes;       /* "0-1": the only ones that its memory may be on, or NULL */
    char **bridges, **networks, **cards; /* of the host: that its interfaces are tied to */
    char **media;                        /* paths of read-only media that are no images */
    char **host_devices, **local_files;  /* for people, what cannot move */
} MigNeeds;

MigNeeds *mig_needs_new(void); /* lists are empty, not NULL */
void mig_needs_free(MigNeeds *needs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigNeeds, mig_needs_free)

typedef enum { MIG_CPU_FITS, MIG_CPU_INCOMPATIBLE, MIG_CPU_NOT_COMPARED } MigCpuFit;
const char *mig_cpu_fit_name(MigCpuFit fit);
MigCpuFit mig_cpu_fit_from_name(const char *name); /* what cannot be read fits nowhere */

typedef struct {
    gboolean has_emulator, has_machine;
    char *machine_problem; /* the hypervisor's words, or NULL */
    MigCpuFit cpu;
    char *cpu_problem;
    guint64 hugepages_free_bytes; /* of the wanted size */
    char *numa_problem;           /* nodes that are not there or too full, or NULL */
    char *uuid_owner;             /* another domain with that uuid, or NULL */
    char **missing_networks;      /* of the hypervisor */
    char *postcopy_problem;       /* why its QEMU cannot receive by post-copy; NULL: it can */
} MigFit;

MigFit *mig_fit_new(void);
void mig_fit_free(MigFit *fit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigFit, mig_fit_free)

/* A host's CPU, so far as two of them can be told apart. */
typedef struct {
    char *vendor;
    char *features;  /* model and all features in a fixed order: equal texts, equal CPUs */
    char *microcode; /* or NULL */
    char *xml;       /* <cpu> for a baseline */
    guint64 emulator_version;
} MigHostCpu;

void mig_host_cpu_free(MigHostCpu *cpu);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigHostCpu, mig_host_cpu_free)
