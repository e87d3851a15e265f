/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-crash.c - the power goes at each moment, and storage may have kept writes in any order.
 */

/*
 * A change is made once on a device that writes down what it was told, and in what order. From that
 * every LUN is built that a power cut can leave: all writes before the last flush are there; of
 * those after it any may be there and any not, whichever came first, and one of them may be there
 * in part, up to a sector or from one on. Each such LUN must open, csv_check() finds no error, the
 * state is the one before the change or the one after it, and the next coordinator's change
 * arrives.
 */

#include <stdlib.h>

#include "scenarios.h"

#define MAX_LOG    64
#define SECTOR     512u
#define MANY_BYTES (64u << 10) /* a zeroing: torn at a few places only */

struct entry {
    bool is_flush;
    uint64_t offset, bytes;
    uint8_t *data; /* NULL: zeroes */
};

static struct entry entries[MAX_LOG];
static unsigned entry_count;

struct log_dev {
    struct csv_dev dev;
    struct lun *lun;
};

static void
note(bool is_flush, uint64_t offset, const void *data, uint64_t bytes)
{
    g_assert_cmpuint(entry_count, <, MAX_LOG);
    entries[entry_count++] =
        (struct entry){is_flush, offset, bytes, data ? g_memdup2(data, bytes) : NULL};
}

static void
land(struct lun *lun, const struct entry *entry, uint64_t from, uint64_t to)
{
    if (entry->data)
        memcpy(lun->data + entry->offset + from, entry->data + from, to - from);
    else
        memset(lun->data + entry->offset + from, 0, to - from);
}

static int
log_read(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes)
{
    memcpy(buffer, ((struct log_dev *)dev)->lun->data + offset, bytes);
    return 0;
}

static int
log_write(struct csv_dev *dev, uint64_t offset, const void *buffer, size_t bytes)
{
    note(false, offset, buffer, bytes);
    land(((struct log_dev *)dev)->lun, &entries[entry_count - 1], 0, bytes);
    return 0;
}

static int
log_zero(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    note(false, offset, NULL, bytes);
    land(((struct log_dev *)dev)->lun, &entries[entry_count - 1], 0, bytes);
    return 0;
}

static int
log_flush(struct csv_dev *dev)
{
    (void)dev;
    note(true, 0, NULL, 0);
    return 0;
}

static int
log_discard(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    memset(((struct log_dev *)dev)->lun->data + offset, 0xd1, bytes);
    return 0;
}

static void
log_close(struct csv_dev *dev)
{
    g_free(dev);
}

static const struct csv_dev_ops log_ops = {.read = log_read,
                                           .write = log_write,
                                           .zero = log_zero,
                                           .flush = log_flush,
                                           .discard = log_discard,
                                           .close = log_close};

static void
open_log(struct lun *lun, struct csv_volume **volume)
{
    struct log_dev *one = g_new0(struct log_dev, 1);

    one->lun = lun;
    one->dev = (struct csv_dev){
        .ops = &log_ops, .size_bytes = lun->size, .sector_bytes = lun->sector, .fd = -1};
    assert_ok(csv_open_dev(&one->dev, 0, volume, error));
}

struct crash {
    const struct scenario *scenario;
    struct lun lun;
    const uint8_t *before;
    const char *old_state, *new_state;
    unsigned first, last; /* writes that no flush has made sure of: [first, last) */
    size_t runs;
};

/* The LUN as the cut has left it, judged. */
static void
judge(struct crash *crash, unsigned subset, const char *how)
{
    g_autofree char *after = describe_lun(&crash->lun), *finally = NULL;
    struct csv_error failure = {0};
    struct csv_volume *other;
    int result;

    crash->runs++;
    if (!g_str_equal(after, crash->old_state) && !g_str_equal(after, crash->new_state))
        g_error("%s: cut at entry %u, of %u to %u landed 0x%x, %s: a third state:\n%s\nold: "
                "%s\nnew: %s",
                crash->scenario->name, crash->last, crash->first, crash->last, subset, how, after,
                crash->old_state, crash->new_state);
    assert_ok(lun_open(&crash->lun, 0, &other, error));
    result = crash->scenario->change(other, &next_epoch, &failure);
    csv_close(other);
    if (result && (result != crash->scenario->done_code || !g_str_equal(after, crash->new_state)))
        g_error("%s: cut at entry %u, landed 0x%x, %s: the next coordinator gets: %s",
                crash->scenario->name, crash->last, subset, how, failure.text);
    finally = describe_lun(&crash->lun);
    g_assert_cmpstr(finally, ==, crash->new_state);
}

/* torn: this write of the subset is there from one byte to another only; -1: none is torn. */
static void
run(struct crash *crash, unsigned subset, int torn, uint64_t from, uint64_t to, const char *how)
{
    memcpy(crash->lun.data, crash->before, crash->lun.size);
    for (unsigned i = 0; i < crash->last; i++) {
        const struct entry *entry = &entries[i];
        if (entry->is_flush || (i >= crash->first && !(subset & (1u << (i - crash->first)))))
            continue;
        if ((int)i == torn)
            land(&crash->lun, entry, from, to);
        else
            land(&crash->lun, entry, 0, entry->bytes);
    }
    judge(crash, subset, how);
}

static void
tear(struct crash *crash, unsigned subset, unsigned index)
{
    uint64_t bytes = entries[index].bytes;
    uint64_t step = bytes > MANY_BYTES ? bytes / 4 : SECTOR;

    for (uint64_t at = step; at < bytes; at += step) {
        run(crash, subset, (int)index, 0, at, "torn at its end");
        run(crash, subset, (int)index, at, bytes, "torn at its beginning");
    }
}

/* All that a cut after the first `last` entries can leave. */
static void
cut(struct crash *crash, unsigned last)
{
    crash->last = last;
    crash->first = last;
    while (crash->first > 0 && !entries[crash->first - 1].is_flush)
        crash->first--;
    g_assert_cmpuint(last - crash->first, <, 8);
    for (unsigned subset = 0; subset < 1u << (last - crash->first); subset++) {
        run(crash, subset, -1, 0, 0, "whole");
        for (unsigned i = crash->first; i < last; i++)
            if (subset & (1u << (i - crash->first)))
                tear(crash, subset, i);
    }
}

static void
test_crash(const void *data)
{
    struct crash crash = {.scenario = data};
    g_autofree char *old_state = NULL, *new_state = NULL;
    g_autofree uint8_t *before = NULL;
    struct csv_volume *volume;
    unsigned flushes = 0;

    scenario_base(&crash.lun, data);
    before = g_memdup2(crash.lun.data, crash.lun.size);
    crash.before = before;
    crash.old_state = old_state = describe_lun(&crash.lun);
    entry_count = 0;
    open_log(&crash.lun, &volume);
    assert_ok(crash.scenario->change(volume, &first_epoch, error));
    csv_close(volume);
    crash.new_state = new_state = describe_lun(&crash.lun);
    g_assert_cmpstr(old_state, !=, new_state);
    for (unsigned last = 0; last <= entry_count; last++) {
        flushes += last < entry_count && entries[last].is_flush;
        cut(&crash, last);
    }
    g_test_message("%zu runs, %u writes, %u flushes", crash.runs, entry_count - flushes, flushes);
    for (unsigned i = 0; i < entry_count; i++)
        g_free(entries[i].data);
    lun_clear(&crash.lun);
}

static int
vm_define(struct csv_volume *volume, const struct csv_epoch *epoch, int number)
{
    g_autofree char *definition =
        g_strnfill(20000, (char)('a' + number)); /* every sector differs */
    struct csv_vm vm = test_vm("web", 1);

    vm.definition = definition;
    return csv_vm_update(volume, epoch, &vm, NULL);
}

static int
last_definition(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    (void)error;
    return vm_define(volume, epoch, 20);
}

/* A change right behind others of the same slot, of whose last one the second copy was written and
 * not flushed. What was acknowledged before it stays, whatever comes of it: the state of even
 * earlier is none. */
static void
test_behind(const void *data)
{
    static const struct scenario scenario = {.name = "behind others", .change = last_definition};
    struct crash crash = {.scenario = &scenario};
    g_autofree char *old_state = NULL, *new_state = NULL;
    g_autofree uint8_t *before = NULL;
    struct csv_volume *volume;
    unsigned acknowledged;

    scenario_base(&crash.lun, NULL);
    before = g_memdup2(crash.lun.data, crash.lun.size);
    crash.before = before;
    entry_count = 0;
    open_log(&crash.lun, &volume);
    for (int i = 0; i < GPOINTER_TO_INT(data); i++)
        g_assert_cmpint(vm_define(volume, &first_epoch, i), ==, 0);
    acknowledged = entry_count;
    crash.old_state = old_state = describe_lun(&crash.lun);
    g_assert_cmpint(last_definition(volume, &first_epoch, NULL), ==, 0);
    csv_close(volume);
    crash.new_state = new_state = describe_lun(&crash.lun);
    g_assert_cmpstr(old_state, !=, new_state);
    for (unsigned last = acknowledged; last <= entry_count; last++)
        cut(&crash, last);
    g_test_message("%zu runs", crash.runs);
    for (unsigned i = 0; i < entry_count; i++)
        g_free(entries[i].data);
    lun_clear(&crash.lun);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < scenario_count; i++) {
        g_autofree char *path = g_strconcat("/csv/crash/", scenarios[i].name, NULL);
        g_test_add_data_func(path, &scenarios[i], test_crash);
    }
    for (int i = 1; i <= 3; i++) {
        g_autofree char *path = g_strdup_printf("/csv/crash/behind-%d", i);
        g_test_add_data_func(path, GINT_TO_POINTER(i), test_behind);
    }
    return g_test_run();
}
