/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-move.c - moving a running VM to another node. */

#include "cli.h"
#include "output.h"

#define MIB (1024 * 1024)

static gint option_bandwidth_mib, option_max_downtime_ms, option_timeout_s, option_priority;
static char *option_policy;
static gboolean option_detach, option_no_wait, option_dry_run;

const GOptionEntry mig_options_move[] = {
    {"bandwidth", 0, 0, G_OPTION_ARG_INT, &option_bandwidth_mib, "Send no faster, MiB/s", "MIB"},
    {"max-downtime", 0, 0, G_OPTION_ARG_INT, &option_max_downtime_ms,
     "Longest standstill of the guest, ms", "MS"},
    {"timeout", 0, 0, G_OPTION_ARG_INT, &option_timeout_s,
     "Give up after so many seconds; the VM then stays", "S"},
    {"priority", 0, 0, G_OPTION_ARG_INT, &option_priority,
     "Place in the queue, 1 to 1000, high goes first", "N"},
    {"policy", 0, 0, G_OPTION_ARG_STRING, &option_policy,
     "fast, gentle, must-finish or never-postcopy", "POLICY"},
    {"no-wait", 0, 0, G_OPTION_ARG_NONE, &option_no_wait, "Fail where it would wait", NULL},
    {"detach", 0, 0, G_OPTION_ARG_NONE, &option_detach, "Start the move, print its job, and leave",
     NULL},
    {"dry-run", 0, 0, G_OPTION_ARG_NONE, &option_dry_run,
     "Only check, and say what the move would take", NULL},
    {NULL},
};

static gboolean
detach(MigCli *cli, const MigMoveVmRequest *request, GError **error)
{
    g_autoptr(MigJobReply) reply = mig_cli_call(cli, "io.migrated.MoveVm", &mig_type_MoveVmRequest,
                                                request, &mig_type_JobReply, 0, error);
    const MigApiJob *job;

    if (!reply)
        return FALSE;
    job = reply->job;
    if (cli->json) {
        mig_print_json(&mig_type_JobReply, reply, FALSE);
    } else {
        mig_print_line("%s", job->id);
        mig_talk("watch it with \"migratectl job watch %s\"", job->id);
    }
    return TRUE;
}

/* As "check" does, with the limits that the move would have. */
static gboolean
look(MigCli *cli, const MigMoveVmRequest *move, GError **error)
{
    MigCheckVmRequest request = {.vm = move->vm,
                                 .node = move->node,
                                 .bandwidth = move->bandwidth,
                                 .max_downtime_ms = move->max_downtime_ms,
                                 .policy = move->policy};
    g_autoptr(MigCheckVmReply) reply =
        mig_cli_call(cli, "io.migrated.CheckVm", &mig_type_CheckVmRequest, &request,
                     &mig_type_CheckVmReply, 0, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_CheckVmReply, reply, FALSE);
    else
        for (guint i = 0; i < reply->verdicts->len; i++)
            mig_print_verdict(g_ptr_array_index(reply->verdicts, i));
    return mig_verdicts_are_fine(reply->verdicts, error);
}

gboolean
mig_cmd_move(MigCli *cli, char **arguments, GError **error)
{
    MigMoveVmRequest request = {.vm = arguments[0],
                                .node = arguments[1],
                                .bandwidth = (gint64)option_bandwidth_mib * MIB,
                                .max_downtime_ms = option_max_downtime_ms,
                                .timeout_ms = (gint64)option_timeout_s * 1000,
                                .priority = option_priority,
                                .no_wait = option_no_wait,
                                .policy = option_policy};

    if (!mig_cli_check_range("--bandwidth", option_bandwidth_mib, 0, 1000000, error) ||
        !mig_cli_check_range("--max-downtime", option_max_downtime_ms, 0, 60000, error) ||
        !mig_cli_check_range("--timeout", option_timeout_s, 0, 7 * 86400, error) ||
        !mig_cli_check_range("--priority", option_priority, 0, 1000, error))
        return FALSE;
    if (option_dry_run)
        return look(cli, &request, error);
    if (option_detach)
        return detach(cli, &request, error);
    return mig_cli_follow_job(cli, &request, NULL, error);
}
