/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-vm.c - virtual machines. */

#include "cli.h"
#include "output.h"
#include "tables.h"

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFINITION_MAX_BYTES (512u << 10) /* the volume's own limit is lower, and says so */

static char *option_node;
static gboolean option_force, option_xml, option_delete_images;
static gint option_timeout_s;

const GOptionEntry mig_options_vm_start[] = {
    {"node", 0, 0, G_OPTION_ARG_STRING, &option_node, "Where (the node that is asked)", "NODE"},
    {NULL},
};
const GOptionEntry mig_options_vm_stop[] = {
    {"force", 0, 0, G_OPTION_ARG_NONE, &option_force, "Pull the plug, do not ask the guest", NULL},
    {"timeout", 0, 0, G_OPTION_ARG_INT, &option_timeout_s, "How long to wait for the guest", "S"},
    {NULL},
};
const GOptionEntry mig_options_vm_show[] = {
    {"xml", 0, 0, G_OPTION_ARG_NONE, &option_xml, "Only the definition, as XML", NULL},
    {NULL},
};
const GOptionEntry mig_options_vm_undefine[] = {
    {"delete-images", 0, 0, G_OPTION_ARG_NONE, &option_delete_images, "Delete its disks, too",
     NULL},
    {NULL},
};

static void
report(MigCli *cli, const MigVmReply *reply, const char *what)
{
    const MigApiVm *vm = reply->vm;

    if (cli->json)
        mig_print_json(&mig_type_VmReply, reply, FALSE);
    else
        mig_talk("VM %s %s%s%s", vm->name, what, vm->node ? " on " : "", vm->node ? vm->node : "");
}

/* "-": standard input */
static char *
read_definition(const char *path, GError **error)
{
    g_autoptr(GString) text = NULL;
    char buffer[16384];
    ssize_t n;

    if (!g_str_equal(path, "-"))
        return mig_io_read_file(path, DEFINITION_MAX_BYTES, NULL, error);
    text = g_string_new(NULL);
    while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || text->len + (gsize)n > DEFINITION_MAX_BYTES) {
            g_set_error(error, MIG_ERROR, n < 0 ? MIG_ERROR_IO : MIG_ERROR_BAD_VALUE,
                        n < 0 ? "cannot read standard input" : "standard input is too long");
            return NULL;
        }
        g_string_append_len(text, buffer, n);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

gboolean
mig_cmd_vm_define(MigCli *cli, char **arguments, GError **error)
{
    g_autofree char *xml = read_definition(arguments[1], error);
    MigDefineVmRequest request = {.volume = arguments[0], .xml = xml};
    g_autoptr(MigVmReply) reply = NULL;

    if (!xml)
        return FALSE;
    if (!g_utf8_validate(xml, -1, NULL) || !strchr(xml, '<')) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "%s is not a libvirt domain definition (XML in UTF-8)", arguments[1]);
        return FALSE;
    }
    reply = mig_cli_call(cli, "io.migrated.DefineVm", &mig_type_DefineVmRequest, &request,
                         &mig_type_VmReply, 0, error);
    if (!reply)
        return FALSE;
    report(cli, reply, "defined");
    return TRUE;
}

gboolean
mig_cmd_vm_start(MigCli *cli, char **arguments, GError **error)
{
    MigStartVmRequest request = {.name = arguments[0], .node = option_node};
    g_autoptr(MigVmReply) reply = mig_cli_call(cli, "io.migrated.StartVm", &mig_type_StartVmRequest,
                                               &request, &mig_type_VmReply, 0, error);

    if (!reply)
        return FALSE;
    report(cli, reply, "runs");
    return TRUE;
}

gboolean
mig_cmd_vm_stop(MigCli *cli, char **arguments, GError **error)
{
    MigStopVmRequest request = {
        .name = arguments[0], .force = option_force, .timeout_ms = (gint64)option_timeout_s * 1000};
    g_autoptr(MigVmReply) reply = NULL;

    if (!mig_cli_check_range("--timeout", option_timeout_s, 0, 86400, error))
        return FALSE;
    reply = mig_cli_call(cli, "io.migrated.StopVm", &mig_type_StopVmRequest, &request,
                         &mig_type_VmReply, 0, error);
    if (!reply)
        return FALSE;
    report(cli, reply, "stopped");
    return TRUE;
}

gboolean
mig_cmd_vm_list(MigCli *cli, char **arguments, GError **error)
{
    g_autoptr(MigListVmsReply) reply =
        mig_cli_call(cli, "io.migrated.ListVms", &mig_type_Empty, NULL, &mig_type_ListVmsReply,
                     MIG_CLI_READ_TIMEOUT_MS, error);

    if (!reply)
        return FALSE;
    if (cli->json)
        mig_print_json(&mig_type_ListVmsReply, reply, FALSE);
    else
        mig_print_vms(reply->vms);
    return TRUE;
}

/* XML for a file is left as it is; for a terminal, line by line, it is made safe. */
static void
print_definition(const char *xml)
{
    if (!isatty(STDOUT_FILENO)) {
        fputs(xml, stdout);
        return;
    }
    {
        g_auto(GStrv) lines = g_strsplit(xml, "\n", -1);

        for (guint i = 0; lines[i]; i++) {
            if (lines[i + 1] || *lines[i])
                mig_print_line("%s", lines[i]);
        }
    }
}

static void
print_vm(const MigApiVm *vm)
{
    g_autofree char *lease = vm->lease_owner
                                 ? g_strdup_printf("held by %s, version %s", vm->lease_owner,
                                                   mig_show_int(vm->lease_version))
                                 : g_strdup("free");

    mig_print_field("Name", vm->name);
    mig_print_field("UUID", vm->uuid);
    mig_print_field("State", vm->state);
    mig_print_field("Wanted", vm->wanted);
    mig_print_field("Node", vm->node);
    mig_print_field("Volume", vm->volume);
    mig_print_field("Memory", mig_show_size(vm->memory));
    mig_print_field("vCPUs", mig_show_int(vm->vcpus));
    mig_print_field("Priority", mig_show_int(vm->priority));
    mig_print_field("Restart", vm->restart);
    mig_print_field("On isolation", vm->on_isolation);
    mig_print_field("Prefers", vm->prefer);
    mig_print_field("Move policy", vm->move_policy);
    mig_print_field_list("With", vm->affinity);
    mig_print_field_list("Apart from", vm->anti_affinity);
    mig_print_field_list("Starts after", vm->start_after);
    mig_print_field_list("Images", vm->images);
    mig_print_field("Lease", lease);
    mig_print_field("Job", vm->job);
}

gboolean
mig_cmd_vm_show(MigCli *cli, char **arguments, GError **error)
{
    MigNameRequest request = {.name = arguments[0]};
    g_autoptr(MigVmReply) reply =
        mig_cli_call(cli, "io.migrated.GetVm", &mig_type_NameRequest, &request, &mig_type_VmReply,
                     MIG_CLI_READ_TIMEOUT_MS, error);
    const MigApiVm *vm;

    if (!reply)
        return FALSE;
    vm = reply->vm;
    if (cli->json)
        mig_print_json(&mig_type_VmReply, reply, FALSE);
    else if (option_xml)
        print_definition(vm->definition ? vm->definition : "");
    else
        print_vm(vm);
    return TRUE;
}

gboolean
mig_cmd_vm_undefine(MigCli *cli, char **arguments, GError **error)
{
    MigUndefineVmRequest request = {.name = arguments[0], .delete_images = option_delete_images};

    return mig_cli_do(cli, "io.migrated.UndefineVm", &mig_type_UndefineVmRequest, &request, error,
                      "VM %s undefined%s", request.name,
                      option_delete_images ? ", its images deleted" : "");
}
