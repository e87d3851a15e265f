/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* usage.c - how full a volume is, and what to move for a longer free run. */

/*
 * A plan is one round of moves: images that lie in the way of the run go whole into gaps beside it,
 * and where the allocator has them go there is such a run afterwards. That finds a good plan, not
 * always the best, nor always one where there is one. More rounds could do better, and would be a
 * puzzle; who needs them moves what the first one says and asks again.
 */

#include "catalog.h"

#include "error.h"
#include "files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Takes a free piece out of the cells that it lies in; free_bytes has one sum per cell. */
static void
add_to_cells(const struct csv_super *super, const struct csv_extent *gap,
             uint64_t free_bytes[CSV_USAGE_CELLS])
{
    uint64_t cell_bytes = (super->data_bytes + CSV_USAGE_CELLS - 1) / CSV_USAGE_CELLS;
    uint64_t at = gap->offset_bytes - super->data_offset, end = at + gap->bytes;

    while (at < end) {
        uint64_t cell = at / cell_bytes, cell_end = (cell + 1) * cell_bytes;
        uint64_t here = (end < cell_end ? end : cell_end) - at;
        free_bytes[cell] += here;
        at += here;
    }
}

static void
draw(const struct csv_super *super, const struct csv_space *space, uint8_t cells[CSV_USAGE_CELLS])
{
    uint64_t cell_bytes = (super->data_bytes + CSV_USAGE_CELLS - 1) / CSV_USAGE_CELLS;
    uint64_t free_bytes[CSV_USAGE_CELLS] = {0};

    for (size_t i = 0; i < space->gap_count; i++)
        add_to_cells(super, &space->gaps[i], free_bytes);
    for (uint64_t i = 0; i < CSV_USAGE_CELLS; i++) {
        uint64_t start = i * cell_bytes, total = 0, used;
        if (start < super->data_bytes)
            total = super->data_bytes - start < cell_bytes ? super->data_bytes - start : cell_bytes;
        used = total - free_bytes[i];
        /* what is not quite empty or full does not look so; no sum of bytes overflows times 100 */
        cells[i] = total == 0 || used == 0 ? 0
                   : used == total         ? 100
                                           : (uint8_t)(used / (total / 100 + 1));
        if (used && !cells[i])
            cells[i] = 1;
    }
}

/* Of a directory: what its images have, and what the file system has left for more. */
static int
files_usage(struct csv_volume *volume, const struct csv_catalog *catalog, struct csv_usage *usage,
            struct csv_error *error)
{
    uint64_t left, used = 0;
    int result = csv_files_free_bytes(volume, &left, error);

    if (result)
        return result;
    for (size_t i = 0; i < catalog->image_count; i++)
        used += catalog->images[i]->image.size_bytes;
    memset(usage, 0, sizeof(*usage));
    usage->total_bytes = used + left;
    usage->used_bytes = used;
    usage->free_bytes = usage->largest_free_bytes = left;
    usage->device_bytes = volume->dev->size_bytes;
    usage->free_runs = left > 0;
    usage->images = (uint32_t)catalog->image_count;
    usage->vms = (uint32_t)catalog->vm_count;
    for (uint64_t i = 0; i < CSV_USAGE_CELLS; i++) {
        uint64_t cell = usage->total_bytes / CSV_USAGE_CELLS + 1, start = i * cell;
        usage->cells[i] = used >= start + cell ? 100 : used <= start ? 0 : 50;
    }
    return 0;
}

int
csv_volume_usage(struct csv_volume *volume, struct csv_usage *usage, struct csv_error *error)
{
    struct csv_catalog catalog;
    struct csv_space space = {0};
    struct csv_dev *dev = volume->dev;
    int result = csv_catalog_read(volume, CSV_READ_ALL, &catalog, error);

    if (!result && csv_is_directory(&volume->super)) {
        result = files_usage(volume, &catalog, usage, error);
        csv_catalog_clear(&catalog);
        return result;
    }
    if (!result)
        result = csv_catalog_space(&catalog, &space, error);
    if (!result && dev->ops->measure && (result = dev->ops->measure(dev)))
        result = csv_fail(error, CSV_E_IO, -result, "cannot tell the size of the LUN");
    if (!result) {
        usage->total_bytes = volume->super.data_bytes;
        usage->used_bytes = space.used_bytes;
        usage->free_bytes = space.free_bytes;
        usage->largest_free_bytes = space.largest_free_bytes;
        usage->device_bytes = volume->dev->size_bytes;
        usage->free_runs = (uint32_t)space.gap_count;
        usage->images = (uint32_t)catalog.image_count;
        usage->vms = (uint32_t)catalog.vm_count;
        draw(&volume->super, &space, usage->cells);
    }
    csv_space_clear(&space);
    csv_catalog_clear(&catalog);
    return result;
}

/* ---- a longer run ---- */

struct step {
    struct csv_space_move move;
    const struct csv_image *image; /* a damaged volume can have a name twice */
};

struct plan {
    const struct csv_catalog *catalog;
    const struct csv_space *space;
    struct csv_extent run;
    struct csv_extent *gaps; /* scratch: what is free */
    struct step *steps;      /* of the run under way; room for all images */
    size_t count;
    uint64_t bytes; /* that these moves copy */
};

static bool
meet(const struct csv_extent *a, const struct csv_extent *b)
{
    return a->offset_bytes < b->offset_bytes + b->bytes &&
           b->offset_bytes < a->offset_bytes + a->bytes;
}

static uint64_t
image_space(const struct csv_image *image)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < image->extent_count; i++)
        bytes += image->extents[i].bytes;
    return bytes;
}

static int
larger_first(const void *a, const void *b)
{
    const struct csv_space_move *x = &((const struct step *)a)->move;
    const struct csv_space_move *y = &((const struct step *)b)->move;

    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return strcmp(x->image, y->image);
}

/* Whose extents lie in the run. */
static void
collect_moves(struct plan *plan)
{
    plan->count = 0;
    plan->bytes = 0;
    for (size_t i = 0; i < plan->catalog->image_count; i++) {
        const struct csv_image *image = &plan->catalog->images[i]->image;
        bool is_in_the_way = false;
        for (uint32_t k = 0; k < image->extent_count && !is_in_the_way; k++)
            is_in_the_way = meet(&image->extents[k], &plan->run);
        if (is_in_the_way) {
            struct csv_space_move *move = &plan->steps[plan->count].move;

            plan->steps[plan->count++].image = image;
            memcpy(move->image, image->name, sizeof(move->image));
            move->bytes = image_space(image);
            move->from_bytes = image->extents[0].offset_bytes;
            plan->bytes += move->bytes;
        }
    }
}

/* What is free outside of the run, a gap that it cuts in two included. */
static size_t
gaps_beside(const struct plan *plan)
{
    uint64_t start = plan->run.offset_bytes, end = start + plan->run.bytes;
    size_t count = 0;

    for (size_t i = 0; i < plan->space->gap_count; i++) {
        const struct csv_extent *gap = &plan->space->gaps[i];
        uint64_t gap_end = gap->offset_bytes + gap->bytes;
        if (!meet(gap, &plan->run)) {
            plan->gaps[count++] = *gap;
            continue;
        }
        if (gap->offset_bytes < start)
            plan->gaps[count++] = (struct csv_extent){gap->offset_bytes, start - gap->offset_bytes};
        if (gap_end > end)
            plan->gaps[count++] = (struct csv_extent){end, gap_end - end};
    }
    return count;
}

/* Finds a place for each move, the largest first and each where it fits best. */
static bool
place_moves(struct plan *plan)
{
    size_t gap_count = gaps_beside(plan);

    qsort(plan->steps, plan->count, sizeof(*plan->steps), larger_first);
    for (size_t i = 0; i < plan->count; i++) {
        struct csv_extent *best = NULL;
        for (size_t k = 0; k < gap_count; k++)
            if (plan->gaps[k].bytes >= plan->steps[i].move.bytes &&
                (!best || plan->gaps[k].bytes < best->bytes))
                best = &plan->gaps[k];
        if (!best)
            return false;
        plan->steps[i].move.to_bytes = best->offset_bytes;
        best->offset_bytes += plan->steps[i].move.bytes;
        best->bytes -= plan->steps[i].move.bytes;
    }
    return true;
}

/* ---- would it be so, if that were done? ---- */

/* An image that is cloned goes where the allocator has it go, which knows of no plan: into the run,
 * where it fits best. So a plan is done here first, move by move, in several orders. */
static int
smaller_first(const void *a, const void *b)
{
    return larger_first(b, a);
}

static int
nearer_first(const void *a, const void *b)
{
    const struct csv_space_move *x = &((const struct step *)a)->move;
    const struct csv_space_move *y = &((const struct step *)b)->move;

    return x->from_bytes < y->from_bytes ? -1 : x->from_bytes > y->from_bytes;
}

static int
farther_first(const void *a, const void *b)
{
    return nearer_first(b, a);
}

/* Frees an extent among gaps in order of offset, and joins it to those beside it. */
static void
give_back(struct csv_extent *gaps, size_t *count, const struct csv_extent *extent)
{
    size_t at = 0;

    while (at < *count && gaps[at].offset_bytes < extent->offset_bytes)
        at++;
    memmove(&gaps[at + 1], &gaps[at], (*count - at) * sizeof(*gaps));
    gaps[at] = *extent;
    ++*count;
    for (size_t i = at ? at - 1 : 0; i + 1 < *count && i <= at;) {
        if (gaps[i].offset_bytes + gaps[i].bytes != gaps[i + 1].offset_bytes) {
            i++;
            continue;
        }
        gaps[i].bytes += gaps[i + 1].bytes;
        --*count;
        memmove(&gaps[i + 1], &gaps[i + 2], (*count - i - 1) * sizeof(*gaps));
    }
}

static void
take_from_gap(struct csv_space *space, const struct csv_extent *taken)
{
    size_t i = 0;

    while (space->gaps[i].offset_bytes != taken->offset_bytes)
        i++;
    space->gaps[i].offset_bytes += taken->bytes;
    space->gaps[i].bytes -= taken->bytes;
    if (space->gaps[i].bytes == 0)
        memmove(&space->gaps[i], &space->gaps[i + 1],
                (--space->gap_count - i) * sizeof(*space->gaps));
}

static bool
clone_and_delete(const struct plan *plan, struct csv_space *space, struct step *step)
{
    struct csv_space_move *move = &step->move;
    const struct csv_image *image = step->image;
    struct csv_extent place[CSV_MAX_EXTENTS];
    uint32_t pieces;

    if (csv_space_pick(plan->catalog->super, space, move->bytes, true, place, &pieces, NULL) != 0)
        return false;
    move->to_bytes = place[0].offset_bytes;
    take_from_gap(space, &place[0]);
    for (uint32_t i = 0; i < image->extent_count; i++)
        give_back(space->gaps, &space->gap_count, &image->extents[i]);
    return true;
}

/* Is there such a run, wherever, once all was done in this order? */
static bool
comes_true(struct plan *plan, int (*order)(const void *a, const void *b))
{
    struct csv_space space = *plan->space;
    uint64_t run = 0;
    bool ok = true;

    qsort(plan->steps, plan->count, sizeof(*plan->steps), order);
    space.gaps = plan->gaps;
    memcpy(space.gaps, plan->space->gaps, space.gap_count * sizeof(*space.gaps));
    for (size_t i = 0; ok && i < plan->count; i++)
        ok = clone_and_delete(plan, &space, &plan->steps[i]);
    for (size_t i = 0; i < space.gap_count; i++)
        if (space.gaps[i].bytes > run) {
            run = space.gaps[i].bytes;
            plan->run.offset_bytes = space.gaps[i].offset_bytes;
        }
    return ok && run >= plan->run.bytes;
}

static bool
can_be_followed(struct plan *plan)
{
    return plan->count == 0 || comes_true(plan, larger_first) || comes_true(plan, smaller_first) ||
           comes_true(plan, nearer_first) || comes_true(plan, farther_first);
}

/* One place for the run; better than the best so far? Then that becomes the best. */
static void
try_run(struct plan *plan, struct plan *best, uint64_t offset)
{
    const struct csv_super *super = plan->catalog->super;

    plan->run.offset_bytes = offset;
    if (offset < super->data_offset ||
        offset + plan->run.bytes > super->data_offset + super->data_bytes)
        return;
    collect_moves(plan);
    if ((best->run.bytes && plan->bytes >= best->bytes) || !place_moves(plan) ||
        !can_be_followed(plan))
        return;
    best->run = plan->run;
    best->count = plan->count;
    best->bytes = plan->bytes;
    memcpy(best->steps, plan->steps, plan->count * sizeof(*plan->steps));
}

/* A best run begins where a gap begins, or ends where one ends: else it could be shifted towards
 * one without more to move. */
static void
try_all(struct plan *plan, struct plan *best)
{
    for (size_t i = 0; i < plan->space->gap_count; i++) {
        const struct csv_extent *gap = &plan->space->gaps[i];
        try_run(plan, best, gap->offset_bytes);
        if (gap->offset_bytes + gap->bytes >= plan->run.bytes)
            try_run(plan, best, gap->offset_bytes + gap->bytes - plan->run.bytes);
    }
}

static int
make_plan(const struct csv_catalog *catalog, const struct csv_space *space, uint64_t bytes,
          struct plan *best, struct csv_error *error)
{
    uint64_t extent = catalog->super->extent_bytes;
    struct plan plan = {.catalog = catalog, .space = space};
    size_t pieces = 0;

    if (bytes == 0 || bytes > space->free_bytes)
        return csv_fail(error, CSV_FULL, 0, "no room for %llu MiB: %llu MiB are free",
                        (unsigned long long)(bytes / CSV_MIB),
                        (unsigned long long)(space->free_bytes / CSV_MIB));
    plan.run.bytes = (bytes + extent - 1) / extent * extent;
    for (size_t i = 0; i < catalog->image_count; i++)
        pieces += catalog->images[i]->image.extent_count;
    /* each piece that comes free can be one more */
    plan.gaps = calloc(space->gap_count + pieces + 1, sizeof(*plan.gaps));
    plan.steps = calloc(catalog->image_count + 1, sizeof(*plan.steps));
    best->steps = calloc(catalog->image_count + 1, sizeof(*best->steps));
    if (plan.gaps && plan.steps && best->steps)
        try_all(&plan, best);
    free(plan.gaps);
    free(plan.steps);
    if (!plan.gaps || !plan.steps || !best->steps)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot plan");
    if (best->run.bytes == 0)
        return csv_fail(error, CSV_FRAGMENTED, 0,
                        "found no round of moves that makes %llu MiB free in one piece: %llu MiB "
                        "are free, at most %llu in one",
                        (unsigned long long)(bytes / CSV_MIB),
                        (unsigned long long)(space->free_bytes / CSV_MIB),
                        (unsigned long long)(space->largest_free_bytes / CSV_MIB));
    return 0;
}

int
csv_space_plan(struct csv_volume *volume, uint64_t bytes, struct csv_space_move **moves,
               size_t *count, uint64_t *run_bytes, struct csv_error *error)
{
    struct csv_catalog catalog;
    struct csv_space space = {0};
    struct plan best = {0};
    int result = csv_catalog_read(volume, CSV_READ_ALL, &catalog, error);

    if (!result)
        result = csv_catalog_space(&catalog, &space, error);
    if (!result && csv_is_directory(&volume->super)) { /* files are in one piece for all we know */
        result = csv_files_free_bytes(volume, &space.free_bytes, error);
        if (!result && bytes > space.free_bytes)
            result = csv_fail(error, CSV_FULL, 0, "no room for %llu MiB: %llu MiB are free",
                              (unsigned long long)(bytes / CSV_MIB),
                              (unsigned long long)(space.free_bytes / CSV_MIB));
    } else if (!result)
        result = make_plan(&catalog, &space, bytes, &best, error);
    if (!result) {
        *moves = calloc(best.count + 1, sizeof(**moves));
        *count = best.count;
        *run_bytes = best.run.offset_bytes;
        for (size_t i = 0; *moves && i < best.count; i++)
            (*moves)[i] = best.steps[i].move;
        result = *moves ? 0 : csv_fail(error, CSV_E_SYS, ENOMEM, "cannot plan");
    }
    free(best.steps);
    csv_space_clear(&space);
    csv_catalog_clear(&catalog);
    return result;
}
