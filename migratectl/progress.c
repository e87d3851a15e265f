/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* progress.c - following a job to its end: display, Ctrl-C, a daemon that restarts meanwhile. */

#include "cli.h"
#include "output.h"

#include "base/error.h"
#include "base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Ctrl-C asks the daemon to cancel the job, and goes on waiting: the end is still shown, whichever
 * it is. A second Ctrl-C only leaves; the job goes on by itself. Signals are taken by a thread of
 * their own, because the main thread sits in a blocking call.
 *
 * A migrated that is restarted adopts its moves, so a lost connection is no verdict: the job is
 * asked for again for a while.
 */

#define RECONNECT_S      20
#define LINE_INTERVAL_US G_USEC_PER_SEC /* without a terminal */

typedef struct {
    MigCli *cli;
    gboolean is_move;
    guint columns; /* of stderr; 0: not a terminal */
    gboolean line_open;
    char *shown_state;
    gint64 shown_us;
    GCancellable *leave;

    GMutex lock;
    GCond has_id;
    char *job_id; /* under lock: the signal thread waits for it */
} Follow;

/* ---- the signal thread ---- */

static gpointer
cancel_job(gpointer data)
{
    Follow *follow = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRpcClient) client = NULL;
    g_autoptr(MigJobReply) reply = NULL;
    g_autofree char *id = NULL;
    MigJobRequest request = {0};

    g_mutex_lock(&follow->lock);
    while (!follow->job_id)
        g_cond_wait(&follow->has_id, &follow->lock);
    id = g_strdup(follow->job_id);
    g_mutex_unlock(&follow->lock);

    request.id = id;
    client = mig_cli_connect(follow->cli, &error);
    if (client)
        reply = mig_rpc_client_call(client, "io.migrated.CancelJob", &mig_type_JobRequest, &request,
                                    &mig_type_JobReply, MIG_CLI_READ_TIMEOUT_MS, NULL, &error);
    if (!reply)
        mig_talk("migratectl: not cancelled: %s", error->message);
    return NULL;
}

static gpointer
signal_thread(gpointer data)
{
    Follow *follow = data;
    sigset_t set;
    int number;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigwait(&set, &number);
    fputs("\nmigratectl: cancelling; Ctrl-C again leaves without waiting\n", stderr);
    {
        g_autoptr(GThread) canceller = g_thread_new("cancel", cancel_job, follow);

        sigwait(&set, &number);
        g_cancellable_cancel(follow->leave);
    }
    return NULL;
}

/* ---- the display ---- */

static char *
describe(const MigApiJob *job)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_append_printf(text, "%3d%% %s", (int)CLAMP(job->percent, 0, 100), job->state);
    if (job->waits_for)
        g_string_append_printf(text, "  %d. in line, waits for %s", (int)job->position,
                               job->waits_for);
    if (job->transferred || job->total)
        g_string_append_printf(text, "  sent %s left %s", mig_show_short(job->transferred),
                               mig_show_short(job->remaining));
    if (job->rate)
        g_string_append_printf(text, "  %s/s", mig_show_short(job->rate));
    if (job->dirty_rate)
        g_string_append_printf(text, " dirty %s/s", mig_show_short(job->dirty_rate));
    if (job->throttle)
        g_string_append_printf(text, " slowed %d%%", (int)job->throttle);
    if (job->iteration)
        g_string_append_printf(text, "  pass %d", (int)job->iteration);
    g_string_append_printf(text, "  %.1fs", (double)job->elapsed_ms / 1000);
    return mig_log_escape(text->str);
}

/* What is left of the line becomes the bar: "[####......] " */
static char *
draw_bar(gint64 percent, guint room)
{
    guint width = room > 40 ? 40 : room;
    g_autofree char *done = NULL;
    g_autofree char *rest = NULL;
    guint filled;

    if (width < 8)
        return g_strdup("");
    width -= 3;
    filled = (guint)(CLAMP(percent, 0, 100) * width / 100);
    done = g_strnfill(filled, '#');
    rest = g_strnfill(width - filled, '.');
    return g_strdup_printf("[%s%s] ", done, rest);
}

static void
paint(Follow *follow, const MigApiJob *job)
{
    g_autofree char *text = describe(job);
    guint length = (guint)g_utf8_strlen(text, -1);
    guint room = follow->columns - 1;

    if (length > room) {
        *g_utf8_offset_to_pointer(text, room) = '\0';
        length = room;
    }
    {
        g_autofree char *bar = draw_bar(job->percent, room - length);

        fprintf(stderr, "\r%s%s\033[K", bar, text);
    }
    follow->line_open = TRUE;
}

static void
write_line(Follow *follow, const MigApiJob *job)
{
    gint64 now = g_get_monotonic_time();
    gboolean changed = g_strcmp0(follow->shown_state, job->state) != 0;
    g_autofree char *text = NULL;

    if (!changed && now - follow->shown_us < LINE_INTERVAL_US)
        return;
    text = describe(job);
    fprintf(stderr, "%s\n", text);
    follow->shown_us = now;
    g_free(follow->shown_state);
    follow->shown_state = g_strdup(job->state);
}

static void
close_line(Follow *follow)
{
    if (follow->line_open)
        fputs("\r\033[K", stderr);
    follow->line_open = FALSE;
}

static void
on_progress(gconstpointer data, gpointer user_data)
{
    Follow *follow = user_data;
    const MigJobReply *reply = data;
    const MigApiJob *job = reply->job;

    g_mutex_lock(&follow->lock);
    if (!follow->job_id) {
        follow->job_id = g_strdup(job->id);
        g_cond_signal(&follow->has_id);
    }
    g_mutex_unlock(&follow->lock);
    if (follow->cli->json)
        mig_print_json(&mig_type_JobReply, reply, TRUE);
    else if (follow->columns)
        paint(follow, job);
    else
        write_line(follow, job);
}

/* ---- the end ---- */

static void
print_failed_checks(const MigApiJob *job)
{
    for (guint i = 0; job->checks && i < job->checks->len; i++) {
        const MigApiCheck *check = job->checks->pdata[i];

        if (!g_str_equal(check->verdict, "pass"))
            mig_talk("check %s: %s: %s%s%s", check->name, check->verdict, check->text,
                     check->advice ? "; " : "", check->advice ? check->advice : "");
    }
}

static gboolean
conclude(Follow *follow, const MigJobReply *reply, GError **error)
{
    const MigApiJob *job = reply->job;

    if (follow->cli->json)
        mig_print_json(&mig_type_JobReply, reply, TRUE);
    if (!job->ended && !job->outcome) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL,
                    "migrated stopped reporting on job %s in state %s; see \"migratectl job show "
                    "%s\"",
                    job->id, job->state, job->id);
        return FALSE;
    }
    if (g_strcmp0(job->outcome, "done") == 0) {
        if (!follow->cli->json)
            mig_print_line("%s moved from %s to %s in %s; downtime %s%s%s, sent %s", job->vm,
                           job->source, job->target, mig_show_ms(job->elapsed_ms),
                           mig_show_ms(job->downtime_ms),
                           job->blackout_ms >= 0 ? ", blackout " : "",
                           job->blackout_ms >= 0 ? mig_show_ms(job->blackout_ms) : "",
                           mig_show_size(job->transferred));
        if (job->message)
            mig_talk("migratectl: %s", job->message);
        return TRUE;
    }
    if (!follow->cli->json)
        print_failed_checks(job);
    if (g_strcmp0(job->outcome, "cancelled") == 0)
        g_set_error(error, MIG_ERROR, MIG_ERROR_CANCELLED, "job %s cancelled; %s runs on %s",
                    job->id, job->vm, job->source ? job->source : "its node");
    else
        g_set_error(error, MIG_ERROR,
                    job->error ? (int)mig_error_from_name(job->error) : (int)MIG_ERROR_MOVE_FAILED,
                    "%s was not moved: %s", job->vm, job->message ? job->message : job->state);
    return FALSE;
}

/* ---- asking ---- */

static MigJobReply *
watch(Follow *follow, MigRpcClient *client, const char *id, GError **error)
{
    MigJobRequest request = {.id = (char *)id};

    return mig_rpc_client_call_more(client, "io.migrated.WatchJob", &mig_type_JobRequest, &request,
                                    &mig_type_JobReply, on_progress, follow, 0, follow->leave,
                                    error);
}

/* The daemon went away under a job that it had told us about. */
static MigJobReply *
watch_again(Follow *follow, GError **error)
{
    gint64 until = g_get_monotonic_time() + RECONNECT_S * G_USEC_PER_SEC;

    close_line(follow);
    mig_talk("migratectl: lost migrated; the move goes on, looking for it again");
    for (;;) {
        g_autoptr(GError) bad = NULL;
        g_autoptr(MigRpcClient) client = mig_cli_connect(follow->cli, &bad);
        MigJobReply *reply = client ? watch(follow, client, follow->job_id, &bad) : NULL;

        if (reply)
            return reply;
        if (!g_error_matches(bad, MIG_ERROR, MIG_ERROR_NO_DAEMON) ||
            g_get_monotonic_time() > until) {
            g_propagate_error(error, g_steal_pointer(&bad));
            return NULL;
        }
        g_usleep(G_USEC_PER_SEC / 4);
    }
}

static MigJobReply *
ask(Follow *follow, const MigMoveVmRequest *move, GError **error)
{
    g_autoptr(MigRpcClient) client = mig_cli_connect(follow->cli, error);
    g_autoptr(GError) bad = NULL;
    MigJobReply *reply;

    if (!client)
        return NULL;
    if (move)
        reply = mig_rpc_client_call_more(client, "io.migrated.MoveVm", &mig_type_MoveVmRequest,
                                         move, &mig_type_JobReply, on_progress, follow, 0,
                                         follow->leave, &bad);
    else
        reply = watch(follow, client, follow->job_id, &bad);
    if (reply)
        return reply;
    if (follow->job_id && g_error_matches(bad, MIG_ERROR, MIG_ERROR_NO_DAEMON))
        return watch_again(follow, error);
    g_propagate_error(error, g_steal_pointer(&bad));
    return NULL;
}

gboolean
mig_cli_follow_job(MigCli *cli, const MigMoveVmRequest *move, const char *job_id, GError **error)
{
    /* static: the signal thread may outlive this function, up to the end of the process */
    static Follow follow;
    g_autoptr(MigJobReply) reply = NULL;
    g_autoptr(GError) bad = NULL;
    sigset_t set;

    follow.cli = cli;
    follow.is_move = move != NULL;
    follow.columns = mig_terminal_columns(STDERR_FILENO);
    follow.job_id = g_strdup(job_id);
    follow.leave = g_cancellable_new();
    if (move) {
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        g_thread_unref(g_thread_new("signals", signal_thread, &follow));
    }
    reply = ask(&follow, move, &bad);
    close_line(&follow);
    if (reply)
        return conclude(&follow, reply, error);
    if (g_cancellable_is_cancelled(follow.leave)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CANCELLED,
                    "left; the job may still run, see \"migratectl job show %s\"",
                    follow.job_id ? follow.job_id : "ID");
        return FALSE;
    }
    g_propagate_error(error, g_steal_pointer(&bad));
    return FALSE;
}
