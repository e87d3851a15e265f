/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-qemu-img.c - sizes and copies with the real qemu-img, and what its user may not smuggle in.
 */
#include "drivers/qemu-img.h"

#include "../disk-directory.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE (3 << 20)

typedef struct {
    char *directory, *raw, *qcow2, *out;
} Fixture;

static void
run(const char *command_take)
{
    g_autofree char *command = (char *)command_take;
    int status = 0;

    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, &status, NULL));
    g_assert_true(g_spawn_check_wait_status(status, NULL));
}

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autofree char *bytes = g_malloc(SIZE);

    /* /tmp may be nothing but page cache */
    f->directory = disk_directory_make("qemu-img-XXXXXX");
    f->raw = g_build_filename(f->directory, "disk.raw", NULL);
    f->qcow2 = g_build_filename(f->directory, "disk.qcow2", NULL);
    f->out = g_build_filename(f->directory, "out", NULL);
    for (guint i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 + i / 4096);
    g_assert_true(g_file_set_contents(f->raw, bytes, SIZE, NULL));
    run(g_strdup_printf("qemu-img convert -f raw -O qcow2 %s %s", f->raw, f->qcow2));
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_autoptr(GDir) directory = g_dir_open(f->directory, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(directory))) {
        g_autofree char *path = g_build_filename(f->directory, name, NULL);

        g_remove(path);
    }
    g_rmdir(f->directory);
    g_free(f->directory);
    g_free(f->raw);
    g_free(f->qcow2);
    g_free(f->out);
}

static void
assert_same(const char *a, const char *b)
{
    g_autofree char *left = NULL, *right = NULL;
    gsize left_length = 0, right_length = 0;

    g_assert_true(g_file_get_contents(a, &left, &left_length, NULL));
    g_assert_true(g_file_get_contents(b, &right, &right_length, NULL));
    g_assert_cmpmem(left, left_length, right, right_length);
}

static void
test_size(Fixture *f, gconstpointer data)
{
    static const char *const formats[] = {NULL, "raw", NULL, "qcow2"};

    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autoptr(GError) error = NULL;
        guint64 bytes = 0;

        g_assert_true(mig_qemu_img_size(i < 2 ? f->raw : f->qcow2, formats[i], &bytes, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(bytes, ==, SIZE);
    }
}

typedef struct {
    guint64 last;
    guint calls;
    gboolean cancel;
} Heard;

static void
on_progress(guint64 done_bytes, guint64 total_bytes, gpointer user_data)
{
    Heard *heard = user_data;

    g_assert_cmpuint(total_bytes, ==, SIZE);
    g_assert_cmpuint(done_bytes, >=, heard->last);
    g_assert_cmpuint(done_bytes, <=, SIZE);
    heard->last = done_bytes;
    heard->calls++;
}

static gboolean
is_cancelled(gpointer user_data)
{
    return ((Heard *)user_data)->cancel;
}

static void
test_copy(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    Heard heard = {0};
    const MigCopyHooks hooks = {
        .progress = on_progress, .is_cancelled = is_cancelled, .user_data = &heard};

    g_assert_true(
        mig_qemu_img_copy(f->qcow2, "qcow2", f->out, "raw", MIG_COPY_FILES, &hooks, &error));
    g_assert_no_error(error);
    assert_same(f->raw, f->out);
    g_assert_cmpuint(heard.calls, >, 0);
    g_assert_cmpuint(heard.last, ==, SIZE);
    /* onto what exists already, as an image device does */
    g_assert_cmpint(g_unlink(f->out), ==, 0);
    run(g_strdup_printf("truncate -s %d %s", SIZE, f->out));
    g_assert_true(mig_qemu_img_copy(f->qcow2, NULL, f->out, "raw", MIG_COPY_FILES, NULL, &error));
    assert_same(f->raw, f->out);
    /* and back */
    g_assert_true(mig_qemu_img_copy(f->raw, "raw", f->out, "qcow2", MIG_COPY_FILES, NULL, &error));
    g_assert_true(
        mig_qemu_img_copy(f->out, "qcow2", f->qcow2, "raw", MIG_COPY_FILES, NULL, &error));
    assert_same(f->raw, f->qcow2);
}

/* Pages of a file that are in this machine's page cache. */
static guint
cached_pages(const char *path)
{
    unsigned char pages[SIZE / 4096] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    guint count = 0;

    g_assert_true(map != MAP_FAILED);
    g_assert_cmpint(mincore(map, SIZE, pages), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(pages); i++)
        count += pages[i] & 1;
    munmap(map, SIZE);
    close(fd);
    return count;
}

static void
drop_cache(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint(fsync(fd), ==, 0);
    g_assert_cmpint(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), ==, 0);
    close(fd);
    g_assert_cmpuint(cached_pages(path), ==, 0);
}

/* What another node has written since must be read: what is in the cache may be older. */
static void
test_past_cache(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    run(g_strdup_printf("truncate -s %d %s", SIZE, f->out));
    drop_cache(f->raw);
    g_assert_true(mig_qemu_img_copy(f->raw, "raw", f->out, "raw",
                                    MIG_COPY_FROM_IMAGE | MIG_COPY_TO_IMAGE, NULL, &error));
    g_assert_cmpuint(cached_pages(f->raw), ==, 0);
    g_assert_cmpuint(cached_pages(f->out), ==, 0);
    g_assert_true(
        mig_qemu_img_copy(f->raw, "raw", f->qcow2, "qcow2", MIG_COPY_FROM_IMAGE, NULL, &error));
    g_assert_cmpuint(cached_pages(f->raw), ==, 0);
    assert_same(f->raw, f->out);
    /* that this would be seen */
    drop_cache(f->raw);
    g_assert_true(mig_qemu_img_copy(f->raw, "raw", f->out, "raw", MIG_COPY_FILES, NULL, &error));
    g_assert_cmpuint(cached_pages(f->raw), >, 0);
}

static void
test_cancel(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    Heard heard = {.cancel = TRUE};
    const MigCopyHooks hooks = {
        .progress = on_progress, .is_cancelled = is_cancelled, .user_data = &heard};
    gboolean ok = mig_qemu_img_copy(f->raw, "raw", f->out, "raw", MIG_COPY_FILES, &hooks, &error);

    /* so small a copy may be done before anybody asks */
    if (!ok)
        g_assert_error(error, MIG_ERROR, MIG_ERROR_CANCELLED);
}

/* ---- one whose disk does not answer ---- */

/* Stands in for qemu-img: knows a size, then stalls without a word, as one whose LUN is away. */
static char *
put_stalling_in_path(Fixture *f)
{
    static const char script[] = "#!/bin/sh\n"
                                 "case $1 in\n"
                                 "measure) echo 'fully allocated size: 3145728' ;;\n"
                                 "convert) echo $$ >\"${0%/*}/pid\"; exec sleep 60 ;;\n"
                                 "esac\n";
    g_autofree char *path = g_build_filename(f->directory, "qemu-img", NULL);
    g_autofree char *search = g_strconcat(f->directory, ":", g_getenv("PATH"), NULL);
    char *before = g_strdup(g_getenv("PATH"));

    g_assert_true(g_file_set_contents(path, script, -1, NULL));
    g_assert_cmpint(g_chmod(path, 0755), ==, 0);
    g_setenv("PATH", search, TRUE);
    return before;
}

static gboolean
is_lost_in_time(gpointer user_data, GError **error)
{
    if (++((Heard *)user_data)->calls < 3)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "the volume is lost");
    return FALSE;
}

static gboolean
is_cancelled_in_time(gpointer user_data)
{
    return ++((Heard *)user_data)->calls >= 3;
}

static void
test_stalls(Fixture *f, gconstpointer data)
{
    g_autofree char *path = put_stalling_in_path(f);
    g_autofree char *pid_path = g_build_filename(f->directory, "pid", NULL);

    for (int is_lost = 0; is_lost <= 1; is_lost++) {
        Heard heard = {0};
        const MigCopyHooks hooks = {.user_data = &heard,
                                    .is_cancelled = is_lost ? NULL : is_cancelled_in_time,
                                    .may_write = is_lost ? is_lost_in_time : NULL};
        gint64 began_us = g_get_monotonic_time();
        int code = is_lost ? MIG_ERROR_IO : MIG_ERROR_CANCELLED;
        g_autofree char *pid = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_false(
            mig_qemu_img_copy(f->raw, "raw", f->out, "raw", MIG_COPY_FILES, &hooks, &error));
        g_assert_error(error, MIG_ERROR, code);
        g_assert_cmpuint(heard.calls, ==, 3);
        g_assert_cmpint(g_get_monotonic_time() - began_us, <, 30 * G_USEC_PER_SEC);
        g_assert_true(g_file_get_contents(pid_path, &pid, NULL, NULL));
        g_assert_cmpint(kill(atoi(pid), 0), <, 0);
        g_assert_cmpint(errno, ==, ESRCH);
    }
    g_setenv("PATH", path, TRUE);
}

/* One line that names the file. */
static void
refused(const char *path, const char *format, int code, const char *says)
{
    g_autoptr(GError) error = NULL;
    guint64 bytes = 0;

    g_test_message("%s as %s", path, format ? format : "anything");
    g_assert_false(mig_qemu_img_size(path, format, &bytes, &error));
    g_assert_error(error, MIG_ERROR, code);
    g_assert_null(strchr(error->message, '\n'));
    g_assert_nonnull(strstr(error->message, says));
    g_clear_error(&error);
    g_assert_false(
        mig_qemu_img_copy(path, format, "/nonexistent/out", "raw", MIG_COPY_FILES, NULL, &error));
    g_assert_error(error, MIG_ERROR, code);
}

static void
test_refused(Fixture *f, gconstpointer data)
{
    g_autofree char *missing = g_build_filename(f->directory, "missing", NULL);

    refused(missing, NULL, MIG_ERROR_IO, "missing");
    refused(f->raw, "qcow2", MIG_ERROR_IO, "disk.raw");
    refused(f->raw, "nonsense", MIG_ERROR_IO, "disk.raw");
    refused(f->directory, NULL, MIG_ERROR_IO, f->directory);
    refused("disk.raw", NULL, MIG_ERROR_BAD_VALUE, "absolute");
    refused("", NULL, MIG_ERROR_BAD_VALUE, "absolute");
    /* an option, or one of QEMU's protocols, is no path */
    refused("--help", NULL, MIG_ERROR_BAD_VALUE, "absolute");
    refused("-U", NULL, MIG_ERROR_BAD_VALUE, "absolute");
    refused("json:{\"driver\":\"null-co\",\"size\":1024}", NULL, MIG_ERROR_BAD_VALUE, "absolute");
    refused("nbd://127.0.0.1/x", NULL, MIG_ERROR_BAD_VALUE, "absolute");
}

/* The target of a copy and both formats are said by users, too. */
static void
test_target_refused(Fixture *f, gconstpointer data)
{
    static const char *const targets[] = {"out", "--help", "-q", "json:{}", "nbd://127.0.0.1/x"};
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(targets); i++) {
        g_test_message("%s", targets[i]);
        g_assert_false(
            mig_qemu_img_copy(f->raw, "raw", targets[i], "raw", MIG_COPY_FILES, NULL, &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE);
        g_clear_error(&error);
        g_assert_false(g_file_test(targets[i], G_FILE_TEST_EXISTS));
    }
    g_assert_false(
        mig_qemu_img_copy(f->raw, "raw", "/nonexistent/out", "raw", MIG_COPY_FILES, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IO);
    g_clear_error(&error);
    g_assert_false(
        mig_qemu_img_copy(f->raw, "raw", f->out, "nonsense", MIG_COPY_FILES, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IO);
}

/* Colons in a name are a protocol to QEMU unless it is told better. */
static void
test_odd_names(Fixture *f, gconstpointer data)
{
    static const char *const names[] = {"a b", "a:b", "-a", "a,b", "ä'\""};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(f->directory, names[i], NULL);
        g_autoptr(GError) error = NULL;
        guint64 bytes = 0;

        g_assert_true(mig_qemu_img_copy(f->raw, "raw", path, "raw", MIG_COPY_FILES, NULL, &error));
        g_assert_no_error(error);
        assert_same(f->raw, path);
        g_assert_true(mig_qemu_img_size(path, "raw", &bytes, &error));
        g_assert_cmpuint(bytes, ==, SIZE);
    }
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/qemu-img/size", test_size},
        {"/qemu-img/copy", test_copy},
        {"/qemu-img/past-cache", test_past_cache},
        {"/qemu-img/cancel", test_cancel},
        {"/qemu-img/stalls", test_stalls},
        {"/qemu-img/refused", test_refused},
        {"/qemu-img/target-refused", test_target_refused},
        {"/qemu-img/odd-names", test_odd_names},
    };
    g_autofree char *program = g_find_program_in_path("qemu-img");

    g_test_init(&argc, &argv, NULL);
    if (!program) {
        g_print("1..0 # SKIP qemu-img is not installed\n");
        return 0;
    }
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
