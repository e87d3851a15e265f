/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-again-notes.c - a daemon that is started again knows what it had ended, to be started again.
 */
#include "again-notes.h"

#include <glib/gstdio.h>

typedef struct {
    char *state_dir, *directory;
    MigAgainNotes *notes;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->state_dir = g_dir_make_tmp("mig-again-XXXXXX", NULL);
    f->directory = g_build_filename(f->state_dir, "again", NULL);
    f->notes = mig_again_notes_new(f->state_dir);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *command = g_strdup_printf("rm -r '%s'", f->state_dir);

    mig_again_notes_free(f->notes);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    g_free(f->directory);
    g_free(f->state_dir);
}

/* As a new life of the daemon finds them: "NAME VOLUME VERSION", sorted. */
static void
assert_left(Fixture *f, const char *wanted)
{
    g_autoptr(MigAgainNotes) next = mig_again_notes_new(f->state_dir);
    g_autoptr(GPtrArray) all = mig_again_notes_load(next);
    GList *lines = NULL;
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < all->len; i++) {
        const MigAgainNote *note = g_ptr_array_index(all, i);
        char *line = g_strdup_printf("%s %s %" G_GUINT64_FORMAT, note->vm, note->volume,
                                     note->lease_version);

        lines = g_list_insert_sorted(lines, line, (GCompareFunc)strcmp);
    }
    for (const GList *line = lines; line; line = line->next)
        g_string_append_printf(text, "%s%s", text->len ? ", " : "", (const char *)line->data);
    g_assert_cmpstr(text->str, ==, wanted);
    g_list_free_full(lines, g_free);
}

static void
test_restart(Fixture *f, gconstpointer data)
{
    assert_left(f, "");
    mig_again_notes_keep(f->notes, "web", "vol1", 7);
    mig_again_notes_keep(f->notes, "db.2", "vol1", 0);
    assert_left(f, "db.2 vol1 0, web vol1 7");
    mig_again_notes_keep(f->notes, "web", "vol1", 8); /* its lease was given back */
    assert_left(f, "db.2 vol1 0, web vol1 8");
    mig_again_notes_drop(f->notes, "db.2");
    assert_left(f, "web vol1 8");
    mig_again_notes_drop(f->notes, "web");
    mig_again_notes_drop(f->notes, "web");
    assert_left(f, "");
}

static void
write_file(const Fixture *f, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(f->directory, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void
test_rubbish(Fixture *f, gconstpointer data)
{
    g_autofree char *above = g_build_filename(f->state_dir, "above", NULL);

    mig_again_notes_keep(f->notes, "web", "vol1", 7);
    write_file(f, "web.AB12CD", "web\nvol1\n7"); /* of a write that was cut short */
    write_file(f, ".web", ".web\nvol1\n7");
    write_file(f, "empty", "");
    write_file(f, "half", "half\nvol1");
    write_file(f, "long", "long\nvol1\n7\n8");
    write_file(f, "nowhere", "nowhere\n\n7");
    write_file(f, "minus", "minus\nvol1\n-1");
    write_file(f, "most", "most\nvol1\n18446744073709551616");
    assert_left(f, "web vol1 7");
    mig_again_notes_drop(f->notes, "web");
    g_assert_cmpint(g_rmdir(f->directory), ==, 0); /* nothing of it is left there */
    /* what cannot be a file's name becomes none */
    mig_again_notes_keep(f->notes, "../above", "vol1", 1);
    mig_again_notes_keep(f->notes, "", "vol1", 1);
    mig_again_notes_keep(f->notes, ".", "vol1", 1);
    g_assert_false(g_file_test(above, G_FILE_TEST_EXISTS));
    assert_left(f, "");
}

static void
test_no_room(Fixture *f, gconstpointer data)
{
    g_assert_true(g_file_set_contents(f->directory, "in the way", -1, NULL));
    g_test_expect_message("migrated", G_LOG_LEVEL_WARNING, "*web is to be started again*");
    mig_again_notes_keep(f->notes, "web", "vol1", 7);
    g_test_assert_expected_messages();
    assert_left(f, "");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/again-notes/restart", Fixture, NULL, set_up, test_restart, tear_down);
    g_test_add("/again-notes/rubbish", Fixture, NULL, set_up, test_rubbish, tear_down);
    g_test_add("/again-notes/no-room", Fixture, NULL, set_up, test_no_room, tear_down);
    return g_test_run();
}
