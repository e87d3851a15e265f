/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reservations.h - memory of this node that is promised to VMs on their way here. */
#pragma once

#include <glib.h>

/*
 * A target reserves first and checks then, so that of two moves that come at once at least one sees
 * the other. What counts against a move are the reservations that are older than its own: so
 * exactly those fit that would have fitted one after the other, and never do two refuse each other.
 * Memory of one page size is no use to who needs another one. Not locked: the owner does that.
 */
typedef struct MigReservations MigReservations;

MigReservations *mig_reservations_new(void);
void mig_reservations_free(MigReservations *reservations);
/* Once more for the same job: its place is kept. FALSE: it is ready, and stays as it is; what was
 * answered then, and lost, still holds. page_bytes: size of a huge page, 0: usual ones. */
gboolean mig_reservations_add(MigReservations *reservations, const char *job, const char *vm,
                              guint64 bytes, guint64 page_bytes);
/* The target is ready for it. FALSE: it is not known any more. */
gboolean mig_reservations_set_ready(MigReservations *reservations, const char *job);
gboolean mig_reservations_is_ready(const MigReservations *reservations, const char *job);
/* Unknown is fine. */
void mig_reservations_remove(MigReservations *reservations, const char *job);
/* What is promised to others before job (NULL: or one that would come now). An older try for the
 * same VM does not stand in its own way. */
guint64 mig_reservations_before(const MigReservations *reservations, const char *job,
                                const char *vm, guint64 page_bytes);
