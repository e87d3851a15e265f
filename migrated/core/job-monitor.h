/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-monitor.h - whoever watches a move while libvirt does it: cancel, time limit, convergence. */
#pragma once

#include "core/job-source.h"
#include "core/policy.h"

typedef struct {
    MigJob *job;
    const MigJobEnv *env;
    MigPolicy policy;
    gint64 deadline_ms;        /* monotonic; 0: none */
    guint64 bandwidth_bytes_s; /* as QEMU has it; 0: no limit, or nothing is known */
    guint64 most_bytes_s;      /* that were seen to go over before the post-copy phase */
    guint retuned;             /* the job's, as far as it was looked at */
    gboolean is_cancel_saved;  /* the journal knows that it was cancelled */
    gboolean is_lifted;        /* its bandwidth was changed: no limit has to be told, too */
    gboolean is_share_told;    /* that its bandwidth could not be changed */
    gboolean is_limit_due;     /* raised, QEMU does not know of it yet */
    gboolean has_given_up;     /* the policy, or the time limit */
    gboolean
        has_call; /* libvirt is at a call of this daemon's, whose tunnel to the target it has */
    gboolean looks_for_arrival; /* at the target, once the guest stands still here */
    gint64 begun_ms;            /* post-copy was asked for last; 0: never */
    guint64 seen_bytes;         /* sent when that last changed in the post-copy phase, */
    gint64 moved_ms;            /* and since when; 0: it has not been seen in there */
    guint moves;                /* looks in a row at which more was sent */
    gint64 given_up_ms;         /* the link, last; 0: never, or not since it was lost */
    gboolean is_last_told;      /* all has been sent, and the link is lost */
    gint64 looked_ms;           /* for the other half */
    gint has_ended;             /* atomic: the migrate call has returned */
} MigMonitor;

void mig_monitor_init(MigMonitor *monitor, MigJob *job, const MigJobEnv *env);
/* For as long as a call of this daemon's moves it, it may be switched over to post-copy. One whose
 * call is lost has lost its way to the target's libvirt with it, which would end its half; such a
 * move ends, or converges by what its policy does where there is no post-copy. bytes_s is what the
 * call limits it to, 0 for no limit. */
void mig_monitor_set_call(MigMonitor *monitor, guint64 bytes_s);
/* Of a thread: watches until has_ended. */
gpointer mig_monitor_thread(gpointer monitor);
/* Watches until libvirt has no move of this VM any more: after a restart, or when the call was
 * lost. TRUE: there was one. Gives up where libvirt says nothing at all for too long. */
gboolean mig_monitor_wait(MigMonitor *monitor);
/* The first error of a job is the one that is told. Takes it. */
void mig_job_keep_error(MigJob *job, const MigJobEnv *env, GError *error_take);
