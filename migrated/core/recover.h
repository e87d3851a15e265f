/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover.h - where is the VM now, and what must be done so that it runs exactly once? */
#pragma once

#include "core/failover.h"
#include "core/types.h"

/*
 * The end of every move, good or bad, and of every restart: not what some call returned, but what
 * both libvirts and the lease on the LUN say. The lease decides; nothing is ever resumed or killed
 * against it.
 */
typedef struct {
    gboolean is_moving;      /* this node's libvirt has the move under way still */
    gboolean was_sent;       /* libvirt was told to move it, or virsh could */
    gboolean has_arrived;    /* it was seen to run on the target, and whoever asked was told so */
    MigDomainState source;   /* this node's libvirt */
    MigDomainState target;   /* the target's, UNKNOWN if it cannot be asked */
    gboolean is_lease_known; /* the LUN could be read */
    gboolean has_source_lease, has_target_lease; /* both FALSE: free */
    guint64 lease_version;                       /* is_lease_known: as it is now */
    gboolean is_lease_newer; /* another host has taken it since: mig_recover_is_outrun() */
    gboolean is_target_dead; /* proven */
} MigRecoverFacts;

/*
 *   source            | target             | lease             | decision
 *   ------------------+--------------------+-------------------+-----------------------------------
 *   libvirt is not through with the move, whatever the rest     | wait
 *   unknown, incoming | any                | any               | wait
 *   running, not sent | any                | any               | stayed
 *   absent            | running; or it has | any               | moved
 *                     | arrived there      |                   |
 *   running, paused,  | any, it has        | any               | destroy-source
 *   io-error          | arrived there      |                   |
 *   running           | any                | ours or free, not | stayed
 *                     |                    | taken since       |
 *   running           | any                | free or ours,     | end-source
 *                     |                    | taken since       |
 *   running           | any                | target's, taken   | destroy-source; its node dead:
 *                     |                    | since             | end-source
 *   paused, io-error  | running, io-error  | target's          | destroy-source; free: wait, or as
 *                     |                    |                   | below
 *   paused, io-error  | any, node dead     | target's          | end-source
 *   absent, paused    | paused             | target's          | resume-target
 *   paused, io-error  | absent, unknown    | free or ours,     | end-source
 *                     |                    | taken since       |
 *   paused, io-error  | io-error           | the same          | destroy-source
 *   paused            | absent, unknown    | ours or free, not | resume-source
 *                     |                    | taken since       |
 *   io-error          | the same           | the same          | stayed
 *   absent            | absent             | free              | start
 *   absent            | any, node dead     | any               | start
 *   absent            | postcopy-failed    | any               | lost
 *   everything else                                             | wait
 *
 * "Taken since": libvirt and sanlock do not compare lease versions. libvirt on the source lets its
 * half go on after any failure, as soon as sanlock gives it the lease; also where the target had
 * taken the VM over, ran it, and lost it. The memory of such a half is older than its disk: it is
 * ended at once, whether it runs or stands still, and the VM is started anew.
 *
 * A half of a move in its post-copy phase (postcopy, postcopy-failed; on the source libvirt is not
 * through with it) is never let run, nor removed, by this table.
 */

typedef enum {
    MIG_RECOVER_MOVED,          /* runs on the target; nothing here: done */
    MIG_RECOVER_DESTROY_SOURCE, /* it is the target's by now; an old half is left here */
    MIG_RECOVER_END_SOURCE,     /* it was the target's, and is nowhere: an old half is left here */
    MIG_RECOVER_STAYED,         /* runs here: the move failed or was cancelled */
    MIG_RECOVER_RESUME_SOURCE,  /* stands still here, nobody else can have it: let it run */
    MIG_RECOVER_RESUME_TARGET,  /* stands still there with its lease, nothing here */
    MIG_RECOVER_START,          /* nowhere, lease free: start it again */
    MIG_RECOVER_LOST,           /* half of its memory is gone: the target ends the other half */
    MIG_RECOVER_WAIT,           /* not clear yet: ask again */
} MigRecover;

MigRecover mig_recover_decide(const MigRecoverFacts *facts);
const char *mig_recover_name(MigRecover decision);
/* Has another host taken the lease since it was of version before? Its version now, and whether it
 * was this host that took it last. One more by this host itself is its own: it goes on after a
 * failure, or after a disk that has failed. With two more another host may have had it in between;
 * never_ran: that one is sure that it did nothing with it. */
gboolean
mig_recover_is_outrun(guint64 before, guint64 now, gboolean is_last_here, gboolean never_ran);
/* Halves wait for one another in the post-copy phase. May this one be given up, with the other one
 * as it was found? It is gone (its libvirt says so, or its node is proven dead), or whole. */
gboolean mig_recover_is_half_useless(MigDomainState other, gboolean is_other_dead);

/* A node, as the target of a move sees it that looks for the other half. */
typedef struct {
    gboolean is_source;    /* the move is known, and comes from there */
    gboolean is_up;        /* it gives signs of life */
    gboolean is_published; /* its slot says that it has that VM, as a source's does to the end */
    gboolean is_off;       /* mig_recover_is_off() */
} MigHalfNode;

/* Runs no QEMU there any more, not even one that holds no lease? A half on the source has given its
 * lease away: sanlock does not end it, gives the lockspace up all the same and feeds the watchdog
 * on. So sanlock's word, which is about leases, counts only where the machine is_silent, too: its
 * QEMU may be sending the rest of the memory still. */
gboolean mig_recover_is_off(const MigFinding *finding, gboolean is_silent);

/* Must nodes[which] be asked, and waited for, before the other half counts as gone? Where the move
 * is known only its source. Else whoever says that it has the VM, and all that can be asked; all,
 * where nobody says so. One that is silent for reasons of its own keeps no half waiting. */
gboolean mig_recover_may_have_half(const MigHalfNode *nodes, guint count, guint which);
/* Is whoever is known to have the other half off? FALSE where nobody is known to. */
gboolean mig_recover_is_source_dead(const MigHalfNode *nodes, guint count);
