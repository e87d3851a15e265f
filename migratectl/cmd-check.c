/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-check.c - could a VM move, and if not, why. */

#include "cli.h"
#include "output.h"

#include "base/error.h"

static gboolean option_all;

const GOptionEntry mig_options_check[] = {
    {"all", 0, 0, G_OPTION_ARG_NONE, &option_all, "All running VMs, a table of VMs and nodes",
     NULL},
    {NULL},
};

/* ---- one VM ---- */

char *
mig_show_range_ms(const MigApiRange *range)
{
    g_autofree char *likely = g_strdup(mig_show_ms(range->likely));
    g_autofree char *least = g_strdup(mig_show_ms(range->least));

    return g_strdup_printf("%s (%s to %s)", likely, least, mig_show_ms(range->most));
}

static void
print_forecast(const MigApiForecast *forecast)
{
    const MigApiRange *bytes = forecast->bytes;
    g_autofree char *duration = mig_show_range_ms(forecast->duration_ms);
    g_autofree char *downtime = mig_show_range_ms(forecast->downtime_ms);
    g_autofree char *likely = g_strdup(mig_show_size(bytes->likely));
    g_autofree char *least = g_strdup(mig_show_size(bytes->least));
    g_autofree char *dirty = forecast->dirty_rate < 0
                                 ? g_strdup("was not measured")
                                 : g_strdup_printf("%s/s", mig_show_size(forecast->dirty_rate));

    if (forecast->gives_up)
        mig_print_line("  would not end by itself: given up after %s",
                       mig_show_ms(((const MigApiRange *)forecast->duration_ms)->likely));
    else
        mig_print_line("  takes %s, stands still for %s", duration, downtime);
    mig_print_line("  sends %s (%s to %s)", likely, least, mig_show_size(bytes->most));
    g_autofree char *later =
        forecast->dirtied_ms > 0
            ? g_strdup_printf(" and %s in %s", mig_show_size(forecast->dirtied),
                              mig_show_ms(forecast->dirtied_ms))
            : g_strdup("");

    mig_print_line("  by: memory in use %s, dirtied %s%s, link %s%s; learnt from %d moves",
                   forecast->used ? mig_show_size(forecast->used) : "unknown", dirty, later,
                   forecast->link_rate ? mig_show_size(forecast->link_rate) : "unknown",
                   forecast->link_rate ? "/s" : "", (int)forecast->learnt_from);
}

/* Whole lines, on a narrow terminal too: what is cut off is what one wants to know. */
void
mig_print_verdict(const MigApiVerdict *verdict)
{
    mig_print_line("%s from %s to %s: %s", verdict->vm, verdict->source, verdict->target,
                   verdict->verdict);
    for (guint i = 0; i < verdict->checks->len; i++) {
        const MigApiCheck *check = g_ptr_array_index(verdict->checks, i);

        mig_print_line("  %-26s %-4s  %s", check->name, check->verdict, check->text);
        if (check->advice)
            mig_print_line("  %-26s       -> %s", "", check->advice);
    }
    if (verdict->forecast)
        print_forecast(verdict->forecast);
}

/* ---- VM x node ---- */

/* "pass", "here", or the first check that is not fine. */
static char *
cell(const GPtrArray *verdicts, const char *vm, const char *node)
{
    const MigApiVerdict *found = NULL;
    gboolean is_here = FALSE;

    for (guint i = 0; i < verdicts->len; i++) {
        const MigApiVerdict *verdict = g_ptr_array_index(verdicts, i);

        if (!g_str_equal(verdict->vm, vm))
            continue;
        is_here |= g_str_equal(verdict->source, node);
        if (g_str_equal(verdict->target, node))
            found = verdict;
    }
    if (!found)
        return g_strdup(is_here ? "here" : "-");
    for (guint i = 0; i < found->checks->len; i++) {
        const MigApiCheck *check = g_ptr_array_index(found->checks, i);

        if (!g_str_equal(found->verdict, "pass") && g_str_equal(check->verdict, found->verdict))
            return g_strdup_printf("%s %s", check->verdict, check->name);
    }
    return g_strdup(found->verdict);
}

static void
add_new(GPtrArray *names, const char *name)
{
    if (!g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
        g_ptr_array_add(names, (gpointer)name);
}

static int
by_name(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(char *const *)a, *(char *const *)b);
}

/* One line for each VM and node: nodes as columns would not fit where there are many. */
static void
print_matrix(const GPtrArray *verdicts)
{
    g_autoptr(GPtrArray) vms = g_ptr_array_new(), nodes = g_ptr_array_new();
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    MigTable *table;

    for (guint i = 0; i < verdicts->len; i++) {
        const MigApiVerdict *verdict = g_ptr_array_index(verdicts, i);

        add_new(vms, verdict->vm);
        add_new(nodes, verdict->source);
        add_new(nodes, verdict->target);
    }
    g_ptr_array_sort(nodes, by_name);
    g_ptr_array_add(headers, g_strdup("~VM"));
    for (guint i = 0; i < nodes->len; i++)
        g_ptr_array_add(headers, g_strconcat("~", g_ptr_array_index(nodes, i), NULL));
    g_ptr_array_add(headers, NULL);
    table = mig_table_new((const char *const *)headers->pdata);
    for (guint i = 0; i < vms->len; i++) {
        g_auto(GStrv) row = g_new0(char *, nodes->len + 2);

        row[0] = g_strdup(g_ptr_array_index(vms, i));
        for (guint k = 0; k < nodes->len; k++)
            row[k + 1] = cell(verdicts, row[0], g_ptr_array_index(nodes, k));
        mig_table_add_row(table, (const char *const *)row);
    }
    mig_table_print(table, TRUE);
}

/* ---- both ---- */

gboolean
mig_verdicts_are_fine(const GPtrArray *verdicts, GError **error)
{
    guint failed = 0;
    const char *first = NULL;

    for (guint i = 0; i < verdicts->len; i++) {
        const MigApiVerdict *verdict = g_ptr_array_index(verdicts, i);

        for (guint k = 0; k < verdict->checks->len; k++) {
            const MigApiCheck *check = g_ptr_array_index(verdict->checks, k);

            if (!g_str_equal(check->verdict, "fail"))
                continue;
            failed++;
            first = first ? first : check->name;
        }
    }
    if (failed == 0)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED, "%u check%s failed, the first is %s",
                failed, failed == 1 ? "" : "s", first);
    return FALSE;
}

gboolean
mig_cmd_check(MigCli *cli, char **arguments, GError **error)
{
    MigCheckVmRequest request = {.vm = arguments[0]};
    g_autoptr(MigCheckVmReply) reply = NULL;

    if (option_all == (arguments[0] != NULL)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE,
                    "name a VM, or all of them with --all; see \"migratectl check --help\"");
        return FALSE;
    }
    request.node = arguments[0] ? arguments[1] : NULL;
    reply = mig_cli_call(cli, "io.migrated.CheckVm", &mig_type_CheckVmRequest, &request,
                         &mig_type_CheckVmReply, 0, error);
    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_CheckVmReply, reply, FALSE);
    else if (option_all)
        print_matrix(reply->verdicts);
    else
        for (guint i = 0; i < reply->verdicts->len; i++) {
            if (i)
                mig_print_line("%s", "");
            mig_print_verdict(g_ptr_array_index(reply->verdicts, i));
        }
    return mig_verdicts_are_fine(reply->verdicts, error);
}

/* ---- cpu ---- */

gboolean
mig_cmd_cpu_baseline(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigCpuBaselineReply) reply =
        mig_cli_call(cli, "io.migrated.GetCpuBaseline", &mig_type_Empty, NULL,
                     &mig_type_CpuBaselineReply, MIG_CLI_READ_TIMEOUT_MS, error);
    g_auto(GStrv) lines = NULL;

    if (!reply)
        return FALSE;
    if (cli->json) {
        mig_print_json(&mig_type_CpuBaselineReply, reply, FALSE);
        return TRUE;
    }
    lines = g_strsplit(reply->cpu, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        if (*lines[i])
            mig_print_line("%s", lines[i]);
    }
    for (guint i = 0; reply->missing && reply->missing[i]; i++)
        mig_talk("%s does not answer: it is not known whether it can run that", reply->missing[i]);
    return TRUE;
}
