/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-log.c - what hv-libvirt-log.h says. */
#include "drivers/hv-libvirt-log.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* "2026-11-26 07:41:29.123+0000: " */
#define TIME_LENGTH 30
/* "2026-11-26T07:41:29.123456Z qemu-system-x86_64: terminating on signal 15 from pid 1 (init)" */
#define KILLED ": terminating on signal "

char *
mig_libvirt_log_read_end(const char *path)
{
    mig_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    g_autofree char *text = g_malloc0(MIG_LIBVIRT_LOG_END + 1);
    off_t length = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    gsize used = 0;

    if (length < 0 || lseek(fd, MAX(length - MIG_LIBVIRT_LOG_END, 0), SEEK_SET) < 0)
        return NULL;
    while (used < MIG_LIBVIRT_LOG_END) {
        ssize_t n = read(fd, text + used, MIG_LIBVIRT_LOG_END - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (gsize)n;
    }
    /* a NUL of a QEMU that wrote one would hide what follows */
    for (gsize i = 0; i < used; i++)
        text[i] = text[i] ? text[i] : ' ';
    return g_steal_pointer(&text);
}

static const char *
behind_time(const char *line)
{
    static const char form[] = "0000-00-00 00:00:00.000+0000: ";

    G_STATIC_ASSERT(sizeof form == TIME_LENGTH + 1);
    for (guint i = 0; i < TIME_LENGTH; i++) {
        if (form[i] == '0' ? !g_ascii_isdigit(line[i]) : line[i] != form[i])
            return NULL;
    }
    return line + TIME_LENGTH;
}

/* QEMU is told not to end by itself when its guest powers off: libvirt does that, by a signal. */
static gboolean
is_by_libvirt(const char *line)
{
    g_autofree char *sender = g_strdup(strrchr(line, '(') ? strrchr(line, '(') + 1 : "");

    if (!g_str_has_suffix(sender, ")"))
        return FALSE;
    sender[strlen(sender) - 1] = '\0';
    g_autofree char *name = g_path_get_basename(sender);

    return g_str_equal(name, "libvirtd") || g_str_equal(name, "virtqemud");
}

gboolean
mig_libvirt_log_is_shut_down(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", 0);
    gboolean result = FALSE, is_killed = FALSE;

    for (guint i = 0; lines[i]; i++) {
        const char *said = behind_time(lines[i]);

        if (said && g_str_has_prefix(said, "starting up"))
            result = is_killed = FALSE;
        else if (said && g_str_has_prefix(said, "shutting down, reason="))
            result = g_str_equal(said, "shutting down, reason=shutdown") && !is_killed;
        else if (strstr(lines[i], KILLED) && !is_by_libvirt(strstr(lines[i], KILLED)))
            is_killed = TRUE; /* by somebody: QEMU's own line; libvirt calls that a shutdown, too */
    }
    return result;
}
