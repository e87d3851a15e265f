/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* deaths.c - counting deaths of nodes. */
#include "deaths.h"

#include "core/failover.h"
#include "events.h"
#include "rpc/api-types.h"

#define PARDONED "pardoned"

struct MigDeaths {
    MigDaemon *daemon;
    GMutex lock;       /* guards what follows */
    GHashTable *times; /* node -> GArray of gint64, monotonic, ms */
};

static gint64
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* lock held */
static void
add(MigDeaths *deaths, const char *node, gint64 at_ms)
{
    GArray *times = g_hash_table_lookup(deaths->times, node);

    if (!times) {
        times = g_array_new(FALSE, FALSE, sizeof(gint64));
        g_hash_table_insert(deaths->times, g_strdup(node), times);
    }
    /* of a node that dies all the time the newest ones say enough */
    if (times->len > 2 * MIG_FLAP_DEATHS)
        g_array_remove_index(times, 0);
    g_array_append_val(times, at_ms);
}

void
mig_deaths_add(MigDeaths *deaths, const char *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&deaths->lock);

    add(deaths, node, now_ms());
}

void
mig_deaths_pardon(MigDeaths *deaths, const char *node)
{
    mig_events_add(deaths->daemon->events, node, NULL, PARDONED,
                   "its deaths so far are not held against it");
    g_mutex_lock(&deaths->lock);
    g_hash_table_remove(deaths->times, node);
    g_mutex_unlock(&deaths->lock);
}

gboolean
mig_deaths_is_flapping(MigDeaths *deaths, const char *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&deaths->lock);
    const GArray *times = g_hash_table_lookup(deaths->times, node);
    g_autofree gint64 *ages_ms = g_new0(gint64, times ? times->len + 1 : 1);

    for (guint i = 0; times && i < times->len; i++)
        ages_ms[i] = now_ms() - g_array_index(times, gint64, i);
    return times && mig_failover_is_flapping(ages_ms, times->len);
}

static gboolean
is_death(const char *what)
{
    return g_str_equal(what, mig_life_name(MIG_LIFE_DEAD)) ||
           g_str_equal(what, mig_life_name(MIG_LIFE_FENCED));
}

/* dead, then fenced, and told again by a daemon that was restarted: one death, until it is up */
static void
load(MigDeaths *deaths)
{
    g_autoptr(GPtrArray) events = mig_events_list(deaths->daemon->events, NULL);
    g_autoptr(GHashTable) dead = g_hash_table_new(g_str_hash, g_str_equal); /* nodes */
    gint64 offset_ms = now_ms() - g_get_real_time() / 1000;

    for (guint i = 0; i < events->len; i++) {
        const MigApiEvent *event = g_ptr_array_index(events, i);

        if (g_str_equal(event->what, PARDONED))
            g_hash_table_remove(deaths->times, event->subject);
        if (g_str_equal(event->what, mig_life_name(MIG_LIFE_UP)))
            g_hash_table_remove(dead, event->subject);
        else if (is_death(event->what) && g_hash_table_add(dead, event->subject))
            add(deaths, event->subject, MIN(event->at + offset_ms, now_ms()));
    }
}

MigDeaths *
mig_deaths_new(MigDaemon *daemon)
{
    MigDeaths *deaths = g_new0(MigDeaths, 1);

    deaths->daemon = daemon;
    deaths->times =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_array_unref);
    g_mutex_init(&deaths->lock);
    load(deaths);
    return deaths;
}
