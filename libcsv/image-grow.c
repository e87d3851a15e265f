/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image-grow.c - making an image longer, also while a VM uses it. */

/*
 * Only what is new is touched: the space behind the old end is zeroed first, then the slot is
 * written with the longer list of extents. Cut short before that one write, the image is as it was,
 * and the zeroed space is still free.
 */

#include "image.h"

#include "error.h"
#include "files.h"

#include <string.h>

/* The record with its new size and extents. */
static int
plan_growth(const struct csv_volume *volume, const struct csv_catalog *catalog, uint64_t size_bytes,
            bool one_piece, struct csv_image *image, struct csv_error *error)
{
    struct csv_space space = {0};
    uint64_t room = 0;
    int result;

    if (csv_is_directory(&volume->super))
        return 0; /* its file says how long it is */
    result = csv_catalog_space(catalog, &space, error);
    for (uint32_t i = 0; i < image->extent_count; i++)
        room += image->extents[i].bytes;
    if (!result && size_bytes > room)
        result = csv_space_extend(&volume->super, &space, size_bytes - room, one_piece,
                                  image->extents, &image->extent_count, error);
    if (!result)
        image->size_bytes = size_bytes;
    csv_space_clear(&space);
    return result;
}

int
csv_image_grow(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
               uint64_t size_bytes, unsigned flags, struct csv_image *image,
               struct csv_error *error)
{
    struct csv_catalog catalog;
    const struct csv_image_record *found;
    struct csv_image_record record;
    uint64_t wanted, before;
    int result;

    if (size_bytes == 0 || size_bytes > INT64_MAX - 4095)
        return csv_fail(error, CSV_BAD_VALUE, 0, "image size %llu is out of range",
                        (unsigned long long)size_bytes);
    if (flags & ~CSV_CREATE_ONE_PIECE)
        return csv_fail(error, CSV_BAD_VALUE, 0, "unknown flags 0x%x", flags);
    wanted = (size_bytes + 4095) / 4096 * 4096;
    result = csv_catalog_begin(volume, epoch, &catalog, error);
    if (result)
        goto out;
    found = csv_catalog_image(&catalog, name);
    if (!found) {
        result = csv_image_not_found(volume, &catalog, name, error);
        goto out;
    }
    csv_image_record_copy(&record, found);
    before = record.image.size_bytes;
    if (wanted < before)
        result = csv_fail(error, CSV_BAD_VALUE, 0,
                          "image %s has %llu bytes; it can grow, not shrink to %llu", name,
                          (unsigned long long)before, (unsigned long long)wanted);
    else if (wanted > before)
        result = plan_growth(volume, &catalog, wanted, (flags & CSV_CREATE_ONE_PIECE) != 0,
                             &record.image, error);
    if (!result && wanted > before)
        result =
            csv_is_directory(&volume->super)
                ? csv_files_grow(volume, &found->image, wanted, &record.image.size_bytes, error)
                : csv_image_zero(volume, &record.image, before, error);
    if (!result && wanted > before)
        result = csv_image_commit(volume, epoch, record.image.generation++, &record, true, error);
    if (!result && image)
        csv_image_named(&catalog, &record, image);
out:
    csv_catalog_end(volume, &catalog);
    return result;
}
