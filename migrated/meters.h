/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* meters.h - what is known of the memory of the VMs that run here. */
#pragma once

#include "daemon.h"

#include "core/dirtied.h"

/*
 * The dirty pages of each VM are counted for some seconds, now and then, so that a move can be told
 * beforehand without waiting for that. Not while the VM moves: libvirt would make it wait. A QEMU
 * does one count at a time, and refuses another one: so whoever asks while one runs waits for that.
 */

/* How a VM uses its memory. */
typedef struct {
    guint64 used_bytes;        /* resident in its QEMU; 0: not known */
    gboolean has_moved;        /* its QEMU came here by a move */
    guint busy_percent;        /* of the time of its processors; 0: not known */
    MigDirtied dirtied, later; /* in a short and in a longer period; ms 0: that was not counted */
    gboolean is_refined;       /* the longer one is the mean of some */
} MigUse;

MigMeters *mig_meters_new(MigDaemon *daemon);
void mig_meters_free(MigMeters *meters);
void mig_meters_start(MigMeters *meters);
/* Somebody will ask, patiently, in a moment: begins to count, and does not wait. */
void mig_meters_want(MigMeters *meters, const char *vm, const char *uuid);
/* FALSE: nothing is known that is not older than that; *use is all 0. With is_patient it is counted
 * then, which blocks for MIG_METER_S and MIG_METER_LATER_S and a little more. */
gboolean mig_meters_get(MigMeters *meters, const char *vm, const char *uuid, gint64 max_age_ms,
                        gboolean is_patient, MigUse *use);
/* The longer period is counted MIG_METER_MORE times again, and *use, which was just got, has the
 * mean of all; left as it is where that cannot be, or is so already. Blocks as long. */
void mig_meters_refine(MigMeters *meters, const char *vm, const char *uuid, MigUse *use);
