/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tries.h - what is remembered of a VM that was found down: how often, when, where not. Pure. */
#pragma once

#include "core/placement.h"

/*
 * A start counts against restart_limit where it failed, and also where it succeeded for a VM that
 * had ended by itself or with its disk: one that ends again and again is slowed down, and given up
 * at last, like one that does not start. A node's death is no fault of its VMs: starts after it
 * count where they fail.
 *
 * A start can fail for what passes by itself, and says nothing of the VM and of the node that tried
 * then: somebody is just starting it by hand; or a disk is locked, for on NFS the locks of a dead
 * host outlive it. It is tried again, on any node, and counts only where that goes on for longer
 * than such locks can last.
 *
 * QEMU can have had the lease for a moment where a start has failed. So by its lease such a VM has
 * ended by itself, on a node that lives; what it was to be started after still holds.
 *
 * What counted is over where the VM has run for MIG_RECOVERY_FORGET_MS since its last start; and at
 * once where it was given up and runs all the same, for then a person has started it. Times are of
 * one monotonic clock, 0 is never.
 */
typedef struct {
    guint attempts;
    gint64 next_ms; /* not before */
    guint32 not_host_id;
    gint64 done_ms;        /* when its last start ended */
    gboolean is_given_up;  /* it was seen down, with no try left */
    gint64 down_ms;        /* first seen so */
    guint64 down_version;  /* of its lease then */
    gint64 asked_ms;       /* its node has said that it ended it there */
    guint64 asked_version; /* of the lease with which it ended; 0: not known */
    gint64 passing_ms;     /* a start has failed for what passes, the first since it ran last */
    guint passing;         /* starts that have */
    gboolean is_passing;   /* the last one was such a start, and did not count */
    gboolean is_locked;    /* the last one has found a disk locked */
    gboolean has_failed;   /* the last one has, and it did not run since */
    MigDown failed_after;  /* what that was to be a start after */
} MigTry;

/* Its node says, and goes on saying until it runs, that it was ended because its disk had failed.
 * lease_version: which run of it that was; a later one, which its node may not see, ends by itself.
 */
void mig_try_ask(MigTry *one, guint64 lease_version, gint64 now_ms);

/* It was found down, its lease in that version: fills down, is_held, attempts, wait_ms and
 * not_host_id of vm. limit: of tries. One that ended by itself is left alone for a while: its start
 * may be under way by hand. */
void mig_try_down(MigTry *one, guint64 lease_version, guint limit, gint64 now_ms, MigPlaceVm *vm);

/* A start of it has ended. down: what it was started after; host_id: where. */
void mig_try_done(MigTry *one, MigDown down, gboolean has_started, guint32 host_id, gint64 now_ms);

/* The same of one that has failed for what passes. is_locked: a disk is. FALSE: as the one before
 * it, and that has been told: a time line has no room for each of them. */
gboolean
mig_try_passing(MigTry *one, MigDown down, gboolean is_locked, guint32 host_id, gint64 now_ms);

/* It runs, or is not wanted. TRUE: nothing of it has to be remembered any more. */
gboolean mig_try_up(MigTry *one, gint64 now_ms);
