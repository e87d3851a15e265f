/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* switchover.c - what switchover.h says. */
#include "core/switchover.h"

#define STOPPED  "stopped"
#define RELEASED "lease-released"
#define ARRIVED  "arrived"
#define TAKEN    "lease-taken"
#define RUNNING  "running"

const char *
mig_moment_name(const char *name)
{
    static const char *const names[] = {STOPPED, RELEASED, ARRIVED, TAKEN, RUNNING};

    for (guint i = 0; name && i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(names[i], name))
            return names[i];
    }
    return NULL;
}

/* Here, by a move: of that order only who receives is. */
static gboolean
has_come(const MigSwitchSeen *seen)
{
    return seen->arrived_us && seen->running_us && !seen->stopped_us;
}

void
mig_switchover_stopped(MigSwitchSeen *seen, gint64 at_us)
{
    if (has_come(seen))
        return;
    *seen = (MigSwitchSeen){.stopped_us = at_us,
                            .arrived_us = seen->arrived_us,
                            .has_run = seen->has_run,
                            .is_complete = seen->is_complete};
}

void
mig_switchover_arrived(MigSwitchSeen *seen, gint64 at_us)
{
    seen->arrived_us = at_us;
}

void
mig_switchover_running(MigSwitchSeen *seen, gint64 at_us)
{
    seen->has_run = TRUE;
    if (!has_come(seen))
        seen->running_us = at_us;
}

MigSwitchTold
mig_switchover_tell(const MigSwitchSeen *seen, gint64 came_us, gint64 now_us)
{
    return (MigSwitchTold){.arrived_ago_us = seen->arrived_us ? now_us - seen->arrived_us : 0,
                           .running_ago_us = seen->running_us ? now_us - seen->running_us : 0,
                           .took_us = now_us - came_us};
}

/* A peer's numbers: nothing of it may overflow, and it cannot have taken longer than was waited. */
static MigSpan
span_before(gint64 ago_us, gint64 took_us, gint64 asked_us, gint64 answered_us)
{
    if (ago_us <= 0 || ago_us > answered_us)
        return (MigSpan){0};
    return (MigSpan){MAX(asked_us + CLAMP(took_us, 0, answered_us - asked_us) - ago_us, 1),
                     MAX(answered_us - ago_us, 1)};
}

MigSwitchThere
mig_switchover_there(const MigSwitchTold *told, gint64 asked_us, gint64 answered_us)
{
    return (MigSwitchThere){
        .arrived = span_before(told->arrived_ago_us, told->took_us, asked_us, answered_us),
        .running = span_before(told->running_ago_us, told->took_us, asked_us, answered_us)};
}

static void
add(GArray *moments, const char *what, gboolean on_target, MigSpan after)
{
    const MigMoment moment = {.what = what,
                              .on_target = on_target,
                              .after = {MAX(after.from_us, 0), MAX(after.to_us, 0)}};

    g_array_append_val(moments, moment);
}

static MigSpan
since(MigSpan span, gint64 start_us)
{
    return (MigSpan){span.from_us - start_us, span.to_us - start_us};
}

void
mig_switchover_line(const MigSwitchSeen *seen, const MigSwitchThere *there, GArray *moments,
                    gint64 *blackout_ms, gint64 *within_ms)
{
    gint64 stop_us = seen->stopped_us;
    MigSpan running = since(there->running, stop_us), arrived = since(there->arrived, stop_us);

    *blackout_ms = *within_ms = -1;
    if (!stop_us)
        return;
    add(moments, STOPPED, FALSE, (MigSpan){0});
    if (seen->released_us >= stop_us)
        add(moments, RELEASED, FALSE, (MigSpan){0, seen->released_us - stop_us});
    if (there->arrived.to_us && arrived.to_us >= 0)
        add(moments, ARRIVED, TRUE, arrived);
    /* before the stop: of an earlier run of that VM there */
    if (!there->running.to_us || running.to_us < 0)
        return;
    running.from_us = MAX(running.from_us, 0);
    if (there->arrived.to_us && arrived.to_us >= 0)
        add(moments, TAKEN, TRUE, (MigSpan){arrived.from_us, running.to_us});
    add(moments, RUNNING, TRUE, running);
    *blackout_ms = (running.from_us + running.to_us + 1000) / 2000;
    /* rounded up, as the middle is rounded, too */
    *within_ms = (running.to_us - running.from_us) / 2000 + 1;
}
