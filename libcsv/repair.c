/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* repair.c - mending what can be mended without a guess. */

/*
 * Each thing that matters is there twice. Where one of the two is sound and the other is not, or is
 * older, the sound and newer one is written over it. Nothing else is done: what both copies have
 * lost, and what contradicts itself, is for a person and a backup. Nobody else may write meanwhile.
 */

#include "catalog.h"

#include "error.h"
#include "late.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct repair {
    struct csv_volume *volume;
    void (*report)(const struct csv_finding *finding, void *data);
    void *data;
    size_t mended;
    enum csv_kind kind; /* of the walk under way */
    struct csv_error *error;
};

__attribute__((format(printf, 3, 4))) static void
mended(struct repair *repair, const char *code, const char *format, ...)
{
    struct csv_finding finding = {.code = code};
    va_list args;

    va_start(args, format);
    vsnprintf(finding.text, sizeof(finding.text), format, args);
    va_end(args);
    repair->mended++;
    if (repair->report)
        repair->report(&finding, repair->data);
}

/* ---- superblocks ---- */

/* The newest sound superblock of those at the start, where that says the second one is, and at the
 * end of the LUN. Two that differ and are of one age are nobody's to choose from. */
static int
choose_super(struct csv_dev *dev, bool force, struct csv_super *best, struct csv_error *error)
{
    uint64_t places[3] = {0, 0, dev->size_bytes / CSV_MIB * CSV_MIB - CSV_MIB};
    struct csv_super one;
    bool is_found = false;

    int first = csv_super_read_copy(dev, 0, &one, NULL);

    if ((first == CSV_BLOCK_GARBAGE || first == CSV_BLOCK_BLANK || first == CSV_BLOCK_FUTURE) &&
        !force)
        return csv_fail(error, CSV_E_DAMAGED, 0,
                        "%s lies where the first superblock was; is this LUN a volume still? "
                        "--force says yes",
                        first == CSV_BLOCK_GARBAGE ? "something else"
                        : first == CSV_BLOCK_BLANK ? "nothing, as a format cut short leaves it,"
                                                   : "something of a later version");
    if (first == CSV_BLOCK_OK)
        places[1] = one.tail_offset;
    for (int i = 0; i < 3; i++) {
        if (csv_super_read_copy(dev, places[i], &one, NULL) != CSV_BLOCK_OK ||
            (places[i] && one.tail_offset != places[i]))
            continue;
        if (is_found && memcmp(one.uuid, best->uuid, sizeof(one.uuid)) != 0)
            continue; /* of a volume that was there before */
        if (is_found && one.generation == best->generation && memcmp(&one, best, sizeof(one)) != 0)
            return csv_fail(error, CSV_E_DAMAGED, 0,
                            "the two superblocks contradict each other; nothing was changed");
        if (!is_found || one.generation > best->generation)
            *best = one;
        is_found = true;
    }
    return is_found ? 0 : csv_super_read(dev, best, error);
}

struct reach {
    const struct csv_super *super;
    struct csv_error *error;
};

static int
check_reach_of(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    const struct reach *reach = data;

    if (slot->state != CSV_SLOT_USED ||
        !csv_slot_problem(reach->super, CSV_KIND_IMAGE, index,
                          csv_slot_block(CSV_KIND_IMAGE, buffer, slot), &slot->head))
        return 0;
    return csv_fail(reach->error, CSV_E_DAMAGED, 0,
                    "image slot %u has an image that lies beyond the end that the superblock "
                    "gives the volume: that is one of before the volume has grown; nothing was "
                    "changed, restore a backup",
                    index);
}

/* Where the newest superblock that is left is of before the volume grew, the place where it says
 * that the second one is has long been an image's. */
static int
check_reach(struct csv_dev *dev, const struct csv_super *best, struct csv_error *error)
{
    struct csv_volume volume = {.dev = dev, .super = *best};
    struct reach reach = {.super = best, .error = error};

    if (csv_is_directory(best) || dev->size_bytes <= best->size_bytes)
        return 0;
    volume.super.data_bytes = (dev->size_bytes - best->data_offset) / best->extent_bytes *
                              best->extent_bytes; /* as far as it can have grown */
    return csv_slot_walk(&volume, CSV_KIND_IMAGE, check_reach_of, &reach, error);
}

static int
mend_supers(struct repair *repair, struct csv_dev *dev, const struct csv_super *best,
            struct csv_error *error)
{
    for (int copy = 1; copy >= 0; copy--) {
        uint64_t address = copy ? best->tail_offset : 0;
        struct csv_super there;
        const char *text;
        int result = csv_super_read_copy(dev, address, &there, &text);

        if (result == CSV_BLOCK_OK && memcmp(&there, best, sizeof(there)) == 0)
            continue;
        if (result == CSV_BLOCK_OK)
            text = "older than the other one";
        result = csv_super_write(dev, best, address, error);
        if (result)
            return result;
        mended(repair, "superblock-copy", "%s superblock: %s", copy ? "second" : "first", text);
    }
    return 0;
}

/* ---- slots ---- */

static int
put_copy(struct repair *repair, uint32_t index, int copy, const void *from,
         const struct csv_head *head)
{
    struct csv_volume *volume = repair->volume;
    uint32_t bytes = csv_block_bytes(repair->kind);
    struct csv_slot slot = {.next = copy};
    void *block = csv_dev_buffer(bytes);
    int result;

    if (!block)
        return csv_fail(repair->error, CSV_E_SYS, ENOMEM, "cannot mend %s %u",
                        csv_kind_name(repair->kind), csv_slot_number(repair->kind, index));
    memcpy(block, from, bytes);
    result = csv_slot_put(volume, repair->kind, index, &slot, head, block, false, repair->error);
    free(block);
    return result;
}

static int
blank_slot(struct repair *repair, uint32_t index)
{
    struct csv_dev *dev = repair->volume->dev;
    uint32_t bytes = csv_block_bytes(repair->kind) * CSV_COPIES;
    uint64_t address = csv_slot_address(&repair->volume->super, repair->kind, index, 0);
    int result = dev->ops->zero(dev, address, bytes);

    if (!result)
        result = dev->ops->flush(dev);
    return result ? csv_fail(repair->error, CSV_E_IO, -result, "cannot clear %s %u",
                             csv_kind_name(repair->kind), csv_slot_number(repair->kind, index))
                  : 0;
}

/* Copies that have changed places: each is sound where the other one belongs. Puts them right, and
 * is true then. */
static bool
is_swapped(struct repair *repair, uint32_t index, const void *buffer, uint8_t *right,
           struct csv_slot *slot)
{
    const struct csv_super *super = &repair->volume->super;
    uint32_t bytes = csv_block_bytes(repair->kind);

    for (int i = 0; i < CSV_COPIES; i++) {
        const uint8_t *block = (const uint8_t *)buffer + (size_t)i * bytes;
        struct csv_head head;
        if (csv_block_check(block, repair->kind, super->uuid,
                            csv_slot_address(super, repair->kind, index, 1 - i),
                            &head) != CSV_BLOCK_OK)
            return false;
        memcpy(right + (size_t)(1 - i) * bytes, block, bytes);
    }
    csv_slot_judge(super, repair->kind, index, right, slot);
    return slot->state == CSV_SLOT_USED || slot->state == CSV_SLOT_FREED;
}

/* Of another place, kind or volume: nothing that this slot ever held. What is merely broken may be
 * all that is left of its user. */
static bool
is_of_elsewhere(enum csv_block result)
{
    return result == CSV_BLOCK_FOREIGN || result == CSV_BLOCK_MISPLACED ||
           result == CSV_BLOCK_OTHER_KIND;
}

static int
mend_damaged(struct repair *repair, uint32_t index, const void *buffer, const struct csv_slot *slot)
{
    uint32_t bytes = csv_block_bytes(repair->kind);
    uint8_t *right = csv_dev_buffer((size_t)bytes * CSV_COPIES);
    struct csv_slot found;
    int result = 0;

    if (!right)
        return csv_fail(repair->error, CSV_E_SYS, ENOMEM, "cannot mend %s %u",
                        csv_kind_name(repair->kind), csv_slot_number(repair->kind, index));
    if (is_swapped(repair, index, buffer, right, &found)) {
        for (int copy = 0; copy < CSV_COPIES && !result; copy++)
            result = put_copy(repair, index, copy, csv_slot_block(repair->kind, right, &found),
                              &found.head);
        if (!result)
            mended(repair, "slot-damaged", "%s %u: its copies had changed places",
                   csv_kind_name(repair->kind), csv_slot_number(repair->kind, index));
    } else if ((slot->copy[0] == CSV_BLOCK_BLANK && is_of_elsewhere(slot->copy[1])) ||
               (slot->copy[1] == CSV_BLOCK_BLANK && is_of_elsewhere(slot->copy[0]))) {
        /* a slot with a history has two copies of its own: this one has none */
        result = blank_slot(repair, index);
        if (!result)
            mended(repair, "slot-damaged", "%s %u was never used: %s; %s",
                   csv_kind_name(repair->kind), csv_slot_number(repair->kind, index), slot->text[0],
                   slot->text[1]);
    }
    free(right);
    return result;
}

static int
mend_slot(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    struct repair *repair = data;
    const char *kind = csv_kind_name(repair->kind);
    uint32_t number = csv_slot_number(repair->kind, index);
    int result;

    if (slot->state == CSV_SLOT_DAMAGED)
        return mend_damaged(repair, index, buffer, slot);
    if (slot->state == CSV_SLOT_UNUSED) {
        if (slot->copy[0] == CSV_BLOCK_BLANK)
            return 0;
        result = blank_slot(repair, index);
        if (!result)
            mended(repair, "copy-torn", "%s %u was never used: %s", kind, number, slot->text[0]);
        return result;
    }
    for (int i = 0; i < CSV_COPIES; i++) {
        if (i == slot->winner || (slot->copy[i] == CSV_BLOCK_OK && !slot->is_stale))
            continue;
        result =
            put_copy(repair, index, i, csv_slot_block(repair->kind, buffer, slot), &slot->head);
        if (result)
            return result;
        mended(repair, slot->copy[i] == CSV_BLOCK_OK ? "copy-stale" : "copy-torn",
               "%s %u, copy %d: %s", kind, number, i,
               slot->copy[i] == CSV_BLOCK_OK ? "older than the other one" : slot->text[i]);
    }
    return 0;
}

/* Before the walk, which would settle them the wrong way round. */
static int
mend_late(struct repair *repair)
{
    struct csv_catalog catalog;
    int result = csv_catalog_read(repair->volume, CSV_READ_ALL, &catalog, repair->error);

    for (const struct csv_unsettled *one = catalog.unsettled; one && !result; one = one->next) {
        const int copy = one->slot.winner;

        if (!one->is_late)
            continue;
        repair->kind = one->kind;
        result = one->other.generation
                     ? put_copy(repair, one->index, copy, csv_late_other(one), &one->other)
                     : blank_slot(repair, one->index);
        if (!result)
            mended(repair, "late-write", "%s %u, copy %d: written by host %u after its time",
                   csv_kind_name(one->kind), one->index, copy, one->slot.head.epoch.host_id);
    }
    csv_catalog_clear(&catalog);
    return result;
}

/* ---- leases ---- */

static int
check_alone(struct csv_dev *dev, const struct csv_super *super, struct csv_error *error)
{
    struct csv_volume volume = {.dev = dev, .super = *super};
    uint32_t alive;
    int result = csv_lockspace_alive(&volume, &alive, error);

    if (result)
        return result;
    return alive ? csv_fail(error, CSV_BUSY, 0,
                            "host %u has volume %s attached, or has died with it; detach it there, "
                            "or make sure that no node uses it and give --force",
                            alive, super->name)
                 : 0;
}

/* Where sanlock would not take it, or it has another name, or is behind that version. What speaks
 * against it besides can be a moment of one that is being taken: it is nothing where a host is
 * there after all, which --force says is not. what: the lease as a person calls it. */
static int
mend_lease(struct repair *repair, enum csv_lease_kind kind, uint32_t index, const char *name,
           uint64_t lver, const char *what)
{
    struct csv_volume *volume = repair->volume;
    struct csv_lease_owner owner;
    int result = csv_lease_check(volume, kind, index, &owner, repair->error);
    bool is_sound = !result && strcmp(owner.resource, name) == 0 && owner.lver >= lver;

    if (result == CSV_E_SYS)
        return result;
    if (is_sound && (!owner.doubt || check_alone(volume->dev, &volume->super, NULL)))
        return 0;
    result = csv_lease_remake(volume, kind, index, name, lver, repair->error);
    if (!result && is_sound)
        mended(repair, "lease-doubt", "%s counts on from the newest that is known of it", what);
    else if (!result)
        mended(repair, "lease-damaged", "%s can be taken again", what);
    return result;
}

/* A coordinator's epochs have to stay above all that were written, or nobody could ever change the
 * catalogue again; one behind the newest change is what a repair leaves that was cut short. */
static int
mend_fixed_lease(struct repair *repair, enum csv_lease_kind kind, uint64_t lver)
{
    struct csv_lease lease = {0};
    char what[64];
    int result = csv_lease_locate(repair->volume, kind, 0, &lease, repair->error);

    snprintf(what, sizeof(what), "lease %s", lease.resource);
    return result ? result : mend_lease(repair, kind, 0, lease.resource, lver, what);
}

/* The count of a host's starts goes on behind what its node slot says: what is known of an earlier
 * start, a fence above all, must not be taken for one of a later one. Where that is lost, too, it
 * is for a person and a backup; and where no sound lease is left to make the others by, all are,
 * for that would make a lease of that one, too. */
static int
mend_lockspace(struct repair *repair)
{
    struct csv_volume *volume = repair->volume;
    struct csv_host_judgement hosts[CSV_MAX_NODES + 1] = {0};
    uint32_t damaged = 0, unknown = 0;
    int result = 0;

    for (uint32_t host_id = 1; !result && host_id <= volume->super.max_nodes; host_id++) {
        struct csv_host_judgement *host = &hosts[host_id];

        result = csv_host_judge(volume, host_id, host, repair->error);
        damaged += host->is_damaged;
        unknown += host->is_damaged && host->is_unknown;
    }
    if (result || (damaged == volume->super.max_nodes && unknown))
        return result;
    for (uint32_t host_id = 1; !result && host_id <= volume->super.max_nodes; host_id++) {
        const struct csv_host_judgement *host = &hosts[host_id];

        if ((!host->is_damaged && !host->is_behind) || host->is_unknown)
            continue;
        result = csv_lockspace_remake(volume, host_id, host->slot_generation, repair->error);
        if (!result)
            mended(repair, "host-lease-damaged", "host id %u has a new lease", host_id);
    }
    return result;
}

/* A VM's lease has its name and is free, since nobody is there; a deleted one's has none. */
static int
mend_leases(struct repair *repair)
{
    struct csv_volume *volume = repair->volume;
    struct csv_catalog catalog;
    int result = csv_catalog_read(volume, CSV_READ_ALL, &catalog, repair->error);

    if (!result && volume->dev->path)
        result = mend_fixed_lease(repair, CSV_LEASE_COORDINATOR, catalog.epoch.lver);
    if (!result && volume->dev->path)
        result = mend_fixed_lease(repair, CSV_LEASE_REGISTRY, 0);

    for (size_t i = 0; !result && volume->dev->path && i < catalog.vm_count; i++) {
        const struct csv_vm *vm = &catalog.vms[i].vm;
        char what[CSV_NAME_MAX + 32];

        snprintf(what, sizeof(what), "the lease of VM %s", vm->name);
        result = mend_lease(repair, CSV_LEASE_VM, vm->slot, vm->name, 0, what);
    }
    csv_catalog_clear(&catalog);
    if (!result && volume->dev->path)
        result = mend_lockspace(repair);
    return result;
}

/* ---- all of it ---- */

static int
mend_volume(struct repair *repair)
{
    static const enum csv_kind kinds[] = {CSV_KIND_NODE, CSV_KIND_VM, CSV_KIND_IMAGE};
    int result = csv_catalog_flush(repair->volume, repair->error);

    if (!result)
        result = mend_late(repair);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !result; i++) {
        repair->kind = kinds[i];
        result = csv_slot_walk(repair->volume, kinds[i], mend_slot, repair, repair->error);
    }
    return result ? result : mend_leases(repair);
}

int
csv_repair_dev(struct csv_dev *dev, bool force,
               void (*report)(const struct csv_finding *finding, void *data), void *data,
               size_t *count, struct csv_error *error)
{
    struct repair repair = {.report = report, .data = data, .error = error};
    struct csv_super best;
    int result = dev->size_bytes < 4 * CSV_MIB
                     ? csv_fail(error, CSV_E_NO_VOLUME, 0, "too short for a volume")
                     : choose_super(dev, force, &best, error);

    /* all that forbids it, before the first write: the newest superblock is what the volume is */
    if (!result)
        result = csv_super_check_fit(dev, &best, false, error);
    if (!result && !force)
        result = check_alone(dev, &best, error);
    if (!result)
        result = check_reach(dev, &best, error);
    if (!result)
        result = mend_supers(&repair, dev, &best, error);
    if (result) {
        csv_dev_close(dev);
        return result;
    }
    result = csv_open_dev(dev, 0, &repair.volume, error);
    if (result)
        return result;
    result = mend_volume(&repair);
    csv_close(repair.volume);
    if (!result && count)
        *count = repair.mended;
    return result;
}

int
csv_repair(const char *path, bool force,
           void (*report)(const struct csv_finding *finding, void *data), void *data, size_t *count,
           struct csv_error *error)
{
    struct csv_dev *dev;
    int result = strlen(path) < CSV_PATH_MAX ? csv_dev_open(path, false, 0, &dev) : -ENAMETOOLONG;

    if (result)
        return csv_dev_fail(path, result, CSV_E_SYS, error);
    return csv_repair_dev(dev, force, report, data, count, error);
}
