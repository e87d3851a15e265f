/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-stuck.c - what hv-libvirt-stuck.h says. */
#include "drivers/hv-libvirt-stuck.h"

#include <string.h>

/* Function of the kernel that a thread is in; "0", or nothing, where it runs. g_free(). */
static char *
wait_of(const char *proc, int pid, const char *thread)
{
    g_autofree char *path = g_strdup_printf("%s/%d/task/%s/wchan", proc, pid, thread);
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    return text ? text : g_strdup("");
}

static gboolean
is_at_fault(const char *wait)
{
    return strstr(wait, "userfault") != NULL;
}

static gboolean
look(const char *proc, int pid, MigStuckLook *seen)
{
    g_autofree char *tasks = g_strdup_printf("%s/%d/task", proc, pid);
    g_autofree char *main_thread = g_strdup_printf("%d", pid);
    g_autofree char *wait = wait_of(proc, pid, main_thread);
    g_autoptr(GDir) threads = g_dir_open(tasks, 0, NULL);
    const char *thread;

    *seen = (MigStuckLook){.is_main_at_fault = is_at_fault(wait),
                           .is_main_locked = g_str_has_prefix(wait, "futex")};
    seen->is_any_at_fault = seen->is_main_at_fault;
    if (!seen->is_main_locked)
        return threads != NULL;
    while (threads && (thread = g_dir_read_name(threads)) && !seen->is_any_at_fault) {
        g_autofree char *other = wait_of(proc, pid, thread);

        seen->is_any_at_fault = is_at_fault(other);
    }
    return threads != NULL;
}

static gboolean
is_waiting(const MigStuckLook *look)
{
    return look->is_main_at_fault || (look->is_main_locked && look->is_any_at_fault);
}

gboolean
mig_libvirt_is_stuck_by(const MigStuckLook *looks, guint count)
{
    for (guint i = 0; i < count; i++) {
        if (!is_waiting(&looks[i]))
            return FALSE;
    }
    return count > 0;
}

gboolean
mig_libvirt_is_stuck(const char *proc, int pid)
{
    MigStuckLook looks[MIG_STUCK_LOOKS];

    for (guint i = 0; i < MIG_STUCK_LOOKS; i++) {
        if (i)
            g_usleep(MIG_STUCK_LOOKS_MS * 1000);
        if (!look(proc, pid, &looks[i]) || !is_waiting(&looks[i]))
            return FALSE;
    }
    return mig_libvirt_is_stuck_by(looks, MIG_STUCK_LOOKS);
}
