/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qemu-img.c - runs qemu-img; the only place that knows its options and its output. */
#include "drivers/qemu-img.h"

#include "base/error.h"

#include <gio/gio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define PROGRAM "qemu-img"

static GError *
failure(const char *doing, const char *path, const char *said)
{
    g_autofree char *line = g_strdup(said ? said : "");

    g_strdelimit(g_strstrip(line), "\n", ' ');
    return g_error_new(MIG_ERROR, MIG_ERROR_IO, "cannot %s %s: %s", doing, path,
                       *line ? line : "qemu-img failed without a word");
}

/* An absolute path is a path to qemu-img, too: never an option, nor a protocol ("nbd:..."). */
static gboolean
check_path(const char *path, GError **error)
{
    if (g_path_is_absolute(path))
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                "%s is not an absolute path; the daemon has no working directory of yours", path);
    return FALSE;
}

/* A disk file can name others to be read along with it (backing file, data file, extents): what
 * comes from outside must not make this root process read another VM's disk, or a file of the host.
 */
static gboolean
stands_alone(const char *path, const char *format, GError **error)
{
    const char *with_format[] = {PROGRAM, "info", "-f", format, path, NULL};
    const char *without[] = {PROGRAM, "info", path, NULL};
    g_autofree char *out = NULL, *err = NULL;
    g_auto(GStrv) lines = NULL;
    int status = 0;

    if (!g_spawn_sync(NULL, (char **)(format ? with_format : without), NULL, G_SPAWN_SEARCH_PATH,
                      NULL, NULL, &out, &err, &status, error))
        return FALSE;
    if (!g_spawn_check_wait_status(status, NULL)) {
        g_propagate_error(error, failure("read", path, err));
        return FALSE;
    }
    lines = g_strsplit(out, "\n", 0);
    for (guint i = 0; lines[i]; i++) {
        const char *line = g_strstrip(lines[i]);
        const char *name = strstr(line, "filename: ");

        if (g_str_has_prefix(line, "backing file:") || g_str_has_prefix(line, "data file:") ||
            (name && !g_str_equal(name + strlen("filename: "), path))) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                        "%s is not a whole disk, it refers to another file; make one of it first: "
                        "'qemu-img convert'",
                        path);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
mig_qemu_img_size(const char *path, const char *format, guint64 *bytes, GError **error)
{
    const char *with_format[] = {PROGRAM, "measure", "-O", "raw", "-f", format, path, NULL};
    const char *without[] = {PROGRAM, "measure", "-O", "raw", path, NULL};
    g_autofree char *out = NULL, *err = NULL;
    const char *line;
    int status = 0;

    if (!check_path(path, error) || !stands_alone(path, format, error))
        return FALSE;
    if (!g_spawn_sync(NULL, (char **)(format ? with_format : without), NULL, G_SPAWN_SEARCH_PATH,
                      NULL, NULL, &out, &err, &status, error))
        return FALSE;
    /* for a raw output "fully allocated" is the virtual size */
    line = strstr(out, "fully allocated size: ");
    if (!g_spawn_check_wait_status(status, NULL) || !line ||
        sscanf(line, "fully allocated size: %" G_GUINT64_FORMAT, bytes) != 1) {
        g_propagate_error(error, failure("read", path, err));
        return FALSE;
    }
    return TRUE;
}

/* A copy does not outlive who waits for it: after kill -9 the image's space may become another's.
 * The signal comes when the thread that started it ends, and that one waits here. */
static void
die_together(gpointer user_data)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* qemu-img -p writes "    (12.34/100%)\r" */
static void
read_progress(GInputStream *stream, guint64 total_bytes, const MigCopyHooks *hooks,
              GSubprocess *process)
{
    char buffer[256];
    gssize length;

    while ((length = g_input_stream_read(stream, buffer, sizeof buffer - 1, NULL, NULL)) > 0) {
        const char *last;
        double percent;

        buffer[length] = '\0';
        last = strrchr(buffer, '(');
        if (last && sscanf(last, "(%lf/100%%)", &percent) == 1 && hooks && hooks->progress)
            hooks->progress((guint64)((double)total_bytes * CLAMP(percent, 0, 100) / 100),
                            total_bytes, hooks->user_data);
        if (hooks && hooks->is_cancelled && hooks->is_cancelled(hooks->user_data))
            g_subprocess_force_exit(process);
    }
}

gboolean
mig_qemu_img_copy(const char *from, const char *from_format, const char *to, const char *to_format,
                  MigCopyKind kind, const MigCopyHooks *hooks, GError **error)
{
    g_autoptr(GPtrArray) arguments = g_ptr_array_new();
    g_autoptr(GSubprocessLauncher) launcher = NULL;
    g_autoptr(GSubprocess) process = NULL;
    g_autofree char *said = NULL;
    guint64 total_bytes = 0;
    GInputStream *err;
    gsize length = 0;

    if (!check_path(to, error) || !mig_qemu_img_size(from, from_format, &total_bytes, error))
        return FALSE;
    g_ptr_array_add(arguments, (gpointer)PROGRAM);
    g_ptr_array_add(arguments, (gpointer) "convert");
    g_ptr_array_add(arguments, (gpointer) "-p");
    if (from_format) {
        g_ptr_array_add(arguments, (gpointer) "-f");
        g_ptr_array_add(arguments, (gpointer)from_format);
    }
    /* the page cache knows nothing of what other nodes write, and they nothing of it */
    if (kind & MIG_COPY_FROM_IMAGE) {
        g_ptr_array_add(arguments, (gpointer) "-T");
        g_ptr_array_add(arguments, (gpointer) "none");
    }
    if (kind & MIG_COPY_TO_IMAGE) {
        g_ptr_array_add(arguments, (gpointer) "-n");
        g_ptr_array_add(arguments, (gpointer) "-t");
        g_ptr_array_add(arguments, (gpointer) "none");
        g_ptr_array_add(arguments, (gpointer) "--target-is-zero"); /* a new image is */
    }
    g_ptr_array_add(arguments, (gpointer) "-O");
    g_ptr_array_add(arguments, (gpointer)to_format);
    g_ptr_array_add(arguments, (gpointer)from);
    g_ptr_array_add(arguments, (gpointer)to);
    g_ptr_array_add(arguments, NULL);
    launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_subprocess_launcher_set_child_setup(launcher, die_together, NULL, NULL);
    process = g_subprocess_launcher_spawnv(launcher, (const char *const *)arguments->pdata, error);
    if (!process)
        return FALSE;
    read_progress(g_subprocess_get_stdout_pipe(process), total_bytes, hooks, process);
    err = g_subprocess_get_stderr_pipe(process);
    said = g_malloc0(1024);
    g_input_stream_read_all(err, said, 1023, &length, NULL, NULL);
    if (g_subprocess_wait_check(process, NULL, NULL))
        return TRUE;
    if (hooks && hooks->is_cancelled && hooks->is_cancelled(hooks->user_data))
        g_set_error(error, MIG_ERROR, MIG_ERROR_CANCELLED, "cancelled");
    else
        g_propagate_error(error, failure("copy", from, said));
    return FALSE;
}
