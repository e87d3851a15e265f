/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* change.h - changes of a catalogue, asked of the volume's coordinator. */
#pragma once

#include "catalog.h"

/*
 * A change is asked for on any node and done by the coordinator, under an id that the asker makes.
 * An answer can be lost, with its coordinator too. So the asker asks again, with the same id, until
 * it has an answer or its time is up; and a change that was done is not done again:
 *
 *   the same coordinator   remembers the answer
 *   a later one            finds the id in what the change wrote (csv_request_find()), does what is
 *                          left of it, and answers
 *
 * A refusal leaves nothing but its id, so a later coordinator judges anew.
 *
 * Where nobody stays coordinator (role.h) each node does its own changes and is asked by none.
 */

/* Asks, for as long as mig_timeouts_change_ms() after a coordinator has last said that it is at it;
 * then MIG_ERROR_COORDINATOR_BUSY says what it waited for. request->volume is attached's; its id is
 * made where it has none, and with one it counts as asked before. Blocks. Free the reply with
 * mig_PeerChangeReply_free(). */
MigPeerChangeReply *mig_change(MigDaemon *daemon, MigAttached *attached,
                               const MigPeerChangeRequest *request, GError **error);

/* Asked of this node: done by it if it is the coordinator. NULL: refused; reply->done FALSE: it is
 * not. Blocks. */
MigPeerChangeReply *mig_change_here(MigDaemon *daemon, MigAttached *attached,
                                    const MigPeerChangeRequest *request, GError **error);

/* changes.c: one change. is_begun: an earlier try has written something already, so what it has
 * done counts as done. Runs under the catalogue; fills reply. */
typedef gboolean (*MigChangeRun)(MigCatalog *catalog, const MigPeerChangeRequest *request,
                                 gboolean is_begun, MigPeerChangeReply *reply, GError **error);
#define MIG_CHANGE_DECLARE(function)                                                               \
    gboolean function(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun, \
                      MigPeerChangeReply *reply, GError **error)
MIG_CHANGE_DECLARE(mig_vm_run_define); /* each beside what asks for it */
MIG_CHANGE_DECLARE(mig_vm_run_undefine);
MIG_CHANGE_DECLARE(mig_vm_run_wanted); /* these three: wanted.h */
MIG_CHANGE_DECLARE(mig_vm_run_again);
MIG_CHANGE_DECLARE(mig_vm_run_unwant);
MIG_CHANGE_DECLARE(mig_vm_run_own);
MIG_CHANGE_DECLARE(mig_vm_run_set);
/* NULL: this version knows no such change. */
MigChangeRun mig_change_find(const char *name);
/* Does it come to the same where it is done twice, for the same asker? */
gboolean mig_change_is_repeatable(const char *name);
