/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* looks.h - does a thread that looks at everything every so often still come round? */
#pragma once

#include "core/timeouts.h"

#include <glib.h>

/* Whoever asks may not wait for a lock of a thread that hangs: one atomic number, in seconds of the
 * monotonic clock, is all they share. */
typedef struct {
    gint begun_s;
} MigLooks;

static inline void
mig_looks_begin(MigLooks *looks)
{
    g_atomic_int_set(&looks->begun_s, (gint)(g_get_monotonic_time() / G_USEC_PER_SEC));
}

/* Also where the first one has not begun: mig_looks_begin() was called once as it was made. */
static inline gboolean
mig_looks_hang(MigLooks *looks)
{
    return g_get_monotonic_time() / G_USEC_PER_SEC - g_atomic_int_get(&looks->begun_s) >
           MIG_LOOK_HANGS_MS / 1000;
}
