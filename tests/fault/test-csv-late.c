/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-late.c - a write of a removed node that was stuck lands later, at every moment. */

/*
 * Host 1 is node "dead". Its next heartbeat gets stuck below it: it has read its slot, and the
 * write is on its way. Then "dead" is removed and "new" takes the host id and beats. The stuck
 * write lands before the first step of all that (a read, a write or a flush), then, on a fresh
 * volume, before the second, and so on. Whenever that is: once the removal has been reported as
 * done, nobody ever sees "dead" again, and "new" never loses the slot that it has taken.
 */

#include <errno.h>
#include <glib.h>

#include "late-dev.h"

#define STEPS 400 /* more than there are */

static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = 2, .max_vms = 3, .max_images = 4, .extent_bytes = MIB};

static struct late_dev *dead_dev;
static struct csv_volume *dead, *other; /* the handle of the host that is removed; of the others */

static struct csv_node
node_named(const char *name)
{
    struct csv_node node = {.host_id = 1, .cert_bytes = 100};

    g_strlcpy(node.name, name, sizeof(node.name));
    return node;
}

/* Whose the slot is, "" nobody's; as a third one reads it. */
static const char *
owner(void)
{
    static struct csv_node node;
    struct csv_volume *volume;
    int result;

    assert_ok(lun_open(&late_lun, CSV_OPEN_READ_ONLY, &volume, error));
    g_assert_cmpuint(check_errors(volume), ==, 0);
    result = csv_node_read(volume, 1, &node, NULL);
    csv_close(volume);
    g_assert_true(result == CSV_OK || result == CSV_NOT_FOUND);
    return result == CSV_OK ? node.name : "";
}

/* A fresh volume on which "dead" has beaten so often. */
static struct late_dev *
begin(unsigned beats)
{
    struct csv_node node = node_named("dead");

    late_init();
    assert_ok(lun_format(&late_lun, &options, error));
    dead_dev = late_open(&dead);
    for (unsigned i = 0; i < beats; i++)
        assert_ok(csv_node_write(dead, &node, error));
    dead_dev->steps = 0;
    return late_open(&other);
}

static void
end(void)
{
    csv_close(dead);
    csv_close(other);
    lun_clear(&late_lun);
}

/* ---- a write that lands late ---- */

static void
get_stuck(bool is_leaving)
{
    struct csv_node node = node_named("dead");

    dead_dev->is_stuck = true;
    if (is_leaving)
        assert_code(csv_node_leave(dead, 1, "dead", error), CSV_E_IO);
    else
        assert_code(csv_node_beat(dead, &node, error), CSV_E_IO);
    dead_dev->is_stuck = false;
    g_assert_cmpuint(late_stuck.size, ==, CSV_NODE_BLOCK);
}

/* A write is read back: the stuck one coming just then is an error, of which the next try sees
 * nothing. */
static void
insist(int (*change)(void))
{
    int result = change();

    if (result == CSV_E_IO)
        result = change();
    g_assert_cmpint(result, ==, CSV_OK);
}

static int
clear(void)
{
    return csv_node_clear(other, 1, NULL);
}

static int
take(void)
{
    struct csv_node node = node_named("new");

    return csv_node_write(other, &node, NULL);
}

static int
beat(void)
{
    struct csv_node node = node_named("new");

    return csv_node_beat(other, &node, NULL);
}

/* The whole story, landing before step at; false: it is over before that. */
static bool
tell(unsigned beats, bool is_leaving, unsigned at)
{
    struct late_dev *dev = begin(beats);
    bool has_landed;

    get_stuck(is_leaving);
    dev->at = at;
    dev->happen = late_land;
    insist(clear);
    g_assert_cmpstr(owner(), ==, "");
    insist(take);
    g_assert_cmpstr(owner(), ==, "new");
    for (unsigned i = 0; i < 3; i++) {
        insist(beat);
        g_assert_cmpstr(owner(), ==, "new");
    }
    has_landed = late_stuck.size == 0;
    if (!has_landed) {
        late_land();
        g_assert_cmpstr(owner(), ==, "new");
    }
    end();
    return has_landed;
}

static void
test_stuck(const void *data)
{
    for (int is_leaving = 0; is_leaving <= 1; is_leaving++) {
        unsigned at = 1;

        while (tell(GPOINTER_TO_UINT(data), is_leaving, at))
            g_assert_cmpuint(++at, <, STEPS);
        g_assert_cmpuint(at, >, 20);
        g_test_message("%u moments", at);
    }
}

/* Between the removal and the new node, and between any two steps of it when nobody comes. */
static void
test_removed(const void *data)
{
    unsigned at = 1;

    for (bool has_landed = true; has_landed; at++) {
        struct csv_node node = node_named("dead");
        struct late_dev *dev = begin(GPOINTER_TO_UINT(data));

        get_stuck(false);
        dev->at = at;
        dev->happen = late_land;
        insist(clear);
        has_landed = late_stuck.size == 0;
        if (!has_landed)
            late_land();
        g_assert_cmpstr(owner(), ==, "");
        /* nor does it bring itself back when it looks again */
        assert_code(csv_node_beat(dead, &node, error), CSV_NOT_FOUND);
        g_assert_cmpstr(owner(), ==, "");
        end();
    }
    g_assert_cmpuint(at, >, 6);
}

/* ---- neither is stuck, both are slow ---- */

static void
clear_now(void)
{
    g_assert_cmpint(clear(), ==, CSV_OK);
}

/* It is removed between any two steps of its heartbeat: that one may fail or not, it is lost. */
static void
test_removed_meanwhile(void)
{
    for (unsigned at = 1; at <= 5; at++) {
        struct csv_node node = node_named("dead");

        begin(3);
        dead_dev->at = at;
        dead_dev->happen = clear_now;
        if (at > 4) { /* a heartbeat is a read, a write, a flush and a read */
            assert_ok(csv_node_beat(dead, &node, error));
            clear_now();
        } else {
            (void)csv_node_beat(dead, &node, NULL);
        }
        g_assert_cmpstr(owner(), ==, "");
        assert_code(csv_node_beat(dead, &node, error), CSV_NOT_FOUND);
        g_assert_cmpstr(owner(), ==, "");
        end();
    }
}

static void
beat_on(void)
{
    struct csv_node node = node_named("dead");

    for (unsigned i = 0; i < 9; i++)
        (void)csv_node_beat(dead, &node, NULL);
}

/* It beats on between any two steps of its removal, and has one more write under way at the end. */
static void
beat_on_and_get_stuck(void)
{
    struct csv_node node = node_named("dead");

    beat_on();
    dead_dev->is_stuck = true;
    (void)csv_node_beat(dead, &node, NULL);
    dead_dev->is_stuck = false;
}

static void
test_beats_on(void)
{
    for (unsigned at = 1; at <= 8; at++) {
        struct late_dev *dev = begin(2);

        dev->at = at;
        dev->happen = beat_on_and_get_stuck;
        insist(clear);
        if (late_stuck.size)
            late_land();
        g_assert_cmpstr(owner(), ==, "");
        end();
    }
}

static void
replace_now(void)
{
    g_assert_cmpint(clear(), ==, CSV_OK);
    g_assert_cmpint(take(), ==, CSV_OK);
}

/* It leaves, and between any two steps of that it is removed and its host id is given away. */
static void
test_replaced_while_it_leaves(void)
{
    for (unsigned at = 1; at <= 4; at++) {
        begin(3);
        dead_dev->at = at;
        dead_dev->happen = replace_now;
        if (at == 1)
            assert_code(csv_node_leave(dead, 1, "dead", error), CSV_NOT_FOUND);
        else
            (void)csv_node_leave(dead, 1, "dead", NULL);
        g_assert_cmpstr(owner(), ==, "new");
        for (unsigned i = 0; i < 3; i++) {
            g_assert_cmpint(beat(), ==, CSV_OK);
            g_assert_cmpstr(owner(), ==, "new");
        }
        end();
    }
}

static void
test_leaves(void)
{
    struct csv_node node = node_named("dead");

    begin(3);
    assert_code(csv_node_leave(dead, 1, "new", error), CSV_NOT_FOUND);
    g_assert_cmpstr(owner(), ==, "dead");
    assert_ok(csv_node_leave(dead, 1, "dead", error));
    g_assert_cmpstr(owner(), ==, "");
    assert_code(csv_node_leave(dead, 1, "dead", error), CSV_NOT_FOUND);
    assert_code(csv_node_beat(dead, &node, error), CSV_NOT_FOUND);
    insist(take);
    g_assert_cmpstr(owner(), ==, "new");
    end();
}

/* ---- the end of all numbers ---- */

static void
seal_at(uint64_t generation)
{
    const struct csv_super *super = &dead->super;

    for (int i = 0; i < CSV_COPIES; i++) {
        uint64_t address = csv_slot_address(super, CSV_KIND_NODE, 0, i);
        struct csv_head head;

        g_assert_cmpint(
            csv_block_check(late_lun.data + address, CSV_KIND_NODE, super->uuid, address, &head),
            ==, CSV_BLOCK_OK);
        head.generation = generation - (uint64_t)i;
        csv_block_seal(late_lun.data + address, CSV_KIND_NODE, super->uuid, address, &head);
    }
}

static void
test_last_generation(void)
{
    struct csv_node node = node_named("dead"), back;

    begin(2);
    seal_at(UINT64_MAX - 1);
    g_assert_cmpstr(owner(), ==, "dead");
    node.heartbeat = 77;
    assert_ok(csv_node_beat(dead, &node, error));
    assert_ok(csv_node_read(other, 1, &back, error));
    g_assert_cmpuint(back.heartbeat, ==, 78);
    seal_at(UINT64_MAX - 9);
    insist(clear);
    g_assert_cmpstr(owner(), ==, "");
    insist(take);
    g_assert_cmpstr(owner(), ==, "new");
    end();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned beats = 1; beats <= 4; beats++) {
        g_autofree char *stuck_path = g_strdup_printf("/csv/late/stuck/%u", beats);
        g_autofree char *removed_path = g_strdup_printf("/csv/late/removed/%u", beats);

        g_test_add_data_func(stuck_path, GUINT_TO_POINTER(beats), test_stuck);
        g_test_add_data_func(removed_path, GUINT_TO_POINTER(beats), test_removed);
    }
    g_test_add_func("/csv/late/removed-meanwhile", test_removed_meanwhile);
    g_test_add_func("/csv/late/beats-on", test_beats_on);
    g_test_add_func("/csv/late/replaced-while-it-leaves", test_replaced_while_it_leaves);
    g_test_add_func("/csv/late/leaves", test_leaves);
    g_test_add_func("/csv/late/last-generation", test_last_generation);
    return g_test_run();
}
