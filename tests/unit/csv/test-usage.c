/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-usage.c - the picture of a volume's space, and plans for a longer free run. */

#include <glib.h>
#include <stdlib.h>

#include "csv-test.h"

static const struct csv_epoch epoch = {5, 1, 1, ""};
static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = 2, .max_vms = 2, .max_images = 40, .extent_bytes = MIB};

struct fixture {
    struct lun lun;
    struct csv_volume *volume;
    uint64_t start; /* of the data */
};

/* 64 MiB of data: one for each cell */
static void
set_up(struct fixture *fixture, const void *data)
{
    struct csv_super super;

    (void)data;
    lun_init(&fixture->lun, 100, 512);
    assert_ok(lun_format(&fixture->lun, &options, error));
    assert_ok(lun_open(&fixture->lun, 0, &fixture->volume, error));
    super = fixture->volume->super;
    csv_close(fixture->volume);
    fixture->lun.size = super.data_offset + 65 * MIB;
    memset(fixture->lun.data, 0, fixture->lun.size);
    assert_ok(lun_format(&fixture->lun, &options, error));
    assert_ok(lun_open(&fixture->lun, 0, &fixture->volume, error));
    fixture->start = fixture->volume->super.data_offset;
    g_assert_cmpuint(fixture->volume->super.data_bytes, ==, 64 * MIB);
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    (void)data;
    csv_close(fixture->volume);
    lun_clear(&fixture->lun);
}

static void
create(struct fixture *fixture, const char *name, unsigned mib)
{
    assert_ok(csv_image_create(fixture->volume, &epoch, name, mib * MIB, CSV_CREATE_ONE_PIECE, NULL,
                               error));
}

static void
drop(struct fixture *fixture, const char *name)
{
    assert_ok(csv_image_delete(fixture->volume, &epoch, name, false, error));
}

static void
test_picture(struct fixture *fixture, const void *data)
{
    struct csv_usage usage;

    (void)data;
    assert_ok(csv_volume_usage(fixture->volume, &usage, error));
    g_assert_cmpuint(usage.free_runs, ==, 1);
    for (unsigned i = 0; i < CSV_USAGE_CELLS; i++)
        g_assert_cmpuint(usage.cells[i], ==, 0);
    create(fixture, "a", 10);
    create(fixture, "b", 5);
    create(fixture, "c", 49);
    drop(fixture, "b");
    assert_ok(csv_volume_usage(fixture->volume, &usage, error));
    g_assert_cmpuint(usage.free_runs, ==, 1);
    g_assert_cmpuint(usage.largest_free_bytes, ==, 5 * MIB);
    for (unsigned i = 0; i < CSV_USAGE_CELLS; i++)
        g_assert_cmpuint(usage.cells[i], ==, i >= 10 && i < 15 ? 0 : 100);
}

/* a: 0-8, gap 8-14, b: 14-16, gap 16-20, c: 20-40, gap 40-43, d: 43-64 */
static void
prepare(struct fixture *fixture)
{
    create(fixture, "a", 8);
    create(fixture, "x", 6);
    create(fixture, "b", 2);
    create(fixture, "y", 4);
    create(fixture, "c", 20);
    create(fixture, "z", 3);
    create(fixture, "d", 21);
    drop(fixture, "x");
    drop(fixture, "y");
    drop(fixture, "z");
}

static void
test_plan(struct fixture *fixture, const void *data)
{
    struct csv_space_move *moves;
    uint64_t run;
    size_t count;

    (void)data;
    prepare(fixture);
    assert_ok(csv_space_plan(fixture->volume, 5 * MIB, &moves, &count, &run, error));
    g_assert_cmpuint(count, ==, 0);
    g_assert_cmpuint(run, ==, fixture->start + 8 * MIB);
    free(moves);
    /* 12 in one piece: b has to go, and goes where z was */
    assert_ok(csv_space_plan(fixture->volume, 12 * MIB, &moves, &count, &run, error));
    g_assert_cmpuint(run, ==, fixture->start + 8 * MIB);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpstr(moves[0].image, ==, "b");
    g_assert_cmpuint(moves[0].bytes, ==, 2 * MIB);
    g_assert_cmpuint(moves[0].to_bytes, ==, fixture->start + 40 * MIB);
    free(moves);
    /* 13 are free, but what is in the way fits nowhere */
    assert_code(csv_space_plan(fixture->volume, 13 * MIB, &moves, &count, &run, error),
                CSV_FRAGMENTED);
    assert_code(csv_space_plan(fixture->volume, 14 * MIB, &moves, &count, &run, error), CSV_FULL);
    assert_code(csv_space_plan(fixture->volume, 0, &moves, &count, &run, error), CSV_FULL);
}

/* Images of 1 to 6 MiB come and go until the volume is in pieces. */
static void
make_pieces(struct fixture *fixture, GRand *random)
{
    char name[16];

    for (int i = 0; i < 32; i++) {
        g_snprintf(name, sizeof(name), "i%d", i);
        csv_image_create(fixture->volume, &epoch, name,
                         (uint64_t)g_rand_int_range(random, 1, 7) * MIB, CSV_CREATE_ONE_PIECE, NULL,
                         NULL);
    }
    for (int i = 0; i < 32; i++) {
        g_snprintf(name, sizeof(name), "i%d", i);
        if (g_rand_int_range(random, 0, 100) < 45)
            csv_image_delete(fixture->volume, &epoch, name, false, NULL);
    }
}

/* A volume made anew is 100 MiB of memory, for 40 images. */
static void
clear(struct fixture *fixture)
{
    char name[16];

    for (int i = 0; i < 32; i++) {
        g_snprintf(name, sizeof(name), "i%d", i);
        csv_image_delete(fixture->volume, &epoch, name, false, NULL);
    }
}

/* As the man page says it: cloned, deleted, renamed, one after the other. */
static void
follow(struct fixture *fixture, const struct csv_space_move *moves, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_ok(csv_image_create(fixture->volume, &epoch, "clone", moves[i].bytes,
                                   CSV_CREATE_ONE_PIECE, NULL, error));
        drop(fixture, moves[i].image);
        assert_ok(csv_image_rename(fixture->volume, &epoch, "clone", moves[i].image, error));
    }
}

/* A plan is worth something only if there is such a run when it was followed. */
static void
test_followed(struct fixture *fixture, const void *data)
{
    GRand *random = g_rand_new_with_seed(20261127);
    unsigned plans = 0, kept = 0, none = 0;

    (void)data;
    for (int round = 0; round < 100; round++) {
        struct csv_usage usage;
        struct csv_space_move *moves;
        uint64_t run, wanted;
        size_t count;
        int result;

        clear(fixture);
        make_pieces(fixture, random);
        assert_ok(csv_volume_usage(fixture->volume, &usage, error));
        wanted = usage.largest_free_bytes + (uint64_t)g_rand_int_range(random, 1, 6) * MIB;
        if (wanted > usage.free_bytes)
            continue;
        result = csv_space_plan(fixture->volume, wanted, &moves, &count, &run, NULL);
        if (result == CSV_FRAGMENTED) {
            none++;
            continue;
        }
        g_assert_cmpint(result, ==, 0);
        plans++;
        follow(fixture, moves, count);
        free(moves);
        assert_ok(csv_volume_usage(fixture->volume, &usage, error));
        kept += usage.largest_free_bytes >= wanted;
    }
    g_rand_free(random);
    g_test_message("%u plans, %u of them kept what they said; %u times there was none", plans, kept,
                   none);
    g_assert_cmpuint(plans, >, 50);
    g_assert_cmpuint(kept, ==, plans);
}

/* Every other image has the name of the first: each stands for itself all the same. */
static void
test_same_names(struct fixture *fixture, const void *data)
{
    const struct csv_super *super = &fixture->volume->super;
    struct csv_space_move *moves;
    char name[8];
    uint64_t run;
    size_t count;

    (void)data;
    for (int i = 0; i < 32; i++) {
        g_snprintf(name, sizeof(name), "i%d", i);
        create(fixture, name, 1 + (unsigned)i % 3);
    }
    for (int i = 0; i < 32; i += 2) {
        g_snprintf(name, sizeof(name), "i%d", i);
        drop(fixture, name);
    }
    for (uint32_t slot = 0; slot < super->max_images; slot++)
        for (int copy = 0; copy < 2; copy++) {
            uint64_t address = csv_slot_address(super, CSV_KIND_IMAGE, slot, copy);
            struct csv_disk_image *image =
                (struct csv_disk_image *)(void *)(fixture->lun.data + address + 128);
            struct csv_head head = {
                .generation = 99, .is_used = true, .payload_bytes = sizeof(*image)};

            if (image->name[0] != 'i' || image->extent_count == 0)
                continue;
            head.epoch = epoch;
            memcpy(image->name, "same", 5);
            csv_block_seal(fixture->lun.data + address, CSV_KIND_IMAGE, super->uuid, address,
                           &head);
        }
    for (uint64_t wanted = 1; wanted < 30; wanted++)
        if (csv_space_plan(fixture->volume, wanted * MIB, &moves, &count, &run, NULL) == 0)
            free(moves);
}

#define ADD(name, function) \
    g_test_add("/csv/usage/" name, struct fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("picture", test_picture);
    ADD("plan", test_plan);
    ADD("followed", test_followed);
    ADD("same-names", test_same_names);
    return g_test_run();
}
