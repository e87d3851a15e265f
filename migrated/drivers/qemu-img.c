/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qemu-img.c - runs qemu-img; the only place that knows its options and its output. */
#include "drivers/qemu-img.h"

#include "base/error.h"

#include <gio/gio.h>
#include <gio/gunixinputstream.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define PROGRAM "qemu-img"
#define LOOK_MS 1000

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
tell_progress(char *said, guint64 total_bytes, const MigCopyHooks *hooks)
{
    const char *last = strrchr(said, '(');
    double percent;

    if (last && sscanf(last, "(%lf/100%%)", &percent) == 1 && hooks && hooks->progress)
        hooks->progress((guint64)((double)total_bytes * CLAMP(percent, 0, 100) / 100), total_bytes,
                        hooks->user_data);
}

/* TRUE: it has been told to end, for the reason in error. */
static gboolean
end_if_asked(GSubprocess *process, const MigCopyHooks *hooks, GError **error)
{
    gboolean is_cancelled = hooks && hooks->is_cancelled && hooks->is_cancelled(hooks->user_data);

    if (is_cancelled)
        g_set_error(error, MIG_ERROR, MIG_ERROR_CANCELLED, "cancelled");
    else if (!hooks || !hooks->may_write || hooks->may_write(hooks->user_data, error))
        return FALSE;
    g_subprocess_force_exit(process);
    return TRUE;
}

/* Reads until it ends. One whose disk does not answer says nothing: so the hooks are asked by the
 * clock, and not when it has something to tell. FALSE: it was told to end, error says why. */
static gboolean
watch(GSubprocess *process, guint64 total_bytes, const MigCopyHooks *hooks, GError **error)
{
    GInputStream *stream = g_subprocess_get_stdout_pipe(process);
    GPollFD poll = {.fd = g_unix_input_stream_get_fd(G_UNIX_INPUT_STREAM(stream)),
                    .events = G_IO_IN | G_IO_HUP | G_IO_ERR};
    gint64 look_us = g_get_monotonic_time();
    gboolean has_ended = FALSE;
    char buffer[256];

    for (;;) {
        gint64 left_us = look_us - g_get_monotonic_time();

        if (!has_ended && left_us <= 0) {
            has_ended = end_if_asked(process, hooks, error);
            look_us = g_get_monotonic_time() + LOOK_MS * 1000;
        } else if (g_poll(&poll, 1, has_ended ? -1 : (gint)(left_us / 1000) + 1) > 0) {
            gssize length = g_input_stream_read(stream, buffer, sizeof buffer - 1, NULL, NULL);

            if (length <= 0)
                return !has_ended;
            buffer[length] = '\0';
            tell_progress(buffer, total_bytes, hooks);
        }
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
    gboolean ok = watch(process, total_bytes, hooks, error);

    err = g_subprocess_get_stderr_pipe(process);
    said = g_malloc0(1024);
    g_input_stream_read_all(err, said, 1023, &length, NULL, NULL);
    if (g_subprocess_wait_check(process, NULL, NULL) && ok)
        return TRUE;
    if (ok) /* by itself, then */
        g_propagate_error(error, failure("copy", from, said));
    return FALSE;
}
