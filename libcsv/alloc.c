/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* alloc.c - deriving free space, and choosing from it. */

/*
 * Best fit for whole images: it keeps the long runs for the large ones. An image is spread only
 * where it must be, and then over the largest gaps, so that it has few extents.
 */

#include "alloc.h"

#include "error.h"

#include <errno.h>
#include <stdlib.h>

static int
by_offset(const void *a, const void *b)
{
    const struct csv_extent *x = a, *y = b;

    return x->offset_bytes < y->offset_bytes ? -1 : x->offset_bytes > y->offset_bytes;
}

static int
by_size_descending(const void *a, const void *b)
{
    const struct csv_extent *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return by_offset(a, b);
}

static void
add_gap(struct csv_space *space, uint64_t from, uint64_t to)
{
    if (from >= to)
        return;
    space->gaps[space->gap_count].offset_bytes = from;
    space->gaps[space->gap_count++].bytes = to - from;
    space->free_bytes += to - from;
    if (to - from > space->largest_free_bytes)
        space->largest_free_bytes = to - from;
}

int
csv_space_derive(const struct csv_super *super, struct csv_extent *claims, size_t count,
                 struct csv_space *space, struct csv_error *error)
{
    struct csv_space made = {0};
    uint64_t at = super->data_offset;

    made.gaps = calloc(count + 1, sizeof(*made.gaps));
    if (!made.gaps)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot work out free space");
    if (count)
        qsort(claims, count, sizeof(*claims), by_offset);
    for (size_t i = 0; i < count; i++) {
        if (claims[i].offset_bytes < at) {
            free(made.gaps);
            return csv_fail(error, CSV_E_DAMAGED, 0,
                            "two images claim the space at %llu; run csvtool check",
                            (unsigned long long)claims[i].offset_bytes);
        }
        add_gap(&made, at, claims[i].offset_bytes);
        made.used_bytes += claims[i].bytes;
        at = claims[i].offset_bytes + claims[i].bytes;
    }
    add_gap(&made, at, super->data_offset + super->data_bytes);
    *space = made;
    return 0;
}

void
csv_space_clear(struct csv_space *space)
{
    free(space->gaps);
    *space = (struct csv_space){0};
}

static const struct csv_extent *
best_fit(const struct csv_space *space, uint64_t bytes)
{
    const struct csv_extent *best = NULL;

    for (size_t i = 0; i < space->gap_count; i++)
        if (space->gaps[i].bytes >= bytes && (!best || space->gaps[i].bytes < best->bytes))
            best = &space->gaps[i];
    return best;
}

/* The largest gaps, then by offset: an image reads in the order of the LUN. */
static int
spread(const struct csv_space *space, uint64_t bytes, struct csv_extent *extents, uint32_t *count,
       struct csv_error *error)
{
    struct csv_extent *gaps = calloc(space->gap_count + 1, sizeof(*gaps));
    uint32_t used = 0;

    if (!gaps)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot allocate space");
    for (size_t i = 0; i < space->gap_count; i++)
        gaps[i] = space->gaps[i];
    qsort(gaps, space->gap_count, sizeof(*gaps), by_size_descending);
    while (bytes && used < CSV_MAX_EXTENTS && used < space->gap_count) {
        extents[used] = gaps[used];
        if (extents[used].bytes > bytes)
            extents[used].bytes = bytes;
        bytes -= extents[used++].bytes;
    }
    free(gaps);
    if (bytes)
        return csv_fail(error, CSV_FRAGMENTED, 0,
                        "free space is in too many pieces: an image has at most %d",
                        CSV_MAX_EXTENTS);
    qsort(extents, used, sizeof(*extents), by_offset);
    *count = used;
    return 0;
}

int
csv_space_pick(const struct csv_super *super, const struct csv_space *space, uint64_t bytes,
               bool one_piece, struct csv_extent *extents, uint32_t *count, struct csv_error *error)
{
    const struct csv_extent *gap;
    uint64_t whole;

    if (bytes == 0 || bytes > super->data_bytes || bytes > space->free_bytes)
        return csv_fail(error, CSV_FULL, 0, "no room for %llu MiB: %llu MiB are free",
                        (unsigned long long)(bytes / CSV_MIB),
                        (unsigned long long)(space->free_bytes / CSV_MIB));
    whole = (bytes + super->extent_bytes - 1) / super->extent_bytes * super->extent_bytes;
    gap = best_fit(space, whole);
    if (gap) {
        extents[0] = (struct csv_extent){gap->offset_bytes, whole};
        *count = 1;
        return 0;
    }
    if (whole > space->free_bytes)
        return csv_fail(error, CSV_FULL, 0, "no room for %llu MiB: %llu MiB are free",
                        (unsigned long long)(whole / CSV_MIB),
                        (unsigned long long)(space->free_bytes / CSV_MIB));
    if (one_piece)
        return csv_fail(error, CSV_FRAGMENTED, 0,
                        "no room for %llu MiB in one piece: the largest is %llu MiB",
                        (unsigned long long)(whole / CSV_MIB),
                        (unsigned long long)(space->largest_free_bytes / CSV_MIB));
    return spread(space, whole, extents, count, error);
}

/* The gap that begins where the extent ends. */
static struct csv_extent *
gap_behind(const struct csv_space *space, const struct csv_extent *extent)
{
    for (size_t i = 0; i < space->gap_count; i++)
        if (space->gaps[i].offset_bytes == extent->offset_bytes + extent->bytes)
            return &space->gaps[i];
    return NULL;
}

int
csv_space_extend(const struct csv_super *super, struct csv_space *space, uint64_t bytes,
                 bool one_piece, struct csv_extent *extents, uint32_t *count,
                 struct csv_error *error)
{
    struct csv_extent more[CSV_MAX_EXTENTS];
    struct csv_extent *last = &extents[*count - 1], *gap = gap_behind(space, last);
    uint64_t whole = (bytes + super->extent_bytes - 1) / super->extent_bytes * super->extent_bytes;
    uint64_t behind = gap ? gap->bytes : 0;
    uint32_t more_count = 0;
    int result;

    if (bytes > space->free_bytes || whole > space->free_bytes)
        return csv_fail(error, CSV_FULL, 0, "no room for %llu MiB more: %llu MiB are free",
                        (unsigned long long)(bytes / CSV_MIB),
                        (unsigned long long)(space->free_bytes / CSV_MIB));
    if (behind > whole)
        behind = whole;
    if (one_piece && behind < whole)
        return csv_fail(error, CSV_FRAGMENTED, 0,
                        "no room for %llu MiB more right behind the image: %llu MiB are free there",
                        (unsigned long long)(whole / CSV_MIB),
                        (unsigned long long)(behind / CSV_MIB));
    if (behind) {
        gap->offset_bytes += behind;
        gap->bytes -= behind;
        space->free_bytes -= behind;
    }
    if (behind < whole) {
        result = csv_space_pick(super, space, whole - behind, false, more, &more_count, error);
        if (!result && *count + more_count > CSV_MAX_EXTENTS)
            result = csv_fail(error, CSV_FRAGMENTED, 0,
                              "free space is in too many pieces: an image has at most %d",
                              CSV_MAX_EXTENTS);
        if (result)
            return result;
    }
    last->bytes += behind;
    for (uint32_t i = 0; i < more_count; i++)
        extents[(*count)++] = more[i];
    return 0;
}
