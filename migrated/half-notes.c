/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* half-notes.c - what half-notes.h says. */
#include "half-notes.h"

#include "base/io.h"
#include "drivers/store-file.h"

#include <glib/gstdio.h>

typedef struct {
    gint64 pid;
    guint64 lease_version;
} Note;

struct MigHalfNotes {
    char *directory;
    GHashTable *by_uuid; /* Note */
};

/* ---- files ---- */

static char *
path_of(const MigHalfNotes *notes, const char *uuid)
{
    return g_build_filename(notes->directory, uuid, NULL);
}

static gboolean
write_note(const MigHalfNotes *notes, const char *uuid, const Note *note, GError **error)
{
    g_autofree char *path = path_of(notes, uuid);
    g_autofree char *pid = g_strdup_printf("%" G_GINT64_FORMAT, note->pid);
    g_autofree char *version = g_strdup_printf("%" G_GUINT64_FORMAT, note->lease_version);
    const char *const lines[] = {pid, version, NULL};

    return mig_io_make_dir(notes->directory, 0700, error) &&
           mig_store_write_lines(path, lines, error);
}

static gboolean
read_note(const char *path, Note *note)
{
    g_auto(GStrv) lines = mig_store_read_lines(path);

    return g_strv_length(lines) == 2 &&
           g_ascii_string_to_signed(lines[0], 10, 2, G_MAXINT32, &note->pid, NULL) &&
           g_ascii_string_to_unsigned(lines[1], 10, 0, G_MAXUINT64, &note->lease_version, NULL);
}

static gboolean
is_alive(gint64 pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%" G_GINT64_FORMAT, pid);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void
load(MigHalfNotes *notes)
{
    g_autoptr(GDir) directory = g_dir_open(notes->directory, 0, NULL);
    const char *uuid;

    while (directory && (uuid = g_dir_read_name(directory))) {
        g_autofree char *path = path_of(notes, uuid);
        Note note = {0};

        if (g_uuid_string_is_valid(uuid) && read_note(path, &note) && is_alive(note.pid))
            g_hash_table_insert(notes->by_uuid, g_strdup(uuid), g_memdup2(&note, sizeof note));
        else
            g_unlink(path);
    }
}

/* ---- public ---- */

/* As it is the file's name: libvirt's form and that of the volume may differ in case. */
static char *
key_of(const char *uuid)
{
    return g_uuid_string_is_valid(uuid) ? g_ascii_strdown(uuid, -1) : NULL;
}

void
mig_half_notes_keep(MigHalfNotes *notes, const char *uuid, int pid, guint64 lease_version)
{
    g_autofree char *key = key_of(uuid);
    const Note *known = key ? g_hash_table_lookup(notes->by_uuid, key) : NULL;
    Note note = {.pid = pid, .lease_version = lease_version};
    g_autoptr(GError) error = NULL;

    if (!key || pid <= 1)
        return;
    if (known && known->pid == pid) {
        if (!lease_version || known->lease_version == lease_version)
            return;
    }
    g_hash_table_replace(notes->by_uuid, g_strdup(key), g_memdup2(&note, sizeof note));
    if (!write_note(notes, key, &note, &error))
        g_warning("half a VM would not be known for one after a restart of migrated: %s",
                  error->message);
}

gboolean
mig_half_notes_find(const MigHalfNotes *notes, const char *uuid, int pid, guint64 *lease_version)
{
    g_autofree char *key = key_of(uuid);
    const Note *note = key ? g_hash_table_lookup(notes->by_uuid, key) : NULL;

    if (!note || note->pid != pid)
        return FALSE;
    *lease_version = note->lease_version;
    return TRUE;
}

void
mig_half_notes_drop(MigHalfNotes *notes, const char *uuid)
{
    g_autofree char *key = key_of(uuid);
    g_autofree char *path = key ? path_of(notes, key) : NULL;

    if (key && g_hash_table_remove(notes->by_uuid, key))
        g_unlink(path);
}

void
mig_half_notes_sweep(MigHalfNotes *notes)
{
    GHashTableIter iter;
    const char *uuid;
    const Note *note;

    g_hash_table_iter_init(&iter, notes->by_uuid);
    while (g_hash_table_iter_next(&iter, (gpointer *)&uuid, (gpointer *)&note)) {
        g_autofree char *path = path_of(notes, uuid);

        if (is_alive(note->pid))
            continue;
        g_unlink(path);
        g_hash_table_iter_remove(&iter);
    }
}

MigHalfNotes *
mig_half_notes_new(const char *run_dir)
{
    MigHalfNotes *notes = g_new0(MigHalfNotes, 1);

    notes->directory = g_build_filename(run_dir, "halves", NULL);
    notes->by_uuid = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    load(notes);
    return notes;
}

void
mig_half_notes_free(MigHalfNotes *notes)
{
    if (!notes)
        return;
    g_hash_table_unref(notes->by_uuid);
    g_free(notes->directory);
    g_free(notes);
}
