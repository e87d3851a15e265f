/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* migratectl.c - the table of commands, the global options, help, exit codes. */

#include "cli.h"
#include "output.h"

#include "base/error.h"
#include "base/names.h"

#include <locale.h>
#include <unistd.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const MigCommand commands[] = {
    {"status", NULL, "", 0, 0, mig_cmd_status, NULL, "Nodes, volumes, VMs and running jobs", NULL},
    {"node", "list", "", 0, 0, mig_cmd_node_list, NULL, "All nodes", NULL},
    {"node", "show", "NODE", 1, 1, mig_cmd_node_show, NULL, "One node", NULL},
    {"node", "rotate-key", "", 0, 0, mig_cmd_node_rotate_key, NULL, "Give this node a new key", NULL},
    {"node", "pardon", "NODE", 1, 1, mig_cmd_node_pardon, NULL, "Trust a node again that has died often",
     "Until then VMs are started there only where no other node will do."},
    {"node", "remove", "NODE", 1, 1, mig_cmd_node_remove, NULL, "Forget a node that can't come back",
     "Refused while it may be alive. A node that runs leaves with \"cluster leave\"."},
    {"cluster", "create", "DEVICE", 1, 1, mig_cmd_cluster_create, mig_options_cluster_create,
     "New cluster on a LUN, this node its first",
     "Needs --name (the volume's), --management and --migration."},
    {"cluster", "join", "DEVICE", 1, 1, mig_cmd_cluster_join, mig_options_cluster_join,
     "This node joins the cluster on a LUN",
     "Addresses are found where this host is in the networks of the other nodes."},
    {"cluster", "leave", "", 0, 0, mig_cmd_cluster_leave, NULL, "This node leaves its cluster",
     "Refused while VMs run here. Its name, host id, slot and key are given up."},
    {"volume", "format", "DEVICE --name NAME", 1, 1, mig_cmd_volume_format,
     mig_options_volume_format, "Make a volume of a shared LUN",
     "Everything on the device is lost. A device that carries anything is refused\n"
     "without --force."},
    {"volume", "attach", "DEVICE", 1, 1, mig_cmd_volume_attach, NULL, "Use a volume on this node", NULL},
    {"volume", "detach", "VOLUME", 1, 1, mig_cmd_volume_detach, NULL, "Stop using it on this node", NULL},
    {"volume", "list", "", 0, 0, mig_cmd_volume_list, NULL, "Volumes attached here", NULL},
    {"volume", "show", "VOLUME", 1, 1, mig_cmd_volume_show, NULL, "One volume", NULL},
    {"volume", "grow", "VOLUME", 1, 1, mig_cmd_volume_grow, NULL, "Use what its LUN has grown by", NULL},
    {"volume", "backup", "VOLUME FILE", 2, 2, mig_cmd_volume_backup, mig_options_volume_backup,
     "Metadata to a file of this node", "VMs and images, no data; \"csvtool restore\" brings it back."},
    {"volume", "plan", "VOLUME SIZE", 2, 2, mig_cmd_volume_plan, NULL,
     "What to move for SIZE in one piece", "Where images must be in one piece. Moves nothing."},
    {"volume", "coordinator", "VOLUME NODE", 2, 2, mig_cmd_volume_coordinator, NULL,
     "Have its catalogue changed by that node", NULL},
    {"image", "create", "VOLUME NAME SIZE", 3, 3, mig_cmd_image_create, NULL, "New, empty VM disk", NULL},
    {"image", "import", "VOLUME NAME FILE", 3, 3, mig_cmd_image_import,
     mig_options_image_import, "New VM disk from a file of this node", NULL},
    {"image", "export", "VOLUME NAME FILE", 3, 3, mig_cmd_image_export,
     mig_options_image_export, "Copy a VM disk to a file of this node", NULL},
    {"image", "list", "[VOLUME]", 0, 1, mig_cmd_image_list, NULL, "VM disks of a volume, or of all", NULL},
    {"image", "delete", "VOLUME NAME", 2, 2, mig_cmd_image_delete, NULL, "Delete a VM disk", NULL},
    {"image", "rename", "VOLUME NAME NEW", 3, 3, mig_cmd_image_rename, NULL, "Rename a VM disk", NULL},
    {"image", "clone", "VOLUME NAME NEW", 3, 3, mig_cmd_image_clone, NULL, "Copy a VM disk", NULL},
    {"image", "grow", "VOLUME NAME SIZE", 3, 3, mig_cmd_image_grow, NULL,
     "Make a VM disk larger", "SIZE is what it has afterwards. A running VM sees it at once."},
    {"vm", "define", "VOLUME FILE", 2, 2, mig_cmd_vm_define, NULL, "New VM from libvirt XML",
     "FILE - is standard input. Disks are images of attached volumes; there must be\n"
     "no <lease>."},
    {"vm", "adopt", "DOMAIN", 1, 1, mig_cmd_vm_adopt, mig_options_vm_adopt,
     "New VM from a libvirt domain of this host",
     "Its disks are copied to the volume, where it runs as it runs; its old disks stay\n"
     "where they are. Ctrl-C leaves all as it was."},
    {"vm", "start", "VM", 1, 1, mig_cmd_vm_start, mig_options_vm_start, "Start a VM", NULL},
    {"vm", "stop", "VM", 1, 1, mig_cmd_vm_stop, mig_options_vm_stop, "Stop a VM", NULL},
    {"vm", "list", "", 0, 0, mig_cmd_vm_list, NULL, "All VMs", NULL},
    {"vm", "show", "VM", 1, 1, mig_cmd_vm_show, mig_options_vm_show, "One VM", NULL},
    {"vm", "undefine", "VM", 1, 1, mig_cmd_vm_undefine, mig_options_vm_undefine, "Forget a stopped VM", NULL},
    {"vm", "set", "VM NAME=VALUE...", 2, 16, mig_cmd_vm_set, NULL, "Policies of a VM",
     "restart=always|on-node-death|never, priority=0..1000, on_isolation=keep|restart,\n"
     "move_policy=fast|gentle|must-finish|never-postcopy|default,\n"
     "prefer=NODE|none, affinity=VM,...|none, anti_affinity=VM,...|none,\n"
     "start_after=VM,...|none"},
    {"why", NULL, "VM|NODE", 1, 1, mig_cmd_why, NULL, "What was decided about it, and why", NULL},
    {"drain", NULL, "NODE", 1, 1, mig_cmd_drain, mig_options_drain, "Move all VMs off a node",
     "No VM comes to the node any more, and all that run there are moved away. It stays so, over\n"
     "restarts too, until \"migratectl undrain NODE\". Ctrl-C only stops watching."},
    {"undrain", NULL, "NODE", 1, 1, mig_cmd_undrain, NULL, "Let VMs come to it again", NULL},
    {"timeouts", NULL, "", 0, 0, mig_cmd_timeouts, NULL, "How soon a dead node is found out", NULL},
    {"whatif", NULL, "node-down NODE", 2, 2, mig_cmd_whatif, NULL, "Where its VMs would start", NULL},
    {"check", NULL, "VM [NODE]", 0, 2, mig_cmd_check, mig_options_check,
     "Could it move there? Moves nothing", "All checks of a move; without NODE for each node."},
    {"cpu", "baseline", "", 0, 0, mig_cmd_cpu_baseline, NULL, "The CPU that every node can run",
     "For <cpu> in a definition."},
    {"move", NULL, "VM NODE", 2, 2, mig_cmd_move, mig_options_move,
     "Move a running VM to another node",
     "Ctrl-C cancels the move and waits for its end; a second Ctrl-C leaves without\n"
     "waiting. Where migratectl is killed or detached, the move goes on."},
    {"job", "list", "", 0, 0, mig_cmd_job_list, NULL, "Moves, also those that have ended", NULL},
    {"job", "show", "JOB", 1, 1, mig_cmd_job_show, NULL, "One move with its checks and states", NULL},
    {"job", "watch", "JOB", 1, 1, mig_cmd_job_watch, NULL, "Follow a move to its end",
     "Ctrl-C leaves; the move goes on."},
    {"job", "cancel", "JOB", 1, 1, mig_cmd_job_cancel, NULL, "Cancel a move", NULL},
    {"job", "set", "JOB", 1, 1, mig_cmd_job_set, mig_options_job_set, "Change a move as it runs",
     "What is not named stays."},
    {"job", "resume", "JOB", 1, 1, mig_cmd_job_resume, NULL,
     "Take up a link lost in post-copy", NULL},
    {"job", "stats", "", 0, 0, mig_cmd_job_stats, NULL, "How good the forecasts of moves were", NULL},
    {"setup", NULL, "", 0, 0, mig_cmd_setup, mig_options_setup, "Make this host ready: libvirt, sanlock",
     "Needs no daemon. Each line that is set in a file of another package is printed\n"
     "with its reason, and --undo takes exactly these back."},
    {"_names", NULL, "KIND [VOLUME]", 1, 2, mig_cmd_names, NULL, NULL, NULL},
};
/* clang-format on */

static gboolean option_json, option_help, option_version;
static char *option_socket;

static const GOptionEntry global_options[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &option_json, "Print the daemon's answer as JSON", NULL},
    {"socket", 0, 0, G_OPTION_ARG_FILENAME, &option_socket,
     "The daemon's socket (else $" MIG_ENV_SOCKET ")", "PATH"},
    {"help", 'h', 0, G_OPTION_ARG_NONE, &option_help, "Help, also of one command", NULL},
    {"version", 0, 0, G_OPTION_ARG_NONE, &option_version, "The version", NULL},
    {NULL},
};

/* ---- help ---- */

static void
print_options(const GOptionEntry *options)
{
    for (; options && options->long_name; options++) {
        g_autofree char *left =
            g_strdup_printf("--%s%s%s", options->long_name, options->arg_description ? " " : "",
                            options->arg_description ? options->arg_description : "");

        printf("  %-20s %s\n", left, options->description);
    }
}

static void
print_help(void)
{
    puts(
        "Usage: migratectl [OPTION]... COMMAND\n\nMoves running VMs between KVM hosts that share a "
        "LUN; see migratectl(1).\n\nCommands:");
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        const MigCommand *c = &commands[i];
        g_autofree char *left = NULL;

        if (!c->summary)
            continue;
        left = g_strjoin(" ", c->noun, c->verb ? c->verb : c->arguments,
                         c->verb ? c->arguments : NULL, NULL);
        printf("  %-34s %s\n", left, c->summary);
    }
    puts("\nOptions:");
    print_options(global_options);
    puts("\n\"migratectl COMMAND --help\" tells a command's options.");
}

static void
print_command_help(const MigCommand *c)
{
    printf("Usage: migratectl %s%s%s%s%s%s\n\n%s.\n", c->noun, c->verb ? " " : "",
           c->verb ? c->verb : "", *c->arguments ? " " : "", c->arguments,
           c->options ? " [OPTION]..." : "", c->summary ? c->summary : "Internal");
    if (c->description)
        printf("%s\n", c->description);
    puts("\nOptions:");
    print_options(c->options);
    print_options(global_options);
}

/* ---- the command line ---- */

/* Parses options out of *argc, *argv; those of the command too where there is one. */
static gboolean
parse_options(const MigCommand *command, int *argc, char ***argv, GError **error)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) bad = NULL;

    g_option_context_set_help_enabled(context, FALSE);
    /* before the command is known its options are not: stop at the first word */
    g_option_context_set_strict_posix(context, command == NULL);
    g_option_context_add_main_entries(context, global_options, NULL);
    if (command && command->options)
        g_option_context_add_main_entries(context, command->options, NULL);
    if (g_option_context_parse(context, argc, argv, &bad))
        return TRUE;
    if (command)
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE, "%s; see \"migratectl %s%s%s --help\"",
                    bad->message, command->noun, command->verb ? " " : "",
                    command->verb ? command->verb : "");
    else
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE, "%s; see \"migratectl --help\"",
                    bad->message);
    return FALSE;
}

/* By the first one or two words; *words is how many were the command's. */
static const MigCommand *
find_command(int argc, char **argv, int *words, GError **error)
{
    g_autoptr(GString) verbs = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        const MigCommand *c = &commands[i];

        if (!g_str_equal(c->noun, argv[1]))
            continue;
        *words = c->verb ? 2 : 1;
        if (!c->verb || (argc > 2 && g_str_equal(c->verb, argv[2])))
            return c;
        g_string_append_printf(verbs, "%s%s", verbs->len ? ", " : "", c->verb);
    }
    if (!verbs->len)
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE,
                    "there is no command \"%s\"; see \"migratectl --help\"", argv[1]);
    else if (argc > 2)
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE, "%s knows no \"%s\"; it knows %s", argv[1],
                    argv[2], verbs->str);
    else
        g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE, "%s needs one of %s", argv[1], verbs->str);
    return NULL;
}

static gboolean
check_arguments(const MigCommand *c, int argc, char **argv, GError **error)
{
    guint count = (guint)argc - 1;

    for (guint i = 0; i < count; i++) {
        if (!*argv[i + 1] || !g_utf8_validate(argv[i + 1], -1, NULL)) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE, "argument %u is %s", i + 1,
                        *argv[i + 1] ? "not UTF-8" : "empty");
            return FALSE;
        }
    }
    if (count >= c->min_arguments && count <= c->max_arguments)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE, "too %s arguments; it is: migratectl %s%s%s%s%s",
                count < c->min_arguments ? "few" : "many", c->noun, c->verb ? " " : "",
                c->verb ? c->verb : "", *c->arguments ? " " : "", c->arguments);
    return FALSE;
}

static gboolean
run(int argc, char **argv, GError **error)
{
    const char *env = g_getenv(MIG_ENV_SOCKET);
    const MigCommand *command;
    g_autofree char *socket_path = NULL;
    MigCli cli = {0};
    gboolean ok;
    int words = 0;

    if (!parse_options(NULL, &argc, &argv, error))
        return FALSE;
    if (option_version) {
        puts("migratectl " MIG_VERSION);
        return TRUE;
    }
    if (argc < 2 || g_str_equal(argv[1], "help")) {
        if (!option_help && argc < 2) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_USAGE,
                        "a command is missing; see \"migratectl --help\"");
            return FALSE;
        }
        print_help();
        return TRUE;
    }
    command = find_command(argc, argv, &words, error);
    if (!command && argc == 3 &&
        g_strv_contains((const char *const[]){"--help", "-h", NULL}, argv[2])) {
        g_clear_error(error);
        print_help();
        return TRUE;
    }
    if (!command)
        return FALSE;
    argv[words] = argv[0];
    argv += words;
    argc -= words;
    if (!parse_options(command, &argc, &argv, error))
        return FALSE;
    if (option_help) {
        print_command_help(command);
        return TRUE;
    }
    /* "--" stays where GOption finds it in front of words only */
    if (argc > 1 && g_str_equal(argv[1], "--")) {
        argv[1] = argv[0];
        argv++;
        argc--;
    }
    if (!check_arguments(command, argc, argv, error))
        return FALSE;

    cli.json = option_json;
    socket_path = g_canonicalize_filename(option_socket ? option_socket
                                          : env && *env ? env
                                                        : MIG_API_SOCKET,
                                          NULL);
    cli.socket_path = socket_path;
    ok = command->run(&cli, argv + 1, error);
    mig_rpc_client_free(cli.client);
    return ok;
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    setlocale(LC_ALL, "");
    g_set_prgname("migratectl");
    if (run(argc, argv, &error)) {
        /* a full disk or a closed pipe must not look like success */
        if (fflush(stdout) == 0 && !ferror(stdout))
            return 0;
        g_set_error(&error, MIG_ERROR, MIG_ERROR_IO, "cannot write to standard output");
    }
    fflush(stdout);
    mig_talk("migratectl: %s", error->message);
    /* whoever left by Ctrl-C may have left a thread in the middle of a call: nothing it uses may be
     * taken down under it */
    if (g_error_matches(error, MIG_ERROR, MIG_ERROR_CANCELLED))
        _exit(mig_error_exit_code(error));
    return mig_error_exit_code(error);
}
