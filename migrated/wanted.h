/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wanted.h - whether a VM is to run, as it stands on the LUN: who marks that, and takes it back. */
#pragma once

#include "vm-actions.h"

/* clang-format off */
/*
 * A VM's slot has two words of it: wanted, and the host that has last marked it; nobody has where it was never started. A
 * start marks it before QEMU runs, a stop before QEMU ends, so whoever is killed behind that leaves what people asked for.
 * A start can take as long as libvirt and its hooks like, and others start and stop the VM meanwhile. The changes:
 *
 *   vm-wanted, flag     a start of a VM that was not wanted. It is, by its host. The answer says whether another start may
 *                       be under way beside it: the VM was wanted, or marked by nobody.
 *   vm-again            a start of a VM that was wanted, a fail-over's or a person's. It is, by its host; refused where it
 *                       was stopped meanwhile.
 *   vm-wanted, no flag  a stop. Not wanted, by whoever had marked it; by the stopper where that was nobody.
 *   vm-unwant           a start has failed, and takes its own mark back where it stands and nobody has the lease. Not
 *                       wanted; by nobody where another start may be under way beside it, else by itself, as a stop.
 *
 * So a start that finds its VM not wanted behind it knows: by nobody, another start has failed beside it; by somebody, it
 * was stopped, and it ends the VM again. One that finds another's mark sets its own, which the other one does not take back.
 */
/* clang-format on */

/* What a start has found; {0} to begin with. */
typedef struct {
    gboolean is_beside; /* another start may be under way */
} MigWantedMark;

/* All of them ask the coordinator, and block. */

/* A start begins. MIG_ERROR_VM_STOPPED: view had it wanted, and it was stopped since. */
gboolean
mig_wanted_begin(MigDaemon *daemon, const MigVmView *view, MigWantedMark *mark, GError **error);
/* It has failed, and the VM does not run here. */
void mig_wanted_take_back(MigDaemon *daemon, const MigVmView *view, const MigWantedMark *mark);
/* It runs here, whoever has taken back a mark. MIG_ERROR_VM_STOPPED: it was stopped. */
gboolean mig_wanted_again(MigDaemon *daemon, const MigVmView *view, GError **error);
/* Whatever stands there. FALSE: a stop. */
gboolean
mig_wanted_set(MigDaemon *daemon, const MigVmView *view, gboolean wants_running, GError **error);
/* One that is not wanted was stopped; else it was never started, or a start has taken its mark
 * back. */
gboolean mig_wanted_is_stopped(const MigVm *vm);
