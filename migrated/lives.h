/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lives.h - all nodes, with what is seen of them and what core/failover.h says to it. */
#pragma once

#include "core/failover.h"
#include "daemon.h"
#include "volumes.h"

/* A node on one of its volumes, by what that one says of it, and by its other signs of life. */
typedef struct {
    char *volume;
    MigEvidence evidence;
    MigFinding finding; /* its may_restart is about the VMs of that volume; never should_fence */
    gboolean is_silent; /* mig_failover_is_silent() */
} MigSeat;

/* evidence, finding: of all its volumes, the least bad word; whether to fence it hangs on these. */
typedef struct {
    char *name;
    guint32 host_id;
    GArray *seats; /* MigSeat, of the volumes that are not lost to this node */
    MigEvidence evidence;
    MigFinding finding;
    gboolean is_flapping; /* died too often lately: gets VMs only as the last resort */
} MigNodeLife;

void mig_node_life_free(MigNodeLife *life);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigNodeLife, mig_node_life_free)

const MigNodeLife *mig_lives_find(GPtrArray *lives, const char *node);
/* May what this node ran on that volume be started elsewhere? It may have lost that volume alone.
 * Orderly leaving is no death: it ran nothing then. */
gboolean mig_life_is_proven_dead(const MigNodeLife *life, const char *volume);
/* The same, and nothing runs there even without a lease (core/recover.h)? */
gboolean mig_life_is_off(const MigNodeLife *life, const char *volume);
/* A copy that is the caller's. */
GPtrArray *mig_lives_copy(GPtrArray *lives);

/* Has a fence of that node's start on that volume been confirmed? */
typedef gboolean (*MigIsFenced)(gpointer self, const char *volume, const MigNode *node);
/* The evidence of now, by host id, without findings. Reads from the LUN where a node is silent. */
GPtrArray *mig_lives_collect(MigDaemon *daemon, MigIsFenced is_fenced, gpointer self);
/* sanlock's word of a node on that volume, as the rules of core/failover.h have it. */
MigWord mig_lives_word_on(MigDaemon *daemon, MigAttached *attached, const MigNodeView *view);
/* Fills in the findings, of all volumes together and of each. */
void mig_lives_judge(GPtrArray *lives, const MigWatcher *watcher);
