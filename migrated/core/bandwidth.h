/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bandwidth.h - one link, shared by the moves on it. */
#pragma once

#include <glib.h>

/*
 * cap: bytes a second for all of them together, 0: no limit. wishes: what each was limited to when
 * it was asked for, 0: not. Who wants less than an even share gets that, and what it leaves goes to
 * the others in even shares. shares gets count numbers, 0: no limit.
 */
void mig_bandwidth_share(guint64 cap, const guint64 *wishes, guint count, guint64 *shares);
/* What each of count moves gets of a link whose end does not know the wishes: the receiving one. 0:
 * no limit. */
guint64 mig_bandwidth_even(guint64 cap, guint count);
/* Of two limits the one that bites; 0: there is none. */
guint64 mig_bandwidth_lower(guint64 a, guint64 b);
