/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* incoming.h - this node as the target of moves. */
#pragma once

#include "daemon.h"

/*
 * A reservation is what a target has of a move beyond its turn (turns.h): memory, active images.
 * Its source ends it (Finish). If the source cannot any more, the sweep does: a reservation older
 * than MIG_RESERVATION_MS whose source no longer knows the job is dropped, unless the VM came.
 * Nothing of it is on disk: after a restart of this daemon libvirt says what runs here, and image
 * devices that nobody has open are gone.
 */
MigIncoming *mig_incoming_new(MigDaemon *daemon);
void mig_incoming_free(MigIncoming *incoming);

/* Has it prepared, and not finished? Any thread, quick. */
gboolean mig_incoming_has(MigIncoming *incoming, const char *job);

/* Has any job prepared this node for that VM? Any thread, quick. */
gboolean mig_incoming_expects(MigIncoming *incoming, const char *vm, const char *uuid);
/* The same, and that job has not given it up: it may come now. */
gboolean mig_incoming_is_awaited(MigIncoming *incoming, const char *vm, const char *uuid);

/* Of one that is not there: a job has prepared this node for it, and this daemon has heard all that
 * QEMU told since, and never that the guest was let run. FALSE where that is not sure. May block
 * for MIG_EVENT_LATE_MS. */
gboolean mig_incoming_never_ran(MigIncoming *incoming, const char *vm, const char *uuid);

/* Where the move comes from that has prepared this node for that VM, to its end; NULL: none, or it
 * was forgotten when this daemon was restarted, or one of before from elsewhere is not yet.
 * g_free(). Any thread, quick. */
char *mig_incoming_source(MigIncoming *incoming, const char *vm, const char *uuid);

/* Memory that is promised to others before job; see core/reservations.h. Any thread, quick. */
guint64
mig_incoming_reserved(MigIncoming *incoming, const char *job, const char *vm, guint64 page_bytes);
/* Checks, reserves memory, activates images. Reply is made in any case where no error is set: a
 * failed check is an answer. Blocks. */
MigPeerPrepareReply *
mig_incoming_prepare(MigIncoming *incoming, const MigPeerPrepareRequest *request, GError **error);
/* Blocks. Fills reply with what is known of the move that has come in. */
gboolean mig_incoming_finish(MigIncoming *incoming, const MigPeerFinishRequest *request,
                             MigPeerFinishReply *reply, GError **error);
/* Drops what its source has forgotten, turns too. Blocks; called now and then on a worker. */
void mig_incoming_sweep(MigIncoming *incoming);
