/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job.h - one move: what was asked, how far it is, what came of it. */
#pragma once

#include "core/checks.h"
#include "core/job-states.h"
#include "core/predict.h"
#include "core/switchover.h"
#include "core/types.h"

/* One line of a job's history. */
typedef struct {
    MigJobState state;
    gint64 at_ms;   /* wall clock, since 1970: for people */
    gint64 took_ms; /* until the next state; 0 for the current one */
    char *why;
} MigJobPhase;

/* libvirt's job statistics, as far as they are shown or decided upon. */
typedef struct {
    guint64 total_bytes, transferred_bytes, remaining_bytes;
    guint64 rate_bytes_s, dirty_rate_bytes_s;
    guint64 iteration;
    guint throttle_percent; /* of the guest's CPU time, taken from it */
    gint64 downtime_ms;     /* QEMU's own figure; -1 not known */
    gboolean is_active;     /* libvirt knows of a running migration */
    gboolean is_postcopy;   /* the target has been let run it: no way back */
    gboolean is_broken;     /* is_postcopy: libvirt does not believe in it any more */
} MigProgress;

typedef struct {
    char *id;
    char *vm, *uuid, *volume;
    guint32 slot;
    char *source, *target; /* node names */
    guint64 memory_bytes;
    guint64 hugepage_bytes; /* what pages it needs; 0: the usual ones. Known once it is checked */
    char **images;          /* "volume/image" */
    gboolean is_encrypted;  /* its memory, on the wire; decided when it is prepared */
    guint64
        lease_version; /* of the VM's lease before the move; another one: somebody took it since */

    guint64 granted_bytes_s; /* what the target takes of it just now; 0: no limit */

    /* what was asked; 0 = default */
    guint64 bandwidth_bytes_s;
    guint max_downtime_ms;
    guint timeout_ms;
    guint priority;       /* core/queue.h */
    MigPolicyKind policy; /* core/policy.h; unset: fast */
    gboolean no_wait;
    gboolean wants_forecast; /* it is only thought of, and somebody waits for what is measured */
    gboolean
        by_virsh; /* somebody moves it past us: checked, prepared and followed, not performed */

    /* Post-copy. can: it may be switched to, libvirt and QEMU were told so as it began. */
    gboolean can_postcopy;
    gboolean postcopy_wanted; /* somebody asked for it at once */
    gboolean resume_wanted;   /* somebody asks for the rest of its memory again */
    char *ram_address;        /* where the target takes it; known from prepare on */
    guint channels;           /* connections that the memory goes over; 0: one, as usual */

    guint retuned;     /* how often bandwidth or downtime was changed since it began */
    guint state;       /* MigJobState; moved by mig_job_set_state() only */
    GPtrArray *phases; /* MigJobPhase */
    GPtrArray *checks; /* MigCheck */
    MigProgress progress;
    guint downtime_limit_ms;
    guint64 first_bytes;       /* what the first round sent */
    MigForecast forecast;      /* what was expected of it */
    char *waits_for;           /* while it waits: for people; else NULL */
    guint position;            /* while it waits: from 1; else 0 */
    gint64 blackout_ms;        /* guest stopped here to guest runs there; -1 not known */
    gint64 blackout_within_ms; /* it is not wrong by more than that; -1 with it */
    GArray *switchover;        /* MigMoment; empty: not known */
    gboolean was_booted_there; /* by a fail-over: what runs on the target did not move there */
    gboolean has_arrived;      /* it runs on the target, which has told so and published it */
    gboolean may_come;         /* by_virsh: the target is ready and the journal says so */
    gboolean is_outrun;        /* its half here was ended: older than its disk */
    gint64 started_ms;         /* wall clock */
    gint64 elapsed_ms;
    gboolean cancel_wanted;
    GError *error; /* why it failed */
} MigJob;

MigJob *mig_job_new(const char *id);
void mig_job_free(MigJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigJob, mig_job_free)
/* Moves the state by the table, and closes the last phase. now_ms: wall clock. */
void mig_job_set_state(MigJob *job, MigJobState state, const char *why, gint64 now_ms);
gboolean mig_job_has_ended(const MigJob *job);
