/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-alloc.c - deriving free space and choosing from it. */

#include <glib.h>

#include "alloc.h"
#include "csv-test.h"

/* 100 extents of 4 MiB from 1000 MiB on; claims are in extents. */
static struct csv_super
space_super(void)
{
    return (struct csv_super){
        .extent_bytes = 4 * MIB, .data_offset = 1000 * MIB, .data_bytes = 400 * MIB};
}

static struct csv_extent
extent(unsigned from, unsigned count)
{
    return (struct csv_extent){1000 * MIB + from * 4 * MIB, count * 4 * MIB};
}

static void
test_derive(void)
{
    struct csv_super super = space_super();
    struct csv_extent claims[] = {extent(50, 10), extent(0, 5), extent(99, 1)};
    struct csv_space space;

    assert_ok(csv_space_derive(&super, NULL, 0, &space, error));
    g_assert_cmpuint(space.free_bytes, ==, 400 * MIB);
    g_assert_cmpuint(space.largest_free_bytes, ==, 400 * MIB);
    csv_space_clear(&space);
    assert_ok(csv_space_derive(&super, claims, 3, &space, error));
    g_assert_cmpuint(space.gap_count, ==, 2);
    g_assert_cmpuint(space.used_bytes, ==, 64 * MIB);
    g_assert_cmpuint(space.free_bytes, ==, 336 * MIB);
    g_assert_cmpuint(space.largest_free_bytes, ==, 45 * 4 * MIB);
    g_assert_cmpuint(space.gaps[1].offset_bytes, ==, extent(60, 1).offset_bytes);
    csv_space_clear(&space);
}

static void
test_overlap(void)
{
    struct csv_super super = space_super();
    struct csv_extent claims[] = {extent(10, 5), extent(14, 1)};
    struct csv_space space;

    assert_code(csv_space_derive(&super, claims, 2, &space, error), CSV_E_DAMAGED);
}

static void
test_pick(void)
{
    struct csv_super super = space_super();
    /* gaps: 10 at 5, 3 at 20, 70 at 30 */
    struct csv_extent claims[] = {extent(0, 5), extent(15, 5), extent(23, 7)};
    struct csv_extent out[CSV_MAX_EXTENTS];
    struct csv_space space;
    uint32_t count = 0;

    assert_ok(csv_space_derive(&super, claims, 3, &space, error));
    g_assert_cmpuint(space.gap_count, ==, 3);
    assert_ok(csv_space_pick(&super, &space, 12 * MIB, true, out, &count, error));
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpuint(out[0].offset_bytes, ==, extent(20, 1).offset_bytes); /* the snuggest */
    assert_ok(csv_space_pick(&super, &space, 12 * MIB + 4096, true, out, &count, error));
    g_assert_cmpuint(out[0].offset_bytes, ==, extent(5, 1).offset_bytes);
    g_assert_cmpuint(out[0].bytes, ==, 16 * MIB); /* whole extents */
    assert_code(csv_space_pick(&super, &space, 71 * 4 * MIB, true, out, &count, error),
                CSV_FRAGMENTED);
    assert_ok(csv_space_pick(&super, &space, 71 * 4 * MIB, false, out, &count, error));
    g_assert_cmpuint(count, ==, 2); /* the largest two, in order of the LUN */
    g_assert_cmpuint(out[0].offset_bytes, ==, extent(5, 1).offset_bytes);
    g_assert_cmpuint(out[0].bytes, ==, 4 * MIB);
    g_assert_cmpuint(out[1].bytes, ==, 70 * 4 * MIB);
    assert_ok(csv_space_pick(&super, &space, 83 * 4 * MIB, false, out, &count, error));
    g_assert_cmpuint(count, ==, 3);
    assert_code(csv_space_pick(&super, &space, 84 * 4 * MIB, false, out, &count, error), CSV_FULL);
    assert_code(csv_space_pick(&super, &space, UINT64_MAX, false, out, &count, error), CSV_FULL);
    csv_space_clear(&space);
}

static void
test_too_many_pieces(void)
{
    struct csv_super super = space_super();
    struct csv_extent claims[300], out[CSV_MAX_EXTENTS];
    struct csv_space space;
    uint32_t count = 0;

    super.data_bytes = 600 * 4 * MIB;
    for (unsigned i = 0; i < 300; i++)
        claims[i] = extent(2 * i, 1);
    assert_ok(csv_space_derive(&super, claims, 300, &space, error));
    assert_ok(csv_space_pick(&super, &space, 200 * 4 * MIB, false, out, &count, error));
    g_assert_cmpuint(count, ==, 200);
    assert_code(csv_space_pick(&super, &space, 201 * 4 * MIB, false, out, &count, error),
                CSV_FRAGMENTED);
    csv_space_clear(&space);
}

static void
test_extend(void)
{
    struct csv_super super = space_super();
    /* gaps: 10 at 5, 3 at 20, 70 at 30 */
    struct csv_extent claims[] = {extent(0, 5), extent(15, 5), extent(23, 7)};
    struct csv_extent image[CSV_MAX_EXTENTS] = {extent(15, 5)};
    struct csv_space space;
    uint32_t count = 1;

    assert_ok(csv_space_derive(&super, claims, 3, &space, error));
    assert_code(csv_space_extend(&super, &space, 84 * 4 * MIB, false, image, &count, error),
                CSV_FULL);
    assert_code(csv_space_extend(&super, &space, UINT64_MAX, false, image, &count, error),
                CSV_FULL);
    assert_code(csv_space_extend(&super, &space, 3 * 4 * MIB + 1, true, image, &count, error),
                CSV_FRAGMENTED);
    g_assert_cmpuint(image[0].bytes, ==, 5 * 4 * MIB);
    assert_ok(csv_space_extend(&super, &space, 2 * 4 * MIB, true, image, &count, error));
    g_assert_cmpuint(count, ==, 1); /* right behind */
    g_assert_cmpuint(image[0].bytes, ==, 7 * 4 * MIB);
    assert_ok(csv_space_extend(&super, &space, 11 * 4 * MIB, false, image, &count, error));
    g_assert_cmpuint(count, ==, 2); /* what is left there, then where the rest fits best */
    g_assert_cmpuint(image[0].bytes, ==, 8 * 4 * MIB);
    g_assert_cmpuint(image[1].offset_bytes, ==, extent(5, 1).offset_bytes);
    g_assert_cmpuint(image[1].bytes, ==, 10 * 4 * MIB);
    csv_space_clear(&space);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/csv/alloc/derive", test_derive);
    g_test_add_func("/csv/alloc/overlap", test_overlap);
    g_test_add_func("/csv/alloc/pick", test_pick);
    g_test_add_func("/csv/alloc/too-many-pieces", test_too_many_pieces);
    g_test_add_func("/csv/alloc/extend", test_extend);
    return g_test_run();
}
