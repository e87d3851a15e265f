/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* request.c - who may change the catalogue, and what was asked before. */

#include "catalog.h"

#include "error.h"
#include "late.h"

#include <string.h>

#define TRIES 10

void
csv_volume_set_guard(struct csv_volume *volume, csv_guard guard, void *data)
{
    volume->guard = guard;
    volume->guard_data = data;
}

int
csv_guard_ask(const struct csv_volume *volume, struct csv_error *error)
{
    if (!volume->guard || volume->guard(volume->guard_data))
        return 0;
    return csv_fail(error, CSV_STALE_EPOCH, 0, "this node is not coordinator of volume %s any more",
                    volume->super.name);
}

struct search {
    const struct csv_super *super;
    const struct csv_catalog *catalog; /* which tells what is late */
    enum csv_kind kind;
    bool has_damage;
    uint8_t request[CSV_UUID_BYTES];
    struct csv_request *found;
};

enum { FOUND = 1, LOOK_AGAIN };

static bool
has_request(const struct csv_head *head, const uint8_t request[CSV_UUID_BYTES])
{
    for (int i = 0; head->generation && i < CSV_REQUESTS; i++)
        if (memcmp(head->requests[i], request, CSV_UUID_BYTES) == 0)
            return true;
    return false;
}

/* Has the catalogue judged this very winner? */
static bool
is_judged(const struct search *search, uint32_t index, const struct csv_slot *slot)
{
    const struct csv_brief *brief = search->kind == CSV_KIND_VM
                                        ? &search->catalog->vm_briefs[index]
                                        : &search->catalog->image_briefs[index];

    return brief->generation == slot->head.generation &&
           csv_epoch_compare(&brief->epoch, &slot->head.epoch) == 0;
}

/* FOUND and LOOK_AGAIN end the walk. */
static int
visit(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    struct search *search = data;
    struct csv_request *found = search->found;
    struct csv_image_record image;
    struct csv_vm_record vm;
    /* a change that does not count has not been done, whatever it says */
    const struct csv_unsettled *late = csv_late_find(search->catalog, search->kind, index, slot);
    const struct csv_head *head = late ? &late->other : &slot->head;
    const void *block;

    search->has_damage |= slot->state == CSV_SLOT_DAMAGED;
    if (slot->winner < 0 || !has_request(head, search->request))
        return 0;
    if (!late && csv_slot_is_unsettled(slot) && !is_judged(search, index, slot))
        return LOOK_AGAIN;
    block = late ? csv_late_other(late) : csv_slot_block(search->kind, buffer, slot);
    memset(found, 0, sizeof(*found));
    found->is_vm = search->kind == CSV_KIND_VM;
    found->is_used = head->is_used;
    found->is_last = memcmp(head->requests[0], search->request, CSV_UUID_BYTES) == 0;
    if (!found->is_used)
        return FOUND;
    if (found->is_vm && !csv_vm_decode(block, head, search->super, index, false, &vm))
        memcpy(found->name, vm.vm.name, sizeof(found->name));
    if (!found->is_vm && !csv_image_decode(block, head, search->super, index, &image))
        memcpy(found->name, image.image.name, sizeof(found->name));
    return FOUND;
}

static int
search_all(struct csv_volume *volume, struct search *search, struct csv_error *error)
{
    struct csv_catalog catalog;
    int result = csv_catalog_read(volume, CSV_READ_ALL, &catalog, error);

    search->catalog = &catalog;
    search->has_damage = false;
    search->kind = CSV_KIND_VM;
    if (!result)
        result = csv_slot_walk(volume, CSV_KIND_VM, visit, search, error);
    search->kind = CSV_KIND_IMAGE;
    if (!result)
        result = csv_slot_walk(volume, CSV_KIND_IMAGE, visit, search, error);
    csv_catalog_clear(&catalog);
    return result;
}

int
csv_request_find(struct csv_volume *volume, const char *request, struct csv_request *found,
                 struct csv_error *error)
{
    struct csv_request seen;
    struct search search = {.super = &volume->super, .found = &seen};
    int result = LOOK_AGAIN;

    if (!csv_uuid_parse(request, search.request))
        return csv_fail(error, CSV_BAD_VALUE, 0, "a request's id is a uuid");
    for (int i = 0; i < TRIES && result == LOOK_AGAIN; i++)
        result = search_all(volume, &search, error);
    if (result == LOOK_AGAIN)
        return csv_fail(error, CSV_BUSY, 0, "volume %s is changed all the time; try again",
                        volume->super.name);
    if (result < 0)
        return result;
    /* whoever did it may have died before its flush: what is told as done has to stay */
    if (result && !volume->is_read_only) {
        int flushed = csv_catalog_flush(volume, error);

        if (flushed)
            return flushed;
    }
    if (!result && search.has_damage)
        return csv_fail(error, CSV_E_DAMAGED, 0,
                        "whether volume %s has something of request %s is unknown while a slot is "
                        "damaged; run csvtool check",
                        volume->super.name, request);
    if (!result)
        return csv_fail(error, CSV_NOT_FOUND, 0, "nothing on volume %s is of request %s",
                        volume->super.name, request);
    *found = seen;
    return 0;
}
