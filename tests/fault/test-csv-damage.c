/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-damage.c - each block of metadata is damaged in each way; it shows, and is mended or
 * refused. */

/*
 * Ways: zeroed, a bit flipped (in each part of the block), swapped with each other block of its
 * size, replaced by an older version of itself. After each: csv_check() has a word about it or the
 * volume does not open; nothing that is still listed is wrong; and csv_repair() brings back the
 * very state from before, or refuses and changes nothing.
 *
 * One is not to be seen in the bytes: a node's newest heartbeat replaced by the one before the last
 * is what the slot was a second ago. It must be exactly that, and the next heartbeat must mend it.
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scenarios.h"
#include "slot.h"

struct place {
    enum csv_kind kind;
    uint32_t index;
    int copy;
    uint64_t address;
    uint32_t bytes;
};

#define MAX_PLACES 64

static struct lun lun;
static uint8_t *sound, *older; /* the LUN now, and one change of everything ago */
static char *state;            /* of the sound one */
static struct place places[MAX_PLACES];
static unsigned place_count;
static unsigned damages, mended_count, refused_count, a_beat_ago;

static void
add_places(const struct csv_super *super, enum csv_kind kind)
{
    for (uint32_t i = 0; i < csv_slot_count(super, kind); i++)
        for (int copy = 0; copy < 2; copy++) {
            g_assert_cmpuint(place_count, <, MAX_PLACES);
            places[place_count++] = (struct place){
                kind, i, copy, csv_slot_address(super, kind, i, copy), csv_block_bytes(kind)};
        }
}

/* Changes everything that there is once, so that each block has an older version of itself. */
static void
change_all(struct csv_volume *volume)
{
    struct csv_vm vm = test_vm("web", 1);
    struct csv_node node = {.host_id = 1, .name = "a", .heartbeat = 7};

    vm.wanted = CSV_WANTED_RUNNING;
    assert_ok(csv_vm_update(volume, &first_epoch, &vm, error));
    vm = test_vm("db", 2);
    vm.slot = 1;
    vm.priority = 7;
    assert_ok(csv_vm_update(volume, &first_epoch, &vm, error));
    assert_ok(csv_image_assign(volume, &first_epoch, "one", "web", error));
    assert_ok(csv_image_grow(volume, &first_epoch, "two", 3 * MIB, 0, NULL, error));
    assert_ok(csv_node_write(volume, &node, error));
    assert_ok(csv_node_write(volume, &node, error));
    lun.size += MIB;
    volume->dev->size_bytes = lun.size;
    assert_ok(csv_volume_grow(volume, &first_epoch, NULL, error));
}

static void
set_up(void)
{
    struct csv_volume *volume;

    scenario_base(&lun, NULL);
    older = g_memdup2(lun.data, lun.size + MIB);
    assert_ok(lun_open(&lun, 0, &volume, error));
    change_all(volume);
    add_places(&volume->super, CSV_KIND_SUPER);
    add_places(&volume->super, CSV_KIND_NODE);
    add_places(&volume->super, CSV_KIND_VM);
    add_places(&volume->super, CSV_KIND_IMAGE);
    csv_close(volume);
    sound = g_memdup2(lun.data, lun.size);
    state = describe_lun(&lun);
}

static void
count_findings(const struct csv_finding *finding, void *data)
{
    if (!g_str_equal(finding->code, "lun-larger"))
        ++*(unsigned *)data;
}

/* Findings of csv_check(); UINT_MAX: the volume does not open. */
static unsigned
findings(void)
{
    struct csv_volume *volume;
    unsigned count = 0;
    size_t errors;

    if (lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, NULL) != 0)
        return UINT_MAX;
    assert_ok(csv_check(volume, count_findings, &count, &errors, error));
    csv_close(volume);
    return count;
}

/* Whatever is listed is as it was: a damaged slot may be missing, never show something else. */
static void
assert_nothing_wrong(const char *how)
{
    struct csv_volume *volume;
    struct csv_vm *vms;
    struct csv_image **images;
    size_t count;

    if (lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, NULL) != 0)
        return;
    assert_ok(csv_vm_list(volume, true, &vms, &count, error));
    for (size_t i = 0; i < count; i++) {
        g_autofree char *text =
            g_strdup_printf(" vm:%s:%d:%s", vms[i].name, vms[i].wanted, vms[i].definition);
        if (!strstr(state, text))
            g_error("%s: shows %s", how, text);
    }
    csv_vm_list_free(vms, count);
    if (csv_image_list(volume, &images, &count, NULL) == 0) {
        for (size_t i = 0; i < count; i++) {
            g_autofree char *text =
                g_strdup_printf(" image:%s:%lu:", images[i]->name, images[i]->size_bytes);
            if (!strstr(state, text))
                g_error("%s: shows %s", how, text);
        }
        free(images);
    }
    csv_close(volume);
}

/* The node's slot is what it was a heartbeat ago, and its next one makes it sound. */
static void
assert_beat_ago(const char *how)
{
    struct csv_node node;
    struct csv_volume *volume;

    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(csv_node_read(volume, 1, &node, error));
    if (node.heartbeat != 8)
        g_error("%s: heartbeat %lu", how, node.heartbeat);
    assert_ok(csv_node_beat(volume, &node, error));
    assert_ok(csv_node_beat(volume, &node, error));
    csv_close(volume);
    g_assert_cmpuint(findings(), ==, 0);
    a_beat_ago++;
}

static void
judge(const struct place *place, bool is_older, const char *how)
{
    g_autofree char *text = g_strdup_printf("%s %u, copy %d, %s", csv_kind_name(place->kind),
                                            place->index, place->copy, how);
    g_autofree uint8_t *damaged = g_memdup2(lun.data, lun.size);
    struct csv_error failure = {0};
    g_autofree char *after = NULL;
    unsigned seen = findings();
    int result;

    damages++;
    assert_nothing_wrong(text);
    if (is_older && place->kind == CSV_KIND_NODE && seen == 0) {
        assert_beat_ago(text);
        return;
    }
    if (seen == 0)
        g_error("%s: nobody notices", text);
    result = csv_repair_dev(lun_dev(&lun), false, NULL, NULL, NULL, &failure);
    if (result) {
        g_assert_cmpuint(strlen(failure.text), >, 5);
        g_assert_cmpmem(lun.data, lun.size, damaged, lun.size); /* refused: untouched */
        refused_count++;
        return;
    }
    if (findings() != 0) { /* what it has left is named, and the rest goes on without */
        refused_count++;
        assert_nothing_wrong(text);
        return;
    }
    after = describe_lun(&lun);
    if (!g_str_equal(after, state) && place->kind != CSV_KIND_NODE)
        g_error("%s: repaired to\n%s\nfrom\n%s", text, after, state);
    mended_count++;
}

static void
reset(void)
{
    memcpy(lun.data, sound, lun.size);
}

static bool
is_blank(const uint8_t *block, uint32_t bytes)
{
    return block[0] == 0 && memcmp(block, block + 1, bytes - 1) == 0;
}

static void
test_zeroed(void)
{
    for (unsigned i = 0; i < place_count; i++) {
        reset();
        if (is_blank(lun.data + places[i].address, places[i].bytes))
            continue;
        memset(lun.data + places[i].address, 0, places[i].bytes);
        judge(&places[i], false, "zeroed");
    }
}

static void
test_flipped(void)
{
    /* in the magic, each field of the header, the payload, the zeroes behind it */
    static const uint32_t offsets[] = {0,  7,  8,  12, 16, 32,  40,  48,  56,
                                       64, 68, 72, 76, 80, 130, 300, 4095};

    for (unsigned i = 0; i < place_count; i++)
        for (unsigned k = 0; k < G_N_ELEMENTS(offsets); k++) {
            g_autofree char *how = g_strdup_printf("bit flipped at %u", offsets[k]);
            reset();
            lun.data[places[i].address + offsets[k]] ^= 0x10;
            judge(&places[i], false, how);
        }
}

static void
test_swapped(void)
{
    for (unsigned i = 0; i < place_count; i++)
        for (unsigned k = i + 1; k < place_count; k++) {
            g_autofree char *how = NULL;
            g_autofree uint8_t *block = NULL;
            uint8_t *a = lun.data + places[i].address, *b = lun.data + places[k].address;
            if (places[i].bytes != places[k].bytes)
                continue;
            reset();
            if (memcmp(a, b, places[i].bytes) == 0)
                continue;
            how = g_strdup_printf("swapped with %s %u, copy %d", csv_kind_name(places[k].kind),
                                  places[k].index, places[k].copy);
            block = g_memdup2(a, places[i].bytes);
            memcpy(a, b, places[i].bytes);
            memcpy(b, block, places[i].bytes);
            judge(&places[i], false, how);
        }
}

static void
test_older(void)
{
    for (unsigned i = 0; i < place_count; i++) {
        reset();
        if (memcmp(lun.data + places[i].address, older + places[i].address, places[i].bytes) == 0)
            continue;
        memcpy(lun.data + places[i].address, older + places[i].address, places[i].bytes);
        judge(&places[i], true, "older");
    }
    g_assert_cmpuint(a_beat_ago, <=, 2);
    /* a repair that refused all would pass the rest */
    if (damages > 400)
        g_assert_cmpuint(mended_count, >, 2 * refused_count);
    g_test_message("%u damages: %u mended, %u named and left or refused, %u a heartbeat ago",
                   damages, mended_count, refused_count, a_beat_ago);
}

/* A first superblock that is blank or of a later version is written over by force only. */
static void
test_first_superblock(void)
{
    for (int i = 0; i < 2; i++) {
        g_autofree uint8_t *damaged = NULL;
        g_autofree char *after = NULL;

        reset();
        if (i == 0)
            memset(lun.data, 0, CSV_SUPER_BLOCK);
        else
            lun.data[8] ^= 0x10;
        damaged = g_memdup2(lun.data, lun.size);
        assert_code(csv_repair_dev(lun_dev(&lun), false, NULL, NULL, NULL, error), CSV_E_DAMAGED);
        g_assert_cmpmem(lun.data, lun.size, damaged, lun.size);
        assert_ok(csv_repair_dev(lun_dev(&lun), true, NULL, NULL, NULL, error));
        after = describe_lun(&lun);
        g_assert_cmpstr(after, ==, state);
    }
}

/* The LUN has grown once more since the volume took some of it over, and the first superblock is of
 * before that: where it says that the second one is has an image its data by now. */
static void
test_older_superblock(void)
{
    struct lun large = {
        .data = g_malloc0(lun.size + MIB), .size = lun.size + MIB, .sector = lun.sector};
    g_autofree uint8_t *before = NULL;
    struct csv_volume *volume;
    struct csv_super super;
    struct csv_dev *dev;
    int backup = memfd_create("backup", MFD_CLOEXEC), result = 0;

    memcpy(large.data, sound, lun.size);
    assert_ok(lun_open(&large, 0, &volume, error));
    for (uint64_t bytes = large.size; bytes >= MIB; bytes -= MIB) { /* all of it is somebody's */
        g_autofree char *name = g_strdup_printf("filler-%lu", bytes);
        result = csv_image_create(volume, &first_epoch, name, bytes, 0, NULL, NULL);
    }
    g_assert_cmpint(result, ==, CSV_FULL);
    assert_ok(csv_backup(volume, backup, error));
    csv_close(volume);

    memcpy(large.data, older, CSV_SUPER_BLOCK);
    dev = lun_dev(&large);
    g_assert_cmpint(csv_super_read_copy(dev, 0, &super, NULL), ==, CSV_BLOCK_OK);
    csv_dev_close(dev);
    memset(large.data + super.tail_offset, 'x', MIB); /* a guest's */
    before = g_memdup2(large.data, large.size);
    for (int force = 0; force < 2; force++) {
        struct csv_error failure = {0};

        result = csv_repair_dev(lun_dev(&large), force, NULL, NULL, NULL, &failure);
        g_assert_cmpint(result, ==, CSV_E_DAMAGED);
        g_assert_nonnull(strstr(failure.text, "before the volume has grown"));
        g_assert_cmpmem(large.data, large.size, before, large.size);
    }
    /* nor is that place touched by what the refusal advises */
    g_assert_cmpint(lseek(backup, 0, SEEK_SET), ==, 0);
    assert_ok(csv_restore_dev(lun_dev(&large), backup, true, error));
    g_assert_cmpmem(large.data + super.tail_offset, MIB, before + super.tail_offset, MIB);
    close(backup);
    lun_clear(&large);
}

/* Two damages in one slot: a copy lost as zeroes, a bit flipped in the other's header. Whoever had
 * the slot cannot be told any more, so it stays damaged: as one that was never used, what the user
 * had would be given to the next. */
static void
test_two_in_a_slot(void)
{
    static const uint32_t offsets[] = {0, 7, 8, 12, 14};
    static const enum csv_kind kinds[] = {CSV_KIND_NODE, CSV_KIND_VM, CSV_KIND_IMAGE};
    struct csv_super super;
    struct csv_dev *dev;

    reset();
    dev = lun_dev(&lun);
    g_assert_cmpint(csv_super_read_copy(dev, 0, &super, NULL), ==, CSV_BLOCK_OK);
    csv_dev_close(dev);
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (int lost = 0; lost < 2; lost++)
            for (unsigned i = 0; i <= G_N_ELEMENTS(offsets); i++) {
                uint32_t bytes = csv_block_bytes(kinds[k]);
                uint8_t *zeroed, *broken;
                struct csv_slot slot;

                reset();
                zeroed = lun.data + csv_slot_address(&super, kinds[k], 0, lost);
                broken = lun.data + csv_slot_address(&super, kinds[k], 0, 1 - lost);
                memset(zeroed, 0, bytes);
                if (i < G_N_ELEMENTS(offsets))
                    broken[offsets[i]] ^= 0x10;
                else if (lost == 1)
                    continue; /* that is how a first write is cut short */
                else
                    memset(broken, 0, sizeof(struct csv_disk_header));
                assert_ok(csv_repair_dev(lun_dev(&lun), false, NULL, NULL, NULL, error));
                csv_slot_judge(&super, kinds[k], 0, MIN(zeroed, broken), &slot);
                g_assert_cmpint(slot.state, ==, CSV_SLOT_DAMAGED);
            }
}

static void
note_text(const struct csv_finding *finding, void *data)
{
    g_string_append_printf(data, "%s\n", finding->text);
}

/* A check and a repair call a node by its host id, whatever they say of it. */
static void
test_node_number(void)
{
    g_autoptr(GString) found = g_string_new(NULL), mended = g_string_new(NULL);
    g_autofree uint8_t *block = NULL;
    struct csv_volume *volume;
    struct csv_super super;
    uint8_t *a, *b;
    size_t errors;

    reset();
    assert_ok(lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, error));
    super = volume->super;
    a = lun.data + csv_slot_address(&super, CSV_KIND_NODE, 0, 0);
    b = lun.data + csv_slot_address(&super, CSV_KIND_NODE, 0, 1);
    block = g_memdup2(a, CSV_NODE_BLOCK);
    memcpy(a, b, CSV_NODE_BLOCK);
    memcpy(b, block, CSV_NODE_BLOCK);
    assert_ok(csv_check(volume, note_text, found, &errors, error));
    csv_close(volume);
    assert_ok(csv_repair_dev(lun_dev(&lun), false, note_text, mended, NULL, error));
    g_assert_nonnull(strstr(found->str, "node slot 1"));
    g_assert_nonnull(strstr(mended->str, "node slot 1: its copies had changed places"));
}

int
main(int argc, char **argv)
{
    int result;

    g_test_init(&argc, &argv, NULL);
    set_up();
    g_test_add_func("/csv/damage/zeroed", test_zeroed);
    g_test_add_func("/csv/damage/flipped", test_flipped);
    g_test_add_func("/csv/damage/swapped", test_swapped);
    g_test_add_func("/csv/damage/older", test_older);
    g_test_add_func("/csv/damage/first-superblock", test_first_superblock);
    g_test_add_func("/csv/damage/older-superblock", test_older_superblock);
    g_test_add_func("/csv/damage/two-in-a-slot", test_two_in_a_slot);
    g_test_add_func("/csv/damage/node-number", test_node_number);
    result = g_test_run();
    g_free(sound);
    g_free(older);
    g_free(state);
    lun_clear(&lun);
    return result;
}
