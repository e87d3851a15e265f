/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume.c - opening a volume: the superblock, its two copies, and the handle. */

/*
 * The first superblock decides. The second is believed only where the first is ours but broken; not
 * where the first is blank (a format was cut short), and not where something else lies over
 * it: whoever wrote that has written over the leases as well.
 */

#include "volume.h"

#include "error.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int
csv_super_read_copy(struct csv_dev *dev, uint64_t address, struct csv_super *super,
                    const char **text)
{
    uint8_t *block = csv_dev_buffer(CSV_SUPER_BLOCK);
    struct csv_head head;
    const char *problem = NULL;
    int result;

    if (!block)
        return -ENOMEM;
    result = dev->ops->read(dev, address, block, CSV_SUPER_BLOCK);
    if (result == 0) {
        result = (int)csv_block_check(block, CSV_KIND_SUPER, NULL, address, &head);
        if (result == CSV_BLOCK_OK) {
            problem = csv_super_decode(block, &head, super);
            if (problem)
                result = CSV_BLOCK_BAD_CONTENT;
        }
    }
    if (text)
        *text = problem       ? problem
                : result >= 0 ? csv_block_text((enum csv_block)result)
                              : "unreadable";
    free(block);
    return result;
}

static bool
is_only_broken(int result)
{
    return result == CSV_BLOCK_BAD_CRC || result == CSV_BLOCK_TORN || result == -EIO ||
           result == CSV_BLOCK_BAD_CONTENT || result == CSV_BLOCK_MISPLACED;
}

/* Where the LUN has grown and the volume has not yet, the second superblock is not at the end of
 * the LUN. The broken first one may still say where: no more than a hint, the second must be sound.
 */
static int
read_hinted(struct csv_dev *dev, struct csv_super *super)
{
    uint8_t *block = csv_dev_buffer(CSV_SUPER_BLOCK);
    uint64_t hint = 0;
    int result = block ? dev->ops->read(dev, 0, block, CSV_SUPER_BLOCK) : -ENOMEM;

    if (!result) {
        memcpy(&hint,
               block + sizeof(struct csv_disk_header) +
                   offsetof(struct csv_disk_super, tail_offset),
               sizeof(hint));
        hint = le64toh(hint);
        result = CSV_BLOCK_GARBAGE;
        if (hint > 0 && hint % CSV_MIB == 0 && hint <= dev->size_bytes - CSV_MIB)
            result = csv_super_read_copy(dev, hint, super, NULL);
        if (result == CSV_BLOCK_OK && super->tail_offset != hint)
            result = CSV_BLOCK_MISPLACED;
    }
    free(block);
    return result;
}

int
csv_super_read(struct csv_dev *dev, struct csv_super *super, struct csv_error *error)
{
    const char *path = dev->path ? dev->path : "LUN";
    const char *text;
    uint64_t tail = dev->size_bytes / CSV_MIB * CSV_MIB;
    int first, second;

    if (dev->size_bytes < 4 * CSV_MIB)
        return csv_fail(error, CSV_E_NO_VOLUME, 0, "%s: too short for a volume (%llu bytes)", path,
                        (unsigned long long)dev->size_bytes);
    first = csv_super_read_copy(dev, 0, super, &text);
    if (first == CSV_BLOCK_OK)
        return 0;
    if (first == CSV_BLOCK_BLANK)
        return csv_fail(error, CSV_E_NO_VOLUME, 0, "%s: blank, not a volume; format it first",
                        path);
    if (first == CSV_BLOCK_FUTURE)
        return csv_fail(error, CSV_E_FUTURE, 0,
                        "%s: formatted by a later version; this one knows version %d only", path,
                        CSV_FORMAT_VERSION);
    if (first < 0 && first != -EIO)
        return csv_fail(error, CSV_E_IO, -first, "%s: cannot read the superblock", path);
    second = csv_super_read_copy(dev, tail - CSV_MIB, super, NULL);
    if (second != CSV_BLOCK_OK && is_only_broken(first))
        second = read_hinted(dev, super);
    if (is_only_broken(first) && second == CSV_BLOCK_OK)
        return 0;
    if (first < 0)
        return csv_fail(error, CSV_E_IO, -first, "%s: cannot read the superblock", path);
    if (second == CSV_BLOCK_OK)
        return csv_fail(error, CSV_E_DAMAGED, 0,
                        "%s: first superblock written over by something else (%s)", path, text);
    if (is_only_broken(first))
        return csv_fail(error, CSV_E_DAMAGED, 0, "%s: both superblocks unusable, the first: %s",
                        path, text);
    return csv_fail(error, CSV_E_NO_VOLUME, 0, "%s: not a volume: %s", path, text);
}

int
csv_super_check_fit(const struct csv_dev *dev, const struct csv_super *super, bool read_only,
                    struct csv_error *error)
{
    const char *path = dev->path ? dev->path : "LUN";
    uint32_t unknown = super->feature_incompat & ~CSV_FEATURES_INCOMPAT;

    if (unknown)
        return csv_fail(error, CSV_E_FUTURE, 0,
                        "%s: uses features unknown here (incompatible 0x%x); update this node",
                        path, unknown);
    unknown = super->feature_ro_compat & ~CSV_FEATURES_RO_COMPAT;
    if (unknown && !read_only)
        return csv_fail(error, CSV_E_FUTURE, 0,
                        "%s: uses features unknown here (0x%x); can be opened read-only", path,
                        unknown);
    if (csv_is_directory(super) != dev->is_directory)
        return csv_fail(error, CSV_E_NO_VOLUME, 0, "%s: %s", path,
                        dev->is_directory
                            ? "what this directory has as " CSV_CATALOGUE_FILE " is a LUN's volume"
                            : "the catalogue of a directory; give the directory instead");
    if (super->sector_bytes != dev->sector_bytes)
        return csv_fail(error, CSV_E_SECTOR, 0,
                        "%s: formatted for sectors of %u bytes, the LUN has %u now", path,
                        super->sector_bytes, dev->sector_bytes);
    if (super->size_bytes > dev->size_bytes)
        return csv_fail(error, CSV_E_TRUNCATED, 0,
                        "%s: the LUN has %llu bytes, the volume on it needs %llu", path,
                        (unsigned long long)dev->size_bytes, (unsigned long long)super->size_bytes);
    return 0;
}

static void
fill_info(const struct csv_dev *dev, const struct csv_super *super, struct csv_info *info)
{
    memset(info, 0, sizeof(*info));
    memcpy(info->name, super->name, sizeof(info->name));
    csv_uuid_print(super->uuid, info->uuid);
    snprintf(info->path, sizeof(info->path), "%s",
             dev->is_directory ? dev->directory
             : dev->path       ? dev->path
                               : "");
    info->is_directory = dev->is_directory;
    info->is_local = dev->is_local;
    info->version = CSV_FORMAT_VERSION;
    info->sector_bytes = super->sector_bytes;
    info->io_timeout_s = super->io_timeout_s;
    info->max_nodes = super->max_nodes;
    info->max_vms = super->max_vms;
    info->max_images = super->max_images;
    info->extent_bytes = super->extent_bytes;
    info->size_bytes = super->size_bytes;
    info->device_bytes = dev->size_bytes;
    info->data_offset_bytes = super->data_offset;
    info->data_bytes = super->data_bytes;
    info->feature_compat = super->feature_compat;
    info->feature_ro_compat = super->feature_ro_compat;
    info->feature_incompat = super->feature_incompat;
}

static bool
hints_new(struct csv_hints *hints, uint32_t slots)
{
    hints->hashes = calloc(slots, sizeof(*hints->hashes));
    hints->names = calloc(slots, sizeof(*hints->names));
    return hints->hashes && hints->names;
}

static void
hints_free(struct csv_hints *hints)
{
    free(hints->hashes);
    free(hints->names);
}

int
csv_open_dev(struct csv_dev *dev, unsigned flags, struct csv_volume **volume,
             struct csv_error *error)
{
    bool read_only = (flags & CSV_OPEN_READ_ONLY) != 0;
    struct csv_volume *made = NULL;
    struct csv_super super;
    int result;

    result = csv_super_read(dev, &super, error);
    if (result == 0)
        result = csv_super_check_fit(dev, &super, read_only, error);
    if (result == 0) {
        made = calloc(1, sizeof(*made));
        if (!made || !hints_new(&made->vm_hints, super.max_vms) ||
            !hints_new(&made->image_hints, super.max_images))
            result = csv_fail(error, CSV_E_SYS, ENOMEM, "cannot open the volume");
    }
    if (result) {
        if (made) {
            hints_free(&made->vm_hints);
            hints_free(&made->image_hints);
        }
        free(made);
        csv_dev_close(dev);
        return result;
    }
    made->dev = dev;
    made->super = super;
    made->is_read_only = read_only;
    fill_info(dev, &super, &made->info);
    pthread_mutex_init(&made->catalog_lock, NULL);
    pthread_mutex_init(&made->node_lock, NULL);
    pthread_mutex_init(&made->device_lock, NULL);
    pthread_mutex_init(&made->hint_lock, NULL);
    *volume = made;
    return 0;
}

int
csv_open(const char *path, unsigned flags, struct csv_volume **volume, struct csv_error *error)
{
    struct csv_dev *dev;
    int result;

    if (strlen(path) >= CSV_PATH_MAX)
        return csv_fail(error, CSV_BAD_VALUE, 0, "path too long (at most %d bytes)",
                        CSV_PATH_MAX - 1);
    result = csv_dev_open(path, (flags & CSV_OPEN_READ_ONLY) != 0, 0, &dev);
    if (result)
        return csv_dev_fail(path, result, CSV_E_SYS, error);
    return csv_open_dev(dev, flags, volume, error);
}

void
csv_close(struct csv_volume *volume)
{
    if (!volume)
        return;
    csv_device_close_all(volume);
    csv_dev_close(volume->dev);
    pthread_mutex_destroy(&volume->catalog_lock);
    pthread_mutex_destroy(&volume->node_lock);
    pthread_mutex_destroy(&volume->device_lock);
    pthread_mutex_destroy(&volume->hint_lock);
    hints_free(&volume->vm_hints);
    hints_free(&volume->image_hints);
    free(volume);
}

const struct csv_info *
csv_volume_info(const struct csv_volume *volume)
{
    return &volume->info;
}

int
csv_need_writable(const struct csv_volume *volume, struct csv_error *error)
{
    if (!volume->is_read_only)
        return 0;
    return csv_fail(error, CSV_E_READ_ONLY, 0, "volume %s was opened read-only",
                    volume->super.name);
}

int
csv_uuid_make(uint8_t uuid[CSV_UUID_BYTES], struct csv_error *error)
{
    if (getrandom(uuid, CSV_UUID_BYTES, 0) != CSV_UUID_BYTES)
        return csv_fail(error, CSV_E_SYS, errno, "no random bytes for a uuid");
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    return 0;
}
