/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* late.c - what late.h says. */
#include "late.h"

#include "error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const void *
csv_late_other(const struct csv_unsettled *one)
{
    return one->pair + (size_t)(1 - one->slot.winner) * csv_block_bytes(one->kind);
}

int
csv_late_keep(struct csv_catalog *catalog, enum csv_kind kind, uint32_t index, const void *buffer,
              const struct csv_slot *slot)
{
    size_t bytes = (size_t)csv_block_bytes(kind) * CSV_COPIES;
    struct csv_unsettled *one;

    if (!csv_slot_is_unsettled(slot))
        return 0;
    one = calloc(1, sizeof(*one) + bytes);
    if (!one)
        return -ENOMEM;
    one->slot = *slot;
    one->kind = kind;
    one->index = index;
    memcpy(one->pair, buffer, bytes);
    if (slot->is_stale)
        csv_block_check(csv_late_other(one), kind, catalog->super->uuid,
                        csv_slot_address(catalog->super, kind, index, 1 - slot->winner),
                        &one->other);
    if (one->other.generation + 1 != slot->head.generation) {
        free(one); /* its writer had read another past than this */
        return 0;
    }
    one->next = catalog->unsettled;
    catalog->unsettled = one;
    return 0;
}

const struct csv_unsettled *
csv_late_find(const struct csv_catalog *catalog, enum csv_kind kind, uint32_t index,
              const struct csv_slot *slot)
{
    for (const struct csv_unsettled *one = catalog->unsettled; one; one = one->next)
        if (one->is_late && one->kind == kind && one->index == index &&
            one->slot.winner == slot->winner &&
            one->slot.head.generation == slot->head.generation &&
            csv_epoch_compare(&one->slot.head.epoch, &slot->head.epoch) == 0)
            return one;
    return NULL;
}

void
csv_late_clear(struct csv_catalog *catalog)
{
    while (catalog->unsettled) {
        struct csv_unsettled *next = catalog->unsettled->next;
        free(catalog->unsettled);
        catalog->unsettled = next;
    }
}

/* ---- judging ---- */

static bool
do_overlap(const struct csv_image *a, const struct csv_image *b)
{
    for (uint32_t i = 0; i < a->extent_count; i++)
        for (uint32_t j = 0; j < b->extent_count; j++)
            if (a->extents[i].offset_bytes < b->extents[j].offset_bytes + b->extents[j].bytes &&
                b->extents[j].offset_bytes < a->extents[i].offset_bytes + a->extents[i].bytes)
                return true;
    return false;
}

/* Its place among the images, or the VMs. */
static size_t
place_of(const struct csv_catalog *catalog, const struct csv_unsettled *one)
{
    return csv_catalog_place(catalog, one->kind, one->index);
}

/* Has a later epoch written what cannot be beside it? */
static bool
is_contradicted(const struct csv_catalog *catalog, const struct csv_unsettled *one)
{
    const struct csv_epoch *epoch = &one->slot.head.epoch;
    size_t place = place_of(catalog, one);

    if (one->kind == CSV_KIND_VM) {
        const struct csv_vm *vm = &catalog->vms[place].vm;
        for (size_t i = 0; i < catalog->vm_count; i++) {
            const struct csv_vm *there = &catalog->vms[i].vm;
            if (i != place &&
                csv_epoch_compare(&catalog->vm_briefs[there->slot].epoch, epoch) > 0 &&
                (strcmp(there->name, vm->name) == 0 || strcmp(there->uuid, vm->uuid) == 0))
                return true;
        }
        return false;
    }
    for (size_t i = 0; i < catalog->image_count; i++) {
        const struct csv_image *there = &catalog->images[i]->image;
        if (i != place && csv_epoch_compare(&catalog->image_briefs[there->slot].epoch, epoch) > 0 &&
            (strcmp(there->name, catalog->images[place]->image.name) == 0 ||
             do_overlap(there, &catalog->images[place]->image)))
            return true;
    }
    return false;
}

static void
drop_vm(struct csv_catalog *catalog, size_t place)
{
    free(catalog->vms[place].vm.definition);
    catalog->vm_count--;
    memmove(&catalog->vms[place], &catalog->vms[place + 1],
            (catalog->vm_count - place) * sizeof(catalog->vms[0]));
    for (size_t i = place; i < catalog->vm_count; i++)
        catalog->vm_briefs[catalog->vms[i].vm.slot].place = (uint32_t)i;
}

static void
drop_image(struct csv_catalog *catalog, size_t place)
{
    catalog->image_count--;
    memmove(&catalog->images[place], &catalog->images[place + 1],
            (catalog->image_count - place) * sizeof(catalog->images[0]));
}

static int
put_back_vm(struct csv_catalog *catalog, const struct csv_unsettled *one, size_t place)
{
    struct csv_vm_record record = {0};

    if (csv_vm_decode(csv_late_other(one), &one->other, catalog->super, one->index,
                      (catalog->parts & CSV_READ_DEFINITIONS) != 0, &record))
        return -ENOMEM; /* that it is sound has been seen */
    free(catalog->vms[place].vm.definition);
    catalog->vms[place] = record;
    return 0;
}

static int
put_back_image(struct csv_catalog *catalog, const struct csv_unsettled *one, size_t place)
{
    struct csv_image_record *record = calloc(1, sizeof(*record)), *kept = NULL;

    if (record &&
        !csv_image_decode(csv_late_other(one), &one->other, catalog->super, one->index, record))
        kept = csv_catalog_keep(catalog, record);
    free(record);
    if (!kept)
        return -ENOMEM;
    catalog->images[place] = kept;
    return 0;
}

static int
put_back(struct csv_catalog *catalog, struct csv_unsettled *one)
{
    struct csv_brief *brief = csv_catalog_brief(catalog, one->kind, one->index);
    size_t place = place_of(catalog, one);
    int result = 0;

    one->is_late = true;
    if (one->other.is_used)
        result = one->kind == CSV_KIND_VM ? put_back_vm(catalog, one, place)
                                          : put_back_image(catalog, one, place);
    else if (one->kind == CSV_KIND_VM)
        drop_vm(catalog, place);
    else
        drop_image(catalog, place);
    if (!one->other.is_used)
        brief->state = one->other.generation ? CSV_SLOT_FREED : CSV_SLOT_UNUSED;
    brief->generation = one->other.generation;
    brief->epoch = one->other.epoch;
    return result;
}

/* Of the highest epoch that is left: what counts among the later ones decides about the earlier. */
static struct csv_unsettled *
next_to_judge(const struct csv_catalog *catalog)
{
    struct csv_unsettled *best = NULL;

    for (struct csv_unsettled *one = catalog->unsettled; one; one = one->next)
        if (!one->is_judged &&
            (!best || csv_epoch_compare(&one->slot.head.epoch, &best->slot.head.epoch) > 0))
            best = one;
    return best;
}

int
csv_late_judge(struct csv_catalog *catalog, struct csv_error *error)
{
    struct csv_unsettled *one;

    while ((one = next_to_judge(catalog))) {
        one->is_judged = true;
        if (is_contradicted(catalog, one) && put_back(catalog, one))
            return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read %s %u", csv_kind_name(one->kind),
                            one->index);
    }
    return 0;
}

/* ---- settling ---- */

/* A slot that was never used cannot be made so again in one write: it is freed. A freed VM slot
 * keeps a VM's content, which no longer counts. */
static int
settle(struct csv_volume *volume, const struct csv_epoch *epoch, const struct csv_unsettled *one,
       struct csv_error *error)
{
    uint32_t bytes = csv_block_bytes(one->kind);
    bool was_used = one->other.generation != 0;
    struct csv_head head = was_used ? one->other : one->slot.head;
    struct csv_slot slot = one->slot;
    uint8_t *block = csv_dev_buffer(bytes);
    int result = csv_guard_ask(volume, error);

    if (!result && !block)
        result = csv_fail(error, CSV_E_SYS, ENOMEM, "cannot write %s %u", csv_kind_name(one->kind),
                          one->index);
    if (!result) {
        memcpy(block,
               was_used ? csv_late_other(one) : csv_slot_block(one->kind, one->pair, &one->slot),
               bytes);
        head.is_used = head.is_used && was_used;
        if (!was_used) /* what it was asked for has not been done by it */
            memset(head.requests, 0, sizeof(head.requests));
        head.epoch = *epoch;
        head.generation = one->slot.head.generation + 1;
        slot.next = one->slot.winner; /* the late one */
        slot.winner = 1 - slot.next;
        result = csv_slot_put(volume, one->kind, one->index, &slot, &head, block, true, error);
    }
    free(block);
    return result;
}

int
csv_late_settle(struct csv_volume *volume, const struct csv_epoch *epoch,
                struct csv_catalog *catalog, struct csv_error *error)
{
    int result = 0;

    for (struct csv_unsettled *one = catalog->unsettled; one && !result; one = one->next) {
        if (!one->is_late)
            continue;
        result = settle(volume, epoch, one, error);
        if (!result) {
            const struct csv_head head = {.generation = one->slot.head.generation + 1,
                                          .epoch = *epoch};
            csv_catalog_written(catalog, one->kind, one->index, &head);
            one->is_late = false;
        }
    }
    return result;
}
