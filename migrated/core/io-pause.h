/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io-pause.h - a VM stands still because its disk failed: wait, let it go on, or end it? Pure. */
#pragma once

#include <glib.h>

/*
 * QEMU stops a guest whose disk returns an error, before the guest sees that, and keeps what was to
 * be written. libvirt gives the VM's lease back meanwhile, as far as that reaches the LUN. It may
 * go on where nobody else can have written since: the lease was never free, or it is of the version
 * that it had here, or one newer, and it was this host that took it last: it went on for a moment,
 * or nearly, and nobody has looked meanwhile. libvirt itself compares no versions. One that may not
 * is ended here, and started anew.
 *
 * Half a VM cannot go on before it is whole, and libvirt would refuse that: it waits for that
 * first, and is not ended for what its disk does, nor because a daemon that is younger does not
 * know which lease it had: where it came from its other half is kept, and nobody starts it.
 */
typedef struct {
    gboolean is_volume_here;    /* heartbeats reach the LUN, sanlock is in its lockspace */
    gboolean is_lockspace_gone; /* they do, and sanlock has given the lockspace up */
    gboolean is_lease_known;    /* it could be read */
    gboolean is_free, is_ours;  /* ours: of this start of this node; both FALSE: another one's */
    gboolean is_half; /* of a move in its post-copy phase, the rest of its memory is to come yet */
    gboolean is_as_held; /* see below; FALSE also where that is not known: this daemon is younger */
    guint failed;        /* times that libvirt refused to let it go on */
    guint resumed;       /* times that it went on and failed again, without quiet between */
    gint64 since_ms;     /* since the last of these */
} MigIoPause;

typedef enum {
    MIG_IO_PAUSE_WAIT,
    MIG_IO_PAUSE_RESUME,
    MIG_IO_PAUSE_END,
} MigIoPauseAction;

#define MIG_IO_PAUSE_RESUMES 3

/* A VM that goes on and fails again at once, for a part of its disk that is broken for good, is let
 * go on later each time; until it has run for so long that it counts as well again. */
#define MIG_IO_PAUSE_AGAIN_MS     1000 /* doubled each time */
#define MIG_IO_PAUSE_AGAIN_MAX_MS (60 * 1000)
#define MIG_IO_PAUSE_QUIET_MS     (2 * MIG_IO_PAUSE_AGAIN_MAX_MS)

/* Of a free lease that was seen held here with version held (0: never), and is of version now. */
gboolean mig_io_pause_is_as_held(guint64 held, guint64 now, gboolean is_last_here);
MigIoPauseAction mig_io_pause_decide(const MigIoPause *pause);
