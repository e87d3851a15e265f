/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dirtied.h - how much of its memory a guest writes to within a time. */
#pragma once

#include <glib.h>

/*
 * A rate alone does not say it: who writes to 16 MiB over and over, 12 MiB in each second, has
 * written to all of it after two seconds, and to no more after ten. To the rounds of a move that
 * makes all the difference: the first one takes ten seconds, the last ones parts of one. So it is
 * counted over two periods, and what lies between them and beyond is reckoned by a curve: it rises
 * evenly as far as the shorter period goes, and then ever more slowly, so that it meets the longer
 * one, up to the whole of the working set.
 *
 * Both are counted from samples of the guest's pages, so of a small guest by a handful of pages; a
 * bend is taken for one only where it is clear.
 */
typedef struct {
    gint64 ms; /* 0: it was not counted over such a period */
    guint64 bytes;
} MigDirtied;

typedef struct {
    double even_s;       /* as long it rises evenly */
    double rate_bytes_s; /* by this much */
    double set_bytes;    /* the most that it comes to */
    gboolean is_bent;    /* set_bytes was seen; else it is a guess */
} MigDirtyCurve;

/* All of 0 where nothing was counted. */
MigDirtyCurve mig_dirty_curve(const MigDirtied *shorter, const MigDirtied *longer);
/* Never falls with any of: s, rate, set. */
double mig_dirty_curve_at(const MigDirtyCurve *curve, double s);
