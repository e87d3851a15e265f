/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-half-notes.c - a daemon that is started again knows which VMs had come here, and no others.
 */
#include "half-notes.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define UUID  "5a1f0c3e-6f0c-4d3b-9c59-2f6c8c1f7f11"
#define OTHER "0d2b7f3a-1111-4d3b-9c59-2f6c8c1f7f12"

typedef struct {
    char *run_dir, *directory;
    MigHalfNotes *notes;
} Fixture;

static void
begin(Fixture *f)
{
    g_clear_pointer(&f->notes, mig_half_notes_free);
    f->notes = mig_half_notes_new(f->run_dir);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    f->run_dir = g_dir_make_tmp("mig-halves-XXXXXX", NULL);
    f->directory = g_build_filename(f->run_dir, "halves", NULL);
    begin(f);
}

static guint
files(const Fixture *f)
{
    g_autoptr(GDir) directory = g_dir_open(f->directory, 0, NULL);
    guint count = 0;

    while (directory && g_dir_read_name(directory))
        count++;
    return count;
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *command = g_strdup_printf("rm -r '%s'", f->run_dir);

    mig_half_notes_free(f->notes);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    g_free(f->directory);
    g_free(f->run_dir);
}

static void
assert_noted(const Fixture *f, const char *uuid, int pid, guint64 wanted)
{
    guint64 version = G_MAXUINT64;

    g_assert_true(mig_half_notes_find(f->notes, uuid, pid, &version));
    g_assert_cmpuint(version, ==, wanted);
}

static gboolean
has(const Fixture *f, const char *uuid, int pid)
{
    guint64 version = 0;

    return mig_half_notes_find(f->notes, uuid, pid, &version);
}

static GPid
begin_process(void)
{
    char *argv[] = {(char *)"sleep", (char *)"1000", NULL};
    GPid pid = 0;

    g_assert_true(g_spawn_async(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                                NULL, NULL, &pid, NULL));
    return pid;
}

static void
end_process(GPid pid)
{
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void
test_restart(Fixture *f, gconstpointer data)
{
    g_assert_false(has(f, UUID, getpid()));
    mig_half_notes_keep(f->notes, UUID, getpid(), 0);
    assert_noted(f, UUID, getpid(), 0);
    begin(f);
    assert_noted(f, UUID, getpid(), 0);
    mig_half_notes_keep(f->notes, UUID, getpid(), 17);
    begin(f);
    assert_noted(f, UUID, getpid(), 17);
    /* a daemon that is younger does not know the lease, and takes nothing back */
    mig_half_notes_keep(f->notes, UUID, getpid(), 0);
    begin(f);
    assert_noted(f, UUID, getpid(), 17);
    mig_half_notes_keep(f->notes, UUID, getpid(), 18);
    begin(f);
    assert_noted(f, UUID, getpid(), 18);
    g_assert_cmpuint(files(f), ==, 1);
    mig_half_notes_drop(f->notes, UUID);
    g_assert_false(has(f, UUID, getpid()));
    begin(f);
    g_assert_false(has(f, UUID, getpid()));
    g_assert_cmpuint(files(f), ==, 0);
}

/* A VM that was ended and started again by somebody has another QEMU, of which nothing is known. */
static void
test_process(Fixture *f, gconstpointer data)
{
    GPid first = begin_process(), second = begin_process(), third = begin_process();

    mig_half_notes_keep(f->notes, UUID, first, 17);
    mig_half_notes_keep(f->notes, OTHER, second, 5);
    g_assert_false(has(f, UUID, second));
    g_assert_false(has(f, OTHER, first));
    mig_half_notes_sweep(f->notes);
    assert_noted(f, UUID, first, 17);
    end_process(first);
    mig_half_notes_sweep(f->notes);
    g_assert_false(has(f, UUID, first));
    assert_noted(f, OTHER, second, 5);
    g_assert_cmpuint(files(f), ==, 1);
    mig_half_notes_keep(f->notes, OTHER, third, 0); /* its lease, too, was another one's */
    assert_noted(f, OTHER, third, 0);
    end_process(second);
    end_process(third);
    begin(f); /* ended while there was no daemon */
    g_assert_false(has(f, OTHER, third));
    g_assert_cmpuint(files(f), ==, 0);
}

static void
write_file(const Fixture *f, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(f->directory, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* What is no note is no file any more, either; and what cannot be a name of one becomes none. */
static void
test_rubbish(Fixture *f, gconstpointer data)
{
    g_autofree char *whole = g_strdup_printf("%d\n17", getpid());
    g_autofree char *upper = g_ascii_strup(UUID, -1);

    g_assert_cmpint(g_mkdir(f->directory, 0700), ==, 0);
    write_file(f, UUID ".AB12CD", whole); /* of a write that was cut short */
    write_file(f, "web", whole);
    write_file(f, OTHER, "17");
    begin(f);
    g_assert_cmpuint(files(f), ==, 0);
    write_file(f, UUID, whole);
    begin(f);
    assert_noted(f, UUID, getpid(), 17);
    assert_noted(f, upper, getpid(), 17);
    mig_half_notes_keep(f->notes, "../" UUID, getpid(), 1);
    mig_half_notes_keep(f->notes, OTHER, 0, 1); /* its QEMU has just gone */
    g_assert_false(has(f, "../" UUID, getpid()));
    g_assert_false(has(f, OTHER, 0));
    g_assert_cmpuint(files(f), ==, 1);
    mig_half_notes_drop(f->notes, upper);
    mig_half_notes_drop(f->notes, "../halves");
    g_assert_cmpuint(files(f), ==, 0);
}

/* It is remembered for as long as this daemon lives. */
static void
test_no_room(Fixture *f, gconstpointer data)
{
    g_assert_true(g_file_set_contents(f->directory, "in the way", -1, NULL));
    g_test_expect_message("migrated", G_LOG_LEVEL_WARNING, "*would not be known*");
    mig_half_notes_keep(f->notes, UUID, getpid(), 17);
    g_test_assert_expected_messages();
    assert_noted(f, UUID, getpid(), 17);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/half-notes/restart", Fixture, NULL, set_up, test_restart, tear_down);
    g_test_add("/half-notes/process", Fixture, NULL, set_up, test_process, tear_down);
    g_test_add("/half-notes/rubbish", Fixture, NULL, set_up, test_rubbish, tear_down);
    g_test_add("/half-notes/no-room", Fixture, NULL, set_up, test_no_room, tear_down);
    return g_test_run();
}
