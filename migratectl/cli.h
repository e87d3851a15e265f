/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cli.h - what every command of migratectl uses. */
#pragma once

#include <glib.h>

#include "rpc/api-types.h"
#include "rpc/client.h"

/*
 * A command is one line in the table of migratectl.c and one function in cmd-<noun>.c. It gets its
 * positional arguments, counted and with options already taken out, asks the daemon through
 * mig_cli_call(), prints, and returns FALSE with error for everything that went wrong: main()
 * prints the line and turns the code into the exit status. stdout is data, stderr is talk.
 */

typedef struct {
    gboolean json;
    const char *socket_path;
    MigRpcClient *client; /* connected by the first call */
} MigCli;

typedef gboolean (*MigCommandRun)(MigCli *cli, char **arguments, GError **error);

typedef struct {
    const char *noun;
    const char *verb;      /* NULL: the noun is the whole command */
    const char *arguments; /* for the usage line; "" for none */
    guint min_arguments, max_arguments;
    MigCommandRun run;
    const GOptionEntry *options; /* NULL: none; variables are static in the command's file */
    const char *summary;         /* one line; NULL: not shown */
    const char *description;     /* more for --help, or NULL */
} MigCommand;

/* Asks the daemon; NULL + error. timeout_ms 0: wait as long as it takes. */
gpointer
mig_cli_call(MigCli *cli, const char *method, const MigType *request_type, gconstpointer request,
             const MigType *reply_type, guint timeout_ms, GError **error);
/* The same for what has no answer but that it is done: then the line is said, or --json's empty
 * object printed. */
gboolean
mig_cli_do(MigCli *cli, const char *method, const MigType *request_type, gconstpointer request,
           GError **error, const char *done_format, ...) G_GNUC_PRINTF(6, 7);
#define MIG_CLI_READ_TIMEOUT_MS 30000 /* of questions, which a living daemon answers at once */

/* A new connection; the error says what to do where there is no daemon. */
MigRpcClient *mig_cli_connect(MigCli *cli, GError **error);

/* "512M", "10G", "4096": bytes. K, M, G, T are powers of 1024; "iB" or "B" may follow. */
gboolean mig_cli_parse_size(const char *what, const char *text, gint64 *bytes, GError **error);
/* Is an option's number in its range? Names the option where not. */
gboolean
mig_cli_check_range(const char *option, gint64 value, gint64 min, gint64 max, GError **error);

/* Asks with "more": a job's progress until its end (progress.c). job_id NULL: request is a
 * MoveVmRequest, else the job is watched. Failure of the job is an error. */
gboolean
mig_cli_follow_job(MigCli *cli, const MigMoveVmRequest *move, const char *job_id, GError **error);

/* The verdict of CheckVm about one move: checks, and what it will take. */
void mig_print_verdict(const MigApiVerdict *verdict);
/* Has no check failed? */
gboolean mig_verdicts_are_fine(const GPtrArray *verdicts, GError **error);
/* "11.9 s, 10.2 to 14.0" - a forecast's range of times. g_free(). */
char *mig_show_range_ms(const MigApiRange *range);

#define MIG_CLI_COMMAND(name) gboolean name(MigCli *cli, char **arguments, GError **error)
MIG_CLI_COMMAND(mig_cmd_status);
MIG_CLI_COMMAND(mig_cmd_node_list);
MIG_CLI_COMMAND(mig_cmd_node_show);
MIG_CLI_COMMAND(mig_cmd_node_remove);
MIG_CLI_COMMAND(mig_cmd_node_pardon);
MIG_CLI_COMMAND(mig_cmd_node_rotate_key);
MIG_CLI_COMMAND(mig_cmd_cluster_create);
MIG_CLI_COMMAND(mig_cmd_cluster_join);
MIG_CLI_COMMAND(mig_cmd_cluster_leave);
MIG_CLI_COMMAND(mig_cmd_volume_format);
MIG_CLI_COMMAND(mig_cmd_volume_attach);
MIG_CLI_COMMAND(mig_cmd_volume_detach);
MIG_CLI_COMMAND(mig_cmd_volume_coordinator);
MIG_CLI_COMMAND(mig_cmd_volume_list);
MIG_CLI_COMMAND(mig_cmd_volume_show);
MIG_CLI_COMMAND(mig_cmd_volume_plan);
MIG_CLI_COMMAND(mig_cmd_volume_grow);
MIG_CLI_COMMAND(mig_cmd_volume_backup);
MIG_CLI_COMMAND(mig_cmd_image_create);
MIG_CLI_COMMAND(mig_cmd_image_import);
MIG_CLI_COMMAND(mig_cmd_image_export);
MIG_CLI_COMMAND(mig_cmd_image_list);
MIG_CLI_COMMAND(mig_cmd_image_delete);
MIG_CLI_COMMAND(mig_cmd_image_rename);
MIG_CLI_COMMAND(mig_cmd_image_clone);
MIG_CLI_COMMAND(mig_cmd_image_grow);
MIG_CLI_COMMAND(mig_cmd_vm_define);
MIG_CLI_COMMAND(mig_cmd_vm_adopt);
MIG_CLI_COMMAND(mig_cmd_vm_start);
MIG_CLI_COMMAND(mig_cmd_vm_stop);
MIG_CLI_COMMAND(mig_cmd_vm_list);
MIG_CLI_COMMAND(mig_cmd_vm_show);
MIG_CLI_COMMAND(mig_cmd_vm_undefine);
MIG_CLI_COMMAND(mig_cmd_vm_set);
MIG_CLI_COMMAND(mig_cmd_why);
MIG_CLI_COMMAND(mig_cmd_whatif);
MIG_CLI_COMMAND(mig_cmd_timeouts);
MIG_CLI_COMMAND(mig_cmd_drain);
MIG_CLI_COMMAND(mig_cmd_undrain);
MIG_CLI_COMMAND(mig_cmd_check);
MIG_CLI_COMMAND(mig_cmd_cpu_baseline);
MIG_CLI_COMMAND(mig_cmd_move);
MIG_CLI_COMMAND(mig_cmd_job_list);
MIG_CLI_COMMAND(mig_cmd_job_show);
MIG_CLI_COMMAND(mig_cmd_job_watch);
MIG_CLI_COMMAND(mig_cmd_job_cancel);
MIG_CLI_COMMAND(mig_cmd_job_set);
MIG_CLI_COMMAND(mig_cmd_job_resume);
MIG_CLI_COMMAND(mig_cmd_job_stats);
MIG_CLI_COMMAND(mig_cmd_setup);
MIG_CLI_COMMAND(mig_cmd_names);

extern const GOptionEntry mig_options_cluster_create[], mig_options_cluster_join[],
    mig_options_volume_format[], mig_options_volume_backup[], mig_options_image_import[],
    mig_options_image_export[], mig_options_vm_start[], mig_options_vm_stop[],
    mig_options_vm_show[], mig_options_vm_undefine[], mig_options_vm_adopt[], mig_options_move[],
    mig_options_job_set[], mig_options_check[], mig_options_drain[], mig_options_setup[];
