/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-second.c - who makes a change dies before its second write; the next change, of
 * whatever, makes up for it.
 */

/*
 * For each change of the catalogue: its slot's second write is taken back, another coordinator
 * makes a change elsewhere, and only then one copy after the other is damaged. What was
 * acknowledged is still there after a repair.
 */

#include <stdlib.h>

#include "scenarios.h"
#include "slot.h"

static struct lun lun;
static struct csv_super super;

static uint8_t *
copy_at(enum csv_kind kind, uint32_t index, int copy)
{
    return lun.data + csv_slot_address(&super, kind, index, copy);
}

static void
read_super(void)
{
    struct csv_dev *dev = lun_dev(&lun);

    g_assert_cmpint(csv_super_read_copy(dev, 0, &super, NULL), ==, CSV_BLOCK_OK);
    csv_dev_close(dev);
}

/* How many slots have lost their second write. */
static unsigned
lose_second_writes(const uint8_t *before, enum csv_kind kind)
{
    uint32_t bytes = csv_block_bytes(kind);
    unsigned lost = 0;

    for (uint32_t i = 0; i < csv_slot_count(&super, kind); i++) {
        uint64_t address = csv_slot_address(&super, kind, i, 0);
        struct csv_slot slot;
        int second;

        if (memcmp(lun.data + address, before + address, 2 * (size_t)bytes) == 0)
            continue;
        csv_slot_judge(&super, kind, i, lun.data + address, &slot);
        second = slot.head.generation & 1;
        memcpy(copy_at(kind, i, second), before + address + second * (size_t)bytes, bytes);
        lost++;
    }
    return lost;
}

/* Slots whose copies are not the same. */
static unsigned
apart(enum csv_kind kind)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < csv_slot_count(&super, kind); i++) {
        struct csv_slot slot;

        csv_slot_judge(&super, kind, i, copy_at(kind, i, 0), &slot);
        count += slot.winner >= 0 && (slot.is_stale || slot.copy[1 - slot.winner] != CSV_BLOCK_OK);
    }
    return count;
}

/* Another one's change, which leaves nothing that describe() tells. */
static void
change_elsewhere(void)
{
    struct csv_volume *volume;

    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(csv_image_create(volume, &next_epoch, "aside", MIB, 0, NULL, error));
    assert_ok(csv_image_delete(volume, &next_epoch, "aside", false, error));
    csv_close(volume);
}

/* Another one takes over, and changes nothing. */
static void
take_over(void)
{
    struct csv_volume *volume;

    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(csv_settle(volume, &next_epoch, error));
    csv_close(volume);
}

/* The same, cut at each of its writes and flushes, in each way: what was acknowledged still is, and
 * the next one settles it. The LUN is left as it was. */
static void
cut_take_over(const char *state)
{
    static const enum csv_fault_kind kinds[] = {CSV_FAULT_ERROR, CSV_FAULT_LANDED_ERROR,
                                                CSV_FAULT_TORN_ERROR};
    g_autofree uint8_t *cut = g_memdup2(lun.data, lun.size);

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        bool has_struck = true;

        for (unsigned at = 1; has_struck; at++) {
            struct csv_volume *volume;
            g_autofree char *after = NULL, *settled = NULL;

            memcpy(lun.data, cut, lun.size);
            assert_ok(lun_open(&lun, 0, &volume, error));
            lun.fault = (struct csv_fault){
                .kind = kinds[i], .at = at, .torn_bytes = 512, .then_dead = true};
            (void)csv_settle(volume, &next_epoch, NULL);
            has_struck = lun.fault.count >= at;
            lun.fault = (struct csv_fault){0};
            csv_close(volume);
            after = describe_lun(&lun);
            g_assert_cmpstr(after, ==, state);
            take_over();
            settled = describe_lun(&lun);
            g_assert_cmpstr(settled, ==, state);
            g_assert_cmpuint(apart(CSV_KIND_VM) + apart(CSV_KIND_IMAGE), ==, 0);
            g_assert_cmpuint(at, <, 100);
        }
    }
    memcpy(lun.data, cut, lun.size);
}

static void
assert_repaired(const char *state, const char *how)
{
    g_autofree char *after = NULL;

    assert_ok(csv_repair_dev(lun_dev(&lun), false, NULL, NULL, NULL, error));
    after = describe_lun(&lun);
    if (!g_str_equal(after, state))
        g_error("%s: repaired to\n%s\nfrom\n%s", how, after, state);
}

/* Each copy of each slot is zeroed, has a bit flipped, or is again what it was before the change.
 */
static void
damage_all(const uint8_t *before, enum csv_kind kind, const char *state)
{
    g_autofree uint8_t *sound = g_memdup2(lun.data, lun.size);
    uint32_t bytes = csv_block_bytes(kind);

    for (uint32_t i = 0; i < csv_slot_count(&super, kind); i++)
        for (int copy = 0; copy < 2; copy++)
            for (int way = 0; way < 3; way++) {
                uint8_t *block = copy_at(kind, i, copy);
                g_autofree char *how =
                    g_strdup_printf("%s %u, copy %d, way %d", csv_kind_name(kind), i, copy, way);

                memcpy(lun.data, sound, lun.size);
                if (block[0] == 0) /* never used */
                    continue;
                if (way == 0)
                    memset(block, 0, bytes);
                else if (way == 1)
                    block[300] ^= 0x10;
                else
                    memcpy(block, before + (block - lun.data), bytes);
                if (memcmp(lun.data, sound, lun.size) != 0)
                    assert_repaired(state, how);
            }
    memcpy(lun.data, sound, lun.size);
}

static void
test_second(gconstpointer data)
{
    const struct scenario *scenario = data;
    g_autofree uint8_t *before = NULL, *lost = NULL;
    g_autofree char *state = NULL, *cut = NULL;
    struct csv_volume *volume;

    scenario_base(&lun, scenario);
    read_super();
    before = g_memdup2(lun.data, lun.size);
    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(scenario->change(volume, &first_epoch, error));
    csv_close(volume);
    state = describe_lun(&lun);
    g_assert_cmpuint(
        lose_second_writes(before, CSV_KIND_VM) + lose_second_writes(before, CSV_KIND_IMAGE), >, 0);
    cut = describe_lun(&lun);
    g_assert_cmpstr(cut, ==, state); /* it counts all the same */
    cut_take_over(state);
    lost = g_memdup2(lun.data, lun.size);
    for (int way = 0; way < 2; way++) {
        g_autofree char *later = NULL;

        memcpy(lun.data, lost, lun.size);
        if (way == 0)
            change_elsewhere();
        else
            take_over();
        later = describe_lun(&lun);
        g_assert_cmpstr(later, ==, state);
        g_assert_cmpuint(apart(CSV_KIND_VM) + apart(CSV_KIND_IMAGE), ==, 0);
        damage_all(before, CSV_KIND_VM, state);
        damage_all(before, CSV_KIND_IMAGE, state);
    }
    lun_clear(&lun);
}

/* Two images claim one space, and neither has its second write: to settle one of them under a new
 * epoch would make the other late, and free it. Not a byte changes. */
static void
test_contradiction(void)
{
    g_autofree uint8_t *first = NULL, *before = NULL;
    struct csv_volume *volume;
    struct csv_image one, two;
    uint32_t slots[2];

    scenario_base(&lun, NULL);
    read_super();
    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(csv_image_create(volume, &first_epoch, "x", MIB, 0, &one, error));
    first = g_memdup2(lun.data, lun.size);
    assert_ok(csv_image_delete(volume, &first_epoch, "x", false, error));
    assert_ok(csv_image_create(volume, &first_epoch, "y", MIB, 0, &two, error));
    csv_close(volume);
    g_assert_cmpuint(one.extents[0].offset_bytes, ==, two.extents[0].offset_bytes);
    slots[0] = one.slot;
    slots[1] = two.slot;
    g_assert_cmpuint(slots[0], !=, slots[1]);
    /* x is back; then each has a torn copy */
    memcpy(copy_at(CSV_KIND_IMAGE, slots[0], 0),
           first + csv_slot_address(&super, CSV_KIND_IMAGE, slots[0], 0), 2 * CSV_IMAGE_BLOCK);
    for (int i = 0; i < 2; i++)
        copy_at(CSV_KIND_IMAGE, slots[i], 1)[200] ^= 1;
    before = g_memdup2(lun.data, lun.size);
    take_over();
    g_assert_cmpmem(lun.data, lun.size, before, lun.size);
    lun_clear(&lun);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < scenario_count; i++) {
        g_autofree char *path = g_strdup_printf("/csv/second/%s", scenarios[i].name);

        if (g_str_has_prefix(scenarios[i].name, "vm-") ||
            g_str_has_prefix(scenarios[i].name, "image-"))
            g_test_add_data_func(path, &scenarios[i], test_second);
    }
    g_test_add_func("/csv/second/contradiction", test_contradiction);
    return g_test_run();
}
