/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover.h - where is the VM now, and what must be done so that it runs exactly once? */
#pragma once

#include "core/types.h"

/*
 * The end of every move, good or bad, and of every restart: not what some call returned, but what
 * both libvirts and the lease on the LUN say. The lease decides; nothing is ever resumed or killed
 * against it.
 */
typedef struct {
    gboolean is_moving;      /* this node's libvirt has the move under way still */
    MigDomainState source;   /* this node's libvirt */
    MigDomainState target;   /* the target's, UNKNOWN if it cannot be asked */
    gboolean is_lease_known; /* the LUN could be read */
    gboolean has_source_lease, has_target_lease; /* both FALSE: free */
    gboolean is_lease_newer;                     /* somebody has taken it since the move began */
    gboolean is_target_dead; /* proven; only of a move that was in its post-copy phase */
} MigRecoverFacts;

/*
 *   source            | target             | lease             | decision
 *   ------------------+--------------------+-------------------+-----------------------------------
 *   libvirt is not through with the move, whatever the rest     | wait
 *   running           | any                | any               | stayed
 *   unknown, incoming | any                | any               | wait
 *   absent            | running            | any               | moved
 *   paused            | running            | target's          | destroy-source; else wait
 *   absent, paused    | paused             | target's          | resume-target
 *   paused            | absent, unknown    | ours or free, not | resume-source
 *                     |                    | taken since       |
 *   absent            | absent             | free              | start
 *   absent            | any, node dead     | any               | start
 *   absent            | postcopy-failed    | any               | lost
 *   everything else                                             | wait
 *
 * "Not taken since": libvirt does not compare lease versions, so it would let a half go on here
 * that the target had taken over, run for a while, and lost. Its memory would not fit to the disk
 * any more.
 *
 * A half of a move in its post-copy phase (postcopy, postcopy-failed; on the source libvirt is not
 * through with it) is never let run, nor removed, by this table.
 */

typedef enum {
    MIG_RECOVER_MOVED,          /* runs on the target; nothing here: done */
    MIG_RECOVER_DESTROY_SOURCE, /* runs on the target with its lease; a dead half is left here */
    MIG_RECOVER_STAYED,         /* runs here: the move failed or was cancelled */
    MIG_RECOVER_RESUME_SOURCE,  /* stands still here, nobody else can have it: let it run */
    MIG_RECOVER_RESUME_TARGET,  /* stands still there with its lease, nothing here */
    MIG_RECOVER_START,          /* nowhere, lease free: start it again */
    MIG_RECOVER_LOST,           /* half of its memory is gone: the target ends the other half */
    MIG_RECOVER_WAIT,           /* not clear yet: ask again */
} MigRecover;

MigRecover mig_recover_decide(const MigRecoverFacts *facts);
const char *mig_recover_name(MigRecover decision);
/* Halves wait for one another in the post-copy phase. May this one be given up, with the other one
 * as it was found? It is gone (its libvirt says so, or its node is proven dead), or whole. */
gboolean mig_recover_is_half_useless(MigDomainState other, gboolean is_other_dead);

/* A node, as the target of a move sees it that looks for the other half. */
typedef struct {
    gboolean is_source;    /* the move is known, and comes from there */
    gboolean is_up;        /* it gives signs of life */
    gboolean is_published; /* its slot says that it has that VM, as a source's does to the end */
    gboolean is_dead;      /* proven: nothing runs there any more */
} MigHalfNode;

/* Must nodes[which] be asked, and waited for, before the other half counts as gone? Where the move
 * is known only its source. Else whoever says that it has the VM, and all that can be asked; all,
 * where nobody says so. One that is silent for reasons of its own keeps no half waiting. */
gboolean mig_recover_may_have_half(const MigHalfNode *nodes, guint count, guint which);
/* Is whoever is known to have the other half dead? FALSE where nobody is known to. */
gboolean mig_recover_is_source_dead(const MigHalfNode *nodes, guint count);
