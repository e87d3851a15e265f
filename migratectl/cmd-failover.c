/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-failover.c - policies of a VM, why something was done, and what would be. */

#include "cli.h"
#include "output.h"

#include "base/error.h"

static char *
names(char **list)
{
    return list && *list ? g_strjoinv(",", list) : g_strdup("none");
}

gboolean
mig_cmd_vm_set(MigCli *cli, char **arguments, GError **error)
{
    MigSetVmRequest request = {.name = arguments[0], .settings = arguments + 1};
    g_autoptr(MigVmReply) reply = mig_cli_call(cli, "io.migrated.SetVm", &mig_type_SetVmRequest,
                                               &request, &mig_type_VmReply, 0, error);
    const MigApiVm *vm;

    if (!reply)
        return FALSE;
    vm = reply->vm;
    if (cli->json) {
        mig_print_json(&mig_type_VmReply, reply, FALSE);
    } else {
        g_autofree char *with = names(vm->affinity), *apart = names(vm->anti_affinity);
        g_autofree char *after = names(vm->start_after);

        mig_talk(
            "VM %s: restart=%s priority=%s on_isolation=%s prefer=%s move_policy=%s affinity=%s "
            "anti_affinity=%s start_after=%s",
            vm->name, vm->restart, mig_show_int(vm->priority), vm->on_isolation,
            vm->prefer ? vm->prefer : "none", vm->move_policy ? vm->move_policy : "default", with,
            apart, after);
    }
    return TRUE;
}

gboolean
mig_cmd_why(MigCli *cli, char **arguments, GError **error)
{
    MigListEventsRequest request = {.name = arguments[0]};
    g_autoptr(MigListEventsReply) reply =
        mig_cli_call(cli, "io.migrated.ListEvents", &mig_type_ListEventsRequest, &request,
                     &mig_type_ListEventsReply, MIG_CLI_READ_TIMEOUT_MS, error);

    if (!reply)
        return FALSE;
    if (cli->json) {
        mig_print_json(&mig_type_ListEventsReply, reply, FALSE);
        return TRUE;
    }
    for (guint i = 0; i < reply->events->len; i++) {
        const MigApiEvent *event = g_ptr_array_index(reply->events, i);

        mig_print_line("%s.%03d  %s  %s: %s: %s", mig_show_time(event->at), (int)(event->at % 1000),
                       event->node, event->subject, event->what, event->text);
    }
    if (reply->events->len == 0)
        mig_talk("nothing was decided about %s, as far as the nodes that answer know",
                 arguments[0]);
    return TRUE;
}

gboolean
mig_cmd_whatif(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[1]};
    g_autoptr(MigPlanReply) reply = NULL;
    MigTable *table;

    if (!g_str_equal(arguments[0], "node-down")) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE,
                    "what if what? 'migratectl whatif node-down NODE' is possible");
        return FALSE;
    }
    reply = mig_cli_call(cli, "io.migrated.PlanNodeDown", &mig_type_NameRequest, &request,
                         &mig_type_PlanReply, MIG_CLI_READ_TIMEOUT_MS, error);
    if (!reply)
        return FALSE;
    if (cli->json) {
        mig_print_json(&mig_type_PlanReply, reply, FALSE);
        return TRUE;
    }
    table = mig_table_new(
        (const char *const[]){"~VM", ">PRIORITY", ">MEMORY", "~STARTS ON", "~WHY", NULL});
    for (guint i = 0; i < reply->plan->len; i++) {
        const MigApiPlan *plan = g_ptr_array_index(reply->plan, i);

        mig_table_add(table, plan->vm, mig_show_int(plan->priority), mig_show_size(plan->memory),
                      plan->node ? plan->node : "nowhere", plan->why);
    }
    mig_table_print(table, TRUE);
    return TRUE;
}

gboolean
mig_cmd_timeouts(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigTimeoutsReply) reply =
        mig_cli_call(cli, "io.migrated.GetTimeouts", &mig_type_Empty, NULL, &mig_type_TimeoutsReply,
                     MIG_CLI_READ_TIMEOUT_MS, error);
    MigTable *table;

    if (!reply)
        return FALSE;
    if (cli->json) {
        mig_print_json(&mig_type_TimeoutsReply, reply, FALSE);
        return TRUE;
    }
    table = mig_table_new((const char *const[]){"~VOLUME", "~TIME", ">LASTS", "~BECAUSE", NULL});
    for (guint i = 0; i < reply->times->len; i++) {
        const MigApiTime *time = g_ptr_array_index(reply->times, i);

        mig_table_add(table, time->volume ? time->volume : "-", time->name, mig_show_ms(time->ms),
                      time->because);
    }
    mig_table_print(table, TRUE);
    return TRUE;
}
