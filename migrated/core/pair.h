/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pair.h - at most one live migration between two nodes at a time. */
#pragma once

#include <glib.h>

/*
 * One table per node: the moves that this node takes part in, as either end. A move reserves its
 * pair at both ends, the node with the lower host id first, so that two opposite requests meet at
 * the same door and one of them is told "taken" before it holds anything. Not locked: the owner
 * does that.
 */
typedef struct MigPairs MigPairs;

typedef struct {
    char *job, *source, *target;
    gint64 since_ms; /* monotonic */
} MigPair;

MigPairs *mig_pairs_new(const char *this_node, guint max_moves);
void mig_pairs_free(MigPairs *pairs);
/* Idempotent for the same job. FALSE + MIG_ERROR_CHECK_REFUSED: pair taken, or too many moves. */
gboolean mig_pairs_reserve(MigPairs *pairs, const char *job, const char *source, const char *target,
                           gint64 now_ms, GError **error);
/* Unknown is fine. */
void mig_pairs_release(MigPairs *pairs, const char *job);
gboolean mig_pairs_has(const MigPairs *pairs, const char *job);
/* Which end is asked first? host ids of both. */
gboolean mig_pair_source_first(guint32 source_host_id, guint32 target_host_id);
