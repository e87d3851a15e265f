/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* request.c - who may change the catalogue, and what was asked before. */

#include "catalog.h"

#include "error.h"

#include <string.h>

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
    enum csv_kind kind;
    bool has_damage;
    uint8_t request[CSV_UUID_BYTES];
    struct csv_request *found;
};

static bool
has_request(const struct csv_slot *slot, const uint8_t request[CSV_UUID_BYTES])
{
    for (int i = 0; slot->winner >= 0 && i < CSV_REQUESTS; i++)
        if (memcmp(slot->head.requests[i], request, CSV_UUID_BYTES) == 0)
            return true;
    return false;
}

/* 1 ends the walk. */
static int
visit(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    struct search *search = data;
    struct csv_request *found = search->found;
    struct csv_image_record image;
    struct csv_vm_record vm;
    const void *block;

    search->has_damage |= slot->state == CSV_SLOT_DAMAGED;
    if (!has_request(slot, search->request))
        return 0;
    block = csv_slot_block(search->kind, buffer, slot);
    memset(found, 0, sizeof(*found));
    found->is_vm = search->kind == CSV_KIND_VM;
    found->is_used = slot->state == CSV_SLOT_USED;
    found->is_last = memcmp(slot->head.requests[0], search->request, CSV_UUID_BYTES) == 0;
    if (!found->is_used)
        return 1;
    if (found->is_vm && !csv_vm_decode(block, &slot->head, search->super, index, false, &vm))
        memcpy(found->name, vm.vm.name, sizeof(found->name));
    if (!found->is_vm && !csv_image_decode(block, &slot->head, search->super, index, &image))
        memcpy(found->name, image.image.name, sizeof(found->name));
    return 1;
}

int
csv_request_find(struct csv_volume *volume, const char *request, struct csv_request *found,
                 struct csv_error *error)
{
    struct csv_request seen;
    struct search search = {.super = &volume->super, .kind = CSV_KIND_VM, .found = &seen};
    int result;

    if (!csv_uuid_parse(request, search.request))
        return csv_fail(error, CSV_BAD_VALUE, 0, "a request's id is a uuid");
    result = csv_super_refresh(volume, error);
    if (!result)
        result = csv_slot_walk(volume, CSV_KIND_VM, visit, &search, error);
    if (!result) {
        search.kind = CSV_KIND_IMAGE;
        result = csv_slot_walk(volume, CSV_KIND_IMAGE, visit, &search, error);
    }
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
