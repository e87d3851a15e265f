/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-guard.c - a writer that has lost its lease in the middle of a change writes no more. */

/*
 * A node that was frozen and wakes when another one coordinates is stopped by the guard, which is
 * asked before each single write. For each change of the catalogue, and each of its questions: from
 * the first "no" on not one byte of the LUN changes, whatever is tried; and between two questions
 * there is one write at most, so that none is missing.
 */

#include <stdlib.h>

#include "scenarios.h"

static struct lun lun;
static uint8_t *refused_at; /* the LUN as the guard said no first */
static unsigned asked, allowed;
static unsigned writes, most; /* since it was asked; the most of that */
static struct csv_dev_ops ops;
static const struct csv_dev_ops *plain;

static void
note_write(void)
{
    writes++;
    most = MAX(most, writes);
}

static int
noted_write(struct csv_dev *dev, uint64_t offset, const void *buffer, size_t bytes)
{
    note_write();
    return plain->write(dev, offset, buffer, bytes);
}

static int
noted_zero(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    note_write();
    return plain->zero(dev, offset, bytes);
}

static int
noted_discard(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    note_write();
    return plain->discard(dev, offset, bytes);
}

static bool
guard(void *data)
{
    (void)data;
    writes = 0;
    if (asked++ < allowed)
        return true;
    if (!refused_at)
        refused_at = g_memdup2(lun.data, lun.size);
    return false;
}

static struct csv_volume *
open_guarded(void)
{
    struct csv_volume *volume;

    assert_ok(lun_open(&lun, 0, &volume, error));
    plain = volume->dev->ops;
    ops = *plain;
    ops.write = noted_write;
    ops.zero = noted_zero;
    if (plain->discard)
        ops.discard = noted_discard;
    volume->dev->ops = &ops;
    csv_volume_set_guard(volume, guard, NULL);
    return volume;
}

static char *
state_after(const struct scenario *scenario)
{
    struct csv_volume *volume;

    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(scenario->change(volume, &first_epoch, error));
    csv_close(volume);
    return describe_lun(&lun);
}

static void
test_guard(gconstpointer data)
{
    const struct scenario *scenario = data;
    g_autofree uint8_t *before = NULL;
    g_autofree char *old_state = NULL, *new_state = NULL;
    bool is_through = false;

    scenario_base(&lun, scenario);
    before = g_memdup2(lun.data, lun.size);
    old_state = describe_lun(&lun);
    new_state = state_after(scenario);
    g_assert_cmpstr(new_state, !=, old_state);
    for (allowed = 0; !is_through; allowed++) {
        struct csv_error failure = {0};
        struct csv_volume *volume;
        g_autofree char *state = NULL;
        int result;

        memcpy(lun.data, before, lun.size);
        asked = writes = most = 0;
        g_clear_pointer(&refused_at, g_free);
        volume = open_guarded();
        result = scenario->change(volume, &first_epoch, &failure);
        is_through = !refused_at;
        g_assert_cmpuint(most, <=, 1);
        if (allowed == 0)
            g_assert_cmpint(result, ==, CSV_STALE_EPOCH);
        if (!is_through) {
            (void)scenario->change(volume, &first_epoch, &failure); /* nor by another try */
            g_assert_cmpmem(lun.data, lun.size, refused_at, lun.size);
        } else {
            g_assert_cmpint(result, ==, CSV_OK);
        }
        volume->dev->ops = plain;
        csv_close(volume);
        state = describe_lun(&lun);
        if (is_through)
            g_assert_cmpstr(state, ==, new_state);
        else if (!g_str_equal(state, new_state)) /* a VM can be gone, and its lease be left */
            g_assert_cmpstr(state, ==, old_state);
    }
    g_test_message("asked %u times", asked);
    g_clear_pointer(&refused_at, g_free);
    lun_clear(&lun);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < scenario_count; i++) {
        g_autofree char *path = g_strdup_printf("/csv/guard/%s", scenarios[i].name);

        if (!g_str_has_prefix(scenarios[i].name, "node-")) /* a node's own slot is its own */
            g_test_add_data_func(path, &scenarios[i], test_guard);
    }
    return g_test_run();
}
