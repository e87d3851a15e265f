/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* again-notes.c - what again-notes.h says. */
#include "again-notes.h"

#include "base/io.h"
#include "drivers/store-file.h"

#include <glib/gstdio.h>

struct MigAgainNotes {
    char *directory;
    GMutex lock; /* one look at a file, and what follows from it, at a time */
};

static void
note_free(gpointer data)
{
    MigAgainNote *note = data;

    g_free(note->vm);
    g_free(note->volume);
    g_free(note);
}

/* A VM's name on a volume is a file's name; libvirt's need not be. */
static char *
path_of(const MigAgainNotes *notes, const char *vm)
{
    if (*vm == '\0' || *vm == '.' || strchr(vm, G_DIR_SEPARATOR))
        return NULL;
    return g_build_filename(notes->directory, vm, NULL);
}

/* NULL: it is none. */
static MigAgainNote *
read_note(const char *path, const char *vm)
{
    g_auto(GStrv) lines = mig_store_read_lines(path);
    MigAgainNote *note;
    guint64 version = 0;

    /* the file of a write that was cut short has another name than it says */
    if (g_strv_length(lines) != 3 || !g_str_equal(lines[0], vm) || *lines[1] == '\0' ||
        !g_ascii_string_to_unsigned(lines[2], 10, 0, G_MAXUINT64, &version, NULL))
        return NULL;
    note = g_new0(MigAgainNote, 1);
    note->vm = g_strdup(vm);
    note->volume = g_strdup(lines[1]);
    note->lease_version = version;
    return note;
}

GPtrArray *
mig_again_notes_load(MigAgainNotes *notes)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(note_free);
    g_autoptr(GDir) directory = NULL;
    const char *vm;

    g_mutex_lock(&notes->lock);
    directory = g_dir_open(notes->directory, 0, NULL);
    while (directory && (vm = g_dir_read_name(directory))) {
        g_autofree char *path = g_build_filename(notes->directory, vm, NULL);
        g_autofree char *own = path_of(notes, vm);
        MigAgainNote *note = own ? read_note(path, vm) : NULL;

        if (note)
            g_ptr_array_add(all, note);
        else
            g_unlink(path);
    }
    g_mutex_unlock(&notes->lock);
    return all;
}

void
mig_again_notes_keep(MigAgainNotes *notes, const char *vm, const char *volume,
                     guint64 lease_version)
{
    g_autofree char *path = path_of(notes, vm);
    g_autofree char *version = g_strdup_printf("%" G_GUINT64_FORMAT, lease_version);
    const char *const lines[] = {vm, volume, version, NULL};
    g_autoptr(GError) error = NULL;
    gboolean ok;

    if (!path)
        return;
    g_mutex_lock(&notes->lock);
    ok = mig_io_make_dir(notes->directory, 0700, &error) &&
         mig_store_write_lines(path, lines, &error);
    g_mutex_unlock(&notes->lock);
    if (!ok)
        g_warning("that %s is to be started again would not be known after a restart of migrated: "
                  "%s",
                  vm, error->message);
}

void
mig_again_notes_drop(MigAgainNotes *notes, const char *vm)
{
    g_autofree char *path = path_of(notes, vm);

    g_mutex_lock(&notes->lock);
    if (path)
        g_unlink(path);
    g_mutex_unlock(&notes->lock);
}

MigAgainNotes *
mig_again_notes_new(const char *state_dir)
{
    MigAgainNotes *notes = g_new0(MigAgainNotes, 1);

    notes->directory = g_build_filename(state_dir, "again", NULL);
    g_mutex_init(&notes->lock);
    return notes;
}

void
mig_again_notes_free(MigAgainNotes *notes)
{
    if (!notes)
        return;
    g_mutex_clear(&notes->lock);
    g_free(notes->directory);
    g_free(notes);
}
