/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-watchers.c - who looks at a job, and goes away again, costs nothing; and not too many do. */
#include "watchers.h"

#include "rpc-fixture.h"

#include <string.h>
#include <unistd.h>

#define HOLD "{\"method\":\"io.migrated.Hold\",\"more\":true}"

static MigJob *job; /* waits for its turn */
static MigWatchers *watchers;
static gboolean is_move;
static guint counted;

static void
watch(MigRpcCall *call, gpointer data)
{
    mig_watchers_add(watchers, call, is_move, job);
}

static void
tell(Fixture *f)
{
    mig_watchers_tell(watchers, job);
}

static void
count(Fixture *f)
{
    counted = mig_watchers_count(watchers);
}

static void
arrive(Fixture *f)
{
    job->has_arrived = TRUE;
    mig_watchers_tell(watchers, job);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    fixture_set_up(f, data);
    mig_rpc_server_set_limits(f->server, 256, 5000);
    f->hold = watch;
    is_move = FALSE;
    job = mig_job_new("nodeA-1");
    job->vm = g_strdup("web");
    job->uuid = g_strdup("u");
    job->volume = g_strdup("v");
    job->source = g_strdup("nodeA");
    job->target = g_strdup("nodeB");
    watchers = mig_watchers_new();
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    fixture_tear_down(f, data);
    mig_watchers_free(watchers);
    mig_job_free(job);
}

static int
begin_watching(Fixture *f, const char *answer)
{
    int fd = raw_connect(f);
    g_autofree char *frame = NULL;

    raw_send_frame(fd, HOLD);
    frame = raw_read_frame(fd);
    g_assert_nonnull(frame);
    g_assert_nonnull(strstr(frame, answer));
    return fd;
}

/* Nothing is told of the job meanwhile: it waits. */
static void
test_gone(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < 300; i++) {
        int fd = begin_watching(f, "\"continues\":true");

        close(fd);
        if (i % 20 == 19)
            g_usleep(20000); /* the server sees that they are gone */
    }
    fixture_invoke(f, count);
    g_assert_cmpuint(counted, <=, 40);
    g_usleep(50000);
    fixture_invoke(f, tell);
    fixture_invoke(f, count);
    g_assert_cmpuint(counted, ==, 0);
    fixture_wait_connections(f, 0);
}

static void
test_limit(Fixture *f, gconstpointer data)
{
    int fds[MIG_WATCHERS_MAX], other;

    for (guint i = 0; i < MIG_WATCHERS_MAX; i++)
        fds[i] = begin_watching(f, "\"continues\":true");
    other = begin_watching(f, "io.migrated.Busy");
    close(other);
    is_move = TRUE; /* the one that has begun it is not kept out */
    other = begin_watching(f, "\"continues\":true");
    is_move = FALSE;
    fixture_invoke(f, tell);
    for (guint i = 0; i < MIG_WATCHERS_MAX; i++) {
        g_autofree char *frame = raw_read_frame(fds[i]);

        g_assert_nonnull(strstr(frame, "\"nodeA-1\""));
        close(fds[i]);
    }
    close(other);
    g_usleep(50000);
    other = begin_watching(f, "\"continues\":true"); /* there is room again */
    fixture_invoke(f, count);
    g_assert_cmpuint(counted, ==, 1);
    close(other);
    g_usleep(50000);
    fixture_invoke(f, tell);
}

/* Who asked for the move has the last answer when the VM has arrived, who watches goes on. */
static void
test_arrived(Fixture *f, gconstpointer data)
{
    int watching = begin_watching(f, "\"continues\":true"), asking;

    is_move = TRUE;
    asking = begin_watching(f, "\"continues\":true");
    is_move = FALSE;
    fixture_invoke(f, arrive);
    g_autofree char *last = raw_read_frame(asking);
    g_autofree char *next = raw_read_frame(watching);

    g_assert_null(strstr(last, "\"continues\":true"));
    g_assert_nonnull(strstr(last, "\"outcome\":\"done\""));
    g_assert_null(strstr(last, "\"ended\":true"));
    g_assert_nonnull(strstr(next, "\"continues\":true"));
    fixture_invoke(f, count);
    g_assert_cmpuint(counted, ==, 1);
    close(asking);
    close(watching);
    g_usleep(50000);
    fixture_invoke(f, tell);
}

#define ADD(name, test) g_test_add("/watchers/" name, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("gone", test_gone);
    ADD("limit", test_limit);
    ADD("arrived", test_arrived);
    return g_test_run();
}
