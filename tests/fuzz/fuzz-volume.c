/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-volume.c - a whole small volume with damaged slots: read, checked and changed. */

/*
 * An input is a list of edits, four bytes each, to a sound volume: see edit(). What must hold:
 * nothing crashes, and what is listed can be read.
 */

#include "fuzz-csv.h"

#include "dev.h"
#include "slot.h"
#include "volume.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct csv_epoch epoch = {3, 1, 1, ""};

static uint8_t *lun;
static uint8_t *sound;

static void
make_lun(void)
{
    const struct csv_format_options options = {
        .name = "fuzz", .max_nodes = 2, .max_vms = 3, .max_images = 4, .extent_bytes = CSV_MIB};
    struct csv_vm vm = {.name = "web", .uuid = "01234567-89ab-4cde-8f01-23456789abcd"};
    struct csv_node node = {.host_id = 1, .name = "a"};
    struct csv_volume *volume;
    struct csv_dev *dev;

    lun = calloc(1, LUN_BYTES);
    sound = malloc(LUN_BYTES);
    require(lun && sound && csv_dev_memory(lun, LUN_BYTES, 512, NULL, &dev) == 0, "memory");
    require(csv_format_dev(dev, &options, NULL, NULL) == 0, "format");
    require(csv_dev_memory(lun, LUN_BYTES, 512, NULL, &dev) == 0, "memory");
    require(csv_open_dev(dev, 0, &volume, NULL) == 0, "open");
    vm.definition = (char *)"<domain/>";
    require(csv_vm_create(volume, &epoch, &vm, NULL) == 0, "vm");
    require(csv_image_create(volume, &epoch, "one", CSV_MIB, 0, NULL, NULL) == 0, "image");
    require(csv_image_create(volume, &epoch, "two", CSV_MIB, 0, NULL, NULL) == 0, "image");
    require(csv_image_assign(volume, &epoch, "one", "web", NULL) == 0, "assign");
    require(csv_node_write(volume, &node, NULL) == 0, "node");
    csv_close(volume);
    memcpy(sound, lun, LUN_BYTES);
}

/* The block that an edit falls into gets its checksum put right. */
static void
edit(const struct csv_super *super, const uint8_t *step)
{
    static const enum csv_kind kinds[] = {CSV_KIND_SUPER, CSV_KIND_NODE, CSV_KIND_VM,
                                          CSV_KIND_IMAGE};
    enum csv_kind kind = kinds[step[0] & 3];
    uint32_t slot = (step[0] >> 2 & 7) % csv_slot_count(super, kind);
    uint8_t *block = lun + csv_slot_address(super, kind, slot, step[0] >> 5 & 1);
    size_t offset = (size_t)(step[1] | (step[2] & 1) << 8);

    if (step[0] >> 6 & 1) /* a copy of another slot's block, where it does not belong */
        memcpy(block, lun + csv_slot_address(super, kind, 0, 0), csv_block_bytes(kind));
    block[offset] = step[3];
    if (step[0] >> 7)
        fix_checksum(block, kind);
}

static void
use_volume(struct csv_volume *volume)
{
    struct csv_node *nodes = NULL;
    struct csv_vm *vms = NULL, vm = {.name = "new"};
    struct csv_image **images = NULL, image;
    struct csv_usage usage;
    struct csv_error error;
    size_t count = 0, damaged;
    uint8_t *buffer = csv_dev_buffer(4096);

    if (csv_node_list(volume, &nodes, &count, &damaged, &error) == 0)
        free(nodes);
    if (csv_vm_list(volume, true, &vms, &count, &error) == 0)
        csv_vm_list_free(vms, count);
    if (csv_image_list(volume, &images, &count, &error) == 0) {
        for (size_t i = 0; i < count; i++)
            require(csv_image_read(volume, images[i], 0, buffer, 4096, &error) == 0,
                    "a listed image can't be read");
        free(images);
    }
    csv_volume_usage(volume, &usage, &error);
    csv_check(volume, NULL, NULL, &damaged, &error);
    strcpy(vm.uuid, "01234567-89ab-4cde-8f01-23456789abce");
    vm.definition = (char *)"<domain/>";
    csv_vm_create(volume, &epoch, &vm, &error);
    csv_image_create(volume, &epoch, "new", CSV_MIB, 0, &image, &error);
    csv_image_delete(volume, &epoch, "one", true, &error);
    csv_vm_delete(volume, &epoch, "web", &error);
    free(buffer);
}

static void
try_volume(const uint8_t *data, size_t size)
{
    struct csv_super super;
    struct csv_volume *volume;
    struct csv_error error;
    struct csv_dev *dev;

    if (!lun)
        make_lun();
    super = sample_super(); /* what is in the images is nobody's concern here */
    memcpy(lun, sound, super.nodes_offset > CSV_MIB ? CSV_MIB : super.nodes_offset);
    memcpy(lun + super.nodes_offset, sound + super.nodes_offset,
           super.data_offset - super.nodes_offset);
    memcpy(lun + super.tail_offset, sound + super.tail_offset, LUN_BYTES - super.tail_offset);
    require(csv_dev_memory(lun, LUN_BYTES, 512, NULL, &dev) == 0, "memory");
    require(csv_super_read(dev, &super, NULL) == 0, "sound volume");
    for (; size >= 4; data += 4, size -= 4)
        edit(&super, data);
    if (csv_open_dev(dev, 0, &volume, &error) == 0) {
        use_volume(volume);
        csv_close(volume);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_volume(data, size < 64 ? size : 64);
    return 0;
}
