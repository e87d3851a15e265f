/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* settle.h - a second write that was cut short is made up for by the next writer. */
#pragma once

#include "catalog.h"

/*
 * A change counts with its first write. The second one, to the other copy, keeps a sector that rots
 * later from bringing back the past; whoever dies between the two, or whose second write fails,
 * leaves that undone until the same slot is changed again, perhaps for years. So a writer first
 * writes such slots anew. Under its own epoch: what was stuck below a coordinator before it, and
 * lands later, is late then where it contradicts them (late.h). Where the catalogue contradicts
 * itself nothing is: that is for csv_check(), and a person.
 *
 * That is a help, not a condition: a change goes on where it fails.
 */

/* Of a writer's walk: keeps a slot that lacks its second write, a number of them at most. */
void csv_settle_keep(struct csv_catalog *catalog, enum csv_kind kind, uint32_t index,
                     const void *buffer, const struct csv_slot *slot);
/* A writer, with the catalogue's lock, when it is known what is late. */
void csv_settle_all(struct csv_volume *volume, const struct csv_epoch *epoch,
                    struct csv_catalog *catalog);
void csv_settle_clear(struct csv_catalog *catalog);
