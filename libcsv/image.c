/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.c - images: catalogue, space and data. */

/*
 * An image's slot lists its extents, and that list is the only record of who has which space. So
 * creating is: find room, zero it, write the slot; and deleting is: write the slot. Nothing else
 * has to agree.
 */

#include "image.h"

#include "error.h"
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZERO_PIECE (16u << 20)
/* At most so much can go of what is another image's by now, should the lease lapse right behind the
 * question. A TiB is 4096 pieces: what each costs beside the work is a round trip to the storage, a
 * few seconds in all. Both this and extents are powers of two: whole ones, or a part of one. */
#define DISCARD_PIECE ((uint64_t)256 << 20)

/* Into zeroes. */
static void
put_named(const struct csv_catalog *catalog, const struct csv_image_record *record,
          struct csv_image *image)
{
    const struct csv_vm_record *owner = csv_catalog_owner(catalog, record);

    csv_image_copy(image, &record->image);
    if (owner)
        memcpy(image->owner, owner->vm.name, sizeof(image->owner));
}

void
csv_image_named(const struct csv_catalog *catalog, const struct csv_image_record *record,
                struct csv_image *image)
{
    memset(image, 0, sizeof(*image));
    put_named(catalog, record, image);
}

int
csv_image_not_found(const struct csv_volume *volume, const struct csv_catalog *catalog,
                    const char *name, struct csv_error *error)
{
    if (catalog->images_damaged)
        return csv_fail(error, CSV_E_DAMAGED, 0, "no image %.64s among the readable ones; %s", name,
                        catalog->damage);
    return csv_fail(error, CSV_NOT_FOUND, 0, "no image %.64s on volume %s", name,
                    volume->super.name);
}

/* All images in one piece of memory, the pointers to them in front. NULL: none is left. */
static struct csv_image **
pack(const struct csv_catalog *catalog)
{
    size_t table = (catalog->image_count + 1) * sizeof(struct csv_image *), bytes = table;
    struct csv_image **made;
    uint8_t *next;

    for (size_t i = 0; i < catalog->image_count; i++)
        bytes += csv_image_bytes(&catalog->images[i]->image);
    made = calloc(1, bytes);
    if (!made)
        return NULL;
    next = (uint8_t *)made + table;
    for (size_t i = 0; i < catalog->image_count; i++) {
        made[i] = (struct csv_image *)next;
        put_named(catalog, catalog->images[i], made[i]);
        next += csv_image_bytes(made[i]);
    }
    return made;
}

int
csv_image_list(struct csv_volume *volume, struct csv_image ***images, size_t *count,
               struct csv_error *error)
{
    struct csv_catalog catalog;
    struct csv_image **made = NULL;
    int result = csv_catalog_read(volume, CSV_READ_ALL, &catalog, error);

    if (!result) {
        made = pack(&catalog);
        if (!made)
            result = csv_fail(error, CSV_E_SYS, ENOMEM, "cannot list images");
    }
    if (!result) {
        *images = made;
        *count = catalog.image_count;
    }
    csv_catalog_clear(&catalog);
    return result;
}

/* Looks where the image was last time, and where its owner must be: two slots instead of all. */
static bool
find_hinted(struct csv_volume *volume, const char *name, struct csv_image *image)
{
    int64_t index = csv_catalog_hint(volume, CSV_KIND_IMAGE, name);
    uint8_t *pair = index < 0 ? NULL : csv_dev_buffer(CSV_BLOCK_MAX * CSV_COPIES);
    struct csv_image_record record = {0};
    struct csv_vm_record owner;
    struct csv_slot slot;
    bool is_found;

    if (!pair)
        return false;
    is_found = csv_slot_read(volume, CSV_KIND_IMAGE, (uint32_t)index, pair, &slot, NULL) == 0 &&
               slot.state == CSV_SLOT_USED && !csv_slot_is_unsettled(&slot) &&
               !csv_image_decode(csv_slot_block(CSV_KIND_IMAGE, pair, &slot), &slot.head,
                                 &volume->super, (uint32_t)index, &record) &&
               strcmp(record.image.name, name) == 0;
    if (is_found && record.owner_birth) {
        if (csv_slot_read(volume, CSV_KIND_VM, record.owner_slot, pair, &slot, NULL) != 0 ||
            slot.state == CSV_SLOT_DAMAGED || csv_slot_is_unsettled(&slot))
            is_found = false; /* the long way says what is wrong, or late */
        else if (slot.state == CSV_SLOT_USED &&
                 !csv_vm_decode(csv_slot_block(CSV_KIND_VM, pair, &slot), &slot.head,
                                &volume->super, record.owner_slot, false, &owner) &&
                 owner.birth == record.owner_birth)
            memcpy(record.image.owner, owner.vm.name, sizeof(record.image.owner));
    }
    if (is_found)
        *image = record.image;
    free(pair);
    return is_found;
}

int
csv_image_find(struct csv_volume *volume, const char *name, struct csv_image *image,
               struct csv_error *error)
{
    struct csv_catalog catalog;
    const struct csv_image_record *found;
    int result;

    if (find_hinted(volume, name, image))
        return 0;
    result = csv_catalog_read(volume, CSV_READ_ALL, &catalog, error);
    if (!result) {
        found = csv_catalog_image(&catalog, name);
        result = found ? csv_catalog_owner_known(&catalog, found, error)
                       : csv_image_not_found(volume, &catalog, name, error);
        if (found)
            csv_image_named(&catalog, found, image);
    }
    csv_catalog_clear(&catalog);
    return result;
}

int
csv_image_commit(struct csv_volume *volume, const struct csv_epoch *epoch, uint64_t expected,
                 const struct csv_image_record *record, bool is_used, struct csv_error *error)
{
    struct csv_head head = {.generation = expected + 1, .epoch = *epoch, .is_used = is_used};
    uint8_t *block = csv_dev_buffer(CSV_IMAGE_BLOCK);
    int result;

    if (!block)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot write image %s", record->image.name);
    if (is_used)
        head.payload_bytes = csv_image_encode(record, block);
    result =
        csv_slot_commit(volume, CSV_KIND_IMAGE, record->image.slot, expected, &head, block, error);
    free(block);
    return result;
}

int
csv_image_zero(struct csv_volume *volume, const struct csv_image *image, uint64_t from,
               struct csv_error *error)
{
    struct csv_dev *dev = volume->dev;
    int result = 0;

    for (uint32_t i = 0; i < image->extent_count && !result; i++) {
        const struct csv_extent *extent = &image->extents[i];
        if (from >= extent->bytes) {
            from -= extent->bytes;
            continue;
        }
        /* in pieces: who loses the lease meanwhile must not zero what is another image's by then */
        for (uint64_t done = from; done < extent->bytes && !result; done += ZERO_PIECE) {
            uint64_t left = extent->bytes - done;
            if (csv_guard_ask(volume, error))
                return CSV_STALE_EPOCH;
            result = dev->ops->zero(dev, extent->offset_bytes + done,
                                    left < ZERO_PIECE ? left : ZERO_PIECE);
        }
        from = 0;
    }
    if (!result)
        result = dev->ops->flush(dev);
    return result ? csv_fail(error, CSV_E_IO, -result, "cannot zero the space of image %s",
                             image->name)
                  : 0;
}

static int
check_create(const char *name, uint64_t size_bytes, unsigned flags, struct csv_error *error)
{
    if (!csv_name_is_valid(name))
        return csv_fail(error, CSV_BAD_NAME, 0,
                        "bad image name: 1 to %d of A-Z a-z 0-9 . _ -, first a letter or digit",
                        CSV_NAME_MAX);
    if (size_bytes == 0 || size_bytes > INT64_MAX - 4095)
        return csv_fail(error, CSV_BAD_VALUE, 0, "image size %llu is out of range",
                        (unsigned long long)size_bytes);
    if (flags & ~(CSV_CREATE_ONE_PIECE | CSV_CREATE_NO_ZERO | CSV_CREATE_SHARED))
        return csv_fail(error, CSV_BAD_VALUE, 0, "unknown flags 0x%x", flags);
    return 0;
}

/* Name, place and space of a new image; nothing is written. */
static int
plan(struct csv_volume *volume, const struct csv_catalog *catalog, bool one_piece,
     struct csv_image *image, struct csv_error *error)
{
    struct csv_space space = {0};
    uint8_t uuid[CSV_UUID_BYTES];
    int64_t slot = csv_catalog_free_slot(catalog, CSV_KIND_IMAGE);
    bool is_file = csv_is_directory(&volume->super);
    int result = csv_catalog_space(catalog, &space, error);

    if (!result && !is_file)
        result = csv_space_pick(&volume->super, &space, image->size_bytes, one_piece,
                                image->extents, &image->extent_count, error);
    if (!result && slot < 0)
        result = csv_fail(error, CSV_NO_SLOT, 0, "volume %s has all of its %u images",
                          volume->super.name, volume->super.max_images);
    if (!result)
        result = csv_uuid_make(uuid, error);
    if (!result) {
        csv_uuid_print(uuid, image->uuid);
        image->slot = (uint32_t)slot;
        image->generation = catalog->image_briefs[slot].generation + 1;
    }
    csv_space_clear(&space);
    return result;
}

/* Its space, so that nothing of what was there before shows. */
static int
prepare(struct csv_volume *volume, const struct csv_image *image, unsigned flags,
        struct csv_error *error)
{
    bool no_zero = (flags & CSV_CREATE_NO_ZERO) != 0;

    if (csv_is_directory(&volume->super))
        return csv_files_create(volume, image, no_zero, error);
    return no_zero ? 0 : csv_image_zero(volume, image, 0, error);
}

int
csv_image_create(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                 uint64_t size_bytes, unsigned flags, struct csv_image *image,
                 struct csv_error *error)
{
    struct csv_image_record record = {0};
    struct csv_catalog catalog;
    const struct csv_image_record *there;
    int result = check_create(name, size_bytes, flags, error);

    if (result)
        return result;
    snprintf(record.image.name, sizeof(record.image.name), "%s", name);
    record.image.size_bytes = (size_bytes + 4095) / 4096 * 4096;
    record.image.flags = flags & CSV_CREATE_SHARED ? CSV_IMAGE_SHARED : 0;
    result = csv_catalog_begin(volume, epoch, &catalog, error);
    if (result)
        goto out;
    there = csv_catalog_image(&catalog, name);
    if (there && csv_catalog_was_unsure(volume, CSV_UNSURE_IMAGE_CREATE, name) &&
        strcmp(volume->unsure.uuid, there->image.uuid) == 0 &&
        there->image.size_bytes == record.image.size_bytes && !csv_catalog_owner(&catalog, there)) {
        csv_image_record_copy(&record, there);
        result = csv_catalog_settle(volume, error);
    } else if (there) {
        result = csv_fail(error, CSV_EXISTS, 0, "image %s exists already", name);
    } else {
        result = plan(volume, &catalog, (flags & CSV_CREATE_ONE_PIECE) != 0, &record.image, error);
        if (!result)
            result = prepare(volume, &record.image, flags, error);
        if (!result) {
            result =
                csv_image_commit(volume, epoch, record.image.generation - 1, &record, true, error);
            csv_catalog_unsure(volume, CSV_UNSURE_IMAGE_CREATE, name, record.image.uuid, result);
            /* where it may have landed, the file may be an image's: better one too many */
            if (result && result != CSV_E_IO && csv_is_directory(&volume->super))
                csv_files_remove(volume, &record.image);
        }
    }
    if (!result && image)
        *image = record.image;
out:
    csv_catalog_end(volume, &catalog);
    return result;
}

static void
discard_extents(struct csv_volume *volume, const struct csv_image *image)
{
    struct csv_dev *dev = volume->dev;

    /* a hint to the storage; new images are zeroed whatever comes of it */
    for (uint32_t i = 0; i < image->extent_count; i++) {
        const struct csv_extent *extent = &image->extents[i];
        for (uint64_t done = 0; done < extent->bytes; done += DISCARD_PIECE) {
            uint64_t left = extent->bytes - done;
            if (csv_guard_ask(volume, NULL))
                return;
            if (dev->ops->discard(dev, extent->offset_bytes + done,
                                  left < DISCARD_PIECE ? left : DISCARD_PIECE) == -EOPNOTSUPP)
                return;
        }
    }
}

/* Of an image that was deleted by a try that ended in an error: the file of what has no slot any
 * more. Renamed meanwhile, it is there by that uuid. */
static void
remove_unsure_file(struct csv_volume *volume, const struct csv_catalog *catalog)
{
    struct csv_image image = {0};

    if (!csv_is_directory(&volume->super) || catalog->images_damaged)
        return;
    for (size_t i = 0; i < catalog->image_count; i++)
        if (strcmp(catalog->images[i]->image.uuid, volume->unsure.uuid) == 0)
            return;
    memcpy(image.uuid, volume->unsure.uuid, sizeof(image.uuid));
    csv_files_remove(volume, &image);
}

int
csv_image_delete(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                 bool discard, struct csv_error *error)
{
    struct csv_catalog catalog;
    const struct csv_image_record *found;
    int result = csv_catalog_begin(volume, epoch, &catalog, error);

    if (result)
        goto out;
    found = csv_catalog_image(&catalog, name);
    if (!found && csv_catalog_was_unsure(volume, CSV_UNSURE_IMAGE_DELETE, name)) {
        result = csv_catalog_settle(volume, error);
        if (!result)
            remove_unsure_file(volume, &catalog);
    } else if (!found) {
        result = csv_image_not_found(volume, &catalog, name, error);
    } else if ((result = csv_catalog_owner_known(&catalog, found, error)) == 0) {
        result = csv_image_commit(volume, epoch, found->image.generation, found, false, error);
        csv_catalog_unsure(volume, CSV_UNSURE_IMAGE_DELETE, name, found->image.uuid, result);
        if (!result && csv_is_directory(&volume->super))
            csv_files_remove(volume, &found->image);
        else if (!result && discard)
            discard_extents(volume, &found->image);
    }
out:
    csv_catalog_end(volume, &catalog);
    return result;
}

int
csv_image_rename(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                 const char *new_name, struct csv_error *error)
{
    struct csv_catalog catalog;
    struct csv_image_record *found, *taken;
    int result;

    if (!csv_name_is_valid(new_name))
        return csv_fail(error, CSV_BAD_NAME, 0,
                        "bad image name: 1 to %d of A-Z a-z 0-9 . _ -, first a letter or digit",
                        CSV_NAME_MAX);
    result = csv_catalog_begin(volume, epoch, &catalog, error);
    if (result)
        goto out;
    found = csv_catalog_image(&catalog, name);
    taken = csv_catalog_image(&catalog, new_name);
    if (!found && taken && csv_catalog_was_unsure(volume, CSV_UNSURE_IMAGE_RENAME, name) &&
        strcmp(volume->unsure.uuid, taken->image.uuid) == 0) {
        result = csv_catalog_settle(volume, error);
    } else if (!found) {
        result = csv_image_not_found(volume, &catalog, name, error);
    } else if (taken && taken != found) {
        result = csv_fail(error, CSV_EXISTS, 0, "image %s exists already", new_name);
    } else if (catalog.images_damaged) {
        result = csv_fail(error, CSV_E_DAMAGED, 0,
                          "cannot tell whether image %s exists: %s; run csvtool check", new_name,
                          catalog.damage);
    } else if (!taken && (result = csv_catalog_owner_known(&catalog, found, error)) == 0) {
        memset(found->image.name, 0, sizeof(found->image.name));
        snprintf(found->image.name, sizeof(found->image.name), "%s", new_name);
        result = csv_image_commit(volume, epoch, found->image.generation, found, true, error);
        csv_catalog_unsure(volume, CSV_UNSURE_IMAGE_RENAME, name, found->image.uuid, result);
    }
out:
    csv_catalog_end(volume, &catalog);
    return result;
}

int
csv_image_assign(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                 const char *owner, struct csv_error *error)
{
    struct csv_catalog catalog;
    struct csv_image_record *found;
    const struct csv_vm_record *now, *next = NULL;
    int result = csv_catalog_begin(volume, epoch, &catalog, error);

    if (result)
        goto out;
    found = csv_catalog_image(&catalog, name);
    if (!found) {
        result = csv_image_not_found(volume, &catalog, name, error);
        goto out;
    }
    result = csv_catalog_owner_known(&catalog, found, error);
    if (result)
        goto out;
    if (owner[0])
        next = csv_catalog_vm(&catalog, owner);
    if (owner[0] && !next) {
        result = csv_fail(error, CSV_NOT_FOUND, 0, "no VM %.64s on volume %s", owner,
                          volume->super.name);
        goto out;
    }
    now = csv_catalog_owner(&catalog, found);
    if (next && now && now != next && !(found->image.flags & CSV_IMAGE_SHARED)) {
        result = csv_fail(error, CSV_IN_USE, 0, "image %s belongs to VM %s", name, now->vm.name);
        goto out;
    }
    if (now == next && (next || found->owner_birth == 0))
        goto out; /* as it is */
    found->owner_slot = next ? next->vm.slot : 0;
    found->owner_birth = next ? next->birth : 0;
    result = csv_image_commit(volume, epoch, found->image.generation, found, true, error);
out:
    csv_catalog_end(volume, &catalog);
    return result;
}

/* Reads or writes a range of an image piece by piece over its extents. */
static int
transfer(struct csv_volume *volume, const struct csv_image *image, uint64_t offset, uint8_t *buffer,
         const uint8_t *source, size_t bytes, struct csv_error *error)
{
    const char *problem = csv_image_problem(image, &volume->super);
    struct csv_dev *dev = volume->dev;
    int result = 0;

    if (problem)
        return csv_fail(error, CSV_BAD_VALUE, 0, "image %.47s: %s", image->name, problem);
    if (offset % 4096 || bytes % 4096 || offset > image->size_bytes ||
        bytes > image->size_bytes - offset)
        return csv_fail(error, CSV_BAD_VALUE, 0, "image %s: %zu bytes at %llu are out of range",
                        image->name, bytes, (unsigned long long)offset);
    if (csv_is_directory(&volume->super))
        return csv_files_transfer(volume, image, offset, buffer, source, bytes, error);
    for (uint32_t i = 0; i < image->extent_count && bytes && !result; i++) {
        const struct csv_extent *extent = &image->extents[i];
        size_t piece = bytes;
        if (offset >= extent->bytes) {
            offset -= extent->bytes;
            continue;
        }
        if (piece > extent->bytes - offset)
            piece = (size_t)(extent->bytes - offset);
        if (buffer)
            result = dev->ops->read(dev, extent->offset_bytes + offset, buffer, piece);
        else
            result = dev->ops->write(dev, extent->offset_bytes + offset, source, piece);
        if (buffer)
            buffer += piece;
        else
            source += piece;
        bytes -= piece;
        offset = 0;
    }
    return result ? csv_fail(error, CSV_E_IO, -result, "cannot %s image %s",
                             buffer ? "read" : "write", image->name)
                  : 0;
}

int
csv_image_read(struct csv_volume *volume, const struct csv_image *image, uint64_t offset,
               void *buffer, size_t bytes, struct csv_error *error)
{
    return transfer(volume, image, offset, buffer, NULL, bytes, error);
}

int
csv_image_write(struct csv_volume *volume, const struct csv_image *image, uint64_t offset,
                const void *buffer, size_t bytes, struct csv_error *error)
{
    int result = csv_need_writable(volume, error);

    return result ? result : transfer(volume, image, offset, NULL, buffer, bytes, error);
}
