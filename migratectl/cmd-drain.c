/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-drain.c - emptying a node, and letting VMs come to it again. */

#include "cli.h"
#include "output.h"

#include "base/error.h"

#define LOOK_US (500 * 1000)
/* A move that failed is tried again, maybe to another node; after that a person has to look. */
#define ROUNDS 3

static gboolean option_dry_run;

const GOptionEntry mig_options_drain[] = {
    {"dry-run", 0, 0, G_OPTION_ARG_NONE, &option_dry_run, "Only say what would go where", NULL},
    {NULL},
};

static MigDrainNodeReply *
ask(MigCli *cli, const char *node, gboolean dry_run, GError **error)
{
    MigDrainNodeRequest request = {.node = (char *)node, .dry_run = dry_run};

    return mig_cli_call(cli, "io.migrated.DrainNode", &mig_type_DrainNodeRequest, &request,
                        &mig_type_DrainNodeReply, 0, error);
}

static void
print_steps(const GPtrArray *steps)
{
    MigTable *table = mig_table_new((const char *const[]){"~VM", ">MEMORY", "~TO", "JOB", ">TAKES",
                                                          ">STANDS STILL", "~WHY", NULL});

    for (guint i = 0; i < steps->len; i++) {
        const MigApiDrainStep *step = g_ptr_array_index(steps, i);

        const MigApiForecast *forecast = step->forecast;
        g_autofree char *takes = forecast ? mig_show_range_ms(forecast->duration_ms) : NULL;
        g_autofree char *stands = forecast ? mig_show_range_ms(forecast->downtime_ms) : NULL;

        mig_table_add(table, step->vm, mig_show_size(step->memory),
                      step->target ? step->target : "nowhere", step->job, takes, stands, step->why);
    }
    mig_table_print(table, FALSE);
}

static const MigApiJob *
find_job(const GPtrArray *jobs, const char *id)
{
    for (guint i = 0; id && i < jobs->len; i++) {
        const MigApiJob *job = g_ptr_array_index(jobs, i);

        if (g_str_equal(job->id, id))
            return job;
    }
    return NULL;
}

/* Of the jobs that were started: how many go on, and a line about them. */
static guint
count_running(const GPtrArray *steps, const GPtrArray *jobs, char **line)
{
    guint moved = 0, waiting = 0, moving = 0, failed = 0;

    for (guint i = 0; i < steps->len; i++) {
        const MigApiDrainStep *step = g_ptr_array_index(steps, i);
        const MigApiJob *job = find_job(jobs, step->job);

        if (!job)
            continue;
        if (!job->ended)
            *(g_str_equal(job->state, "waiting") ? &waiting : &moving) += 1;
        else
            *(g_str_equal(job->state, "done") ? &moved : &failed) += 1;
    }
    *line = g_strdup_printf("%u moved, %u under way, %u wait%s", moved, moving, waiting,
                            failed ? ", some failed" : "");
    return waiting + moving;
}

/* Until the moves of these steps have ended. Says each change. */
static gboolean
watch(MigCli *cli, const GPtrArray *steps, GError **error)
{
    g_autofree char *said = NULL;

    for (;;) {
        g_autofree char *line = NULL;
        g_autoptr(MigListJobsReply) reply =
            mig_cli_call(cli, "io.migrated.ListJobs", &mig_type_Empty, NULL,
                         &mig_type_ListJobsReply, MIG_CLI_READ_TIMEOUT_MS, error);
        guint running;

        if (!reply)
            return FALSE;
        running = count_running(steps, reply->jobs, &line);
        if (g_strcmp0(line, said) != 0)
            mig_talk("%s", line);
        g_free(said);
        said = g_steal_pointer(&line);
        if (running == 0)
            return TRUE;
        g_usleep(LOOK_US);
    }
}

static gboolean
has_jobs(const GPtrArray *steps)
{
    for (guint i = 0; i < steps->len; i++) {
        if (((const MigApiDrainStep *)g_ptr_array_index(steps, i))->job)
            return TRUE;
    }
    return FALSE;
}

/* What is still there, each with its reason: that of its last move, if it had one. */
static gboolean
conclude(MigCli *cli, const char *node, const GPtrArray *left, GError **error)
{
    g_autoptr(MigListJobsReply) reply = NULL;

    if (left->len == 0) {
        mig_talk("%s is empty", node);
        return TRUE;
    }
    reply = mig_cli_call(cli, "io.migrated.ListJobs", &mig_type_Empty, NULL,
                         &mig_type_ListJobsReply, MIG_CLI_READ_TIMEOUT_MS, error);
    if (!reply)
        return FALSE;
    for (guint i = 0; i < left->len; i++) {
        const MigApiDrainStep *step = g_ptr_array_index(left, i);
        const char *why = step->why;

        for (guint j = 0; !why && j < reply->jobs->len; j++) {
            const MigApiJob *job = g_ptr_array_index(reply->jobs, j);

            if (g_str_equal(job->vm, step->vm) && job->message)
                why = job->message;
        }
        mig_talk("%s is still there: %s", step->vm, why ? why : "its move did not happen");
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_DRAIN_INCOMPLETE,
                "%u VMs are still on %s, which keeps draining; see to them, then drain it again, "
                "or 'migratectl undrain %s'",
                left->len, node, node);
    return FALSE;
}

static gboolean
is_possible(const GPtrArray *steps, const char *node, GError **error)
{
    guint stuck = 0;

    for (guint i = 0; i < steps->len; i++)
        stuck += !((const MigApiDrainStep *)g_ptr_array_index(steps, i))->target;
    if (stuck == 0)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_DRAIN_INCOMPLETE, "%u VMs would have to stay on %s",
                stuck, node);
    return FALSE;
}

static void
print(MigCli *cli, const MigDrainNodeReply *reply)
{
    if (cli->json)
        mig_print_json(&mig_type_DrainNodeReply, reply, FALSE);
    else
        print_steps(reply->steps);
}

gboolean
mig_cmd_drain(MigCli *cli, char **arguments, GError **error)
{
    const char *node = arguments[0];
    g_autoptr(MigDrainNodeReply) last = NULL;

    if (option_dry_run) {
        g_autoptr(MigDrainNodeReply) reply = ask(cli, node, TRUE, error);

        if (!reply)
            return FALSE;
        print(cli, reply);
        return is_possible(reply->steps, node, error);
    }
    for (guint round = 0; round < ROUNDS; round++) {
        g_autoptr(MigDrainNodeReply) reply = ask(cli, node, FALSE, error);

        if (!reply)
            return FALSE;
        if (round == 0)
            print(cli, reply);
        if (!has_jobs(reply->steps))
            return conclude(cli, node, reply->steps, error);
        if (!watch(cli, reply->steps, error))
            return FALSE;
    }
    last = ask(cli, node, TRUE, error);
    return last && conclude(cli, node, last->steps, error);
}

gboolean
mig_cmd_undrain(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[0]};
    g_autoptr(MigEmpty) reply = mig_cli_call(cli, "io.migrated.UndrainNode", &mig_type_NameRequest,
                                             &request, &mig_type_Empty, 0, error);

    if (!reply)
        return FALSE;
    mig_talk("VMs may come to %s again", arguments[0]);
    return TRUE;
}
