/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* switchover.h - the time line of a move's switch-over, from what both ends have seen of it. */
#pragma once

#include <glib.h>

/*
 * The clocks of two nodes are never compared. The target tells how long ago something happened as
 * it answers a question, and how long it took to answer; the source knows when it asked and when it
 * had the answer. So each moment of the target's falls between two of the source's, which lie
 * as far apart as the question was on its way, there and back.
 *
 * A lease changes hands inside of libvirt, which tells nobody when. Known is between what: the
 * source gives it up once QEMU has stopped the guest and before libvirt tells of the stop; the
 * target takes it once QEMU has all of the memory and before it lets the guest run.
 */

/* What one node's QEMU and libvirt tell of it. Its own monotonic clock, us; 0: not seen. */
typedef struct {
    gint64 stopped_us;    /* QEMU has stopped the guest */
    gint64 released_us;   /* libvirt tells of the stop */
    gint64 arrived_us;    /* QEMU has received everything */
    gint64 running_us;    /* QEMU has let the guest run */
    gboolean has_run;     /* it has let it run at any time since it was watched */
    gboolean is_complete; /* all that QEMU told since was heard */
} MigSwitchSeen;

/* What QEMU tells of, in the order in which it does. One stop too many comes to nothing, but what
 * follows a switch-over is none of it: who came here and ran may be stopped, and run again. */
void mig_switchover_stopped(MigSwitchSeen *seen, gint64 at_us);
void mig_switchover_arrived(MigSwitchSeen *seen, gint64 at_us);
void mig_switchover_running(MigSwitchSeen *seen, gint64 at_us);

/* How long before its answer something happened on the target, us; 0: not seen. */
typedef struct {
    gint64 arrived_ago_us, running_ago_us;
    gint64 took_us; /* from the question's arrival to the answer */
} MigSwitchTold;

/* Sometime from from_us to to_us. */
typedef struct {
    gint64 from_us, to_us;
} MigSpan;

/* What the target has told, in the source's monotonic clock; all 0: not known. */
typedef struct {
    MigSpan arrived, running;
} MigSwitchThere;

/* A moment of the time line, us after the guest has stopped. */
typedef struct {
    const char *what;   /* static: stopped, lease-released, arrived, lease-taken, running */
    gboolean on_target; /* else on the source */
    MigSpan after;
} MigMoment;

/* Of the target's words, by when the source asked and had the answer. */
MigSwitchThere mig_switchover_there(const MigSwitchTold *told, gint64 asked_us, gint64 answered_us);

/* Of what a node has seen, as it answers a question that came at came_us. */
MigSwitchTold mig_switchover_tell(const MigSwitchSeen *seen, gint64 came_us, gint64 now_us);

/* Fills moments, an array of MigMoment, in the order in which things happen. *blackout_ms: from
 * stop to run, -1 where one of both is not known; it is not wrong by more than *within_ms. */
void mig_switchover_line(const MigSwitchSeen *seen, const MigSwitchThere *there, GArray *moments,
                         gint64 *blackout_ms, gint64 *within_ms);

/* The name itself, static; NULL: no such moment. */
const char *mig_moment_name(const char *name);
