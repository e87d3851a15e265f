/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attached-private.h - what attached.c and attached-join.c share. */
#pragma once

#include "attached.h"
#include "role.h"

/* When a node's counter was last seen to move, by our own clock: two nodes' clocks are never
 * compared. */
typedef struct {
    MigNode *node;
    gint64 moved_ms;
    MigHostState sanlock;
    gint64 steady_since_ms;   /* of ourselves: it has moved without a gap */
    gint64 advanced_since_ms; /* a later start than the slot's has the host lease; 0: none */
} Seen;

struct MigAttached {
    gint references;
    MigDaemon *daemon;
    MigVolumesHooks hooks;
    MigCsv *csv;
    guint64 generation;
    GMutex write_lock;   /* one writer of our slot at a time; guards heartbeat */
    guint64 heartbeat;   /* as last written */
    gboolean is_joining; /* sanlock has not told the generation yet; used by who joins alone */
    guint8 kept[MIG_MAX_VM_SLOTS / 8]; /* what the last life of this process said to run here */
    guint64 kept_generation;
    gboolean is_same_boot; /* of this host, as when it attached the volume the last time */
    guint8 told[MIG_MAX_VM_SLOTS / 8]; /* what was last said to run here; write_lock */
    gint is_ending;      /* atomic: this process was told to end, as all on this host may be */
    gint is_listed;      /* atomic: the VMs of this volume have been looked for since */
    GMutex join_lock;    /* held by who joins anew; guards the next one */
    gboolean is_leaving; /* nobody joins any more */
    GMutex lock;         /* guards what follows */
    GCond wake;
    GPtrArray *seen; /* Seen */
    GArray *hosts;   /* MigSanlockHost, as of then; NULL: sanlock did not say */
    gboolean should_stop, is_lost;
    guint fenced_looks;   /* in a row, that found this start's host lease gone */
    gboolean is_outside;  /* the LUN answers, but sanlock has given its lockspace up */
    gint64 beat_since_ms; /* a heartbeat is under way since then; 0: none */
    guint64 written;      /* heartbeat, for who does not wait for a writer */
    gboolean is_removed;  /* atomic: our slot is gone, so we are no node any more */
    GThread *thread;
    MigRole *role;
};

typedef gboolean (*MigAttachedWrite)(MigCsv *csv, MigNode *node, GError **error);
/* Our slot. write: mig_csv_node_write() takes it; mig_csv_node_beat() goes on only while it is
 * ours. A slot written otherwise would make us a member again by nobody's word. */
gboolean mig_attached_write(MigAttached *attached, MigAttachedWrite write, gboolean has_left,
                            GError **error);

/* This node was removed from the volume: FALSE, and from then on nothing is written there. */
gboolean mig_attached_refuse_removed(MigAttached *attached, GError **error);

/* May this node be one of the volume's? Not by another's slot or host id, not where it was removed,
 * and not on a copy of the LUN that another node has. Fills in what the slot says of its last life.
 */
gboolean mig_attached_may_enter(MigAttached *attached, GError **error);
/* Joined: writes the slot, and remembers on this host that it has. */
gboolean mig_attached_enter(MigAttached *attached, GError **error);

/* Joins the lockspace, and waits until sanlock tells of the others. */
gboolean mig_attached_join(MigAttached *attached, GError **error);
/* sanlock gives a lockspace up whose renewals have failed for too long, after all that held leases
 * in it are gone. When the LUN is back, so is this node: with a start of its own, so that nothing
 * of the last one counts. Not while libvirt has a VM of this volume here: it may have lost its
 * lease (self.h ends it). */
gboolean mig_attached_stay_joined(MigAttached *attached, gboolean *is_outside, GError **error);
/* With each heartbeat, whose error that is or NULL, for mig_attached_was_fenced(), which stays so
 * until this node has joined again. sanlock itself looks at its host lease with its next renewal
 * only, up to 2 x io_timeout later. A LUN that refuses the writes of a fenced host may still be
 * read. */
void mig_attached_look_for_fence(MigAttached *attached, const GError *beat);
/* From then on nobody joins again; waits for a join that is under way. */
void mig_attached_set_leaving(MigAttached *attached, gboolean is_leaving);
