/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* timeouts.c - intervals that depend on a setting. */
#include "core/timeouts.h"

/* sanlock renews a delta lease that often, and looks at those of the other hosts with it. */
static guint
renewal_period_s(guint io_timeout_s)
{
    return 2 * io_timeout_s;
}

gint64
mig_timeouts_renewal_ms(guint io_timeout_s)
{
    return renewal_period_s(io_timeout_s) * G_GINT64_CONSTANT(1000);
}

guint
mig_timeouts_renewal_fails_s(guint io_timeout_s)
{
    return 8 * io_timeout_s;
}

guint
mig_timeouts_host_dead_s(guint io_timeout_s)
{
    return mig_timeouts_renewal_fails_s(io_timeout_s) + MIG_WATCHDOG_FIRE_S;
}

guint
mig_timeouts_join_ms(guint io_timeout_s)
{
    return 4 * io_timeout_s * 1000 + 10000;
}

/* ---- for people ---- */

void
mig_time_line_free(MigTimeLine *line)
{
    g_free(line->name);
    g_free(line->because);
    g_free(line);
}

static void
    G_GNUC_PRINTF(4, 5) add(GPtrArray *lines, const char *name, gint64 ms, const char *format, ...)
{
    MigTimeLine *line = g_new0(MigTimeLine, 1);
    va_list arguments;

    line->name = g_strdup(name);
    line->ms = ms;
    va_start(arguments, format);
    line->because = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_ptr_array_add(lines, line);
}

/* The last heartbeat is seen up to one period after it was written, the last answers to pings come
 * up to one round after the plug is thought of, and looks are LOOK apart. */
static gint64
suspected_ms(const MigTimeSettings *settings)
{
    return settings->suspect_ms + MAX(MIG_HEARTBEAT_MS, MIG_SIGN_EVERY_MS) + MIG_FAILOVER_LOOK_MS;
}

GPtrArray *
mig_timeouts_of_node(const MigTimeSettings *settings)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func((GDestroyNotify)mig_time_line_free);

    add(lines, "heartbeat", MIG_HEARTBEAT_MS, "each node writes its slot");
    add(lines, "suspect-after", settings->suspect_ms, "[failover] suspect_after_ms");
    add(lines, "suspected", suspected_ms(settings),
        "at the latest after the plug: suspect-after, a heartbeat that is seen late, one look");
    add(lines, "fence-delay", settings->fence_delay_s * 1000, "[fence] delay_s, for a crash dump");
    add(lines, "fence-timeout", settings->fence_timeout_s * 1000,
        "[fence] timeout_s, what one action of one agent gets");
    add(lines, "fence-turn", MIG_FENCE_TURN_MS,
        "how much later the next living node fences, should the first one not");
    add(lines, "fence-again", MIG_FENCE_AGAIN_MS, "after a fence that failed");
    add(lines, "isolated-after", settings->isolated_ms,
        "[failover] isolated_after_ms, until on_isolation=restart is obeyed");
    return lines;
}

GPtrArray *
mig_timeouts_of_volume(const MigTimeSettings *settings, guint io_timeout_s)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func((GDestroyNotify)mig_time_line_free);
    gint64 dead_s = mig_timeouts_host_dead_s(io_timeout_s);
    gint64 renewal_s = renewal_period_s(io_timeout_s);

    add(lines, "io-timeout", io_timeout_s * 1000, "of the volume, since its format");
    add(lines, "renewal", renewal_s * 1000, "2 x io-timeout");
    add(lines, "renewal-fails", mig_timeouts_renewal_fails_s(io_timeout_s) * 1000,
        "8 x io-timeout after the last renewal: sanlock kills what holds leases there");
    add(lines, "watchdog", MIG_WATCHDOG_FIRE_S * 1000, "after that; fixed in sanlock 3.8.5");
    add(lines, "host-dead", dead_s * 1000, "renewal-fails + watchdog");
    add(lines, "worst-with-agent", suspected_ms(settings) + settings->fence_delay_s * 1000,
        "suspected + fence-delay; then what the agent takes, and the VMs start");
    add(lines, "worst-without-agent", (dead_s + renewal_s) * 1000 + MIG_FAILOVER_LOOK_MS,
        "host-dead + renewal (sanlock looks at other hosts so often) + one look; then the VMs "
        "start");
    return lines;
}

/* ---- contradictions ---- */

char *
mig_timeouts_complaint(const MigTimeSettings *settings)
{
    if (settings->isolated_ms < settings->suspect_ms)
        return g_strdup_printf(
            "[failover] isolated_after_ms=%" G_GINT64_FORMAT
            " is less than suspect_after_ms=%" G_GINT64_FORMAT
            ": this node would end VMs for a silence that is no suspicion yet; make it at least "
            "as long",
            settings->isolated_ms, settings->suspect_ms);
    return NULL;
}

char *
mig_timeouts_complaint_volume(const MigTimeSettings *settings, guint io_timeout_s, gint64 queue_s)
{
    gint64 dead_s = mig_timeouts_host_dead_s(io_timeout_s);
    gint64 fails_s = mig_timeouts_renewal_fails_s(io_timeout_s);

    if (settings->suspect_ms + settings->fence_delay_s * 1000 >= dead_s * 1000)
        return g_strdup_printf(
            "[failover] suspect_after_ms=%" G_GINT64_FORMAT " and [fence] delay_s=%" G_GINT64_FORMAT
            " are longer together than sanlock waits with this volume's io_timeout of %u s "
            "(%" G_GINT64_FORMAT " s): no node would ever be fenced in time; make them shorter",
            settings->suspect_ms, settings->fence_delay_s, io_timeout_s, dead_s);
    if (queue_s == MIG_QUEUES_FOR_EVER)
        return g_strdup_printf(
            "multipath queues I/O for ever when all paths are gone, the lease lasts "
            "%" G_GINT64_FORMAT " s: VMs could not be ended here, and the watchdog would reset the "
            "whole host; set no_path_retry in multipath.conf to fail, or to a number of checks",
            fails_s);
    if (queue_s >= fails_s)
        return g_strdup_printf(
            "multipath queues I/O for %" G_GINT64_FORMAT
            " s when all paths are gone, the lease lasts only %" G_GINT64_FORMAT
            " s: VMs could not be ended here, and the watchdog would reset the whole host; set a "
            "lower no_path_retry in multipath.conf",
            queue_s, fails_s);
    return NULL;
}

guint
mig_timeouts_lease_ms(guint io_timeout_s)
{
    return mig_timeouts_renewal_fails_s(io_timeout_s) * 1000 - 1000;
}

guint
mig_timeouts_change_ms(guint io_timeout_s)
{
    return (mig_timeouts_host_dead_s(io_timeout_s) + 30) * 1000;
}
