/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-job.c - jobs: moves under way and moves that have ended. */

#include "cli.h"
#include "output.h"

#include "base/error.h"
#include "tables.h"

#include <stdio.h>

#define MIB (1024 * 1024)

static gint option_bandwidth_mib = -1, option_max_downtime_ms;
static gboolean option_postcopy_now;

const GOptionEntry mig_options_job_set[] = {
    {"bandwidth", 0, 0, G_OPTION_ARG_INT, &option_bandwidth_mib,
     "Send no faster, MiB/s; 0: no limit", "MIB"},
    {"max-downtime", 0, 0, G_OPTION_ARG_INT, &option_max_downtime_ms,
     "Longest standstill of the guest, ms", "MS"},
    {"postcopy-now", 0, 0, G_OPTION_ARG_NONE, &option_postcopy_now,
     "The target runs it at once, the rest follows", NULL},
    {NULL},
};

gboolean
mig_cmd_job_list(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigListJobsReply) reply =
        mig_cli_call(cli, "io.migrated.ListJobs", &mig_type_Empty, NULL, &mig_type_ListJobsReply,
                     MIG_CLI_READ_TIMEOUT_MS, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_ListJobsReply, reply, FALSE);
    else
        mig_print_jobs(reply->jobs, FALSE);
    return TRUE;
}

static void
print_checks(GPtrArray *checks)
{
    MigTable *table =
        mig_table_new((const char *const[]){"CHECK", "VERDICT", "~TEXT", "~ADVICE", NULL});

    for (guint i = 0; i < checks->len; i++) {
        MigApiCheck *check = checks->pdata[i];

        mig_table_add(table, check->name, check->verdict, check->text, check->advice);
    }
    mig_table_print(table, TRUE);
}

static void
print_phases(GPtrArray *phases)
{
    MigTable *table = mig_table_new((const char *const[]){"STATE", "AT", ">TOOK", "~WHY", NULL});

    for (guint i = 0; i < phases->len; i++) {
        MigApiPhase *phase = phases->pdata[i];

        mig_table_add(table, phase->state, mig_show_time(phase->at), mig_show_ms(phase->took_ms),
                      phase->why);
    }
    mig_table_print(table, TRUE);
}

/* A time of which only the bounds are known shows both. */
static char *
show_span(const MigApiMoment *moment)
{
    double from_ms = (double)moment->from_us / 1000, to_ms = (double)moment->to_us / 1000;

    return moment->to_us - moment->from_us < 100
               ? g_strdup_printf("%.1f ms", to_ms)
               : g_strdup_printf("%.1f to %.1f ms", from_ms, to_ms);
}

static void
print_moments(GPtrArray *moments)
{
    MigTable *table = mig_table_new((const char *const[]){"SWITCH-OVER", "NODE", ">AFTER", NULL});

    for (guint i = 0; i < moments->len; i++) {
        const MigApiMoment *moment = moments->pdata[i];
        g_autofree char *after = show_span(moment);

        mig_table_add(table, moment->what, moment->node, after);
    }
    mig_table_print(table, TRUE);
}

/* "89 ms, give or take 1 ms" */
static char *
show_blackout(const MigApiJob *job)
{
    g_autofree char *blackout = g_strdup(mig_show_ms(job->blackout_ms));

    return job->blackout_ms < 0 ? g_steal_pointer(&blackout)
                                : g_strdup_printf("%s, give or take %s", blackout,
                                                  mig_show_ms(job->blackout_within_ms));
}

static void
print_expected(const MigApiForecast *forecast)
{
    g_autofree char *duration = mig_show_range_ms(forecast->duration_ms);
    g_autofree char *downtime = mig_show_range_ms(forecast->downtime_ms);

    mig_print_field("Expected time", forecast->gives_up ? "would not end" : duration);
    mig_print_field("Expected stop", downtime);
}

static void
print_job(const MigApiJob *job)
{
    g_autofree char *percent = g_strdup_printf("%d%%", (int)job->percent);
    g_autofree char *rate = g_strdup_printf("%s/s", mig_show_size(job->rate));
    g_autofree char *dirty = g_strdup_printf("%s/s", mig_show_size(job->dirty_rate));

    mig_print_field("Job", job->id);
    mig_print_field("Kind", job->kind);
    mig_print_field("VM", job->vm);
    mig_print_field("From", job->source);
    mig_print_field("To", job->target);
    mig_print_field("State", job->state);
    mig_print_field("Priority", mig_show_int(job->priority));
    if (job->waits_for) {
        mig_print_field("Waits for", job->waits_for);
        mig_print_field("Position", mig_show_int(job->position));
    }
    mig_print_field("Outcome", job->outcome);
    mig_print_field("Error", job->error);
    mig_print_field("Message", job->message);
    mig_print_field("Started", mig_show_time(job->started));
    mig_print_field("Elapsed", mig_show_ms(job->elapsed_ms));
    mig_print_field("Done", percent);
    mig_print_field("Total", mig_show_size(job->total));
    mig_print_field("Transferred", mig_show_size(job->transferred));
    mig_print_field("Remaining", mig_show_size(job->remaining));
    mig_print_field("Rate", rate);
    mig_print_field("Dirty rate", dirty);
    mig_print_field("Iteration", mig_show_int(job->iteration));
    mig_print_field("Policy", job->policy);
    if (job->throttle) {
        g_autofree char *throttle = g_strdup_printf("by %d%%", (int)job->throttle);

        mig_print_field("Guest slowed", throttle);
    }
    mig_print_field("Post-copy", job->can_postcopy ? "possible" : "no");
    if (job->channels)
        mig_print_field("Connections", mig_show_int(job->channels));
    mig_print_field("Encrypted", mig_show_yes(job->encrypted));
    mig_print_field("Downtime limit", mig_show_ms(job->downtime_limit_ms));
    if (job->ended) {
        g_autofree char *blackout = show_blackout(job);

        mig_print_field("Downtime", mig_show_ms(job->downtime_ms));
        mig_print_field("Blackout", blackout);
    }
    if (job->forecast)
        print_expected(job->forecast);
    if (job->checks && job->checks->len) {
        puts("");
        print_checks(job->checks);
    }
    if (job->phases && job->phases->len) {
        puts("");
        print_phases(job->phases);
    }
    if (job->switchover && job->switchover->len) {
        puts("");
        print_moments(job->switchover);
    }
}

gboolean
mig_cmd_job_show(MigCli *cli, char **arguments, GError **error)
{
    MigJobRequest request = {.id = arguments[0]};
    g_autoptr(MigJobReply) reply =
        mig_cli_call(cli, "io.migrated.GetJob", &mig_type_JobRequest, &request, &mig_type_JobReply,
                     MIG_CLI_READ_TIMEOUT_MS, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_JobReply, reply, FALSE);
    else
        print_job(reply->job);
    return TRUE;
}

gboolean
mig_cmd_job_watch(MigCli *cli, char **arguments, GError **error)
{
    return mig_cli_follow_job(cli, NULL, arguments[0], error);
}

gboolean
mig_cmd_job_cancel(MigCli *cli, char **arguments, GError **error)
{
    MigJobRequest request = {.id = arguments[0]};
    g_autoptr(MigJobReply) reply = mig_cli_call(cli, "io.migrated.CancelJob", &mig_type_JobRequest,
                                                &request, &mig_type_JobReply, 0, error);
    const MigApiJob *job;

    if (!reply)
        return FALSE;
    job = reply->job;
    if (cli->json)
        mig_print_json(&mig_type_JobReply, reply, FALSE);
    else if (g_str_equal(job->state, "confirm"))
        mig_talk("job %s is past the point of no return; 'migratectl job watch %s' says what "
                 "becomes of it",
                 job->id, job->id);
    else
        mig_talk("job %s is being cancelled; VM %s stays on %s unless its guest has been handed "
                 "over meanwhile",
                 job->id, job->vm, job->source ? job->source : "its node");
    return TRUE;
}

gboolean
mig_cmd_job_set(MigCli *cli, char **arguments, GError **error)
{
    MigSetJobRequest request = {
        .id = arguments[0],
        .bandwidth = option_bandwidth_mib == 0 ? -1 : MAX((gint64)option_bandwidth_mib, 0) * MIB,
        .max_downtime_ms = option_max_downtime_ms,
        .postcopy_now = option_postcopy_now};
    g_autoptr(MigJobReply) reply = NULL;
    const MigApiJob *job;

    if (!mig_cli_check_range("--bandwidth", option_bandwidth_mib, -1, 1000000, error) ||
        !mig_cli_check_range("--max-downtime", option_max_downtime_ms, 0, 60000, error))
        return FALSE;
    if (!request.bandwidth && !request.max_downtime_ms && !request.postcopy_now) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE,
                    "nothing to set; name --bandwidth, --max-downtime or --postcopy-now");
        return FALSE;
    }
    reply = mig_cli_call(cli, "io.migrated.SetJob", &mig_type_SetJobRequest, &request,
                         &mig_type_JobReply, 0, error);
    if (!reply)
        return FALSE;
    job = reply->job;
    if (cli->json)
        mig_print_json(&mig_type_JobReply, reply, FALSE);
    else
        mig_talk("job %s: bandwidth %s%s, downtime at most %s%s", job->id,
                 job->bandwidth ? mig_show_size(job->bandwidth) : "without limit",
                 job->bandwidth ? "/s" : "", mig_show_ms(job->max_downtime_ms),
                 option_postcopy_now ? ", post-copy now" : "");
    return TRUE;
}

gboolean
mig_cmd_job_resume(MigCli *cli, char **arguments, GError **error)
{
    MigJobRequest request = {.id = arguments[0]};
    g_autoptr(MigJobReply) reply = mig_cli_call(cli, "io.migrated.ResumeJob", &mig_type_JobRequest,
                                                &request, &mig_type_JobReply, 0, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_JobReply, reply, FALSE);
    else
        mig_talk("job %s takes its link up again; 'migratectl job watch %s' follows it",
                 arguments[0], arguments[0]);
    return TRUE;
}

static void
print_misses(MigTable *table, const char *what, const MigApiMisses *misses)
{
    g_autofree char *count = g_strdup_printf("%d", (int)misses->count);
    g_autofree char *within = g_strdup_printf("%d", (int)misses->in_range);
    g_autofree char *median = g_strdup_printf("%d%%", (int)misses->median_percent);
    g_autofree char *most = g_strdup_printf("%d%%", (int)misses->p95_percent);
    g_autofree char *median_ms = g_strdup(mig_show_ms(misses->median_ms));

    mig_table_add(table, what, count, within, misses->count ? median : NULL,
                  misses->count ? most : NULL, misses->count ? median_ms : NULL,
                  misses->count ? mig_show_ms(misses->p95_ms) : NULL);
}

gboolean
mig_cmd_job_stats(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigJobStatsReply) reply =
        mig_cli_call(cli, "io.migrated.GetJobStats", &mig_type_Empty, NULL, &mig_type_JobStatsReply,
                     MIG_CLI_READ_TIMEOUT_MS, error);
    MigTable *table;

    if (!reply)
        return FALSE;
    if (cli->json) {
        mig_print_json(&mig_type_JobStatsReply, reply, FALSE);
        return TRUE;
    }
    table = mig_table_new((const char *const[]){"FORECAST OF", ">MOVES", ">IN RANGE", ">OFF BY",
                                                ">19 OF 20", ">OFF BY", ">19 OF 20", NULL});
    print_misses(table, "duration", reply->duration);
    print_misses(table, "downtime", reply->downtime);
    mig_table_print(table, FALSE);
    return TRUE;
}
