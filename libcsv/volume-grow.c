/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume-grow.c - a volume takes over what its LUN has grown by. */

/*
 * Only the end of a volume moves: the second superblock, and with it the end of the data. The new
 * second one is written first, where nobody looks yet; then the first one, and with that it is
 * done. Cut short before the first, the volume is as it was; the first one torn, the second one at
 * the end of the LUN says what it was to be. The old second one lies in free space then, until an
 * image comes there.
 *
 * Every reading of the catalogue looks at the first superblock, so that a node does not take images
 * behind its idea of the end for damage, and allocates nothing by an old one.
 */

#include "catalog.h"

#include "error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
measure(struct csv_volume *volume, struct csv_error *error)
{
    struct csv_dev *dev = volume->dev;
    int result = dev->ops->measure ? dev->ops->measure(dev) : 0;

    if (result)
        return csv_fail(error, CSV_E_IO, -result, "volume %s: cannot tell the size of the LUN",
                        volume->super.name);
    __atomic_store_n(&volume->info.device_bytes, dev->size_bytes, __ATOMIC_RELAXED);
    return 0;
}

/* Readers hold no lock. They may see the new value of one and the old one of another: each alone
 * only gets larger, and what is compared with them lies below either. */
static void
take_over(struct csv_volume *volume, const struct csv_super *super)
{
    struct csv_super *ours = &volume->super;

    __atomic_store_n(&ours->size_bytes, super->size_bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&ours->tail_offset, super->tail_offset, __ATOMIC_RELAXED);
    __atomic_store_n(&ours->data_bytes, super->data_bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&ours->generation, super->generation, __ATOMIC_RELAXED);
    __atomic_store_n(&volume->info.size_bytes, super->size_bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&volume->info.data_bytes, super->data_bytes, __ATOMIC_RELAXED);
}

/* Is next ours with another end? */
static bool
differs_in_end_only(const struct csv_super *ours, const struct csv_super *next)
{
    struct csv_super same = *ours;

    same.size_bytes = next->size_bytes;
    same.tail_offset = next->tail_offset;
    same.data_bytes = next->data_bytes;
    same.generation = next->generation;
    return memcmp(&same, next, sizeof(same)) == 0 && next->size_bytes >= ours->size_bytes &&
           next->data_bytes >= ours->data_bytes;
}

int
csv_super_refresh(struct csv_volume *volume, struct csv_error *error)
{
    const struct csv_super *ours = &volume->super;
    struct csv_super super;
    int result;

    /* a broken one is csv_check()'s business: nothing has to stop for it */
    if (csv_super_read_copy(volume->dev, 0, &super, NULL) != CSV_BLOCK_OK ||
        super.generation <= ours->generation || !differs_in_end_only(ours, &super))
        return 0;
    result = measure(volume, error);
    if (result)
        return result;
    if (super.size_bytes > volume->dev->size_bytes)
        return csv_fail(
            error, CSV_E_TRUNCATED, 0,
            "volume %s has grown to %llu MiB, its LUN has %llu MiB on this node; let the "
            "kernel look at the size of the device again",
            ours->name, (unsigned long long)(super.size_bytes / CSV_MIB),
            (unsigned long long)(volume->dev->size_bytes / CSV_MIB));
    take_over(volume, &super);
    return 0;
}

static int
write_growth(struct csv_volume *volume, const struct csv_super *super, struct csv_error *error)
{
    int result = csv_guard_ask(volume, error);

    if (!result)
        result = csv_super_write(volume->dev, super, super->tail_offset, error);
    if (!result)
        result = csv_guard_ask(volume, error);
    if (!result)
        result = csv_super_write(volume->dev, super, 0, error);
    if (!result)
        take_over(volume, super);
    return result;
}

int
csv_volume_grow(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_info *info,
                struct csv_error *error)
{
    struct csv_catalog catalog;
    struct csv_super super;
    int result = csv_catalog_begin(volume, epoch, &catalog, error);

    if (!result && !csv_is_directory(&volume->super))
        result = measure(volume, error);
    if (!result && !csv_is_directory(&volume->super)) {
        super = volume->super;
        super.size_bytes = volume->dev->size_bytes / CSV_MIB * CSV_MIB;
        super.generation++;
        if (super.size_bytes > volume->super.size_bytes) {
            if (super.size_bytes > INT64_MAX || !csv_layout(&super) ||
                !differs_in_end_only(&volume->super, &super))
                result =
                    csv_fail(error, CSV_BAD_VALUE, 0, "volume %s cannot grow to %llu MiB",
                             volume->super.name, (unsigned long long)(super.size_bytes / CSV_MIB));
            else
                result = write_growth(volume, &super, error);
        }
    }
    if (!result && info)
        *info = volume->info;
    csv_catalog_end(volume, &catalog);
    return result;
}
