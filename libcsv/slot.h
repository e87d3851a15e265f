/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* slot.h - a slot: two copies of one block, and which of them counts. */
#pragma once

#include "volume.h"

enum csv_slot_state {
    CSV_SLOT_UNUSED, /* never written, or only a torn first write */
    CSV_SLOT_FREED,  /* had a user */
    CSV_SLOT_USED,
    CSV_SLOT_DAMAGED, /* what it held cannot be known */
};

/* A slot judged. */
struct csv_slot {
    enum csv_slot_state state;
    struct csv_head head; /* of the winner; generation 0 if there is none */
    int winner;           /* copy 0 or 1; -1: none */
    int next;             /* the copy to write next: the older one */
    enum csv_block copy[CSV_COPIES];
    const char *text[CSV_COPIES]; /* what is wrong with a copy, or "sound" */
    bool is_stale; /* both are sound, and one is older than writers leave it for long */
};

/* Which rule the content of a sound block breaks, NULL: none. */
const char *csv_slot_problem(const struct csv_super *super, enum csv_kind kind, uint32_t index,
                             const void *block, const struct csv_head *head);

/* Judges both copies, lying one after the other in buffer. No I/O. */
void csv_slot_judge(const struct csv_super *super, enum csv_kind kind, uint32_t index,
                    const void *buffer, struct csv_slot *slot);

/* The winner's block in buffer. */
const void *csv_slot_block(enum csv_kind kind, const void *buffer, const struct csv_slot *slot);

/* May its winner be a write that came late, see late.h? Usually not: its writer was cut short, or
 * is at it. Who has read this slot alone cannot tell, and reads the catalogue. */
bool csv_slot_is_unsettled(const struct csv_slot *slot);

/* Reads and judges one slot into buffer (two blocks long). A slot that looks damaged is read
 * again a few times: its owner may be writing it right now. */
int csv_slot_read(struct csv_volume *volume, enum csv_kind kind, uint32_t index, void *buffer,
                  struct csv_slot *slot, struct csv_error *error);

/* Reads all slots of a kind in order, and calls visit for each; a result but 0 ends the walk. */
typedef int (*csv_slot_visit)(uint32_t index, const void *buffer, const struct csv_slot *slot,
                              void *data);
int csv_slot_walk(struct csv_volume *volume, enum csv_kind kind, csv_slot_visit visit, void *data,
                  struct csv_error *error);
/* The same of count slots from first on. */
int csv_slot_walk_some(struct csv_volume *volume, enum csv_kind kind, uint32_t first,
                       uint32_t count, csv_slot_visit visit, void *data, struct csv_error *error);

/* Writes a change without a look at who else writes: block has the payload in place
 * (head->payload_bytes long), the header is made here.
 *
 * The older copy is written, flushed and read back: from then on the change is committed. Then,
 * with settle, the other copy is written too, with the same generation; whether that works does
 * not matter to the result. It is there so that one rotten sector later on does not bring back the
 * past, and needs no flush of its own: see csv-format(5). */
int csv_slot_put(struct csv_volume *volume, enum csv_kind kind, uint32_t index,
                 const struct csv_slot *slot, const struct csv_head *head, void *block, bool settle,
                 struct csv_error *error);

/* Commits a change of the catalogue: reads the slot once more, refuses a damaged one, one of a
 * later epoch, and one whose generation is not expected, the one that the change was computed from
 * (somebody else writes: CSV_STALE_EPOCH). head->generation is expected + 1. Settles. */
int
csv_slot_commit(struct csv_volume *volume, enum csv_kind kind, uint32_t index, uint64_t expected,
                const struct csv_head *head, void *block, struct csv_error *error);
