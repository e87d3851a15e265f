/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store-file.c - jobs to files and back. */
#include "drivers/store-file.h"

#include "base/error.h"
#include "base/io.h"
#include "core/queue.h"

#include <glib/gstdio.h>
#include <string.h>

struct MigStoreFile {
    char *directory;
    guint keep;
    MigStore port;
};

/* What a job says that was cancelled and is done. */
#define TOO_LATE "cancelled too late: the point of no return was passed"

#define FILE_MAX_BYTES (256 * 1024)

/* ---- MigJob <-> MigApiJob ---- */

GPtrArray *
mig_checks_to_message(const GPtrArray *checks)
{
    GPtrArray *messages = mig_message_array_new(&mig_type_ApiCheck);

    for (guint i = 0; i < checks->len; i++) {
        const MigCheck *check = g_ptr_array_index(checks, i);
        MigApiCheck *message = mig_ApiCheck_new();

        message->name = g_strdup(check->name);
        message->verdict = g_strdup(mig_verdict_name(check->verdict));
        message->text = g_strdup(check->text);
        message->advice = g_strdup(check->advice);
        g_ptr_array_add(messages, message);
    }
    return messages;
}

static GPtrArray *
moments_to_message(const MigJob *job)
{
    GPtrArray *messages = mig_message_array_new(&mig_type_ApiMoment);

    for (guint i = 0; i < job->switchover->len; i++) {
        const MigMoment *moment = &g_array_index(job->switchover, MigMoment, i);
        MigApiMoment *message = mig_ApiMoment_new();

        message->what = g_strdup(moment->what);
        message->node = g_strdup(moment->on_target ? job->target : job->source);
        message->from_us = moment->after.from_us;
        message->to_us = moment->after.to_us;
        g_ptr_array_add(messages, message);
    }
    return messages;
}

static MigApiRange *
range_to_message(const MigRange *range)
{
    MigApiRange *message = mig_ApiRange_new();

    message->likely = range->likely;
    message->least = range->least;
    message->most = range->most;
    return message;
}

MigApiForecast *
mig_forecast_to_message(const MigForecast *forecast)
{
    MigApiForecast *message;

    if (!forecast->is_made)
        return NULL;
    message = mig_ApiForecast_new();
    message->duration_ms = range_to_message(&forecast->expected.duration_ms);
    message->downtime_ms = range_to_message(&forecast->expected.downtime_ms);
    message->bytes = range_to_message(&forecast->expected.bytes);
    message->gives_up = forecast->expected.gives_up;
    message->learnt_from = forecast->expected.n_past;
    message->used = (gint64)forecast->used_bytes;
    message->dirty_rate =
        forecast->dirtied.ms
            ? (gint64)(forecast->dirtied.bytes * 1000 / (guint64)forecast->dirtied.ms)
            : -1;
    message->dirtied = (gint64)forecast->later.bytes;
    message->dirtied_ms = forecast->later.ms;
    message->busy = forecast->busy_percent;
    message->moved_here = forecast->has_moved;
    message->link_rate = (gint64)forecast->link_bytes_s;
    return message;
}

MigApiJob *
mig_job_to_message(const MigJob *job, gint64 now_ms)
{
    MigApiJob *to = mig_ApiJob_new();
    const MigProgress *progress = &job->progress;
    gboolean has_ended = mig_job_has_ended(job);

    to->id = g_strdup(job->id);
    to->kind = g_strdup(job->by_virsh ? "virsh" : "move");
    to->vm = g_strdup(job->vm);
    to->uuid = g_strdup(job->uuid);
    to->volume = g_strdup(job->volume);
    to->slot = job->slot;
    to->images = g_strdupv(job->images);
    to->memory = (gint64)job->memory_bytes;
    to->source = g_strdup(job->source);
    to->target = g_strdup(job->target);
    to->state = g_strdup(mig_job_state_name(job->state));
    to->ended = has_ended;
    if (has_ended || job->has_arrived)
        to->outcome = g_strdup(mig_job_state_name(has_ended ? job->state : MIG_JOB_STATE_DONE));
    if (job->error) {
        to->error = g_strdup(mig_error_name(job->error->code));
        to->message = g_strdup(job->error->message);
    } else if (job->state == MIG_JOB_STATE_DONE && job->cancel_wanted) {
        to->message = g_strdup_printf(TOO_LATE "; %s runs on %s", job->vm, job->target);
    }
    to->started = job->started_ms;
    to->elapsed_ms =
        has_ended || job->has_arrived ? job->elapsed_ms : MAX(now_ms - job->started_ms, 0);
    to->total = (gint64)progress->total_bytes;
    to->transferred = (gint64)progress->transferred_bytes;
    to->remaining = (gint64)progress->remaining_bytes;
    to->rate = (gint64)progress->rate_bytes_s;
    to->dirty_rate = (gint64)progress->dirty_rate_bytes_s;
    to->iteration = (gint64)progress->iteration;
    if (job->state == MIG_JOB_STATE_DONE || job->has_arrived)
        to->percent = 100;
    else if (progress->total_bytes)
        to->percent = (gint64)(100 - 100 * progress->remaining_bytes / progress->total_bytes);
    to->downtime_ms = progress->downtime_ms;
    to->blackout_ms = job->blackout_ms;
    to->blackout_within_ms = job->blackout_within_ms;
    to->switchover = moments_to_message(job);
    to->first_round = (gint64)job->first_bytes;
    to->forecast = mig_forecast_to_message(&job->forecast);
    to->downtime_limit_ms = job->downtime_limit_ms;
    to->bandwidth = (gint64)job->bandwidth_bytes_s;
    to->max_downtime_ms = job->max_downtime_ms;
    to->timeout_ms = job->timeout_ms;
    to->lease_version = (gint64)job->lease_version;
    to->outrun = job->is_outrun;
    to->priority = job->priority;
    to->position = job->position;
    to->waits_for = g_strdup(job->waits_for);
    to->encrypted = job->is_encrypted;
    to->policy = g_strdup(mig_policy_kind_name(job->policy));
    to->throttle = progress->throttle_percent;
    to->can_postcopy = job->can_postcopy;
    to->postcopy_wanted = job->postcopy_wanted;
    to->cancel_wanted = job->cancel_wanted;
    to->ram_address = g_strdup(job->ram_address);
    to->channels = job->channels;
    to->phases = mig_message_array_new(&mig_type_ApiPhase);
    for (guint i = 0; i < job->phases->len; i++) {
        const MigJobPhase *phase = g_ptr_array_index(job->phases, i);
        MigApiPhase *out = mig_ApiPhase_new();

        out->state = g_strdup(mig_job_state_name(phase->state));
        out->at = phase->at_ms;
        out->took_ms = phase->took_ms;
        out->why = g_strdup(phase->why);
        g_ptr_array_add(to->phases, out);
    }
    to->checks = mig_checks_to_message(job->checks);
    return to;
}

static void
read_phases(MigJob *job, const GPtrArray *phases)
{
    for (guint i = 0; phases && i < phases->len; i++) {
        const MigApiPhase *phase = g_ptr_array_index(phases, i);
        MigJobPhase *to = g_new0(MigJobPhase, 1);

        to->state = mig_sm_find(&mig_job_sm, phase->state);
        if (to->state >= mig_job_sm.count)
            to->state = MIG_JOB_STATE_BEGIN;
        to->at_ms = phase->at;
        to->took_ms = phase->took_ms;
        to->why = g_strdup(phase->why);
        g_ptr_array_add(job->phases, to);
    }
}

static void
read_moments(MigJob *job, const GPtrArray *moments)
{
    for (guint i = 0; moments && i < moments->len; i++) {
        const MigApiMoment *from = g_ptr_array_index(moments, i);
        const MigMoment moment = {.what = mig_moment_name(from->what),
                                  .on_target = g_str_equal(from->node, job->target),
                                  .after = {from->from_us, from->to_us}};

        if (moment.what) /* else of a later version */
            g_array_append_val(job->switchover, moment);
    }
}

MigRange
mig_range_from_message(const MigApiRange *from)
{
    return (MigRange){.likely = from->likely, .least = from->least, .most = from->most};
}

static void
read_forecast(MigForecast *to, const MigApiForecast *from)
{
    if (!from)
        return;
    to->is_made = TRUE;
    to->used_bytes = (guint64)MAX(from->used, 0);
    if (from->dirty_rate >= 0)
        to->dirtied = (MigDirtied){.ms = 1000, .bytes = (guint64)from->dirty_rate};
    if (from->dirtied_ms > 0)
        to->later = (MigDirtied){.ms = from->dirtied_ms, .bytes = (guint64)MAX(from->dirtied, 0)};
    to->busy_percent = (guint)CLAMP(from->busy, 0, 100);
    to->has_moved = from->moved_here;
    to->link_bytes_s = (guint64)MAX(from->link_rate, 0);
    to->expected = (MigPrediction){.duration_ms = mig_range_from_message(from->duration_ms),
                                   .downtime_ms = mig_range_from_message(from->downtime_ms),
                                   .bytes = mig_range_from_message(from->bytes),
                                   .gives_up = from->gives_up,
                                   .n_past = (guint)CLAMP(from->learnt_from, 0, G_MAXINT)};
}

MigJob *
mig_job_from_message(const MigApiJob *from, GError **error)
{
    guint state = mig_sm_find(&mig_job_sm, from->state);

    if (state >= mig_job_sm.count || !from->vm || !from->uuid || !from->volume || !from->source ||
        !from->target) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "job %s is not whole", from->id);
        return NULL;
    }
    MigJob *job = mig_job_new(from->id);

    job->state = state;
    job->vm = g_strdup(from->vm);
    job->uuid = g_strdup(from->uuid);
    job->volume = g_strdup(from->volume);
    job->slot = (guint32)from->slot;
    job->images = from->images ? g_strdupv(from->images) : g_new0(char *, 1);
    job->memory_bytes = (guint64)from->memory;
    job->source = g_strdup(from->source);
    job->target = g_strdup(from->target);
    job->started_ms = from->started;
    job->elapsed_ms = from->elapsed_ms;
    job->progress.total_bytes = (guint64)from->total;
    job->progress.transferred_bytes = (guint64)from->transferred;
    job->progress.remaining_bytes = (guint64)from->remaining;
    job->progress.iteration = (guint64)from->iteration;
    job->progress.rate_bytes_s = (guint64)MAX(from->rate, 0);
    job->first_bytes = (guint64)MAX(from->first_round, 0);
    read_forecast(&job->forecast, from->forecast);
    job->progress.downtime_ms = from->downtime_ms;
    job->blackout_ms = from->blackout_ms;
    job->blackout_within_ms = from->blackout_within_ms;
    read_moments(job, from->switchover);
    job->downtime_limit_ms = (guint)from->downtime_limit_ms;
    job->bandwidth_bytes_s = (guint64)from->bandwidth;
    job->max_downtime_ms = (guint)CLAMP(from->max_downtime_ms, 0, G_MAXINT);
    job->timeout_ms = (guint)CLAMP(from->timeout_ms, 0, G_MAXINT);
    job->lease_version = (guint64)from->lease_version;
    job->is_outrun = from->outrun;
    /* whoever has been told that it is done has been told the truth */
    job->has_arrived = !mig_job_has_ended(job) && g_strcmp0(from->outcome, "done") == 0;
    job->priority = (guint)CLAMP(from->priority, 0, MIG_PRIORITY_MAX);
    job->is_encrypted = from->encrypted;
    if (!mig_policy_kind_from_name(from->policy, &job->policy))
        job->policy = MIG_POLICY_UNSET; /* of a later version */
    job->can_postcopy = from->can_postcopy;
    job->postcopy_wanted = from->postcopy_wanted;
    job->ram_address = g_strdup(from->ram_address);
    job->channels = (guint)CLAMP(from->channels, 0, G_MAXUINT8);
    job->by_virsh = g_strcmp0(from->kind, "virsh") == 0;
    if (from->error)
        job->error = g_error_new(MIG_ERROR, mig_error_from_name(from->error), "%s",
                                 from->message ? from->message : "");
    /* of an older version: only the text of one that is done tells it */
    job->cancel_wanted = from->cancel_wanted || (state == MIG_JOB_STATE_DONE && from->message);
    read_phases(job, from->phases);
    for (guint i = 0; from->checks && i < from->checks->len; i++) {
        const MigApiCheck *check = g_ptr_array_index(from->checks, i);

        g_ptr_array_add(job->checks,
                        mig_check_new(check->name, mig_verdict_from_name(check->verdict),
                                      g_strdup(check->text), check->advice));
    }
    return job;
}

/* ---- files ---- */

static gboolean
store_save(gpointer self, const MigJob *job, GError **error)
{
    MigStoreFile *file = self;
    g_autoptr(MigApiJob) message = mig_job_to_message(job, g_get_real_time() / 1000);
    g_autofree char *json = mig_message_encode(&mig_type_ApiJob, message, TRUE);
    g_autofree char *name = g_strconcat(job->id, ".json", NULL);
    g_autofree char *path = g_build_filename(file->directory, name, NULL);

    return mig_io_write_file(path, json, strlen(json), 0600, error);
}

static gint
by_age(gconstpointer a, gconstpointer b)
{
    const MigJob *left = *(MigJob *const *)a, *right = *(MigJob *const *)b;

    return left->started_ms < right->started_ms ? -1 : left->started_ms > right->started_ms;
}

static void
forget_old(MigStoreFile *file, GPtrArray *jobs)
{
    guint i = 0;

    while (jobs->len > file->keep && i < jobs->len) {
        const MigJob *job = g_ptr_array_index(jobs, i);

        if (!mig_job_has_ended(job)) {
            i++;
            continue;
        }
        g_autofree char *name = g_strconcat(job->id, ".json", NULL);
        g_autofree char *path = g_build_filename(file->directory, name, NULL);

        g_unlink(path);
        g_ptr_array_remove_index(jobs, i);
    }
}

GPtrArray *
mig_store_file_load(MigStoreFile *file)
{
    GPtrArray *jobs = g_ptr_array_new_with_free_func((GDestroyNotify)mig_job_free);
    g_autoptr(GDir) directory = g_dir_open(file->directory, 0, NULL);
    const char *name;

    while (directory && (name = g_dir_read_name(directory))) {
        g_autofree char *path = g_build_filename(file->directory, name, NULL);
        g_autofree char *json = NULL;
        g_autoptr(MigApiJob) message = NULL;
        g_autoptr(GError) error = NULL;
        MigJob *job = NULL;
        gsize length = 0;

        if (!g_str_has_suffix(name, ".json"))
            continue;
        json = mig_io_read_file(path, FILE_MAX_BYTES, &length, &error);
        if (json)
            message = mig_message_decode_record(&mig_type_ApiJob, json, length, &error);
        if (message)
            job = mig_job_from_message(message, &error);
        if (job)
            g_ptr_array_add(jobs, job);
        else
            g_warning("journal %s is left alone: %s", path, error->message);
    }
    g_ptr_array_sort(jobs, by_age);
    forget_old(file, jobs);
    return jobs;
}

MigStoreFile *
mig_store_file_new(const char *directory, guint keep, GError **error)
{
    if (!mig_io_make_dir(directory, 0700, error))
        return NULL;
    MigStoreFile *file = g_new0(MigStoreFile, 1);

    file->directory = g_strdup(directory);
    file->keep = keep;
    file->port = (MigStore){.self = file, .save = store_save};
    return file;
}

void
mig_store_file_free(MigStoreFile *file)
{
    if (!file)
        return;
    g_free(file->directory);
    g_free(file);
}

const MigStore *
mig_store_file_port(MigStoreFile *file)
{
    return &file->port;
}

gboolean
mig_store_write_lines(const char *path, const char *const *lines, GError **error)
{
    g_autofree char *text = g_strjoinv("\n", (char **)lines);

    return mig_io_write_file(path, text, strlen(text), 0600, error);
}

char **
mig_store_read_lines(const char *path)
{
    g_autofree char *text = mig_io_read_file(path, FILE_MAX_BYTES, NULL, NULL);

    if (!text || *text == '\0')
        return g_new0(char *, 1);
    return g_strsplit(text, "\n", 0);
}
