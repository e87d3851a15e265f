/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lives.h - all nodes, with what is seen of them and what core/failover.h says to it. */
#pragma once

#include "core/failover.h"
#include "daemon.h"
#include "volumes.h"

typedef struct {
    char *name;
    guint32 host_id;
    MigEvidence evidence;
    MigFinding finding;
    gboolean is_flapping; /* died too often lately: gets VMs only as the last resort */
} MigNodeLife;

void mig_node_life_free(MigNodeLife *life);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigNodeLife, mig_node_life_free)

const MigNodeLife *mig_lives_find(GPtrArray *lives, const char *node);
/* A copy that is the caller's. */
GPtrArray *mig_lives_copy(GPtrArray *lives);

/* Has a fence of that node's start on that volume been confirmed? */
typedef gboolean (*MigIsFenced)(gpointer self, const char *volume, const MigNode *node);
/* The evidence of now, by host id, without findings. Reads from the LUN where a node is silent. */
GPtrArray *mig_lives_collect(MigDaemon *daemon, MigIsFenced is_fenced, gpointer self);
/* sanlock's word of a node on that volume, as the rules of core/failover.h have it. */
MigWord mig_lives_word_on(MigDaemon *daemon, MigAttached *attached, const MigNodeView *view);
