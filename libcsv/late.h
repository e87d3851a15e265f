/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* late.h - a dead coordinator's write that lands when its successor has given its space away. */
#pragma once

#include "catalog.h"

/*
 * A write that was stuck below a host lands when it lands, also after that host was fenced and
 * another one has read the slot. It then stands beside the copy that the successor has seen, one
 * generation ahead of it and of a lower epoch than what was written since; and by themselves the
 * two cannot be told from a change that was committed, and whose second copy was not written any
 * more. So it counts, as it would have counted a moment earlier, unless it contradicts what a later
 * epoch has written: the same name, or the same space. A successor that had read it would not have
 * written that. Then the copy beside it counts, and the next writer settles the slot.
 *
 * The reverse rule, that each new coordinator settles all slots (it does, settle.h) and whatever
 * differs later is late, is not used: what such a coordinator has not come to yet when it dies in
 * its turn would be lost, as would on older volumes all that was never settled; and one sector that
 * goes back to what it held before would bring back the past, which settling is there to prevent.
 */

/* A slot whose winner may be late. */
struct csv_unsettled {
    struct csv_unsettled *next;
    struct csv_slot slot;
    enum csv_kind kind;
    uint32_t index;
    struct csv_head other; /* of the copy beside the winner; generation 0: that is blank */
    bool is_judged;
    bool is_late; /* the winner does not count */
    _Alignas(8) uint8_t pair[];
};

/* Of a walk: keeps what may be late. Not 0: no memory. */
int csv_late_keep(struct csv_catalog *catalog, enum csv_kind kind, uint32_t index,
                  const void *buffer, const struct csv_slot *slot);
/* Of a slot that was read again since: what the catalogue knows of it, if its winner is late. NULL:
 * the winner counts, or was not there then. */
const struct csv_unsettled *csv_late_find(const struct csv_catalog *catalog, enum csv_kind kind,
                                          uint32_t index, const struct csv_slot *slot);
/* The block beside the winner. */
const void *csv_late_other(const struct csv_unsettled *one);
/* All slots are read: what is late goes from the catalogue, and what was there before comes. */
int csv_late_judge(struct csv_catalog *catalog, struct csv_error *error);
/* A writer, with the catalogue's lock: writes anew what was there before, so that each slot by
 * itself says it, too. */
int csv_late_settle(struct csv_volume *volume, const struct csv_epoch *epoch,
                    struct csv_catalog *catalog, struct csv_error *error);
void csv_late_clear(struct csv_catalog *catalog);
