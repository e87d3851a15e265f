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
    g_test_add_func("/definition-disks/left-alone", test_left_alone);
    return g_test_run();
}
