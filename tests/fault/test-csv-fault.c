/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-fault.c - the Nth write of each change fails, is lost or torn, for all N. */

/*
 * A scenario prepares a volume and makes one change. The change is run again and again, its first
 * write failing, then its second, and so on until it is through before the fault comes; each in
 * every way that a write can go wrong. After each: the volume opens, csv_check() finds no error,
 * and the state is the one before the change or the one after it. Then the change is tried again
 * and must arrive.
 *
 * Two kinds of ending: the writer lives on and tries again with its handle, or its machine is dead
 * from the fault on, and somebody else tries with a handle of his own and a newer epoch.
 */

#include <glib.h>
#include <stdlib.h>

#include "scenarios.h"

/* ---- the loops ------------------------------------------------------------------------- */

static const struct fault_row {
    const char *name;
    enum csv_fault_kind kind;
    unsigned torn;
    bool then_dead;
} fault_rows[] = {
    {"error", CSV_FAULT_ERROR, 0, false},
    {"error, dead", CSV_FAULT_ERROR, 0, true},
    {"lost", CSV_FAULT_LOST, 0, false},
    {"lost, dead", CSV_FAULT_LOST, 0, true},
    {"landed with an error", CSV_FAULT_LANDED_ERROR, 0, false},
    {"landed, dead", CSV_FAULT_LANDED_ERROR, 0, true},
    {"torn", CSV_FAULT_TORN_ERROR, 1, false},
    {"torn silently", CSV_FAULT_TORN, 1, false},
    {"torn, dead", CSV_FAULT_TORN_ERROR, 1, true},
    {"torn at the other end", CSV_FAULT_TORN_TAIL, 1, true},
    {"torn at the other end, alive", CSV_FAULT_TORN_TAIL, 1, false},
};
/* Bytes that arrive of a torn write: sector by sector, at their multiples in larger blocks, and
 * within the first one, where most of what changes is. No disk tears a sector, but a copy of which
 * magic and size have arrived must be told by its checksum alone. */
static const unsigned torn_bytes[] = {512,  1024, 1536, 2048,  2560,  3072,  3584, 4096,
                                      7680, 8192, 8704, 15872, 31744, 32256, 16,   44,
                                      50,   76,   79,   80,    130,   180,   380};

static bool
is_torn(const struct fault_row *row)
{
    return row->torn != 0;
}

/* A zeroing that the LUN reports and does not do is beyond us; the rest of the state is not. */
static bool
is_same_state(const char *a, const char *b, enum csv_fault_kind kind)
{
    g_autofree char *x = g_strdup(a), *y = g_strdup(b);

    if (kind == CSV_FAULT_LOST || kind == CSV_FAULT_TORN) {
        GRegex *regex = g_regex_new(":(old\\+zero|old|zero)\\b", 0, 0, NULL);
        char *p = g_regex_replace(regex, x, -1, 0, "", 0, NULL);
        char *q = g_regex_replace(regex, y, -1, 0, "", 0, NULL);
        bool same = g_str_equal(p, q);
        g_free(p);
        g_free(q);
        g_regex_unref(regex);
        return same;
    }
    return g_str_equal(x, y);
}

struct run {
    const struct scenario *scenario;
    const struct fault_row *row;
    struct lun lun;
    const uint8_t *before; /* image of the LUN */
    const char *old_state, *new_state;
    size_t runs;
};

static void
assert_state(const struct run *run, const char *state, bool may_be_old, unsigned at, unsigned torn)
{
    if (is_same_state(state, run->new_state, run->row->kind) ||
        (may_be_old && is_same_state(state, run->old_state, run->row->kind)))
        return;
    g_error("%s, write %u %s (%u bytes): a third state:\n%s\nold: %s\nnew: %s", run->scenario->name,
            at, run->row->name, torn, state, run->old_state, run->new_state);
}

/* One run with one fault. False: the change was through before the fault. */
static bool
run_once(struct run *run, unsigned at, unsigned torn)
{
    struct csv_volume *volume, *other;
    g_autofree char *after = NULL, *finally = NULL;
    struct csv_error failure = {0};
    bool has_struck;
    int result;

    memcpy(run->lun.data, run->before, run->lun.size);
    assert_ok(lun_open(&run->lun, 0, &volume, error));
    run->lun.fault = (struct csv_fault){
        .kind = run->row->kind, .at = at, .torn_bytes = torn, .then_dead = run->row->then_dead};
    result = run->scenario->change(volume, &first_epoch, &failure);
    has_struck = run->lun.fault.count >= at;
    run->lun.fault = (struct csv_fault){0};
    run->runs++;

    after = describe_lun(&run->lun);
    assert_state(run, after, result != 0, at, torn);
    if (run->row->then_dead) {
        csv_close(volume);
        assert_ok(lun_open(&run->lun, 0, &other, error));
        result = run->scenario->change(other, &next_epoch, &failure);
        if (result && (result != run->scenario->done_code || !g_str_equal(after, run->new_state)))
            g_error("%s, write %u %s: the next coordinator gets: %s", run->scenario->name, at,
                    run->row->name, failure.text);
        csv_close(other);
    } else {
        if (result) {
            result = run->scenario->change(volume, &first_epoch, &failure);
            if (result)
                g_error("%s, write %u %s (%u bytes): the retry gets: %s", run->scenario->name, at,
                        run->row->name, torn, failure.text);
            /* what was in doubt is no more: asked for once more, it is done, and says so */
            result = run->scenario->change(volume, &first_epoch, &failure);
            if (result != run->scenario->done_code)
                g_error("%s, write %u %s (%u bytes): once more after the retry: %d, %s",
                        run->scenario->name, at, run->row->name, torn, result, failure.text);
        }
        csv_close(volume);
    }
    finally = describe_lun(&run->lun);
    assert_state(run, finally, false, at, torn);
    return has_struck;
}

static void
test_scenario(const void *data)
{
    struct run run = {.scenario = data};
    g_autofree char *old_state = NULL, *new_state = NULL;
    g_autofree uint8_t *before = NULL;
    struct csv_volume *volume;
    unsigned writes = 0;

    scenario_base(&run.lun, run.scenario);
    before = g_memdup2(run.lun.data, run.lun.size);
    old_state = describe_lun(&run.lun);
    assert_ok(lun_open(&run.lun, 0, &volume, error));
    assert_ok(run.scenario->change(volume, &first_epoch, error));
    csv_close(volume);
    new_state = describe_lun(&run.lun);
    g_assert_cmpstr(old_state, !=, new_state);
    if (run.scenario->shows)
        g_assert_nonnull(strstr(new_state, run.scenario->shows));
    run.before = before;
    run.old_state = old_state;
    run.new_state = new_state;
    for (unsigned i = 0; i < G_N_ELEMENTS(fault_rows); i++) {
        unsigned at;
        run.row = &fault_rows[i];
        for (at = 1;; at++) {
            bool has_struck = run_once(&run, at, is_torn(run.row) ? torn_bytes[0] : 0);
            if (!has_struck)
                break;
            for (unsigned j = 1; is_torn(run.row) && j < G_N_ELEMENTS(torn_bytes); j++)
                if ((run.row->kind != CSV_FAULT_TORN_TAIL && !run.scenario->by_sectors) ||
                    torn_bytes[j] % 512 == 0)
                    run_once(&run, at, torn_bytes[j]);
        }
        writes = at - 1;
        g_assert_cmpuint(writes, >=, 2);
    }
    g_test_message("%zu runs, %u writes and flushes", run.runs, writes);
    lun_clear(&run.lun);
}

/* ---- formatting ------------------------------------------------------------------------ */

/* Over a volume: after it the LUN is the old volume, none, or the new one. */
static void
test_format(const void *data)
{
    const struct csv_format_options over = {.name = "fresh",
                                            .max_nodes = 2,
                                            .max_vms = 2,
                                            .max_images = 4,
                                            .extent_bytes = MIB,
                                            .force = true};
    g_autofree char *old_state = NULL;
    g_autofree uint8_t *before = NULL;
    unsigned outcomes[3] = {0}, runs = 0;
    bool over_blank = data != NULL;
    struct lun lun;

    scenario_base(&lun, NULL);
    if (over_blank)
        memset(lun.data, 0, lun.size);
    else
        old_state = describe_lun(&lun);
    before = g_memdup2(lun.data, lun.size);
    for (unsigned i = 0; i < G_N_ELEMENTS(fault_rows); i++) {
        bool has_struck = true;
        for (unsigned at = 1; has_struck; at++) {
            struct csv_volume *volume = NULL;
            struct csv_error failure = {0};
            int result, opened;
            memcpy(lun.data, before, lun.size);
            lun.fault = (struct csv_fault){.kind = fault_rows[i].kind,
                                           .at = at,
                                           .torn_bytes = at % 9 * 512,
                                           .then_dead = fault_rows[i].then_dead};
            result = lun_format(&lun, &over, &failure);
            has_struck = lun.fault.count >= at;
            lun.fault = (struct csv_fault){0};
            runs++;
            opened = lun_open(&lun, 0, &volume, &failure);
            if (opened == 0) {
                g_autofree char *state = describe(volume);
                g_assert_cmpuint(check_errors(volume), ==, 0);
                csv_close(volume);
                if (g_str_has_prefix(state, "fresh "))
                    outcomes[2]++;
                else if (g_strcmp0(state, old_state) == 0)
                    outcomes[0]++;
                else
                    g_error("write %u %s: a third state: %s", at, fault_rows[i].name, state);
                g_assert_true(result != 0 || g_str_has_prefix(state, "fresh "));
            } else {
                g_assert_cmpstr(csv_code_name(opened), ==, "CSV_E_NO_VOLUME");
                g_assert_cmpint(result, !=, 0);
                outcomes[1]++;
            }
            assert_ok(lun_format(&lun, &over, error));
            assert_ok(lun_open(&lun, 0, &volume, error));
            g_assert_cmpuint(check_errors(volume), ==, 0);
            csv_close(volume);
        }
    }
    g_assert_true(over_blank || outcomes[0] > 0);
    g_assert_cmpuint(outcomes[1], >, 0);
    g_assert_cmpuint(outcomes[2], >, 0);
    g_test_message("%u runs: %u old, %u none, %u new", runs, outcomes[0], outcomes[1], outcomes[2]);
    lun_clear(&lun);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < scenario_count; i++) {
        g_autofree char *path = g_strconcat("/csv/fault/", scenarios[i].name, NULL);
        g_test_add_data_func(path, &scenarios[i], test_scenario);
    }
    g_test_add_data_func("/csv/fault/format", NULL, test_format);
    g_test_add_data_func("/csv/fault/format-over-blank", "blank", test_format);
    return g_test_run();
}
