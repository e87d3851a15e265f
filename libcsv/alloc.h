/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* alloc.h - space: what no image claims is free. No I/O. */
#pragma once

#include "format.h"

struct csv_space {
    uint64_t used_bytes, free_bytes, largest_free_bytes;
    size_t gap_count;
    struct csv_extent *gaps; /* free runs in order of offset */
};

/* Derives the gaps from all claims. claims is sorted in place. Results: 0, CSV_E_DAMAGED where two
 * claims overlap, CSV_E_SYS without memory. Free with csv_space_clear(). */
int csv_space_derive(const struct csv_super *super, struct csv_extent *claims, size_t count,
                     struct csv_space *space, struct csv_error *error);
void csv_space_clear(struct csv_space *space);

/* Picks room for bytes (rounded up to whole extents) into extents[], CSV_MAX_EXTENTS long: the
 * smallest gap that takes it whole; else, unless in one piece, the largest gaps one after the
 * other. CSV_FULL or CSV_FRAGMENTED otherwise. */
int csv_space_pick(const struct csv_super *super, const struct csv_space *space, uint64_t bytes,
                   bool one_piece, struct csv_extent *extents, uint32_t *count,
                   struct csv_error *error);

/* Makes *count extents longer by bytes (rounded up to whole extents of the volume): first into the
 * gap behind the last one, then, unless in one piece, into gaps elsewhere. The array has
 * CSV_MAX_EXTENTS places and is untouched on failure. Uses up what it takes of space. */
int csv_space_extend(const struct csv_super *super, struct csv_space *space, uint64_t bytes,
                     bool one_piece, struct csv_extent *extents, uint32_t *count,
                     struct csv_error *error);
