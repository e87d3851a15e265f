/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* settle.c - what settle.h says. */
#include "settle.h"

#include "slot.h"

#include <stdlib.h>
#include <string.h>

/* For each of them is a flush. On a volume that was written by versions that made no second write
 * all slots may lack it: these get theirs change by change. */
#define MOST 64

struct csv_apart {
    struct csv_apart *next;
    struct csv_slot slot;
    enum csv_kind kind;
    uint32_t index;
    _Alignas(8) uint8_t pair[];
};

/* Not where the other copy is something that no cut leaves: csv_check() tells of that. */
static bool
lacks_second(const struct csv_slot *slot)
{
    enum csv_block other;

    if (slot->state != CSV_SLOT_USED && slot->state != CSV_SLOT_FREED)
        return false;
    other = slot->copy[1 - slot->winner];
    return slot->is_stale || other == CSV_BLOCK_BLANK || other == CSV_BLOCK_TORN ||
           other == CSV_BLOCK_BAD_CRC;
}

void
csv_settle_keep(struct csv_catalog *catalog, enum csv_kind kind, uint32_t index, const void *buffer,
                const struct csv_slot *slot)
{
    size_t bytes = (size_t)csv_block_bytes(kind) * CSV_COPIES;
    struct csv_apart *one;

    if (!lacks_second(slot) || catalog->apart_count == MOST)
        return;
    one = malloc(sizeof(*one) + bytes);
    if (!one)
        return;
    one->slot = *slot;
    one->kind = kind;
    one->index = index;
    memcpy(one->pair, buffer, bytes);
    one->next = catalog->apart;
    catalog->apart = one;
    catalog->apart_count++;
}

void
csv_settle_clear(struct csv_catalog *catalog)
{
    while (catalog->apart) {
        struct csv_apart *next = catalog->apart->next;
        free(catalog->apart);
        catalog->apart = next;
    }
}

static void
count_finding(const struct csv_finding *finding, void *data)
{
    (void)finding;
    ++*(unsigned *)data;
}

/* Two that claim one name or space: under a new epoch one of them would make the other late. */
static bool
has_contradiction(const struct csv_catalog *catalog)
{
    unsigned findings = 0;

    return csv_check_contents(catalog, count_finding, &findings, NULL) != 0 || findings;
}

/* Not what is late: the catalogue has the copy beside it then, or one that was written since. */
static bool
counts(const struct csv_catalog *catalog, const struct csv_apart *one)
{
    const struct csv_brief *brief = csv_catalog_brief(catalog, one->kind, one->index);

    return brief->generation == one->slot.head.generation &&
           csv_epoch_compare(&brief->epoch, &one->slot.head.epoch) == 0;
}

void
csv_settle_all(struct csv_volume *volume, const struct csv_epoch *epoch,
               struct csv_catalog *catalog)
{
    uint8_t *block;

    /* what counts may be in a cache of the storage's, and what is written over the only one on its
     * disk */
    if (!catalog->apart || has_contradiction(catalog) || csv_catalog_flush(volume, NULL))
        return;
    block = csv_dev_buffer(CSV_BLOCK_MAX);
    for (const struct csv_apart *one = catalog->apart; one && block; one = one->next) {
        struct csv_head head = one->slot.head;

        if (!counts(catalog, one))
            continue;
        if (csv_guard_ask(volume, NULL))
            break;
        memcpy(block, csv_slot_block(one->kind, one->pair, &one->slot), csv_block_bytes(one->kind));
        head.epoch = *epoch; /* of the same generation: nobody who knows that has to look again */
        if (!csv_slot_put(volume, one->kind, one->index, &one->slot, &head, block, true, NULL))
            csv_catalog_written(catalog, one->kind, one->index, &head);
    }
    free(block);
}

int
csv_settle(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    struct csv_catalog catalog;
    int result = csv_catalog_begin(volume, epoch, &catalog, error);

    csv_catalog_end(volume, &catalog);
    return result;
}
