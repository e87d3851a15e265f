/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-status.c - the whole cluster on one screen; and the names for shell completion. */

#include "cli.h"
#include "output.h"
#include "tables.h"

#include <stdio.h>
#include <string.h>

gboolean
mig_cmd_status(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigStatusReply) status =
        mig_cli_call(cli, "io.migrated.GetStatus", &mig_type_Empty, NULL, &mig_type_StatusReply,
                     MIG_CLI_READ_TIMEOUT_MS, error);

    if (!status)
        return FALSE;
    if (cli->json) {
        mig_print_json(&mig_type_StatusReply, status, FALSE);
        return TRUE;
    }
    mig_print_line("As seen by %s (migrated %s)", status->node, status->version);
    puts("");
    mig_print_nodes(status->nodes);
    if (status->volumes->len) {
        puts("");
        mig_print_volumes(status->volumes);
    }
    if (status->vms->len) {
        puts("");
        mig_print_vms(status->vms);
    }
    if (mig_count_running_jobs(status->jobs)) {
        puts("");
        mig_print_jobs(status->jobs, TRUE);
    }
    for (guint i = 0; status->warnings && status->warnings[i]; i++)
        mig_print_line("%sWarning: %s", i ? "" : "\n", status->warnings[i]);
    return TRUE;
}

/* Names go into a shell's word list: whatever is not a plain name is left out. */
static void
print_name(const char *name)
{
    if (name && *name &&
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
            strlen(name))
        puts(name);
}

static void
print_image_names(MigCli *cli, const char *volume)
{
    MigListImagesRequest request = {.volume = (char *)volume};
    g_autoptr(MigListImagesReply) reply =
        mig_cli_call(cli, "io.migrated.ListImages", &mig_type_ListImagesRequest, &request,
                     &mig_type_ListImagesReply, MIG_CLI_READ_TIMEOUT_MS, NULL);

    for (guint i = 0; reply && i < reply->images->len; i++)
        print_name(((MigApiImage *)reply->images->pdata[i])->name);
}

/* "_names vm|node|volume|job" or "_names image VOLUME", for completion: silent when it cannot. */
gboolean
mig_cmd_names(MigCli *cli, char **arguments, GError **error)
{
    const char *kind = arguments[0];
    g_autoptr(MigStatusReply) status = NULL;

    if (g_str_equal(kind, "image")) {
        print_image_names(cli, arguments[1]);
        return TRUE;
    }
    status = mig_cli_call(cli, "io.migrated.GetStatus", &mig_type_Empty, NULL,
                          &mig_type_StatusReply, MIG_CLI_READ_TIMEOUT_MS, NULL);
    if (!status)
        return TRUE;
    for (guint i = 0; g_str_equal(kind, "node") && i < status->nodes->len; i++)
        print_name(((MigApiNode *)status->nodes->pdata[i])->name);
    for (guint i = 0; g_str_equal(kind, "volume") && i < status->volumes->len; i++)
        print_name(((MigApiVolume *)status->volumes->pdata[i])->name);
    for (guint i = 0; g_str_equal(kind, "vm") && i < status->vms->len; i++)
        print_name(((MigApiVm *)status->vms->pdata[i])->name);
    for (guint i = 0; g_str_equal(kind, "job") && i < status->jobs->len; i++)
        print_name(((MigApiJob *)status->jobs->pdata[i])->id);
    return TRUE;
}
