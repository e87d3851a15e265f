/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* timeouts.c - intervals that depend on a setting. */
#include "core/timeouts.h"

guint
mig_timeouts_host_dead_s(guint io_timeout_s)
{
    return 8 * io_timeout_s + MIG_WATCHDOG_FIRE_S;
}

guint
mig_timeouts_join_ms(guint io_timeout_s)
{
    return 4 * io_timeout_s * 1000 + 10000;
}
