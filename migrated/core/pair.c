/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pair.c - the table of pair.h. */
#include "core/pair.h"

#include "base/error.h"

struct MigPairs {
    char *node;
    guint max_moves;
    GHashTable *by_job; /* job id -> MigPair */
};

static void
pair_free(gpointer data)
{
    MigPair *pair = data;

    g_free(pair->job);
    g_free(pair->source);
    g_free(pair->target);
    g_free(pair);
}

MigPairs *
mig_pairs_new(const char *this_node, guint max_moves)
{
    MigPairs *pairs = g_new0(MigPairs, 1);

    pairs->node = g_strdup(this_node);
    pairs->max_moves = max_moves;
    pairs->by_job = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, pair_free);
    return pairs;
}

void
mig_pairs_free(MigPairs *pairs)
{
    if (!pairs)
        return;
    g_hash_table_unref(pairs->by_job);
    g_free(pairs->node);
    g_free(pairs);
}

static gboolean
is_same_pair(const MigPair *pair, const char *source, const char *target)
{
    return (g_str_equal(pair->source, source) && g_str_equal(pair->target, target)) ||
           (g_str_equal(pair->source, target) && g_str_equal(pair->target, source));
}

gboolean
mig_pairs_reserve(MigPairs *pairs, const char *job, const char *source, const char *target,
                  gint64 now_ms, GError **error)
{
    GHashTableIter iter;
    MigPair *pair;

    if (g_hash_table_contains(pairs->by_job, job))
        return TRUE;
    g_hash_table_iter_init(&iter, pairs->by_job);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&pair)) {
        if (is_same_pair(pair, source, target)) {
            g_set_error(
                error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                "pair-free: move %s between %s and %s is under way; wait for it ('migratectl "
                "job watch %s'), one move at a time goes over a pair of nodes",
                pair->job, pair->source, pair->target, pair->job);
            return FALSE;
        }
    }
    if (g_hash_table_size(pairs->by_job) >= pairs->max_moves) {
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
            "pair-free: %s takes part in %u moves already (max_moves_per_node); wait for one "
            "to end",
            pairs->node, g_hash_table_size(pairs->by_job));
        return FALSE;
    }
    pair = g_new0(MigPair, 1);
    pair->job = g_strdup(job);
    pair->source = g_strdup(source);
    pair->target = g_strdup(target);
    pair->since_ms = now_ms;
    g_hash_table_insert(pairs->by_job, pair->job, pair);
    return TRUE;
}

void
mig_pairs_release(MigPairs *pairs, const char *job)
{
    g_hash_table_remove(pairs->by_job, job);
}

gboolean
mig_pairs_has(const MigPairs *pairs, const char *job)
{
    return g_hash_table_contains(pairs->by_job, job);
}

gboolean
mig_pair_source_first(guint32 source_host_id, guint32 target_host_id)
{
    return source_host_id < target_host_id;
}
