/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-hv-libvirt-origin.c - was a guest moved into its QEMU, or did it boot there? */
#include "drivers/hv-libvirt-origin.h"

#include <glib/gstdio.h>

#define PID 4711

static void
assert_booted(const char *proc, const char *cmdline, gsize length, gboolean was_booted)
{
    g_autofree char *path = g_strdup_printf("%s/%d/cmdline", proc, PID);

    g_assert_true(g_file_set_contents(path, cmdline, (gssize)length, NULL));
    g_assert_true(mig_libvirt_was_booted(proc, PID) == was_booted);
    g_unlink(path);
}

#define WORDS(text) text, sizeof text

static void
test_words(void)
{
    g_autofree char *proc = g_dir_make_tmp("proc-XXXXXX", NULL);
    g_autofree char *folder = g_strdup_printf("%s/%d", proc, PID);

    g_assert_cmpint(g_mkdir(folder, 0755), ==, 0);
    g_assert_false(mig_libvirt_was_booted(proc, PID)); /* nobody can tell */
    assert_booted(proc, "", 0, FALSE);
    assert_booted(proc, WORDS("qemu\0-name\0guest=web\0-S"), TRUE);
    assert_booted(proc, WORDS("qemu\0-name\0guest=web\0-incoming\0defer\0-S"), FALSE);
    assert_booted(proc, WORDS("qemu\0-S\0-incoming"), FALSE);
    assert_booted(proc, WORDS("qemu\0-name\0guest=-incoming,x\0-S"), TRUE);
    g_rmdir(folder);
    g_rmdir(proc);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/libvirt-origin/words", test_words);
    return g_test_run();
}
