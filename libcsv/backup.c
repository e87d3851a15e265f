/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup.c - a volume's metadata to a file, and from there to a LUN. */

/*
 * A backup is blocks as they lie on the LUN, one after the other: the first superblock, of each
 * slot that ever had a user the copy that counts (see late.h), the second superblock. Each says for
 * itself what it is and where it belongs, and the last one says that nothing is missing. No lease
 * is in it: leases are about what runs now.
 *
 * A restore is a format that fills the slots. New leases count from 1 again, so the blocks are
 * sealed anew without an epoch, else no coordinator could ever follow.
 */

#include "catalog.h"

#include "error.h"
#include "late.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 10

struct bytes {
    uint8_t *data;
    size_t count, room;
};

static int
append(struct bytes *bytes, const void *block, size_t count)
{
    if (bytes->count + count > bytes->room) {
        size_t room = (bytes->count + count) * 2;
        uint8_t *more = realloc(bytes->data, room);
        if (!more)
            return -ENOMEM;
        bytes->data = more;
        bytes->room = room;
    }
    memcpy(bytes->data + bytes->count, block, count);
    bytes->count += count;
    return 0;
}

/* ---- backup ---- */

struct gather {
    struct csv_volume *volume;
    struct csv_catalog catalog; /* which tells what is late */
    enum csv_kind kind;
    struct bytes bytes;
    struct csv_error *error;
};

static int
gather_slot(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    struct gather *gather = data;
    const struct csv_unsettled *late = csv_late_find(&gather->catalog, gather->kind, index, slot);
    const void *block;

    if (slot->state == CSV_SLOT_UNUSED)
        return 0;
    if (slot->state == CSV_SLOT_DAMAGED)
        return csv_fail(gather->error, CSV_E_DAMAGED, 0,
                        "%s %u is damaged: %s; %s; a backup would be without it",
                        csv_kind_name(gather->kind), csv_slot_number(gather->kind, index),
                        slot->text[0], slot->text[1]);
    /* a restored block has no epoch: what is late could not be told from the rest any more */
    if (late && late->other.generation == 0)
        return 0;
    block = late ? csv_late_other(late) : csv_slot_block(gather->kind, buffer, slot);
    if (append(&gather->bytes, block, csv_block_bytes(gather->kind)))
        return csv_fail(gather->error, CSV_E_SYS, ENOMEM, "cannot back up");
    return 0;
}

static int
gather_super(struct gather *gather, uint64_t address)
{
    const struct csv_super *super = &gather->volume->super;
    struct csv_head head = {.generation = super->generation, .is_used = true};
    uint8_t *block = csv_dev_buffer(CSV_SUPER_BLOCK);
    int result = block ? 0 : -ENOMEM;

    if (!result) {
        head.payload_bytes = csv_super_encode(super, block);
        csv_block_seal(block, CSV_KIND_SUPER, super->uuid, address, &head);
        result = append(&gather->bytes, block, CSV_SUPER_BLOCK);
    }
    free(block);
    return result ? csv_fail(gather->error, CSV_E_SYS, ENOMEM, "cannot back up") : 0;
}

static int
gather_all(struct gather *gather)
{
    static const enum csv_kind kinds[] = {CSV_KIND_NODE, CSV_KIND_VM, CSV_KIND_IMAGE};
    int result = csv_catalog_read(gather->volume, CSV_READ_ALL, &gather->catalog, gather->error);

    gather->bytes.count = 0;
    if (!result)
        result = gather_super(gather, 0);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !result; i++) {
        gather->kind = kinds[i];
        result = csv_slot_walk(gather->volume, kinds[i], gather_slot, gather, gather->error);
    }
    if (!result)
        result = gather_super(gather, gather->volume->super.tail_offset);
    csv_catalog_clear(&gather->catalog);
    return result;
}

/* Heartbeats go on all the time; but for them, are the two the same? */
static bool
is_same(const struct bytes *a, const struct bytes *b)
{
    static const char node_magic[] = "CSVnode ";
    size_t at = 0;

    if (a->count != b->count)
        return false;
    while (at < a->count) {
        const struct csv_disk_header *header = (const void *)(a->data + at);
        bool is_node = memcmp(header->magic, node_magic, sizeof(header->magic)) == 0;
        size_t bytes = is_node ? CSV_NODE_BLOCK : 4096; /* all others are multiples of it */
        if (!is_node && memcmp(a->data + at, b->data + at, bytes) != 0)
            return false;
        at += bytes;
    }
    return true;
}

static int
write_file(int fd, const struct bytes *bytes, struct csv_error *error)
{
    for (size_t done = 0; done < bytes->count;) {
        ssize_t put = write(fd, bytes->data + done, bytes->count - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return csv_fail(error, CSV_E_SYS, put < 0 ? errno : ENOSPC, "cannot write the backup");
        done += (size_t)put;
    }
    if (fsync(fd) < 0 && errno != EINVAL)
        return csv_fail(error, CSV_E_SYS, errno, "cannot write the backup");
    return 0;
}

int
csv_backup(struct csv_volume *volume, int fd, struct csv_error *error)
{
    struct gather first = {.volume = volume, .error = error};
    struct gather again = {.volume = volume, .error = error};
    int result = gather_all(&first);

    /* no lock: two readings that are the same had no change in between, nor did something late land
     * between a catalogue and its slots */
    for (int i = 0; !result; i++) {
        struct bytes swap;
        result = gather_all(&again);
        if (result || is_same(&first.bytes, &again.bytes))
            break;
        if (i == TRIES)
            result = csv_fail(error, CSV_BUSY, 0, "volume %s is changed all the time; try again",
                              volume->super.name);
        swap = first.bytes;
        first.bytes = again.bytes;
        again.bytes = swap;
    }
    if (!result)
        result = write_file(fd, &again.bytes, error);
    free(first.bytes.data);
    free(again.bytes.data);
    return result;
}

/* ---- restore ---- */

/* More than all slots can hold is no backup, and is not read to its end: it may have none. */
#define BACKUP_MAX                                                          \
    (2 * (size_t)CSV_SUPER_BLOCK + CSV_MAX_NODES * (size_t)CSV_NODE_BLOCK + \
     CSV_MAX_VMS * (size_t)CSV_VM_BLOCK + CSV_MAX_IMAGES * (size_t)CSV_IMAGE_BLOCK)

static int
read_file(int fd, struct bytes *bytes, struct csv_error *error)
{
    uint8_t piece[65536];

    while (bytes->count <= BACKUP_MAX) {
        ssize_t got = read(fd, piece, sizeof(piece));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return csv_fail(error, CSV_E_SYS, errno, "cannot read the backup");
        if (got == 0)
            return 0;
        if (append(bytes, piece, (size_t)got))
            return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read the backup");
    }
    return csv_fail(error, CSV_E_NO_VOLUME, 0, "not a backup of a volume: too long");
}

/* The slot of this kind whose block has its place there; -1: none has. */
static int64_t
slot_at(const struct csv_super *super, enum csv_kind kind, uint64_t address)
{
    uint64_t base = csv_slot_address(super, kind, 0, 0);
    uint64_t index = address < base
                         ? UINT64_MAX
                         : (address - base) / ((uint64_t)csv_block_bytes(kind) * CSV_COPIES);

    return index < csv_slot_count(super, kind) ? (int64_t)index : -1;
}

/* One block of the backup behind the first: what it is, checked. */
struct piece {
    enum csv_kind kind;
    uint32_t index;
    struct csv_head head;
    const uint8_t *block;
};

static int
next_piece(const struct bytes *bytes, size_t *at, const struct csv_super *super,
           struct piece *piece, struct csv_error *error)
{
    static const enum csv_kind kinds[] = {CSV_KIND_SUPER, CSV_KIND_NODE, CSV_KIND_VM,
                                          CSV_KIND_IMAGE};
    const struct csv_disk_header *header = (const void *)(bytes->data + *at);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t size = csv_block_bytes(kinds[i]);
        uint64_t address;
        int64_t index;
        if (bytes->count - *at < size)
            continue;
        memcpy(&address, &header->address, sizeof(address));
        address = le64toh(address);
        index = kinds[i] == CSV_KIND_SUPER ? address == super->tail_offset ? 0 : -1
                                           : slot_at(super, kinds[i], address);
        if (index < 0 ||
            csv_block_check(header, kinds[i], super->uuid, address, &piece->head) != CSV_BLOCK_OK)
            continue;
        piece->kind = kinds[i];
        piece->index = (uint32_t)index;
        piece->block = bytes->data + *at;
        *at += size;
        return 0;
    }
    return csv_fail(error, CSV_E_DAMAGED, 0, "the backup is damaged at byte %zu", *at);
}

/* Goes through all blocks: the first superblock is read already. */
static int
walk(const struct bytes *bytes, const struct csv_super *super,
     int (*visit)(const struct piece *piece, void *data), void *data, struct csv_error *error)
{
    struct piece piece = {.kind = CSV_KIND_IMAGE};
    size_t at = CSV_SUPER_BLOCK;
    int result = 0;

    while (!result && at < bytes->count) {
        result = next_piece(bytes, &at, super, &piece, error);
        if (!result && piece.kind == CSV_KIND_SUPER)
            break;
        if (!result)
            result = visit(&piece, data);
    }
    if (!result && (piece.kind != CSV_KIND_SUPER || at != bytes->count))
        result = csv_fail(error, CSV_E_DAMAGED, 0, "the backup has no proper end");
    return result;
}

/* A block may be whole and its content break a rule: then its slot would be damaged. */
struct review {
    const struct csv_super *super;
    struct csv_catalog catalog; /* what is in the backup; no briefs */
    struct csv_image_record scratch;
    char contradiction[160]; /* the first one, in words */
    struct csv_error *error;
};

static int
review_content(const struct piece *piece, struct review *review)
{
    struct csv_catalog *catalog = &review->catalog;
    bool is_vm = piece->kind == CSV_KIND_VM;

    if (!piece->head.is_used || piece->kind == CSV_KIND_NODE)
        return 0;
    if ((is_vm ? catalog->vm_count : catalog->image_count) >=
        csv_slot_count(review->super, piece->kind))
        return csv_fail(review->error, CSV_E_DAMAGED, 0, "the backup has a slot twice");
    if (is_vm) {
        (void)csv_vm_decode(piece->block, &piece->head, review->super, piece->index, false,
                            &catalog->vms[catalog->vm_count++]);
        return 0;
    }
    (void)csv_image_decode(piece->block, &piece->head, review->super, piece->index,
                           &review->scratch);
    catalog->images[catalog->image_count] = csv_catalog_keep(catalog, &review->scratch);
    if (!catalog->images[catalog->image_count])
        return csv_fail(review->error, CSV_E_SYS, ENOMEM, "cannot read the backup");
    catalog->image_count++;
    return 0;
}

static int
review_slot(const struct piece *piece, void *data)
{
    struct review *review = data;
    const char *problem =
        csv_slot_problem(review->super, piece->kind, piece->index, piece->block, &piece->head);

    return problem ? csv_fail(review->error, CSV_E_DAMAGED, 0, "the backup is damaged: %s %u: %s",
                              csv_kind_name(piece->kind),
                              csv_slot_number(piece->kind, piece->index), problem)
                   : review_content(piece, review);
}

static void
note_contradiction(const struct csv_finding *finding, void *data)
{
    struct review *review = data;

    if (finding->is_error && !review->contradiction[0])
        snprintf(review->contradiction, sizeof(review->contradiction), "%.159s", finding->text);
}

/* All of it, before anything is touched. One that was made by a version that took what is late for
 * the rest, or of a damaged volume, may give space away twice: two VMs would write there. */
static int
review_all(const struct bytes *bytes, const struct csv_super *super, struct csv_error *error)
{
    struct review review = {.super = super, .catalog.super = super, .error = error};
    struct csv_catalog *catalog = &review.catalog;
    int result = 0;

    catalog->vms = calloc(super->max_vms, sizeof(*catalog->vms));
    catalog->images = calloc(super->max_images, sizeof(*catalog->images));
    if (!catalog->vms || !catalog->images)
        result = csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read the backup");
    if (!result)
        result = walk(bytes, super, review_slot, &review, error);
    if (!result)
        result = csv_check_contents(catalog, note_contradiction, &review, error);
    if (!result && review.contradiction[0])
        result = csv_fail(error, CSV_E_DAMAGED, 0, "the backup contradicts itself: %s",
                          review.contradiction);
    csv_catalog_clear(catalog);
    return result;
}

struct restore {
    const struct bytes *bytes;
    struct csv_dev *dev;
    const struct csv_super *super;
    struct csv_error *error;
};

/* Both copies, one after the other; nobody reads them before the superblocks are there. */
static int
put_slot(const struct piece *piece, void *data)
{
    struct restore *restore = data;
    uint32_t bytes = csv_block_bytes(piece->kind);
    struct csv_head head = piece->head;
    uint8_t *block = csv_dev_buffer(bytes);
    int result = block ? 0 : -ENOMEM;

    head.epoch = (struct csv_epoch){0};
    for (int copy = 0; copy < CSV_COPIES && !result; copy++) {
        uint64_t address = csv_slot_address(restore->super, piece->kind, piece->index, copy);
        memcpy(block, piece->block, bytes);
        csv_block_seal(block, piece->kind, restore->super->uuid, address, &head);
        result = restore->dev->ops->write(restore->dev, address, block, bytes);
    }
    free(block);
    if (result)
        return csv_fail(restore->error, CSV_E_IO, -result, "cannot write %s %u",
                        csv_kind_name(piece->kind), csv_slot_number(piece->kind, piece->index));
    if (piece->kind == CSV_KIND_VM) {
        struct csv_vm_record record;
        char name[CSV_NAME_MAX + 1];
        csv_lease_free_name(piece->index, name);
        if (head.is_used &&
            !csv_vm_decode(piece->block, &head, restore->super, piece->index, false, &record))
            memcpy(name, record.vm.name, sizeof(name));
        return csv_lease_write(restore->dev, restore->super, piece->index, name, restore->error);
    }
    return 0;
}

static int
fill(struct csv_dev *dev, const struct csv_super *super, void *data, struct csv_error *error)
{
    struct restore *restore = data;
    int result;

    restore->super = super;
    restore->error = error;
    result = walk(restore->bytes, super, put_slot, restore, error);
    if (!result && (result = dev->ops->flush(dev)))
        result = csv_fail(error, CSV_E_IO, -result, "cannot write the slots");
    return result;
}

static int
check_target(struct csv_dev *dev, const struct csv_super *super, bool force,
             struct csv_error *error)
{
    struct csv_volume old = {.dev = dev};
    uint32_t alive;
    int result;

    if (csv_is_directory(super) != dev->is_directory)
        return csv_fail(error, CSV_BAD_VALUE, 0, "the backup is of %s, and this is %s",
                        dev->is_directory ? "a LUN" : "a directory",
                        dev->is_directory ? "a directory" : "none");
    if (super->sector_bytes != dev->sector_bytes)
        return csv_fail(error, CSV_E_SECTOR, 0,
                        "the backup is of a LUN with sectors of %u bytes, this one has %u",
                        super->sector_bytes, dev->sector_bytes);
    if (super->size_bytes > dev->size_bytes && !dev->is_directory)
        return csv_fail(error, CSV_E_TRUNCATED, 0,
                        "the LUN has %llu bytes, the volume of the backup needs %llu",
                        (unsigned long long)dev->size_bytes, (unsigned long long)super->size_bytes);
    /* of a later one nobody here knows where its leases are, and so whether somebody has one; what
     * its superblock says has not even been judged */
    result = csv_super_read(dev, &old.super, NULL);
    if (result == CSV_E_FUTURE ||
        (!result && (old.super.feature_incompat & ~CSV_FEATURES_INCOMPAT)))
        return csv_fail(error, CSV_E_FUTURE, 0,
                        "what is on it is a volume of a later version, and may be in use; "
                        "csvtool(8) says what to do where it is not");
    if (result)
        return 0;
    if (!force)
        return csv_fail(
            error, CSV_ALREADY_FORMATTED, 0,
            "volume %s is on it and can be opened; --force replaces its catalogue by that "
            "of the backup",
            old.super.name);
    result = csv_lockspace_alive(&old, &alive, error);
    if (result)
        return result;
    if (alive) /* its VMs write to what the backup says is others' */
        return csv_fail(error, CSV_BUSY, 0,
                        "host %u has volume %s attached, or has died with it; detach it there "
                        "first; csvtool(8) says what to do where that host is gone for good",
                        alive, old.super.name);
    return 0;
}

int
csv_restore_dev(struct csv_dev *dev, int fd, bool force, struct csv_error *error)
{
    struct bytes bytes = {0};
    struct restore restore = {.bytes = &bytes, .dev = dev};
    struct csv_super super;
    struct csv_head head;
    int result = read_file(fd, &bytes, error);

    if (!result && (bytes.count < CSV_SUPER_BLOCK ||
                    csv_block_check(bytes.data, CSV_KIND_SUPER, NULL, 0, &head) != CSV_BLOCK_OK ||
                    csv_super_decode(bytes.data, &head, &super) ||
                    (super.feature_incompat & ~CSV_FEATURES_INCOMPAT)))
        result = csv_fail(error, CSV_E_NO_VOLUME, 0, "not a backup of a volume");
    if (!result && (super.feature_ro_compat & ~CSV_FEATURES_RO_COMPAT))
        result = csv_fail(error, CSV_E_FUTURE, 0,
                          "the backup is of a volume with features unknown here (0x%x)",
                          super.feature_ro_compat & ~CSV_FEATURES_RO_COMPAT);
    if (!result)
        result = review_all(&bytes, &super, error);
    if (!result)
        result = check_target(dev, &super, force, error);
    if (!result && dev->is_directory && dev->size_bytes < super.size_bytes &&
        (result = csv_dev_resize(dev, super.size_bytes)))
        result = csv_fail(error, CSV_E_IO, -result, "cannot make the catalogue");
    if (!result)
        result = csv_volume_write(dev, &super, fill, &restore, error);
    free(bytes.data);
    csv_dev_close(dev);
    return result;
}

int
csv_restore(const char *path, int fd, bool force, struct csv_error *error)
{
    struct csv_dev *dev;
    bool is_new = false;
    int result =
        strlen(path) < CSV_PATH_MAX ? csv_dev_open_or_make(path, &dev, &is_new) : -ENAMETOOLONG;

    if (result)
        return csv_dev_fail(path, result, CSV_E_SYS, error);
    result = csv_restore_dev(dev, fd, force, error);
    if (result && is_new)
        csv_dev_unmake(path);
    return result;
}
