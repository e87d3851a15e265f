/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bandwidth.c - the modest first, then what is left for the rest. */
#include "core/bandwidth.h"

void
mig_bandwidth_share(guint64 cap, const guint64 *wishes, guint count, guint64 *shares)
{
    guint open = count;
    gboolean found = TRUE;

    for (guint i = 0; i < count; i++)
        shares[i] = cap ? 0 : wishes[i];
    while (cap && open && found) {
        guint64 even = cap / open;

        found = FALSE;
        for (guint i = 0; i < count; i++) {
            if (shares[i] || wishes[i] == 0 || wishes[i] > even)
                continue;
            shares[i] = wishes[i];
            cap -= wishes[i];
            open--;
            found = TRUE;
        }
    }
    for (guint i = 0; cap && open && i < count; i++) {
        if (shares[i] == 0)
            shares[i] = MAX(cap / open, 1);
    }
}

guint64
mig_bandwidth_even(guint64 cap, guint count)
{
    return cap ? MAX(cap / MAX(count, 1), 1) : 0;
}

guint64
mig_bandwidth_lower(guint64 a, guint64 b)
{
    return a && b ? MIN(a, b) : MAX(a, b);
}
