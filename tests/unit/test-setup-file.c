/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-setup-file.c - what setup changes in files of others, and that undo is exact. */

#include "setup-file.h"

#include <glib.h>
#include <string.h>

static const MigSetupLine lines[] = {
    {"lock_manager", "\"sanlock\"", "each QEMU holds the lease of its VM"},
    {"other", "0", "why not"},
};

static char *
apply(const char *text)
{
    return mig_setup_file_apply(text, lines, G_N_ELEMENTS(lines), " = ");
}

static void
test_undo_is_exact(void)
{
    const char *const texts[] = {
        "a = 1\n# lock_manager = \"lockd\"\n",
        "lock_manager = \"lockd\"\nb = 2\n",
        "\tlock_manager=\"lockd\"\nlock_manager = \"x\"\nother = 7\n",
        "\n\n",
        "lock_managers = 1\n",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *once = apply(texts[i]);
        g_autofree char *twice = apply(once);
        g_autofree char *back = mig_setup_file_undo(twice);

        g_assert_cmpstr(once, ==, twice);
        g_assert_cmpstr(back, ==, texts[i]);
    }
}

/* Each key is set once, by us: libvirt takes the first, a shell the last. */
static void
test_sets_once(void)
{
    g_autofree char *text = apply(" lock_manager = \"lockd\"\nother=1\n#other = 3\nothers = 4\n");
    g_auto(GStrv) all = g_strsplit(text, "\n", -1);
    guint managers = 0, others = 0;

    for (guint i = 0; all[i]; i++) {
        char *line = g_strstrip(all[i]);

        managers += g_str_has_prefix(line, "lock_manager");
        others += g_str_has_prefix(line, "other =") || g_str_has_prefix(line, "other=");
    }
    g_assert_cmpuint(managers, ==, 1);
    g_assert_cmpuint(others, ==, 1);
    g_assert_nonnull(strstr(text, "\nlock_manager = \"sanlock\"\n"));
    g_assert_nonnull(strstr(text, "\nothers = 4\n"));
    g_assert_nonnull(strstr(text, "\n#other = 3\n"));
}

/* A file without its last newline gets one, or our block would hang on its last line. */
static void
test_no_newline(void)
{
    g_autofree char *text = apply("a = 1");
    g_autofree char *back = mig_setup_file_undo(text);
    g_autofree char *empty = apply("");

    g_assert_true(g_str_has_prefix(text, "a = 1\n#"));
    g_assert_cmpstr(back, ==, "a = 1\n");
    g_assert_true(g_str_has_prefix(empty, "# migratectl setup: begin"));
}

/* An end mark that somebody deleted must not swallow what others wrote behind it silently twice. */
static void
test_cut_block(void)
{
    g_autofree char *text = apply("a = 1\n");
    g_autofree char *back = NULL;

    *strstr(text, "# migratectl setup: end") = '\0';
    back = mig_setup_file_undo(text);
    g_assert_cmpstr(back, ==, "a = 1\n");
}

/* The end alone was deleted, and somebody has written behind it. */
static void
test_no_end(void)
{
    g_autofree char *text = apply("a = 1\n");
    g_autofree char *longer = NULL, *back = NULL;

    *strstr(text, "# migratectl setup: end") = '\0';
    longer = g_strconcat(text, "b = 2\n# why\nc = 3\n", NULL);
    back = mig_setup_file_undo(longer);
    g_assert_cmpstr(back, ==, "a = 1\nb = 2\n# why\nc = 3\n");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/setup-file/undo-is-exact", test_undo_is_exact);
    g_test_add_func("/setup-file/sets-once", test_sets_once);
    g_test_add_func("/setup-file/no-newline", test_no_newline);
    g_test_add_func("/setup-file/cut-block", test_cut_block);
    g_test_add_func("/setup-file/no-end", test_no_end);
    return g_test_run();
}
