/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-images.c - an image that is being copied stays what it is, or the copy is none. */
#include "images-private.h"

#include "base/error.h"
#include "copies.h"
#include "drivers/volume-csv.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define MIB (1024 * 1024)

static const MigEpoch epoch = {.version = 1, .host_generation = 1, .host_id = 1};

/* Two exports of one image: the one that ends first does not open it to a deletion. */
static void
test_copied_twice(void)
{
    char *first;

    g_assert_null(mig_images_first_copy_on("vol1"));
    mig_images_set_copying("vol1", "disk");
    mig_images_set_copying("vol1", "disk");
    g_assert_false(mig_images_end_copying("vol1", "disk"));
    first = mig_images_first_copy_on("vol1");
    g_assert_cmpstr(first, ==, "vol1/disk");
    g_free(first);
    g_assert_true(mig_images_end_copying("vol1", "disk"));
    g_assert_null(mig_images_first_copy_on("vol1"));
    g_assert_false(mig_images_end_copying("vol1", "disk")); /* once too often */
    g_assert_null(mig_images_first_copy_on("vol1"));
}

/* Another node changes the source while this one copies it. */
static void
test_changed_source(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "mig-images-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    MigFormat format = {.name = "vol1"};
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(ftruncate(fd, 128 * (off_t)MIB), ==, 0);
    g_assert_true(mig_csv_format(path, &format, &error));
    g_autoptr(MigCsv) csv = mig_csv_open(path, &error);
    g_autoptr(MigCsv) other = mig_csv_open(path, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < 3; i++) {
        g_autoptr(MigImage) made = mig_csv_image_create(other, &epoch, "disk", MIB, &error);
        g_autoptr(MigImage) grown = NULL;
        g_assert_no_error(error);
        g_autoptr(MigImage) image = mig_csv_image(csv, "disk", &error);

        g_assert_true(mig_images_is_unchanged(csv, image, &error));
        if (i == 0) {
            grown = mig_csv_image_grow(other, &epoch, "disk", 8 * MIB, &error);
            g_assert_no_error(error);
        } else {
            g_assert_true(mig_csv_image_delete(other, &epoch, "disk", &error));
        }
        if (i == 1) { /* and there is another one of that name */
            g_autoptr(MigImage) next = mig_csv_image_create(other, &epoch, "disk", MIB, &error);
            g_assert_no_error(error);
        }
        g_assert_false(mig_images_is_unchanged(csv, image, &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
        mig_csv_image_delete(other, &epoch, "disk", NULL);
    }
    close(fd);
    g_unlink(path);
}

/* No sanlock here knows the volume: nothing is written that its watchdog does not cover. */
static void
test_uncovered(void)
{
    g_autofree char *from = g_build_filename(g_get_tmp_dir(), "mig-images-XXXXXX", NULL);
    g_autofree char *to = g_build_filename(g_get_tmp_dir(), "mig-images-XXXXXX", NULL);
    int from_fd = g_mkstemp(from), to_fd = g_mkstemp(to);
    MigDaemon daemon = {.node = "n1", .sanlock = mig_sanlock_new()};
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(write(from_fd, "01234567", 8), ==, 8);
    g_assert_false(mig_copies_into_image(&daemon, "mig-no-such-volume", from, "raw", to,
                                         MIG_COPY_FILES, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "mig-no-such-volume"));
    g_assert_cmpint(lseek(to_fd, 0, SEEK_END), ==, 0);
    mig_sanlock_free(daemon.sanlock);
    close(from_fd);
    close(to_fd);
    g_unlink(from);
    g_unlink(to);
}

/* A VM that cannot be read may run: its disk does not count as one that stands still. */
static void
test_unread_user(void)
{
    static const int codes[] = {MIG_ERROR_VM_UNKNOWN, MIG_ERROR_IO, MIG_ERROR_DAMAGED};
    g_autoptr(GError) none = NULL;

    g_assert_true(mig_images_has_no_user(&none, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        g_autoptr(GError) missing = g_error_new_literal(MIG_ERROR, codes[i], "not found");
        g_autoptr(GError) error = NULL;

        g_assert_cmpint(mig_images_has_no_user(&missing, &error), ==, i == 0);
        if (i > 0)
            g_assert_error(error, MIG_ERROR, codes[i]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/images/copied-twice", test_copied_twice);
    g_test_add_func("/images/changed-source", test_changed_source);
    g_test_add_func("/images/uncovered", test_uncovered);
    g_test_add_func("/images/unread-user", test_unread_user);
    return g_test_run();
}
