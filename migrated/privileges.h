/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* privileges.h - the daemon gives up what root may do and it never does. */
#pragma once

#include <glib.h>

/*
 * Kept, and why; conf/migrated.service has the same list, and a test compares them:
 *
 *   CAP_SYS_ADMIN     loop devices, device-mapper
 *   CAP_MKNOD         their nodes, where no udev makes them
 *   CAP_DAC_OVERRIDE  the LUN belongs to sanlock's user
 *   CAP_CHOWN, CAP_FOWNER   files that QEMU's user shall read
 *   CAP_NET_RAW       pings
 *   CAP_SYS_RAWIO     reservations, by fence agents alone: the daemon itself does not use it
 *
 * So neither the daemon nor what it starts (qemu-img, agents) loads a module, traces or kills
 * another's process, changes a network or the clock, or becomes another user.
 */
void mig_privileges_drop(void);
