/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-deaths.c - a node that dies often is known for it, also after a restart; what it told
 * outlives it. */
#include "deaths.h"
#include "events.h"

#include "core/failover.h"
#include "core/types.h"
#include "rpc/api-types.h"

#include <glib/gstdio.h>

typedef struct {
    char *dir;
    MigConfig *config;
    MigDaemon daemon;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("mig-deaths-XXXXXX", NULL);
    f->config = mig_config_new();
    g_free(f->config->state_dir);
    f->config->state_dir = g_strdup(f->dir);
    f->daemon.config = f->config;
    f->daemon.node = "nodeA";
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *path = g_build_filename(f->dir, "events", NULL);

    g_unlink(path);
    g_rmdir(f->dir);
    g_free(f->dir);
    mig_config_free(f->config);
}

static GPtrArray *kept; /* they live as long as a daemon's process */

/* As after a start of the daemon. */
static MigDeaths *
begin(Fixture *f)
{
    MigDeaths *deaths;

    kept = kept ? kept : g_ptr_array_new();
    f->daemon.events = mig_events_new(&f->daemon);
    deaths = mig_deaths_new(&f->daemon);
    g_ptr_array_add(kept, f->daemon.events);
    g_ptr_array_add(kept, deaths);
    return deaths;
}

static void
test_count(Fixture *f, gconstpointer data)
{
    MigDeaths *deaths = begin(f);

    for (guint i = 0; i < MIG_FLAP_DEATHS; i++) {
        g_assert_false(mig_deaths_is_flapping(deaths, "nodeB"));
        mig_deaths_add(deaths, "nodeB");
    }
    g_assert_true(mig_deaths_is_flapping(deaths, "nodeB"));
    g_assert_false(mig_deaths_is_flapping(deaths, "nodeC"));
    for (guint i = 0; i < 100; i++)
        mig_deaths_add(deaths, "nodeB");
    g_assert_true(mig_deaths_is_flapping(deaths, "nodeB"));
    mig_deaths_pardon(deaths, "nodeB");
    g_assert_false(mig_deaths_is_flapping(deaths, "nodeB"));
}

static void
write_events(Fixture *f, const char *const *words, gint64 age_ms)
{
    g_autofree char *path = g_build_filename(f->dir, "events", NULL);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; words[i]; i++)
        g_string_append_printf(text, "%" G_GINT64_FORMAT "\tnodeB\t\t%s\tso it was\n",
                               g_get_real_time() / 1000 - age_ms, words[i]);
    g_assert_true(g_file_set_contents(path, text->str, -1, NULL));
}

static void
test_restart(Fixture *f, gconstpointer data)
{
    static const char *const thrice[] = {"suspect", "fencing", "fenced",  "up",   "suspect", "dead",
                                         "fenced",  "up",      "cut-off", "dead", NULL};
    static const char *const twice[] = {"dead", "fenced", "suspect", "dead", "dead",
                                        "up",   "fenced", "left",    NULL};
    static const char *const pardoned[] = {"dead", "up",       "dead", "up",
                                           "dead", "pardoned", "up",   NULL};
    static const char *const since[] = {"dead", "up",       "dead", "up", "dead",
                                        "up",   "pardoned", "dead", "up", NULL};

    write_events(f, thrice, 1000);
    g_assert_true(mig_deaths_is_flapping(begin(f), "nodeB"));
    g_assert_false(mig_deaths_is_flapping(begin(f), "nodeC"));
    write_events(f, thrice, MIG_FLAP_MS + 1000); /* long ago */
    g_assert_false(mig_deaths_is_flapping(begin(f), "nodeB"));
    write_events(f, thrice, -5000); /* by a clock that was set back since */
    g_assert_true(mig_deaths_is_flapping(begin(f), "nodeB"));
    write_events(f, twice, 1000);
    g_assert_false(mig_deaths_is_flapping(begin(f), "nodeB"));
    write_events(f, pardoned, 1000);
    g_assert_false(mig_deaths_is_flapping(begin(f), "nodeB"));
    write_events(f, since, 1000);
    g_assert_false(mig_deaths_is_flapping(begin(f), "nodeB"));
    write_events(f, thrice, 1000);
    mig_deaths_pardon(begin(f), "nodeB");
    g_assert_false(mig_deaths_is_flapping(begin(f), "nodeB"));
}

/* What a dead node's slot says is read back as it was told, and rubbish is not. */
static void
test_notes(Fixture *f, gconstpointer data)
{
    g_autofree char *notes = NULL;
    g_autoptr(GPtrArray) back = NULL, about = NULL, rubbish = NULL;
    const MigApiEvent *event;

    begin(f);
    for (guint i = 0; i < 200; i++)
        mig_events_add(f->daemon.events, i % 2 ? "web" : "db", "nodeB", "started", "line %u", i);
    notes = mig_events_notes(f->daemon.events);
    g_assert_cmpuint(strlen(notes), <=, MIG_NODE_NOTES_MAX);
    g_assert_cmpuint(strlen(notes), >, MIG_NODE_NOTES_MAX - 100);
    back = mig_events_from_notes("nodeA", notes, NULL);
    about = mig_events_from_notes("nodeA", notes, "web");
    g_assert_cmpuint(back->len, >, 20);
    g_assert_cmpuint(about->len, >=, back->len / 2);
    event = g_ptr_array_index(about, about->len - 1); /* the newest is there, and last */
    g_assert_cmpstr(event->node, ==, "nodeA");
    g_assert_cmpstr(event->about, ==, "nodeB");
    g_assert_cmpstr(event->text, ==, "line 199");
    rubbish = mig_events_from_notes("nodeA", "x\n1\ta\tb\tc\n\xff\t\t\t\t\n\t\t\t\t\n", NULL);
    g_assert_cmpuint(rubbish->len, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/deaths/count", Fixture, NULL, set_up, test_count, tear_down);
    g_test_add("/deaths/restart", Fixture, NULL, set_up, test_restart, tear_down);
    g_test_add("/deaths/notes", Fixture, NULL, set_up, test_notes, tear_down);
    return g_test_run();
}
