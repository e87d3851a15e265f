/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-adopt.c - a libvirt domain of this host becomes a VM of the cluster. */

#include "cli.h"
#include "output.h"

#include <stdio.h>
#include <unistd.h>

static char *option_volume;

const GOptionEntry mig_options_vm_adopt[] = {
    {"volume", 0, 0, G_OPTION_ARG_STRING, &option_volume, "Its home (the only one attached)",
     "VOLUME"},
    {NULL},
};

/* Interim answers: a counter on a terminal, a line each with --json, else silence. */
static void
on_copied(gconstpointer data, gpointer user_data)
{
    const MigAdoptVmReply *reply = data;
    MigCli *cli = user_data;

    if (cli->json)
        mig_print_json(&mig_type_AdoptVmReply, reply, TRUE);
    else if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%3d%%  %s of %s\033[K",
                reply->total > 0 ? (int)((double)reply->done * 100.0 / (double)reply->total) : 0,
                mig_show_size(reply->done), mig_show_size(reply->total));
}

static void
report(const MigAdoptVmReply *reply)
{
    const MigApiVm *vm = reply->vm;

    if (!vm)
        return;
    mig_talk("VM %s is on volume %s now, %s", vm->name, vm->volume, vm->state);
    for (char **disk = reply->old_disks; disk && *disk; disk++)
        mig_talk("old disk, left where it is: %s", *disk);
    if (reply->old_definition)
        mig_talk("old definition, for the record: %s", reply->old_definition);
}

gboolean
mig_cmd_vm_adopt(MigCli *cli, char **arguments, GError **error)
{
    MigAdoptVmRequest request = {.name = arguments[0], .volume = option_volume};
    g_autoptr(MigAdoptVmReply) reply = NULL;

    cli->client = mig_cli_connect(cli, error);
    if (!cli->client)
        return FALSE;
    reply =
        mig_rpc_client_call_more(cli->client, "io.migrated.AdoptVm", &mig_type_AdoptVmRequest,
                                 &request, &mig_type_AdoptVmReply, on_copied, cli, 0, NULL, error);
    if (!cli->json && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_AdoptVmReply, reply, TRUE);
    else
        report(reply);
    return TRUE;
}
