/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* half-notes.h - VMs that came here by a move, and have not been seen to run whole yet. */
#pragma once

#include <glib.h>

/*
 * libvirt (9.0) calls a VM suspended by its user where a post-copy is over and it stands still,
 * whatever the reason was. QEMU still knows that its disk had failed; that it had done so before
 * libvirt forgot it, and which lease it had then, is noted here, where a daemon that is started
 * again finds it. A file for each, replaced as a whole, below run_dir: it ends with the host's
 * boot, as the QEMUs do. A note is of one QEMU, by its process.
 *
 * One thread.
 */
typedef struct MigHalfNotes MigHalfNotes;

/* Reads what an earlier life has left, and drops what is of no process any more. */
MigHalfNotes *mig_half_notes_new(const char *run_dir);
void mig_half_notes_free(MigHalfNotes *notes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigHalfNotes, mig_half_notes_free)

/* lease_version: the last one that it was seen to have here; 0, not known, changes no earlier one.
 * Writes only where that is new; what cannot be written is remembered all the same, and warned of.
 */
void mig_half_notes_keep(MigHalfNotes *notes, const char *uuid, int pid, guint64 lease_version);
/* TRUE: there is one of this VM and process. */
gboolean
mig_half_notes_find(const MigHalfNotes *notes, const char *uuid, int pid, guint64 *lease_version);
/* It runs, and all of it is here. */
void mig_half_notes_drop(MigHalfNotes *notes, const char *uuid);
/* Those whose QEMU is gone. */
void mig_half_notes_sweep(MigHalfNotes *notes);
