/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-volume.c - what catalogue operations cost on a volume with few and with very many images.
 */
/*
 * One volume with 1,024 VM slots, all used, and room for 10,240 images. It is filled up to a count,
 * then each operation is timed there, and its writes and flushes are counted where they reach the
 * device. Filling writes slots directly: through the catalogue it would take an hour. Prints a line
 * of JSON for each operation and count: median and 99th percentile in milliseconds, writes and
 * flushes of one. Space is not zeroed: that is the storage's speed, not the catalogue's.
 */
#include "catalog.h"
#include "csv.h"
#include "slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VMS        1024
#define IMAGES     10240
#define ROUNDS_MAX 1000

struct count_dev {
    struct csv_dev dev;
    struct csv_dev *below;
};

static unsigned writes, flushes;
static const struct csv_epoch epoch = {5, 1, 1, ""};

static _Noreturn void
die(const char *what, const struct csv_error *error)
{
    fprintf(stderr, "bench-volume: %s: %s\n", what, error ? error->text : "failed");
    exit(1);
}

#define BELOW(one) ((struct count_dev *)(one))->below

static int
count_read(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes)
{
    return BELOW(dev)->ops->read(BELOW(dev), offset, buffer, bytes);
}

static int
count_stream(struct csv_dev *dev, const struct csv_range *range, csv_dev_piece visit, void *data)
{
    return BELOW(dev)->ops->stream(BELOW(dev), range, visit, data);
}

static int
count_write(struct csv_dev *dev, uint64_t offset, const void *buffer, size_t bytes)
{
    writes++;
    return BELOW(dev)->ops->write(BELOW(dev), offset, buffer, bytes);
}

static int
count_flush(struct csv_dev *dev)
{
    flushes++;
    return BELOW(dev)->ops->flush(BELOW(dev));
}

static int
count_zero(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    return BELOW(dev)->ops->zero(BELOW(dev), offset, bytes);
}

static void
count_close(struct csv_dev *dev)
{
    csv_dev_close(BELOW(dev));
    free(dev);
}

static const struct csv_dev_ops count_ops = {.read = count_read,
                                             .stream = count_stream,
                                             .write = count_write,
                                             .flush = count_flush,
                                             .zero = count_zero,
                                             .discard = count_zero,
                                             .close = count_close};

/* Without a path, so that no lease is looked at: that would be sanlock's time. */
static struct csv_volume *
open_counted(const char *path)
{
    struct count_dev *one = calloc(1, sizeof(*one));
    struct csv_volume *volume;
    struct csv_error error;

    if (!one || csv_dev_open(path, false, 0, &one->below))
        die(path, NULL);
    one->dev = *one->below;
    one->dev.ops = &count_ops;
    one->dev.path = NULL;
    if (csv_open_dev(&one->dev, 0, &volume, &error))
        die(path, &error);
    return volume;
}

static double
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* ---- filling ---- */

static void
put(struct csv_volume *volume, enum csv_kind kind, uint32_t index, void *block, uint32_t payload)
{
    struct csv_head head = {
        .generation = 1, .epoch = epoch, .is_used = true, .payload_bytes = payload};
    struct csv_dev *dev = volume->dev;

    for (int copy = 0; copy < CSV_COPIES; copy++) {
        uint64_t address = csv_slot_address(&volume->super, kind, index, copy);
        csv_block_seal(block, kind, volume->super.uuid, address, &head);
        if (dev->ops->write(dev, address, block, csv_block_bytes(kind)))
            die("filling", NULL);
    }
}

/* A LUN moves blank blocks as it moves others; what a file has never been written reads without any
 * I/O, and few images would look cheaper than they are. */
static void
write_blanks(struct csv_volume *volume)
{
    uint8_t *piece = csv_dev_buffer(CSV_MIB);

    for (uint64_t at = volume->super.nodes_offset; at < volume->super.data_offset; at += CSV_MIB)
        if (volume->dev->ops->write(volume->dev, at, piece, CSV_MIB))
            die("filling", NULL);
    free(piece);
}

static void
fill_vms(struct csv_volume *volume)
{
    static char definition[6001];
    uint8_t *block = csv_dev_buffer(CSV_VM_BLOCK);

    memset(definition, 'x', sizeof(definition) - 1);
    for (uint32_t i = 0; i < VMS; i++) {
        struct csv_vm_record record = {.birth = 1};
        snprintf(record.vm.name, sizeof(record.vm.name), "vm-%u", i);
        snprintf(record.vm.uuid, sizeof(record.vm.uuid), "%08x-1111-4222-8333-444444444444", i);
        record.vm.definition = definition;
        memset(block, 0, CSV_VM_BLOCK);
        put(volume, CSV_KIND_VM, i, block, csv_vm_encode(&record, block));
    }
    free(block);
}

static void
fill_images(struct csv_volume *volume, uint32_t from, uint32_t to)
{
    uint8_t *block = csv_dev_buffer(CSV_IMAGE_BLOCK);

    for (uint32_t i = from; i < to; i++) {
        struct csv_image_record record = {.owner_slot = i % VMS, .owner_birth = 1};
        snprintf(record.image.name, sizeof(record.image.name), "image-%u", i);
        snprintf(record.image.uuid, sizeof(record.image.uuid), "%08x-2222-4222-8333-444444444444",
                 i);
        record.image.size_bytes = CSV_MIB;
        record.image.extent_count = 1;
        record.image.extents[0].offset_bytes = volume->super.data_offset + i * CSV_MIB;
        record.image.extents[0].bytes = CSV_MIB;
        memset(block, 0, CSV_IMAGE_BLOCK);
        put(volume, CSV_KIND_IMAGE, i, block, csv_image_encode(&record, block));
    }
    free(block);
}

/* ---- timing ---- */

static int
by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

struct series {
    const char *name;
    double ms[ROUNDS_MAX];
    unsigned rounds, writes, flushes;
};

static void
take(struct series *series, double start)
{
    series->ms[series->rounds++] = now_ms() - start;
    series->writes += writes;
    series->flushes += flushes;
}

static void
print(struct series *series, uint32_t images)
{
    unsigned rounds = series->rounds;

    qsort(series->ms, rounds, sizeof(series->ms[0]), by_value);
    printf("{\"operation\":\"%s\",\"images\":%u,\"rounds\":%u,\"median_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"writes\":%.2f,\"flushes\":%.2f}\n",
           series->name, images, rounds, series->ms[rounds / 2],
           series->ms[(rounds * 99 + 99) / 100 - 1], (double)series->writes / rounds,
           (double)series->flushes / rounds);
    fflush(stdout);
}

static double
begin(void)
{
    writes = flushes = 0;
    return now_ms();
}

static int
look_away(void *piece, size_t bytes, void *data)
{
    (void)piece;
    (void)bytes;
    (void)data;
    return 0;
}

/* What a list of images reads, all slots of VMs and of images, and nothing done with it: the
 * storage's share. */
static void
only_read(struct csv_volume *volume)
{
    static const enum csv_kind kinds[] = {CSV_KIND_VM, CSV_KIND_IMAGE};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct csv_range range = {
            .offset = csv_slot_address(&volume->super, kinds[i], 0, 0),
            .bytes = (uint64_t)csv_slot_count(&volume->super, kinds[i]) * CSV_COPIES *
                     csv_block_bytes(kinds[i]),
            .piece_bytes = CSV_MIB,
        };
        if (csv_dev_stream(volume->dev, &range, look_away, NULL))
            die("reading", NULL);
    }
}

static void
measure(const char *path, struct csv_volume *volume, uint32_t images, unsigned rounds)
{
    static struct series create, find, list, rename, drop, open, raw;
    char name[CSV_NAME_MAX + 1];
    struct csv_error error = {0};

    create = (struct series){.name = "create"};
    find = (struct series){.name = "look-up"};
    list = (struct series){.name = "list"};
    rename = (struct series){.name = "rename"};
    drop = (struct series){.name = "delete"};
    open = (struct series){.name = "open-and-scan"};
    raw = (struct series){.name = "only-read"};
    for (unsigned i = 0; i < rounds; i++) {
        struct csv_volume *fresh;
        struct csv_image image, **all;
        size_t count;
        double start = begin();
        if (csv_image_create(volume, &epoch, "bench", CSV_MIB, CSV_CREATE_NO_ZERO, &image, &error))
            die("create", &error);
        take(&create, start);
        snprintf(name, sizeof(name), "image-%u", i * 7919 % images);
        start = begin();
        if (csv_image_find(volume, name, &image, &error))
            die("look-up", &error);
        take(&find, start);
        start = begin();
        if (csv_image_list(volume, &all, &count, &error) || count != images + 1)
            die("list", &error);
        take(&list, start);
        free(all);
        start = begin();
        if (csv_image_rename(volume, &epoch, "bench", "renamed", &error))
            die("rename", &error);
        take(&rename, start);
        start = begin();
        if (csv_image_delete(volume, &epoch, "renamed", false, &error))
            die("delete", &error);
        take(&drop, start);
        start = begin();
        fresh = open_counted(path);
        if (csv_image_list(fresh, &all, &count, &error))
            die("open", &error);
        take(&open, start);
        free(all);
        csv_close(fresh);
        start = begin();
        only_read(volume);
        take(&raw, start);
    }
    print(&create, images);
    print(&find, images);
    print(&list, images);
    print(&rename, images);
    print(&drop, images);
    print(&open, images);
    print(&raw, images);
}

int
main(int argc, char **argv)
{
    static const uint32_t counts[] = {10, 1000, 10000};
    const struct csv_format_options options = {.name = "bench",
                                               .max_nodes = 64,
                                               .max_vms = VMS,
                                               .max_images = IMAGES,
                                               .extent_bytes = CSV_MIB,
                                               .force = true};
    unsigned rounds = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    struct csv_volume *volume;
    struct csv_error error;
    uint32_t filled = 0;

    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fputs("usage: bench-volume DEVICE ROUNDS (1 to 1000); the device is written over\n",
              stderr);
        return 2;
    }
    if (csv_format(argv[1], &options, NULL, &error))
        die(argv[1], &error);
    volume = open_counted(argv[1]);
    write_blanks(volume);
    fill_vms(volume);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        fill_images(volume, filled, counts[i]);
        filled = counts[i];
        measure(argv[1], volume, filled, rounds);
    }
    csv_close(volume);
    return 0;
}
