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
    g_autofree uint8_t *before = NULL;
    g_autofree char *state = NULL, *cut = NULL, *later = NULL;
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
    change_elsewhere();
    later = describe_lun(&lun);
    g_assert_cmpstr(later, ==, state);
    damage_all(before, CSV_KIND_VM, state);
    damage_all(before, CSV_KIND_IMAGE, state);
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
    return g_test_run();
}
