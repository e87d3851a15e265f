/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-origin.h - did a QEMU begin with a guest's memory of another one, or with none? */
#pragma once

#include <glib.h>

/* libvirt starts one that waits for a guest with an order to do so, and only that stays true for
 * as long as it lives: its "reason" for running is another one after each pause. proc: "/proc", or
 * what stands for it in a test. FALSE also where it cannot be told. */
gboolean mig_libvirt_was_booted(const char *proc, int pid);
