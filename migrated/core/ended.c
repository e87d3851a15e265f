/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ended.c - the rules of ended.h. */
#include "core/ended.h"

gboolean
mig_ended_how(const MigEnded *ended, MigDown *down)
{
    /* leases of an earlier start of its node fell with that start */
    *down = MIG_DOWN_NODE;
    if (ended->is_known && ended->is_lease_left)
        return TRUE;
    if (ended->is_known && ended->is_dead) {
        if (!ended->has_bit && !ended->restarts_on_isolation)
            *down = MIG_DOWN_CRASH;
        return TRUE;
    }
    /* it has ended it there itself: its lease is free */
    if (ended->is_known && ended->life == MIG_LIFE_CUT_OFF)
        return ended->restarts_on_isolation && ended->cut != MIG_CUT_SOMEWHERE;
    *down = MIG_DOWN_CRASH;
    return !ended->is_known || ended->life == MIG_LIFE_UP || ended->life == MIG_LIFE_LEFT;
}
