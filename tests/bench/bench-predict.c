/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-predict.c - forecasts of moves that are over, made again from what was known then. */
#include "core/predict.h"

#include <stdio.h>

/*
 * Reads a line for each move, oldest first: SOURCE VM MEMORY USED MS DIRTIED MS DIRTIED BUSY LINK
 * HAS_MOVED FIRST RATE AROUND BLACKOUT LIMIT, in bytes and ms, -1 where something was not measured.
 * Writes a forecast as JSON for each. Each learns from the moves above it that left the same node,
 * as in the daemon there. So a change of the model is held against moves that were made before it,
 * without a lab.
 */
typedef struct {
    char source[65], vm[65];
    long long memory, used, ms, dirtied, later_ms, later, busy, link, has_moved, first, rate,
        around, blackout, limit;
} Move;

static gboolean
read_move(Move *move)
{
    return scanf("%64s %64s %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld",
                 move->source, move->vm, &move->memory, &move->used, &move->ms, &move->dirtied,
                 &move->later_ms, &move->later, &move->busy, &move->link, &move->has_moved,
                 &move->first, &move->rate, &move->around, &move->blackout, &move->limit) == 16;
}

static void
forecast(const GArray *moves, const Move *move, MigPrediction *prediction)
{
    g_autoptr(GArray) past = g_array_new(FALSE, TRUE, sizeof(MigPast));

    for (guint i = 0; i < moves->len; i++) {
        const Move *old = &g_array_index(moves, Move, i);
        const MigPast one = {.is_same_vm = g_str_equal(old->vm, move->vm),
                             .is_same_pair = TRUE,
                             .has_moved = old->has_moved > 0,
                             .used_bytes = (guint64)MAX(old->used, 0),
                             .first_bytes = (guint64)MAX(old->first, 0),
                             .link_bytes_s = (guint64)MAX(old->link, 0),
                             .rate_bytes_s = (guint64)MAX(old->rate, 0),
                             .around_ms = old->around,
                             .blackout_ms = old->blackout,
                             .limit_ms = (guint)old->limit};

        if (g_str_equal(old->source, move->source))
            g_array_append_val(past, one);
    }
    const MigPredictFacts facts = {.memory_bytes = (guint64)move->memory,
                                   .used_bytes = (guint64)MAX(move->used, 0),
                                   .dirtied = {move->ms, (guint64)MAX(move->dirtied, 0)},
                                   .later = {move->later_ms, (guint64)MAX(move->later, 0)},
                                   .busy_percent = (guint)MAX(move->busy, 0),
                                   .has_moved = move->has_moved > 0,
                                   .link_bytes_s = (guint64)MAX(move->link, 0),
                                   .is_encrypted = TRUE,
                                   .past = (const MigPast *)(gconstpointer)past->data,
                                   .n_past = past->len};

    mig_predict(&facts, prediction);
}

static void
print_range(const char *name, const MigRange *range)
{
    printf("\"%s\":{\"likely\":%lld,\"least\":%lld,\"most\":%lld},", name, (long long)range->likely,
           (long long)range->least, (long long)range->most);
}

int
main(void)
{
    g_autoptr(GArray) moves = g_array_new(FALSE, TRUE, sizeof(Move));
    Move move = {0};

    while (read_move(&move)) {
        MigPrediction prediction;

        forecast(moves, &move, &prediction);
        printf("{");
        print_range("duration_ms", &prediction.duration_ms);
        print_range("downtime_ms", &prediction.downtime_ms);
        print_range("bytes", &prediction.bytes);
        printf("\"gives_up\":%s,\"learnt_from\":%u}\n", prediction.gives_up ? "true" : "false",
               prediction.n_past);
        g_array_append_val(moves, move);
    }
    return feof(stdin) ? 0 : 1;
}
