/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* times.c - the time model, asked for by people and held against the configuration. */
#include "times.h"

#include "api.h"

#include "base/error.h"
#include "drivers/multipath.h"

MigTimeSettings
mig_times_settings(const MigConfig *config)
{
    return (MigTimeSettings){.suspect_ms = config->suspect_after_ms,
                             .isolated_ms = config->isolated_after_ms,
                             .fence_delay_s = config->fence_delay_s,
                             .fence_timeout_s = config->fence_timeout_s};
}

gboolean
mig_times_check(const MigConfig *config, GError **error)
{
    const MigTimeSettings settings = mig_times_settings(config);
    g_autofree char *complaint = mig_timeouts_complaint(&settings);

    if (complaint)
        g_set_error_literal(error, MIG_ERROR, MIG_ERROR_CONFIG, complaint);
    return complaint == NULL;
}

gboolean
mig_times_check_volume(const MigConfig *config, MigCsv *csv, GError **error)
{
    const MigTimeSettings settings = mig_times_settings(config);
    gint64 queue_s = mig_multipath_queue_s(mig_csv_device(csv));
    g_autofree char *complaint =
        mig_timeouts_complaint_volume(&settings, mig_csv_io_timeout_s(csv), queue_s);

    if (complaint)
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG, "volume %s: %s", mig_csv_name(csv),
                    complaint);
    else if (queue_s == MIG_QUEUES_UNKNOWN)
        g_warning(
            "volume %s is behind multipath, and multipathd does not say for how long it queues "
            "I/O without paths: make sure that no_path_retry is shorter than %u s",
            mig_csv_name(csv), mig_timeouts_renewal_fails_s(mig_csv_io_timeout_s(csv)));
    return complaint == NULL;
}

static void
add_lines(GPtrArray *to, GPtrArray *lines, const char *volume)
{
    for (guint i = 0; i < lines->len; i++) {
        const MigTimeLine *line = g_ptr_array_index(lines, i);
        MigApiTime *time = mig_ApiTime_new();

        time->name = g_strdup(line->name);
        time->volume = g_strdup(volume);
        time->ms = line->ms;
        time->because = g_strdup(line->because);
        g_ptr_array_add(to, time);
    }
}

void
api_GetTimeouts(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    const MigTimeSettings settings = mig_times_settings(daemon->config);
    g_autoptr(MigTimeoutsReply) reply = mig_TimeoutsReply_new();
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);
    g_autoptr(GPtrArray) node = mig_timeouts_of_node(&settings);

    reply->times = mig_message_array_new(&mig_type_ApiTime);
    add_lines(reply->times, node, NULL);
    for (guint i = 0; i < volumes->len; i++) {
        MigAttached *attached = g_ptr_array_index(volumes, i);
        g_autoptr(GPtrArray) lines =
            mig_timeouts_of_volume(&settings, mig_csv_io_timeout_s(mig_attached_csv(attached)));

        add_lines(reply->times, lines, mig_attached_name(attached));
    }
    mig_rpc_call_reply(call, reply);
}
