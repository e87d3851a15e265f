/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cli.c - talking to the daemon, and reading what people type. */

#include "cli.h"

#include "base/error.h"
#include "output.h"

#include <string.h>

MigRpcClient *
mig_cli_connect(MigCli *cli, GError **error)
{
    MigRpcClient *client = mig_rpc_client_new_unix(cli->socket_path, error);

    if (!client && error && g_error_matches(*error, MIG_ERROR, MIG_ERROR_NO_DAEMON)) {
        g_clear_error(error);
        g_set_error(error, MIG_ERROR, MIG_ERROR_NO_DAEMON,
                    "migrated does not answer at %s; start it (systemctl start migrated), or name "
                    "its socket with --socket",
                    cli->socket_path);
    }
    return client;
}

gpointer
mig_cli_call(MigCli *cli, const char *method, const MigType *request_type, gconstpointer request,
             const MigType *reply_type, guint timeout_ms, GError **error)
{
    if (!cli->client)
        cli->client = mig_cli_connect(cli, error);
    if (!cli->client)
        return NULL;
    return mig_rpc_client_call(cli->client, method, request_type, request, reply_type, timeout_ms,
                               NULL, error);
}

gboolean
mig_cli_do(MigCli *cli, const char *method, const MigType *request_type, gconstpointer request,
           GError **error, const char *done_format, ...)
{
    g_autoptr(MigEmpty) reply =
        mig_cli_call(cli, method, request_type, request, &mig_type_Empty, 0, error);
    g_autofree char *done = NULL;
    va_list args;

    if (!reply)
        return FALSE;
    va_start(args, done_format);
    done = g_strdup_vprintf(done_format, args);
    va_end(args);
    if (cli->json)
        mig_print_json(&mig_type_Empty, reply, FALSE);
    else
        mig_talk("%s", done);
    return TRUE;
}

gboolean
mig_cli_parse_size(const char *what, const char *text, gint64 *bytes, GError **error)
{
    static const char units[] = "KMGT";
    g_autofree char *digits = NULL;
    gsize count = strspn(text, "0123456789");
    const char *rest = text + count;
    guint shift = 0;
    gint64 number;

    if (*rest) {
        const char *unit = strchr(units, g_ascii_toupper(*rest));

        if (unit) {
            shift = 10 * (guint)(unit - units + 1);
            rest++;
            if (g_str_has_prefix(rest, "iB"))
                rest += 2;
        }
        if (*rest == 'B' && rest[-1] != 'B')
            rest++;
    }
    digits = g_strndup(text, count);
    if (*rest || !g_ascii_string_to_signed(digits, 10, 1, G_MAXINT64 >> shift, &number, NULL)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "\"%s\" is not a %s; write a whole number with K, M, G or T, such as 10G", text,
                    what);
        return FALSE;
    }
    *bytes = number << shift;
    return TRUE;
}

gboolean
mig_cli_check_range(const char *option, gint64 value, gint64 min, gint64 max, GError **error)
{
    if (value >= min && value <= max)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                "%s %" G_GINT64_FORMAT " is out of range: %" G_GINT64_FORMAT
                " to %" G_GINT64_FORMAT,
                option, value, min, max);
    return FALSE;
}
