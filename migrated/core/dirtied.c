/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dirtied.c - the curve of dirtied.h. */
#include "core/dirtied.h"

#include <math.h>

/* Less than this part of what it would be without a bend: there is one. */
#define BENT 0.6
/* Different pages that are written to in the long run, by those of the longest period. What is
 * written to at all is mostly more than was seen, and far less than there is. */
#define SET_FACTOR 3

static double
seconds(const MigDirtied *dirtied)
{
    return (double)dirtied->ms / 1000;
}

/* What comes beyond the shorter period in the long run: rest of it was seen after as long as would
 * have brought straight at an even rate. */
static double
beyond(double rest, double straight)
{
    double low = rest, high = straight * straight / MAX(straight - rest, 1) + rest;

    for (guint i = 0; i < 60; i++) {
        double middle = (low + high) / 2;

        if (middle * (1 - exp(-straight / middle)) < rest)
            low = middle;
        else
            high = middle;
    }
    return high;
}

MigDirtyCurve
mig_dirty_curve(const MigDirtied *shorter, const MigDirtied *longer)
{
    MigDirtyCurve curve = {0};
    double first = (double)shorter->bytes, last = MAX((double)longer->bytes, first);
    double straight;

    if (shorter->ms <= 0 || longer->ms <= shorter->ms) {
        const MigDirtied *only = shorter->ms > 0 ? shorter : longer;

        if (only->ms <= 0)
            return curve;
        curve.even_s = seconds(only);
        curve.rate_bytes_s = (double)only->bytes / curve.even_s;
        curve.set_bytes = (double)only->bytes * 2 * SET_FACTOR;
        return curve;
    }
    curve.even_s = seconds(shorter);
    straight = first * seconds(longer) / curve.even_s;
    curve.is_bent = last < BENT * straight;
    if (curve.is_bent) {
        curve.rate_bytes_s = first / curve.even_s;
        curve.set_bytes = first + beyond(last - first, straight - first);
    } else {
        /* of more pages it is counted better */
        curve.even_s = seconds(longer);
        curve.rate_bytes_s = last / curve.even_s;
        curve.set_bytes = last * SET_FACTOR;
    }
    return curve;
}

double
mig_dirty_curve_at(const MigDirtyCurve *curve, double s)
{
    double even = curve->rate_bytes_s * MIN(s, curve->even_s);
    double beyond = curve->set_bytes - even;

    if (s <= curve->even_s || beyond < 1)
        return MIN(even, curve->set_bytes);
    return even + beyond * (1 - exp(-curve->rate_bytes_s * (s - curve->even_s) / beyond));
}
