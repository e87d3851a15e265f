/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-hv-libvirt-stuck.c - a QEMU that waits for good is told from one that is busy. */
#include "drivers/hv-libvirt-stuck.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define PID 4711

typedef struct {
    char *proc;
} Fixture;

static char *
thread_path(Fixture *f, guint thread)
{
    return g_strdup_printf("%s/%d/task/%u", f->proc, PID, thread);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    f->proc = g_dir_make_tmp("proc-XXXXXX", NULL);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *command = g_strdup_printf("rm -r '%s'", f->proc);

    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    g_free(f->proc);
}

static void
waits(Fixture *f, guint thread, const char *where)
{
    g_autofree char *folder = thread_path(f, thread);
    g_autofree char *path = g_build_filename(folder, "wchan", NULL);

    g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, where, -1, NULL));
}

static void
test_threads(Fixture *f, gconstpointer data)
{
    g_assert_false(mig_libvirt_is_stuck(f->proc, PID)); /* gone */
    waits(f, PID, "do_sys_poll");
    waits(f, PID + 1, "handle_userfault"); /* a CPU of the guest: that is what post-copy is */
    g_assert_false(mig_libvirt_is_stuck(f->proc, PID));
    waits(f, PID, "0");
    g_assert_false(mig_libvirt_is_stuck(f->proc, PID));
    waits(f, PID, "handle_userfault");
    g_assert_true(mig_libvirt_is_stuck(f->proc, PID));
    waits(f, PID, "futex_do_wait"); /* behind that CPU */
    g_assert_true(mig_libvirt_is_stuck(f->proc, PID));
    waits(f, PID + 1, "futex_do_wait");
    g_assert_false(mig_libvirt_is_stuck(f->proc, PID));
}

/* One look at which it went on is enough. */
static void
test_looks(Fixture *f, gconstpointer data)
{
    MigStuckLook looks[MIG_STUCK_LOOKS] = {0};

    g_assert_false(mig_libvirt_is_stuck_by(looks, 0));
    for (guint free_at = 0; free_at <= MIG_STUCK_LOOKS; free_at++) {
        for (guint i = 0; i < MIG_STUCK_LOOKS; i++)
            looks[i] = (MigStuckLook){.is_main_at_fault = i % 2 && i != free_at,
                                      .is_main_locked = !(i % 2) && i != free_at,
                                      .is_any_at_fault = TRUE};
        g_assert_true(mig_libvirt_is_stuck_by(looks, MIG_STUCK_LOOKS) ==
                      (free_at == MIG_STUCK_LOOKS));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/libvirt-stuck/threads", Fixture, NULL, set_up, test_threads, tear_down);
    g_test_add("/libvirt-stuck/looks", Fixture, NULL, set_up, test_looks, tear_down);
    return g_test_run();
}
