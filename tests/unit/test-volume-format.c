/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-volume-format.c - what --force does not format: whatever a node may be using. */
#include "volume-format.h"

#include "base/error.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

/* libcsv's, for a host lease as sanlock writes it */
#include <crc32c.h>

#define MIB       ((off_t)1 << 20)
#define LUN_BYTES (128 * MIB)

typedef struct {
    char *path;
    int fd;
    guint8 *before;
} Fixture;

static gboolean
format_it(Fixture *fixture, const char *name, GError **error)
{
    const MigFormatVolumeRequest request = {
        .device = fixture->path, .name = (char *)name, .force = TRUE};

    return mig_format(&request, error);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    fixture->path = g_build_filename(g_get_tmp_dir(), "mig-format-XXXXXX", NULL);
    fixture->fd = g_mkstemp(fixture->path);
    fixture->before = g_malloc(4 * MIB);
    g_assert_cmpint(ftruncate(fixture->fd, LUN_BYTES), ==, 0);
    /* blank; then something that is no volume */
    g_assert_true(format_it(fixture, "vol0", &error));
    g_assert_cmpint(ftruncate(fixture->fd, 0), ==, 0);
    g_assert_cmpint(ftruncate(fixture->fd, LUN_BYTES), ==, 0);
    g_assert_cmpint(pwrite(fixture->fd, "a filesystem", 12, 0), ==, 12);
    g_assert_true(format_it(fixture, "vol1", &error));
    g_assert_no_error(error);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    close(fixture->fd);
    g_unlink(fixture->path);
    g_free(fixture->path);
    g_free(fixture->before);
}

/* Not one byte where superblock, lockspace and slots are has changed. */
static void
assert_refused(Fixture *fixture, MigErrorCode code, const char *says)
{
    g_autofree guint8 *after = g_malloc(4 * MIB);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(pread(fixture->fd, fixture->before, 4 * MIB, 0), ==, 4 * MIB);
    g_assert_false(format_it(fixture, "other", &error));
    g_assert_error(error, MIG_ERROR, (gint)code);
    g_assert_nonnull(strstr(error->message, says));
    g_assert_cmpint(pread(fixture->fd, after, 4 * MIB, 0), ==, 4 * MIB);
    g_assert_cmpmem(fixture->before, 4 * MIB, after, 4 * MIB);
}

static void
flip(Fixture *fixture, off_t at)
{
    guint8 byte;

    g_assert_cmpint(pread(fixture->fd, &byte, 1, at), ==, 1);
    byte ^= 1;
    g_assert_cmpint(pwrite(fixture->fd, &byte, 1, at), ==, 1);
}

/* This node's LUN has become shorter; the others' has not. */
static void
test_shorter(Fixture *fixture, gconstpointer data)
{
    g_assert_cmpint(ftruncate(fixture->fd, LUN_BYTES - MIB), ==, 0);
    assert_refused(fixture, MIG_ERROR_LUN_TRUNCATED, "csvtool format --force");
}

static void
test_damaged(Fixture *fixture, gconstpointer data)
{
    flip(fixture, 200);
    flip(fixture, LUN_BYTES - MIB + 200);
    assert_refused(fixture, MIG_ERROR_DAMAGED, "csvtool format --force");
}

static void
test_no_device(Fixture *fixture, gconstpointer data)
{
    const MigFormatVolumeRequest request = {
        .device = (char *)"/dev/no-such-lun", .name = (char *)"vol1", .force = TRUE};
    g_autoptr(GError) error = NULL;

    g_assert_false(mig_format(&request, &error));
    g_assert_nonnull(error);
    g_assert_null(strstr(error->message, "csvtool"));
}

/* sanlock of a host is in its lockspace, though no migrated there says so: its own was ended, and
 * no VM ran. Once it has let go it is formatted. */
static void
test_host(Fixture *fixture, gconstpointer data)
{
    const guint64 values[] = {GUINT64_TO_LE(1), GUINT64_TO_LE(7)};
    const guint64 renewed = GUINT64_TO_LE(1234), free_ = 0;
    g_autoptr(GError) error = NULL;
    guint8 record[176];
    guint32 crc;

    g_assert_cmpint(pread(fixture->fd, record, sizeof record, MIB), ==, sizeof record);
    memcpy(record + 32, values, sizeof values);
    for (guint i = 0; i < 2; i++) {
        memcpy(record + 152, i == 0 ? &renewed : &free_, sizeof renewed);
        crc = GUINT32_TO_LE(csv_crc32c_raw(~1u, record, 168));
        memcpy(record + 168, &crc, sizeof crc);
        g_assert_cmpint(pwrite(fixture->fd, record, sizeof record, MIB), ==, sizeof record);
        if (i == 0)
            assert_refused(fixture, MIG_ERROR_VOLUME_IN_USE, "host with id 1");
    }
    g_assert_true(format_it(fixture, "other", &error));
    g_assert_no_error(error);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) \
    g_test_add("/volume-format/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("shorter", test_shorter);
    ADD("damaged", test_damaged);
    ADD("no-device", test_no_device);
    ADD("host", test_host);
    return g_test_run();
}
