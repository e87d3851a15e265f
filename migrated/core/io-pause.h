/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io-pause.h - a VM stands still because its disk failed: wait, let it go on, or end it? Pure. */
#pragma once

#include <glib.h>

/*
 * QEMU stops a guest whose disk returns an error, before the guest sees that, and keeps what was to
 * be written. libvirt gives the VM's lease back meanwhile, as far as that reaches the LUN. It may
 * go on where nobody else can have written since: the lease was never free, or it is of the version
 * that it had here. libvirt itself compares no versions. One that may not is ended here, and
 * started anew.
 */
typedef struct {
    gboolean is_volume_here;     /* heartbeats reach the LUN, sanlock is in its lockspace */
    gboolean is_lockspace_gone;  /* they do, and sanlock has given the lockspace up */
    gboolean is_lease_known;     /* it could be read */
    gboolean is_free, is_ours;   /* ours: of this start of this node; both FALSE: another one's */
    gboolean is_version_as_held; /* FALSE also where that is not known: this daemon is younger */
    guint failed;                /* times that libvirt refused to let it go on */
} MigIoPause;

typedef enum {
    MIG_IO_PAUSE_WAIT,
    MIG_IO_PAUSE_RESUME,
    MIG_IO_PAUSE_END,
} MigIoPauseAction;

#define MIG_IO_PAUSE_RESUMES 3

MigIoPauseAction mig_io_pause_decide(const MigIoPause *pause);
