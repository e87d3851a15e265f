/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* again-notes.h - VMs that were ended here and are to be started again, wherever. */
#pragma once

#include <glib.h>

/*
 * What was ended and what is wanted is on the LUN; that it was ended for a fault, and not by
 * itself, only its node knows. So that is noted before it is ended, where a daemon that is started
 * again finds it, after a boot of the host, too: nobody takes what had ended before for a VM that
 * died with its node. A file for each below state_dir, replaced as a whole.
 *
 * Any thread.
 */
typedef struct MigAgainNotes MigAgainNotes;

typedef struct {
    char *vm, *volume;
    guint64 lease_version; /* of the run that was ended; 0: not known */
} MigAgainNote;

/* Touches no file. */
MigAgainNotes *mig_again_notes_new(const char *state_dir);
void mig_again_notes_free(MigAgainNotes *notes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigAgainNotes, mig_again_notes_free)

/* GPtrArray of MigAgainNote: what an earlier life has left. What is no note is removed. */
GPtrArray *mig_again_notes_load(MigAgainNotes *notes);
/* In place of what is noted of that VM. What cannot be written is warned of. */
void mig_again_notes_keep(MigAgainNotes *notes, const char *vm, const char *volume,
                          guint64 lease_version);
void mig_again_notes_drop(MigAgainNotes *notes, const char *vm);
