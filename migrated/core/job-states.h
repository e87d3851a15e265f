/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-states.h - the states of a move, and what a restarted daemon does in each. */
#pragma once

#include "core/sm.h"

/* clang-format off */
/*
 * A move, as the source node lives it. Words are libvirt's phases; its finish phase, on the target,
 * is a part of perform here, since libvirt runs it inside of the same call.
 *
 *     begin ──────────────► prepare ──► perform ──────────────────► confirm ──► done
 *       │  └──► waiting ──────►│           │  └──► postcopy ────────►│  │
 *       │          │           │           │       ▲  ▼ link lost    │  │
 *       │          │           │           │       postcopy-paused ─►│  │
 *       │          │           └───────────┴─────────────────────────┤  │
 *       │          │        every failure goes through confirm,      │  │
 *       ▼          ▼        which asks both sides what is true       │  └─► failed, cancelled
 *     failed, cancelled                                     (the VM runs on the source, or the text
 *     (nothing was touched)                                  says where it is)
 *
 * The state is in the journal *before* its first action. So a daemon that finds a job in state X
 * after a restart knows that X's actions may have been done in part, and that X+1's have not:
 *
 *   state     | its actions                            | source node or its migrated dies here
 *   ----------+----------------------------------------+----------------------------------------
 *   begin     | checks; asks both ends for its turn    | nothing touched. Restart: closed as
 *             |                                        | failed. Target: reservation expires.
 *   waiting   | asks for its turn again and again;     | nothing touched. Restart: goes on waiting,
 *             | checks once more when both ends        | its age counts on. Node dead: its place
 *             | have given it (core/queue.h)           | and its turn end there.
 *   prepare   | target: memory reserved, images active | VM runs on the source. Restart: target
 *             |                                        | told to clean up, closed as failed.
 *   perform   | libvirt copies RAM, hands the lease    | migrated dead: the tunnel is gone, libvirt
 *             | over while the guest stands still,     | aborts or ends the move. Restart: waits for
 *             | lets it run there                      | libvirt, then confirm. Node dead: the lease
 *             |                                        | says whether the target has the VM already.
 *   postcopy  | the target is let run it; the rest | migrated dead: QEMUs go on by themselves.
 *             | of its memory follows              | Restart: watches on. No way back from here:
 *             |                                    | neither half alone is the VM. Node dead: the
 *             |                                    | half on the target is ended there, and the VM
 *             |                                    | started anew (halves.c).
 *   postcopy-paused: both halves are kept    | the same. The job goes on with 'job resume',
 *             | until the link is back, or one of  | never by itself (core/job-postcopy.h).
 *             | them is known to be gone for good  |
 *   confirm   | truth from both libvirts and the lease | idempotent: done again at restart
 *             | (core/recover.h); target publishes the |
 *             | VM; what is left over is removed       |
 *   done, failed, cancelled                            | nothing to do
 *
 * The *target* keeps no job: it has a reservation, which ends with confirm, or by itself when its
 * source no longer knows the job (incoming.h).
 */
/* clang-format on */
typedef enum {
    MIG_JOB_STATE_BEGIN,
    MIG_JOB_STATE_WAITING,
    MIG_JOB_STATE_PREPARE,
    MIG_JOB_STATE_PERFORM,
    MIG_JOB_STATE_POSTCOPY,
    MIG_JOB_STATE_POSTCOPY_PAUSED,
    MIG_JOB_STATE_CONFIRM,
    MIG_JOB_STATE_DONE,
    MIG_JOB_STATE_FAILED,
    MIG_JOB_STATE_CANCELLED,
} MigJobState;

/* What a restart does with a job found in this state. */
typedef enum {
    MIG_JOB_RESUME_NOTHING,      /* ended */
    MIG_JOB_RESUME_CLOSE,        /* nothing was touched: close as failed, drop reservations */
    MIG_JOB_RESUME_WAIT_TURN,    /* nothing was touched: wait on */
    MIG_JOB_RESUME_CLEAN,        /* clean up the target, close as failed */
    MIG_JOB_RESUME_WAIT_CONFIRM, /* wait until libvirt has ended it, then confirm */
} MigJobResume;

extern const MigSm mig_job_sm;
MigJobResume mig_job_state_resume(MigJobState state);
const char *mig_job_state_name(MigJobState state);
/* May its memory be on two nodes? */
gboolean mig_job_state_is_postcopy(MigJobState state);
