/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* starts.h - starts of VMs under way, here and on other nodes. */
#pragma once

#include "core/placement.h"

/*
 * Some at a time, in the order in which they were begun. A start on another node ends by itself, at
 * the latest with its call's limit (MIG_START_MS). One on this node is a call of libvirt's that
 * nothing ends, and that hangs where libvirt, a hook of somebody's, or QEMU does; and the limit of
 * a call to a node that has died since is a long time. Neither keeps the others waiting: it is
 * called failed, its place is given to another one, and what becomes of it is only logged. Where it
 * starts the VM after all, the VM's lease decides, as ever.
 */
typedef struct {
    char *vm, *node;
    guint32 host_id; /* of the node */
    MigDown down;    /* what it is started after */
    guint64 serial;  /* the caller's */
} MigStart;

typedef struct MigStarts MigStarts;

/* Starts it and waits until it runs. Some of these run side by side. */
typedef gboolean (*MigStartsDo)(const MigStart *start, gpointer data, GError **error);
/* One has ended, or has not in time (MIG_ERROR_TIMEOUT). Once for each that was not abandoned; in
 * any thread. */
typedef void (*MigStartsEnded)(const MigStart *start, const GError *error, gpointer data);

MigStarts *mig_starts_new(MigStartsDo run, MigStartsEnded ended, gpointer data);
/* Takes it. Any thread. */
void mig_starts_begin(MigStarts *starts, MigStart *start);
/* Its node has died: nobody waits for it, nor hears of it. Any thread. */
void mig_starts_abandon(MigStarts *starts, guint64 serial);
/* Calls failed what was begun more than MIG_START_LATE_MS before now_us, of the monotonic clock. To
 * be called now and then. */
void mig_starts_expire(MigStarts *starts, gint64 now_us);
