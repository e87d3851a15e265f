/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* placement.h - which VM is started where, and which has to wait. Pure. */
#pragma once

#include "core/types.h"

/*
 * mig_place() is one pass over all VMs that are wanted and run nowhere, in order of priority. The
 * result is one line for each: a node, or why not. Memory that an earlier line has taken is taken
 * for the later ones. The same inputs give the same plan; that is what a coordinator that takes
 * over stands on.
 */

typedef struct {
    const char *name;
    guint32 host_id;
    gboolean is_usable;      /* up, not draining, has the volume */
    gboolean is_last_resort; /* it has died too often lately: only where no other one will do */
    guint64 memory_free_bytes;
    guint32 cpus;
    const char *cpu_vendor;
} MigPlaceNode;

/* Why it does not run. */
typedef enum {
    MIG_DOWN_NODE,  /* with its node */
    MIG_DOWN_CRASH, /* by itself, its node lives */
    MIG_DOWN_DISK,  /* ended by its node, which lives: its disk had failed there, or the network */
} MigDown;

typedef struct {
    const char *name;
    guint32 priority; /* 0 to 1000, higher first */
    guint64 memory_bytes;
    guint32 vcpus;
    gboolean wants_running; /* FALSE: its administrator has stopped it */
    MigRestart restart;
    gboolean is_running; /* somewhere, or nobody knows: never placed */
    gboolean is_held;    /* left alone for now: a start is under way, or may be */
    const char *node;    /* where it runs or is being started, for affinity; NULL */
    MigDown down;
    guint32 last_host_id;
    guint32 prefer_host_id; /* 0: none */
    const char *cpu_vendor; /* of the node where it ran; NULL: not known */
    char **affinity;        /* names of VMs to be with; may be NULL, all three */
    char **anti_affinity;   /* names of VMs never to be with */
    char **start_after;     /* names of VMs that have to run before */
    guint attempts;         /* starts that have failed, or did not last */
    gint64 wait_ms;         /* until the next try, 0: now */
    guint32 not_host_id;    /* where the last try failed, 0: none */
    gboolean is_locked;     /* it failed for a disk is locked */
} MigPlaceVm;

typedef struct {
    int node;        /* index, or -1 */
    const char *why; /* static; where node is -1 what it waits for, else what chose the node */
} MigPlace;

/* What can be started now. places has room for vm_count, in the order of vms. limit: of such
 * starts in a row. One that starts after another waits until that one runs, or has failed too
 * often. */
void mig_place(const MigPlaceNode *nodes, guint node_count, const MigPlaceVm *vms, guint vm_count,
               guint limit, MigPlace *places);

/* The same to its end: as if each start succeeds, and those that come after it follow. */
void mig_place_whole(const MigPlaceNode *nodes, guint node_count, const MigPlaceVm *vms,
                     guint vm_count, guint limit, MigPlace *places);

/* How long to wait after the n-th failed start. */
gint64 mig_place_backoff_ms(guint attempts);
