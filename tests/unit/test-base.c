/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-base.c - the error table, log escaping, files. */

#include "base/error.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- errors ---- */

#define COUNT_ERROR(enumerator, name, exit_code) +1
enum { ERROR_COUNT = 0 MIG_ERROR_LIST(COUNT_ERROR) };

static void
test_error_round_trip(void)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) exits = g_hash_table_new(NULL, NULL);

    for (int code = 0; code < ERROR_COUNT; code++) {
        const char *name = mig_error_name(code);
        g_autoptr(GError) error = g_error_new(MIG_ERROR, code, "x");
        int exit_code = mig_error_exit_code(error);

        g_assert_cmpint(mig_error_from_name(name), ==, code);
        g_assert_true(g_hash_table_add(names, (gpointer)name));
        g_assert_true(g_hash_table_add(exits, GINT_TO_POINTER(exit_code)));
        g_assert_cmpint(exit_code, >, 0);
        g_assert_cmpint(exit_code, <, 126); /* the shell's own begin there */
    }
}

static void
test_error_foreign(void)
{
    g_autoptr(GError) foreign = g_error_new(G_FILE_ERROR, G_FILE_ERROR_NOENT, "x");
    g_autoptr(GError) outside = g_error_new(MIG_ERROR, 4711, "x");

    g_assert_cmpint(mig_error_exit_code(foreign), ==, 1);
    g_assert_cmpint(mig_error_exit_code(outside), ==, 1);
    g_assert_cmpint(mig_error_exit_code(NULL), ==, 1);
    g_assert_cmpstr(mig_error_name(-1), ==, "Failed");
    g_assert_cmpstr(mig_error_name(4711), ==, "Failed");
    g_assert_cmpint(mig_error_from_name("NoSuch"), ==, MIG_ERROR_FAILED);
    g_assert_cmpint(mig_error_from_name(NULL), ==, MIG_ERROR_FAILED);
}

/* ---- escaping ---- */

static void
test_escape(void)
{
    static const struct {
        const char *raw, *safe;
    } cases[] = {
        {"plain", "plain"},
        {"", ""},
        {"\x1b[31mred", "\\x1b[31mred"},
        {"a\nb\tc\r", "a\\x0ab\\x09c\\x0d"},
        {"\x7f", "\\x7f"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"},          /* C1 CSI */
        {"\xff\xc3", "\\xff\\xc3"}, /* not UTF-8 */
        {"\xe2\x80\xae"
         "evil",
         "\\xe2\\x80\\xae"
         "evil"},                            /* right-to-left override */
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"}, /* line separator */
        {"K\xc3\xb6ln \xf0\x9f\x98\x80", "K\xc3\xb6ln \xf0\x9f\x98\x80"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *safe = mig_log_escape(cases[i].raw);

        g_assert_cmpstr(safe, ==, cases[i].safe);
    }
    {
        g_autofree char *none = mig_log_escape(NULL);

        g_assert_cmpstr(none, ==, "");
    }
}

/* A flood of one kind leaves a few lines, and the number of those left out. */
static void
test_log_limit(void)
{
    MigLogLimit limit = {0};
    guint lines = 0, skipped = 0;

    for (guint i = 0; i < 1000; i++)
        lines += mig_log_allow(&limit, &skipped);
    g_assert_cmpuint(lines, ==, 5);
    limit.window_us -= 11 * G_USEC_PER_SEC;
    g_assert_true(mig_log_allow(&limit, &skipped));
    g_assert_cmpuint(skipped, ==, 995);
    g_assert_true(mig_log_allow(&limit, &skipped));
    g_assert_cmpuint(skipped, ==, 0);
}

static void
test_log_line(void)
{
    if (g_test_subprocess()) {
        mig_log_init(FALSE);
        mig_log_event(MIG_ID_MOVE_DONE, MIG_FIELDS(.job = "7", .domain = "w\neb"), "moved %s", "x");
        mig_log_debug(NULL, "not shown");
        mig_log_warning(NULL, "a\x1b[1m");
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*event: moved x job=7 domain=w\\x0aeb\n*warning: a\\x1b*");
    g_test_trap_assert_stderr_unmatched("*not shown*");
}

/* ---- files ---- */

typedef struct {
    char *dir;
    char *path;
} Files;

static void
files_set_up(Files *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("mig-io-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "file", NULL);
}

static void
files_tear_down(Files *f, gconstpointer data)
{
    g_unlink(f->path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0); /* nothing else is left in it */
    g_free(f->path);
    g_free(f->dir);
}

static void
test_io_replace(Files *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    gsize length = 0;
    struct stat st;

    g_assert_true(mig_io_write_file(f->path, "one", 3, 0600, &error));
    g_assert_true(mig_io_write_file(f->path, "second", 6, 0600, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat(f->path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0600);
    text = mig_io_read_file(f->path, 6, &length, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(text, ==, "second");
    g_assert_cmpint(length, ==, 6);
    g_assert_true(mig_io_remove_file(f->path, &error));
    g_assert_true(mig_io_remove_file(f->path, &error));
}

static void
test_io_limits(Files *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *bad = g_build_filename(f->dir, "no", "such", NULL);

    g_assert_true(mig_io_write_file(f->path, "12345", 5, 0600, NULL));
    g_assert_null(mig_io_read_file(f->path, 4, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE);
    g_clear_error(&error);
    g_assert_null(mig_io_read_file(f->dir, 4, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE);
    g_clear_error(&error);
    g_assert_null(mig_io_read_file(bad, 4, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IO);
    g_clear_error(&error);
    g_assert_false(mig_io_write_file(bad, "x", 1, 0600, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IO);
}

/* Around what is read at once, whole each. */
static void
test_io_sizes(Files *f, gconstpointer data)
{
    static const gsize sizes[] = {0, 1, 4095, 4096, 4097, 8193, 100000};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *wrote = g_strnfill(sizes[i], 'x');
        g_autofree char *text = NULL, *exact = NULL, *less = NULL;
        gsize length = 1;

        g_assert_true(mig_io_write_file(f->path, wrote, sizes[i], 0600, NULL));
        text = mig_io_read_file(f->path, 1 << 20, &length, NULL);
        g_assert_cmpuint(length, ==, sizes[i]);
        g_assert_cmpstr(text, ==, wrote);
        exact = mig_io_read_file(f->path, sizes[i], NULL, NULL);
        g_assert_cmpstr(exact, ==, wrote);
        less = sizes[i] ? mig_io_read_file(f->path, sizes[i] - 1, NULL, NULL) : NULL;
        g_assert_null(less);
    }
}

/* Two starts of a host must not be taken for one. The kernel says that the file has no byte. */
static void
test_boot_id(void)
{
    g_autofree char *id = mig_io_boot_id(), *text = NULL, *status = NULL;

    g_assert_true(g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL));
    g_assert_cmpstr(id, ==, g_strstrip(text));
    g_assert_cmpuint(strlen(id), ==, 36);
    status = mig_io_read_file("/proc/self/status", 1 << 16, NULL, NULL);
    g_assert_nonnull(strstr(status, "nonvoluntary_ctxt_switches"));
}

/* A write that fails half-way (here by the limit on file sizes) leaves the old content, and no
 * temporary file: files_tear_down() would stumble over it. */
static void
test_io_full(Files *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *big = g_malloc0(1 << 20);
    g_autofree char *text = NULL;
    struct rlimit before, small;

    g_assert_true(mig_io_write_file(f->path, "old", 3, 0600, NULL));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 4096;
    setrlimit(RLIMIT_FSIZE, &small);
    g_assert_false(mig_io_write_file(f->path, big, 1 << 20, 0600, &error));
    setrlimit(RLIMIT_FSIZE, &before);
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IO);
    text = mig_io_read_file(f->path, 10, NULL, NULL);
    g_assert_cmpstr(text, ==, "old");
}

static void
test_fd(void)
{
    int raw;
    {
        mig_autofd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        mig_autofd int kept = open("/dev/null", O_RDONLY | O_CLOEXEC);

        raw = fd;
        g_assert_cmpint(fd, >=, 0);
        close(mig_steal_fd(&kept));
        g_assert_cmpint(kept, ==, -1);
    }
    g_assert_cmpint(fcntl(raw, F_GETFD), ==, -1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/round-trip", test_error_round_trip);
    g_test_add_func("/error/foreign", test_error_foreign);
    g_test_add_func("/log/escape", test_escape);
    g_test_add_func("/log/line", test_log_line);
    g_test_add("/io/replace", Files, NULL, files_set_up, test_io_replace, files_tear_down);
    g_test_add("/io/limits", Files, NULL, files_set_up, test_io_limits, files_tear_down);
    g_test_add("/io/sizes", Files, NULL, files_set_up, test_io_sizes, files_tear_down);
    g_test_add_func("/io/boot-id", test_boot_id);
    g_test_add("/io/failed-write", Files, NULL, files_set_up, test_io_full, files_tear_down);
    g_test_add_func("/fd/auto", test_fd);
    g_test_add_func("/log/limit", test_log_limit);
    return g_test_run();
}
