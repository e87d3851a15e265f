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
 *
 * SYS_RAWIO is kept where a drop-in of an administrator's grants it: fence agents that register
 * keys on a LUN need it (migrated.conf(5)). The daemon itself does not have it in effect.
 *
 * So neither the daemon nor what it starts (qemu-img, agents) loads a module, traces or kills
 * another's process, changes a network or the clock, or becomes another user.
 */
void mig_privileges_drop(void);
