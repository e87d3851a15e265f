/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mkvolume.c - formatting: an empty volume on a LUN. */

/*
 * The order is the point. First what makes the LUN a volume goes away (the first superblock, then
 * the second, which a repair would take), then everything else is written, then the second
 * superblock, then the first one again. Whatever cuts that short leaves a LUN that is the old
 * volume, no volume, or the new volume. Each step is read back: a LUN that forgets is better found
 * now than later.
 */

#include "volume.h"

#include "error.h"
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (1u << 20)

static uint32_t
within(uint64_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : (uint32_t)value;
}

static int
check_options(const struct csv_format_options *options, struct csv_error *error)
{
    uint64_t extent = options->extent_bytes;

    if (!csv_name_is_valid(options->name))
        return csv_fail(error, CSV_BAD_NAME, 0,
                        "bad volume name: 1 to %d of A-Z a-z 0-9 . _ -, first a letter or digit",
                        CSV_NAME_MAX);
    if (options->io_timeout_s > 600)
        return csv_fail(error, CSV_BAD_VALUE, 0, "I/O timeout %u: 1 to 600 seconds",
                        options->io_timeout_s);
    if (options->max_nodes > CSV_MAX_NODES)
        return csv_fail(error, CSV_BAD_VALUE, 0, "%u nodes: at most %d", options->max_nodes,
                        CSV_MAX_NODES);
    if (options->max_vms > CSV_MAX_VMS)
        return csv_fail(error, CSV_BAD_VALUE, 0, "%u VMs: at most %d", options->max_vms,
                        CSV_MAX_VMS);
    if (options->max_images > CSV_MAX_IMAGES)
        return csv_fail(error, CSV_BAD_VALUE, 0, "%u images: at most %d", options->max_images,
                        CSV_MAX_IMAGES);
    if (extent && (extent < CSV_MIB || extent > 1024 * CSV_MIB || (extent & (extent - 1))))
        return csv_fail(error, CSV_BAD_VALUE, 0,
                        "extent of %llu bytes: a power of two from 1 MiB to 1 GiB",
                        (unsigned long long)extent);
    return 0;
}

/* The superblock that these options make on this LUN. A small LUN gets fewer slots, so that leases
 * (1 MiB per VM) never take more than a fifteenth of it. */
static int
plan(const struct csv_dev *dev, const struct csv_format_options *options, struct csv_super *super,
     struct csv_error *error)
{
    uint64_t size = dev->size_bytes / CSV_MIB * CSV_MIB;
    int result = check_options(options, error);

    if (result)
        return result;
    if (dev->sector_bytes != 512 && dev->sector_bytes != 4096)
        return csv_fail(error, CSV_E_SECTOR, 0, "sectors of %u bytes: only 512 and 4096 work",
                        dev->sector_bytes);
    memset(super, 0, sizeof(*super));
    snprintf(super->name, sizeof(super->name), "%s", options->name);
    super->sector_bytes = dev->sector_bytes;
    super->io_timeout_s = options->io_timeout_s ? options->io_timeout_s : 10;
    super->max_nodes = options->max_nodes ? options->max_nodes : 64;
    super->max_vms = options->max_vms ? options->max_vms : within(size / (16 * CSV_MIB), 4, 256);
    super->max_images =
        options->max_images ? options->max_images : within(size / (4 * CSV_MIB), 16, 1024);
    super->extent_bytes = options->extent_bytes ? options->extent_bytes : CSV_EXTENT_DEFAULT;
    super->size_bytes = size;
    super->generation = 1;
    if (dev->is_directory) {
        super->feature_incompat = CSV_FEATURE_DIRECTORY;
        super->max_vms = options->max_vms ? options->max_vms : 256;
        super->max_images = options->max_images ? options->max_images : 1024;
    }
    if (size > INT64_MAX || !csv_layout(super))
        return csv_fail(error, CSV_TOO_SMALL, 0,
                        "LUN of %llu MiB is too small for %u VMs and %u images; ask for fewer, or "
                        "take a larger LUN",
                        (unsigned long long)(size / CSV_MIB), super->max_vms, super->max_images);
    return csv_uuid_make(super->uuid, error);
}

static bool
is_zero(const uint8_t *bytes, size_t count)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

/* Without force, only a LUN that is blank in its first MiB is taken. */
static int
check_blank(struct csv_dev *dev, struct csv_error *error)
{
    uint8_t *piece = csv_dev_buffer(PIECE);
    struct csv_super old;
    int result;

    if (!piece)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot look at the LUN");
    result =
        dev->is_directory && dev->size_bytes < PIECE ? 0 : dev->ops->read(dev, 0, piece, PIECE);
    if (result)
        result = csv_fail(error, CSV_E_IO, -result, "cannot read the LUN");
    else if (csv_super_read(dev, &old, NULL) == 0)
        result = csv_fail(error, CSV_ALREADY_FORMATTED, 0,
                          "volume %s is on it already; --force overwrites it", old.name);
    else if (!is_zero(piece, PIECE))
        result = csv_fail(error, CSV_ALREADY_FORMATTED, 0,
                          "something is on it (its first MiB is not blank); --force overwrites it");
    if (!result && dev->is_directory)
        result = csv_files_check_empty(dev, error);
    free(piece);
    return result;
}

static int
zero_and_verify(struct csv_dev *dev, uint64_t offset, uint64_t bytes, struct csv_error *error)
{
    uint8_t *piece = csv_dev_buffer(PIECE);
    int result = piece ? dev->ops->zero(dev, offset, bytes) : -ENOMEM;

    if (!result)
        result = dev->ops->flush(dev);
    for (uint64_t done = 0; !result && done < bytes; done += PIECE) {
        result = dev->ops->read(dev, offset + done, piece, PIECE);
        if (!result && !is_zero(piece, PIECE))
            result = -EREMOTEIO;
    }
    free(piece);
    if (result == -EREMOTEIO)
        return csv_fail(error, CSV_E_IO, 0, "the LUN did not keep what was written to it");
    return result ? csv_fail(error, CSV_E_IO, -result, "cannot clear the LUN") : 0;
}

int
csv_super_write(struct csv_dev *dev, const struct csv_super *super, uint64_t address,
                struct csv_error *error)
{
    struct csv_head head = {.generation = super->generation, .is_used = true};
    uint8_t *block = csv_dev_buffer(CSV_SUPER_BLOCK);
    uint8_t *back = csv_dev_buffer(CSV_SUPER_BLOCK);
    int result = block && back ? 0 : -ENOMEM;

    if (!result) {
        head.payload_bytes = csv_super_encode(super, block);
        csv_block_seal(block, CSV_KIND_SUPER, super->uuid, address, &head);
        result = dev->ops->write(dev, address, block, CSV_SUPER_BLOCK);
    }
    if (!result)
        result = dev->ops->flush(dev);
    if (!result)
        result = dev->ops->read(dev, address, back, CSV_SUPER_BLOCK);
    if (!result && memcmp(block, back, CSV_SUPER_BLOCK) != 0)
        result = -EREMOTEIO;
    free(block);
    free(back);
    if (result == -EREMOTEIO)
        return csv_fail(error, CSV_E_IO, 0, "the LUN did not keep the superblock");
    return result ? csv_fail(error, CSV_E_IO, -result, "cannot write the superblock") : 0;
}

int
csv_volume_write(struct csv_dev *dev, const struct csv_super *super, csv_fill fill, void *data,
                 struct csv_error *error)
{
    struct csv_super old, second;
    int result;
    uint64_t old_tail = 0, end = dev->size_bytes / CSV_MIB * CSV_MIB - CSV_MIB;

    /* where the first one is older than the volume, data is where it says that the second one is */
    if (csv_super_read(dev, &old, NULL) == 0 && old.tail_offset <= dev->size_bytes - CSV_MIB &&
        csv_super_read_copy(dev, old.tail_offset, &second, NULL) == CSV_BLOCK_OK &&
        memcmp(second.uuid, old.uuid, sizeof(old.uuid)) == 0)
        old_tail = old.tail_offset;
    result = zero_and_verify(dev, 0, CSV_MIB, error);
    if (!result && old_tail)
        result = zero_and_verify(dev, old_tail, CSV_MIB, error);
    if (!result)
        result = zero_and_verify(dev, super->tail_offset, CSV_MIB, error);
    /* a smaller volume leaves one at the end of the LUN, where a broken first one is mended from */
    if (!result && end != super->tail_offset && end != old_tail)
        result = zero_and_verify(dev, end, CSV_MIB, error);
    if (!result)
        result = zero_and_verify(dev, super->lockspace_offset,
                                 super->data_offset - super->lockspace_offset, error);
    if (!result)
        result = csv_lease_format(dev, super, error);
    if (!result && fill)
        result = fill(dev, super, data, error);
    if (!result)
        result = csv_super_write(dev, super, super->tail_offset, error);
    if (!result)
        result = csv_super_write(dev, super, 0, error);
    return result;
}

/* The catalogue gets as long as it has to be, the images of the one before go. */
static int
make_room(struct csv_dev *dev, const struct csv_super *super, struct csv_error *error)
{
    int result = 0;

    if (dev->size_bytes >= CSV_MIB)
        result = zero_and_verify(dev, 0, CSV_MIB, error);
    if (!result)
        result = csv_files_clear(dev, error);
    if (!result && (result = csv_dev_resize(dev, super->size_bytes)))
        result = csv_fail(error, result == -ENOSPC ? CSV_TOO_SMALL : CSV_E_IO, -result,
                          "cannot make a catalogue of %llu MiB",
                          (unsigned long long)(super->size_bytes / CSV_MIB));
    return result;
}

int
csv_format_dev(struct csv_dev *dev, const struct csv_format_options *options, struct csv_info *info,
               struct csv_error *error)
{
    struct csv_super super;
    int result = plan(dev, options, &super, error);

    if (!result && !options->force)
        result = check_blank(dev, error);
    if (!result && dev->is_directory)
        result = make_room(dev, &super, error);
    if (!result)
        result = csv_volume_write(dev, &super, NULL, NULL, error);
    if (!result && info) {
        struct csv_volume *volume;
        result = csv_open_dev(dev, CSV_OPEN_READ_ONLY, &volume, error);
        if (!result) {
            *info = volume->info;
            csv_close(volume);
        }
        return result;
    }
    csv_dev_close(dev);
    return result;
}

int
csv_format(const char *path, const struct csv_format_options *options, struct csv_info *info,
           struct csv_error *error)
{
    struct csv_dev *dev;
    bool is_new;
    int result;

    if (strlen(path) >= CSV_PATH_MAX)
        return csv_fail(error, CSV_BAD_VALUE, 0, "path too long (at most %d bytes)",
                        CSV_PATH_MAX - 1);
    result = csv_dev_open_or_make(path, &dev, &is_new);
    if (result)
        return csv_dev_fail(path, result, CSV_E_SYS, error);
    result = csv_format_dev(dev, options, info, error);
    if (result && is_new)
        csv_dev_unmake(path);
    return result;
}
