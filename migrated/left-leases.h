/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* left-leases.h - leases of VMs that have ended here, and whose LUN failed just then. */
#pragma once

#include "daemon.h"
#include "vms.h"

/*
 * What sanlock cannot give back on the LUN when its holder ends, since that fails just then, it
 * forgets: on the LUN the lease stays that of a host which lives, and nobody can start the VM. It
 * is taken once more and given back; sanlock refuses that where a QEMU has it.
 *
 * Used by self.c's thread; give_back() by any.
 */
typedef struct MigLeftLeases MigLeftLeases;

MigLeftLeases *mig_left_leases_new(MigDaemon *daemon);

/* Gives it back where it is ours with nobody behind it. *version: of the lease if it was taken for
 * that, given back or not; else as it was. tries: more than one wait, some time each, for a sanlock
 * that is about to give it back. Never on a host that was fenced: its leases are the others' to
 * judge. TRUE: it is free. */
gboolean mig_left_leases_give_back(MigDaemon *daemon, MigAttached *attached, const char *vm,
                                   guint32 slot, guint tries, guint64 *version);
#define MIG_LEFT_LEASES_TRIES 5

/* running: GPtrArray of MigRunning, all that is here now. What was here the last time and is not
 * any more is looked after, for as long as its LUN fails; and so is what the LUN says to be here,
 * read when a volume has come and now and then: an earlier life of this daemon knew of it. */
void mig_left_leases_look(MigLeftLeases *left, const GPtrArray *running);
