/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csv-format.c - fuzzing what libcsv reads off a LUN: single blocks, and a whole small volume. */

/*
 * LLVMFuzzerTestOneInput() is libFuzzer's entry. The first byte of an input chooses a target: a
 * block of one kind, or edits to a sound volume of which everything is then read, checked and
 * changed. Blocks get their checksum put right first, or hardly any input would come past it.
 *
 * Built without libFuzzer, main() runs the inputs given as arguments, then some thousand seeded
 * mutations of sound blocks: CSV_FUZZ_RUNS of them, seed CSV_FUZZ_SEED.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "csv.h"
#include "dev.h"
#include "format.h"
#include "slot.h"
#include "volume.h"

#define LUN_BYTES (20u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t uuid[CSV_UUID_BYTES] = {1, 2, 3, 4, 5, 6, 0x47, 8, 0x89};
static const struct csv_epoch epoch = {3, 1, 1};

static void
require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

static struct csv_super
sample_super(void)
{
    struct csv_super super = {
        .name = "fuzz",
        .sector_bytes = 512,
        .io_timeout_s = 10,
        .max_nodes = 2,
        .max_vms = 3,
        .max_images = 4,
        .extent_bytes = CSV_MIB,
        .size_bytes = LUN_BYTES,
    };

    memcpy(super.uuid, uuid, sizeof(uuid));
    require(csv_layout(&super), "layout");
    return super;
}

static void
fix_checksum(uint8_t *block, enum csv_kind kind)
{
    const size_t field = offsetof(struct csv_disk_header, crc32c);
    uint32_t crc;

    memset(block + field, 0, 4);
    crc = csv_crc32c(block, csv_block_bytes(kind));
    for (unsigned i = 0; i < 4; i++)
        block[field + i] = (uint8_t)(crc >> (8 * i));
}

/* What a decoder lets through keeps the rules that the rest of the library relies on. */
static void
decode(const uint8_t *block, enum csv_kind kind, const struct csv_head *head)
{
    struct csv_super super = sample_super();
    struct csv_vm_record vm = {0};
    struct csv_image_record image;
    struct csv_node node;

    switch (kind) {
    case CSV_KIND_SUPER:
        if (csv_super_decode(block, head, &super) == NULL && super.feature_incompat == 0) {
            require(super.data_offset + super.data_bytes <= super.tail_offset, "data over tail");
            require(super.tail_offset + CSV_MIB == super.size_bytes, "tail not at the end");
        }
        break;
    case CSV_KIND_NODE:
        if (csv_node_decode(block, head, &super, 0, &node) == NULL) {
            require(csv_name_is_valid(node.name), "node name");
            require(node.cert_bytes <= CSV_CERT_MAX, "certificate");
            require(memchr(node.management, 0, sizeof(node.management)) != NULL, "management");
        }
        break;
    case CSV_KIND_VM:
        if (csv_vm_decode(block, head, &super, 0, true, &vm) == NULL) {
            require(csv_name_is_valid(vm.vm.name), "VM name");
            require(strlen(vm.vm.definition) <= CSV_DEFINITION_MAX, "definition");
        }
        csv_vm_clear(&vm.vm);
        break;
    case CSV_KIND_IMAGE:
        if (csv_image_decode(block, head, &super, 0, &image) == NULL) {
            require(csv_name_is_valid(image.image.name), "image name");
            for (uint32_t i = 0; i < image.image.extent_count; i++)
                require(image.image.extents[i].offset_bytes >= super.data_offset &&
                            image.image.extents[i].bytes <= super.data_bytes &&
                            image.image.extents[i].offset_bytes + image.image.extents[i].bytes <=
                                super.data_offset + super.data_bytes,
                        "extent");
        }
        break;
    }
}

static void
try_block(enum csv_kind kind, const uint8_t *data, size_t size)
{
    uint8_t *block = calloc(1, csv_block_bytes(kind)); /* exact: a byte beyond is an ASan report */
    struct csv_head head;

    require(block != NULL, "memory");
    memcpy(block, data, size < csv_block_bytes(kind) ? size : csv_block_bytes(kind));
    if (csv_block_check(block, kind, NULL, 0, &head) == CSV_BLOCK_OK)
        decode(block, kind, &head);
    fix_checksum(block, kind);
    if (csv_block_check(block, kind, NULL, 0, &head) == CSV_BLOCK_OK)
        decode(block, kind, &head);
    free(block);
}

/* ---- a whole volume ----------------------------------------------------------------------- */

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
    struct csv_image *images = NULL, image;
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
            require(csv_image_read(volume, &images[i], 0, buffer, 4096, &error) == 0,
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
    memcpy(lun, sound, LUN_BYTES);
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
    static const enum csv_kind kinds[] = {CSV_KIND_SUPER, CSV_KIND_NODE, CSV_KIND_VM,
                                          CSV_KIND_IMAGE};

    if (size < 1)
        return 0;
    if (data[0] % 5 < 4)
        try_block(kinds[data[0] % 5], data + 1, size - 1);
    else
        try_volume(data + 1, size - 1 < 64 ? size - 1 : 64);
    return 0;
}

#ifndef CSV_LIBFUZZER

static uint64_t state;

static uint32_t
draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* A sound block of the kind with a few bytes changed, mostly where the fields are. */
static size_t
mutate(uint8_t *input)
{
    enum csv_kind kind = (enum csv_kind)(draw() % 5);
    struct csv_super super = sample_super();
    size_t size = 1 + 4 * (1 + draw() % 4);
    unsigned changes = 1 + draw() % 4;

    input[0] = (uint8_t)kind;
    if ((unsigned)kind == 4) {
        for (size_t i = 1; i < size; i++)
            input[i] = (uint8_t)draw();
        return size;
    }
    size = csv_block_bytes(kind);
    if (!lun)
        make_lun();
    memcpy(input + 1, sound + csv_slot_address(&super, kind, 0, 0), size);
    for (; changes; changes--) {
        static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};
        size_t at = draw() % 8 ? draw() % 512 : draw() % size;
        input[1 + at] = draw() % 2 ? edges[draw() % sizeof(edges)] : (uint8_t)draw();
    }
    return 1 + size;
}

static int
run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(1 << 20);
    size_t size;

    if (!file || !data) {
        fprintf(stderr, "fuzz: cannot read %s\n", path);
        return 1;
    }
    size = fread(data, 1, 1 << 20, file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

int
main(int argc, char **argv)
{
    const char *runs_text = getenv("CSV_FUZZ_RUNS"), *seed_text = getenv("CSV_FUZZ_SEED");
    unsigned long runs = runs_text ? strtoul(runs_text, NULL, 10) : 5000;
    uint8_t *input = malloc(1 + CSV_BLOCK_MAX);

    state = seed_text ? strtoull(seed_text, NULL, 10) : 1;
    require(input != NULL, "memory");
    fprintf(stderr, "seed %llu, %lu runs, %d files\n", (unsigned long long)state, runs, argc - 1);
    for (int i = 1; i < argc; i++)
        if (run_file(argv[i]))
            return 1;
    for (unsigned long i = 0; i < runs; i++)
        LLVMFuzzerTestOneInput(input, mutate(input));
    free(input);
    free(lun);
    free(sound);
    return 0;
}

#endif
