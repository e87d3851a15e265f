/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wanted.h - whether a VM is to run, as it stands on the LUN: who sets that, and who takes it back.
 */
#pragma once

#include "vm-actions.h"

/*
 * A VM's slot has two words of it: wanted, and the host that has last marked it so. A start marks
 * it before QEMU runs, a stop before QEMU ends, so whoever is killed behind that leaves what people
 * asked for. A start can take as long as libvirt and its hooks like, and others start and stop the
 * VM meanwhile. What each leaves:
 *
 *   vm-wanted, TRUE    a start of one that was down: wanted, by its host; and tells whether it was
 * wanted before vm-again           a start of one that was found wanted, a fail-over's or a
 * person's: only if it still is vm-wanted, FALSE   a stop: not wanted, by whoever it was; never by
 * nobody vm-unwant          a start has failed and takes its own mark back, unless another one
 * stands there, or the VM has its lease. If its mark stood on another start's it leaves nobody's,
 * for that start may still come up
 *
 * So a start that finds its VM not wanted behind it knows: by nobody, another start has failed
 * beside it; by somebody, that is a stop, and it ends the VM again.
 */

/* What a start has found; {0} to begin with. */
typedef struct {
    gboolean is_another; /* the mark of a start that was begun beside this one */
} MigWantedMark;

/* All of them ask the coordinator, and block. */

/* A start begins. MIG_ERROR_VM_STOPPED: view had it wanted, and it is not any more. */
gboolean
mig_wanted_begin(MigDaemon *daemon, const MigVmView *view, MigWantedMark *mark, GError **error);
/* It has failed, and the VM does not run here. */
void mig_wanted_take_back(MigDaemon *daemon, const MigVmView *view, const MigWantedMark *mark);
/* By this node, whatever stands there. FALSE: a stop. */
gboolean
mig_wanted_set(MigDaemon *daemon, const MigVmView *view, gboolean wants_running, GError **error);
/* One that is not wanted was stopped; else a start of it has taken its mark back. */
gboolean mig_wanted_is_stopped(const MigVm *vm);
