/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* predict.h - what a move will take: time, standstill, bytes; each with a range. */
#pragma once

#include "core/dirtied.h"
#include "core/types.h"

/*
 * A move is what happens around the sending (checks, a QEMU that starts, the end), which takes as
 * long as it took before, and rounds over the memory. The first one sends what the guest has in
 * use, each later one what was dirtied during the one before; the rules of the policy run along, as
 * in the real move, and say when the guest is slowed, when it may stop, and whether that is ever.
 *
 * What cannot be measured beforehand is learnt from moves that have ended. What is the guest's,
 * from moves of this VM, else of this pair, else of any from this node; what is the hosts' and the
 * link's, from the last few of this pair: a host that has much to do sends slowly. A move says more
 * than the rate it went by: one that was as fast as its link would be faster over a wider one, one
 * that was not would not. What is not known at all has a wide range.
 *
 * How fast a guest dirties its memory is counted over two periods, of a second and of some: so many
 * different pages (core/dirtied.h). How many different ones it writes to in the long run that may
 * not say. For the range it is what was seen at the least, and all that is in use at the most.
 *
 * A guest that is slowed dirties less only as far as it needs its processors: one that lets them
 * idle for nine tenths of the time does all that it did in the tenth that it is left.
 */

/* One move that has ended well, and what was known before it. 0: not known. */
typedef struct {
    gboolean is_same_vm, is_same_pair;
    gboolean has_moved;              /* its QEMU had come by a move itself */
    guint64 used_bytes, first_bytes; /* resident, and what the first round sent of it */
    guint64 link_bytes_s;            /* the most that it could send by */
    guint64 rate_bytes_s;            /* what it sent by */
    gint64 around_ms;                /* all but the sending; -1: not known */
    gint64 blackout_ms;              /* -1: not known */
    guint limit_ms;                  /* downtime that was allowed in the end */
} MigPast;

typedef struct {
    guint64 memory_bytes;      /* of the VM */
    guint64 used_bytes;        /* resident in its QEMU; 0: not known */
    MigDirtied dirtied, later; /* what it wrote to in a short and in a longer period */
    guint busy_percent;        /* of the time of its processors; 0: not known */
    gboolean has_moved;        /* its QEMU has come by a move */
    guint64 link_bytes_s;      /* as measured, or its limit, whichever is lower; 0: not known */
    gboolean is_encrypted;
    MigPolicyKind policy;
    gboolean can_postcopy; /* the move, at both ends */
    guint max_downtime_ms; /* 0: the default */
    const MigPast *past;
    guint n_past;
} MigPredictFacts;

/* The likely value, and between which it will be, but for one move in ten or so. */
typedef struct {
    gint64 likely, least, most;
} MigRange;

typedef struct {
    MigRange duration_ms, downtime_ms, bytes;
    gboolean gives_up; /* it will not end; duration_ms: until it is given up */
    guint n_past;      /* moves that it has learnt from */
} MigPrediction;

/* What was known before a move, and what followed from it. */
typedef struct {
    gboolean is_made;
    guint64 used_bytes, link_bytes_s; /* as of MigPredictFacts */
    MigDirtied dirtied, later;
    guint busy_percent;
    gboolean has_moved;
    MigPrediction expected;
} MigForecast;

/* It hangs on what was counted of few pages: a guest that dirties much of what the link carries, by
 * a handful of pages more or less, takes half the time or twice as much. To be counted once more.
 */
gboolean mig_predict_is_shaky(const MigPredictFacts *facts);
/* Pure; takes up to some ms of computing for a move of a day. */
void mig_predict(const MigPredictFacts *facts, MigPrediction *prediction);

/* How good predictions of one quantity were. */
typedef struct {
    guint count, in_range;
    gint64 median_percent, p95_percent; /* off, of what it was; -1: there were none */
    gint64 median_ms, p95_ms;           /* off */
} MigMisses;

/* expected and actual: count of each, by index. */
void
mig_predict_score(const MigRange *expected, const gint64 *actual, guint count, MigMisses *misses);
