/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-definition-disks.c - libvirt is told of a file where a file is, of a device where none is.
 */
#include "drivers/definition-disks.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER                 "/dev/csv/test-definition-disks"
#define DISK(type, attributes) "<disk type='" type "'><source " attributes "/></disk>"

static char *
fit(const char *disk)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *xml =
        g_strdup_printf("<domain type='kvm'><devices>%s</devices></domain>", disk);
    char *fitted = mig_definition_fit_disks(xml, &error);

    g_assert_no_error(error);
    return fitted;
}

static void
expect(const char *disk, const char *wanted)
{
    g_autofree char *fitted = fit(disk);
    g_autofree char *quoted = g_strdelimit(g_strdup(fitted), "\"", '\'');

    g_test_message("%s", quoted);
    g_assert_nonnull(strstr(quoted, wanted));
    g_assert_cmpint(mig_definition_has_files(fitted), ==, strstr(wanted, "file='/dev/csv") != NULL);
}

static void
test_fit(void)
{
    if (g_mkdir_with_parents(FOLDER, 0755) < 0) {
        g_test_skip("needs root");
        return;
    }
    g_assert_true(g_file_set_contents(FOLDER "/file", "x", 1, NULL));
    g_unlink(FOLDER "/device");
    g_assert_cmpint(symlink("/dev/null", FOLDER "/device"), ==, 0);
    expect(DISK("block", "dev='" FOLDER "/file'"), DISK("file", "file='" FOLDER "/file'"));
    expect(DISK("file", "file='" FOLDER "/file'"), DISK("file", "file='" FOLDER "/file'"));
    expect(DISK("file", "file='" FOLDER "/device'"), DISK("block", "dev='" FOLDER "/device'"));
    expect(DISK("block", "dev='" FOLDER "/device'"), DISK("block", "dev='" FOLDER "/device'"));
    /* of two paths only the one of the type counts, as for libvirt and for who checks it */
    expect(DISK("block", "file='" FOLDER "/other' dev='" FOLDER "/file'"),
           DISK("file", "file='" FOLDER "/file'"));
    g_unlink(FOLDER "/file");
    g_unlink(FOLDER "/device");
    g_rmdir(FOLDER);
}

#define LABEL "<seclabel model='dac' relabel='no'/>"
#define OWNED "<disk type='file'><source file='" FOLDER "/file'>" LABEL "</source></disk>"

static void
expect_copy(const char *device, const char *wanted)
{
    g_autofree char *disk = mig_definition_copy_disk(device);

    g_assert_cmpstr(disk, ==, wanted);
}

/* What is QEMU's stays so: libvirt is not to chown it, at neither end of a move. */
static void
test_owner(void)
{
    if (geteuid() != 0 || g_mkdir_with_parents(FOLDER, 0755) < 0) {
        g_test_skip("needs root");
        return;
    }
    g_assert_true(g_file_set_contents(FOLDER "/file", "x", 1, NULL));
    expect_copy(FOLDER "/file", "<disk type='file'><driver name='qemu' type='raw'/><source "
                                "file='" FOLDER "/file'></source></disk>");
    g_assert_cmpint(chown(FOLDER "/file", 64055, 64055), ==, 0);
    expect(DISK("block", "dev='" FOLDER "/file'"), OWNED);
    expect(DISK("file", "file='" FOLDER "/file'"), OWNED);
    expect(OWNED, OWNED); /* not twice */
    expect_copy(FOLDER "/file", "<disk type='file'><driver name='qemu' type='raw'/><source "
                                "file='" FOLDER "/file'>" LABEL "</source></disk>");
    g_unlink(FOLDER "/file");
    g_assert_cmpint(symlink("/dev/null", FOLDER "/file"), ==, 0);
    expect(DISK("block", "dev='" FOLDER "/file'"), DISK("block", "dev='" FOLDER "/file'"));
    g_unlink(FOLDER "/file");
    g_rmdir(FOLDER);
    expect_copy("/dev/csv/a'b", "<disk type='block'><driver name='qemu' type='raw'/><source "
                                "dev='/dev/csv/a&apos;b'></source></disk>");
}

static void
test_left_alone(void)
{
    expect(DISK("block", "dev='/dev/csv/none/at-all'"),
           DISK("block", "dev='/dev/csv/none/at-all'"));
    expect(DISK("block", "dev='/etc/passwd'"), DISK("block", "dev='/etc/passwd'"));
    expect(DISK("file", "file='/etc/passwd'"), DISK("file", "file='/etc/passwd'"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/definition-disks/fit", test_fit);
    g_test_add_func("/definition-disks/owner", test_owner);
    g_test_add_func("/definition-disks/left-alone", test_left_alone);
    return g_test_run();
}
