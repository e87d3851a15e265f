/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* again.h - VMs that were ended here for a fault, and are to be started again, here or elsewhere.
 */
#pragma once

#include "daemon.h"

/*
 * Whoever restarts for a VM's volume is asked to start what was ended here, until it runs or is not
 * wanted any more: where, when, and how often at most, is the business of recovery.c. A daemon that
 * is killed meanwhile goes on with that when it is started again (again-notes.h).
 *
 * lease_version: of the VM's lease as it ended; 0: not known. Any thread.
 */
typedef struct MigAgain MigAgain;

MigAgain *mig_again_new(MigDaemon *daemon);
/* Once, when what runs here is known: what an earlier life of the daemon was about. */
void mig_again_go_on(MigAgain *again);
/* One of an earlier life of this host, that ended with it. */
void mig_again_left(MigAgain *again, const char *volume, const char *vm, guint64 lease_version);
/* Before it is ended: whoever is killed between the two still knows. mig_again_start() follows.
 * Waits for this host's disk: not for what has to end at once. */
void mig_again_note(MigAgain *again, const char *volume, const char *vm, guint64 lease_version);
/* is_over FALSE: it could not be ended, or nobody knows; it may go on, or end later. Nobody is
 * asked before libvirt says that it is not there. */
void mig_again_start(MigAgain *again, const char *volume, const char *vm, guint64 lease_version,
                     gboolean is_over);
