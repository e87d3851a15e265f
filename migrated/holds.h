/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holds.h - which image devices of this node are waited for, and by whom. */
#pragma once

#include <glib.h>

/*
 * An image is activated by name, and once, however many want it: whoever is through with it must
 * not take it away from who has come later. That can happen where an activation hangs: its move is
 * given up, the next one of the same VM is prepared, and the clean-up of the first one comes last.
 * So a move that comes here holds its images from before it activates them until it ends, and what
 * is held is let go of by nobody.
 *
 * Locked inside; any thread.
 */
typedef struct MigHolds MigHolds;

MigHolds *mig_holds_new(void);
void mig_holds_free(MigHolds *holds);

/* images: "volume/image" each. Waits for who is letting go of one of them. What the same holder
 * held before it holds no more. */
void mig_holds_take(MigHolds *holds, const char *holder, const char *const *images);
/* Unknown is fine. */
void mig_holds_drop(MigHolds *holds, const char *holder);
/* FALSE: somebody holds it. TRUE: the caller may let go of it; until it says that it has, nobody
 * gets hold of it. */
gboolean mig_holds_begin_letting_go(MigHolds *holds, const char *image);
void mig_holds_end_letting_go(MigHolds *holds, const char *image);
