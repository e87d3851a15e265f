/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-stuck.h - does a QEMU that receives by post-copy hear anybody? */
#pragma once

#include <glib.h>

/*
 * All of QEMU's orders but a few go through its main loop, and so do those by which a lost link is
 * taken up again: libvirt (9.0) has no other way in. That loop also moves packets and blocks to and
 * from the guest's memory. Where it touches a page that is on the other node still, it waits for
 * it; with the link lost that is for good, and whoever asks it anything waits with it, libvirt too.
 * So it is looked at from outside first: what the kernel has its threads wait for.
 */

/* One look at the threads of a QEMU. */
typedef struct {
    gboolean is_main_at_fault; /* waits for a page */
    gboolean is_main_locked;   /* waits for a lock, as it does behind a thread that has it */
    gboolean is_any_at_fault;
} MigStuckLook;

#define MIG_STUCK_LOOKS    8
#define MIG_STUCK_LOOKS_MS 120 /* between two of them */

/* Nothing else was seen in any of the looks? Pure. */
gboolean mig_libvirt_is_stuck_by(const MigStuckLook *looks, guint count);
/* proc: "/proc", or what stands for it in a test. Fewer looks where the first ones tell. FALSE also
 * where the kernel does not say. Blocks for a second at most. */
gboolean mig_libvirt_is_stuck(const char *proc, int pid);
