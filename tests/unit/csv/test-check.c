/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-check.c - each kind of damage is found, named, and does no further harm. */

#include <glib.h>
#include <stdlib.h>

#include "csv-test.h"
#include "slot.h"

static const struct csv_epoch epoch = {5, 1, 1, ""};
static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = 4, .max_vms = 4, .max_images = 8, .extent_bytes = MIB};

struct fixture {
    struct lun lun;
    struct csv_volume *volume;
    GString *findings;
};

static void
set_up(struct fixture *fixture, const void *data)
{
    struct csv_vm web = test_vm("web", 1), db = test_vm("db", 2);
    struct csv_node node = {.host_id = 1, .name = "a"};
    struct csv_image image;

    (void)data;
    lun_init(&fixture->lun, 40, 512);
    assert_ok(lun_format(&fixture->lun, &options, error));
    assert_ok(lun_open(&fixture->lun, 0, &fixture->volume, error));
    assert_ok(csv_vm_create(fixture->volume, &epoch, &web, error));
    assert_ok(csv_vm_create(fixture->volume, &epoch, &db, error));
    assert_ok(csv_image_create(fixture->volume, &epoch, "one", MIB, 0, &image, error));
    assert_ok(csv_image_create(fixture->volume, &epoch, "two", MIB, 0, &image, error));
    assert_ok(csv_node_write(fixture->volume, &node, error));
    assert_ok(csv_node_write(fixture->volume, &node, error));
    fixture->findings = g_string_new(NULL);
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    (void)data;
    csv_close(fixture->volume);
    lun_clear(&fixture->lun);
    g_string_free(fixture->findings, TRUE);
}

static void
collect(const struct csv_finding *finding, void *data)
{
    GString *findings = data;

    g_string_append_printf(findings, "%s%s%s", findings->len ? " " : "",
                           finding->is_error ? "!" : "", finding->code);
}

static const char *
check(struct fixture *fixture)
{
    size_t errors;

    g_string_set_size(fixture->findings, 0);
    assert_ok(csv_check(fixture->volume, collect, fixture->findings, &errors, error));
    return fixture->findings->str;
}

static uint8_t *
copy_at(struct fixture *fixture, enum csv_kind kind, uint32_t slot, int copy)
{
    return fixture->lun.data + csv_slot_address(&fixture->volume->super, kind, slot, copy);
}

/* Writes an image record over both copies of a slot. */
static void
put_image(struct fixture *fixture, uint32_t slot, const struct csv_image_record *record)
{
    for (int i = 0; i < 2; i++) {
        uint8_t *block = copy_at(fixture, CSV_KIND_IMAGE, slot, i);
        struct csv_head head = {.generation = 7, .epoch = epoch, .is_used = true};
        memset(block, 0, CSV_IMAGE_BLOCK);
        head.payload_bytes = csv_image_encode(record, block);
        csv_block_seal(block, CSV_KIND_IMAGE, fixture->volume->super.uuid,
                       csv_slot_address(&fixture->volume->super, CSV_KIND_IMAGE, slot, i), &head);
    }
}

static void
test_clean(struct fixture *fixture, const void *data)
{
    (void)data;
    g_assert_cmpstr(check(fixture), ==, "");
}

/* A copy that is sealed well and of the same change, and breaks a rule: it does not pass because
 * the other one does. */
static void
test_one_content(struct fixture *fixture, const void *data)
{
    const struct csv_super *super = &fixture->volume->super;
    struct csv_image image;
    struct csv_head head;

    (void)data;
    for (int copy = 0; copy < 2; copy++) {
        uint8_t *block = copy_at(fixture, CSV_KIND_IMAGE, 0, copy);
        uint64_t address = csv_slot_address(super, CSV_KIND_IMAGE, 0, copy);
        g_autofree uint8_t *before = g_memdup2(block, CSV_IMAGE_BLOCK);

        g_assert_cmpint(csv_block_check(block, CSV_KIND_IMAGE, super->uuid, address, &head), ==,
                        CSV_BLOCK_OK);
        block[128] = '.';
        csv_block_seal(block, CSV_KIND_IMAGE, super->uuid, address, &head);
        g_assert_cmpstr(check(fixture), ==, "copy-torn");
        assert_ok(csv_image_find(fixture->volume, "one", &image, error));
        memcpy(block, before, CSV_IMAGE_BLOCK);
    }
}

static void
test_one_copy(struct fixture *fixture, const void *data)
{
    struct csv_image image;
    struct csv_node node;

    (void)data;
    copy_at(fixture, CSV_KIND_IMAGE, 0, 0)[1000] ^= 1;
    g_assert_cmpstr(check(fixture), ==, "copy-torn");
    assert_ok(csv_image_find(fixture->volume, "one", &image, error));
    copy_at(fixture, CSV_KIND_NODE, 0, 1)[1000] ^= 1;
    g_assert_cmpstr(check(fixture), ==, "copy-torn copy-torn");
    assert_ok(csv_node_read(fixture->volume, 1, &node, error));
    g_assert_cmpuint(node.heartbeat, ==, 1); /* the other copy is one beat older */
    /* the next change mends it */
    assert_ok(csv_node_write(fixture->volume, &node, error));
    assert_ok(csv_image_rename(fixture->volume, &epoch, "one", "uno", error));
    g_assert_cmpstr(check(fixture), ==, "");
}

static void
test_both_copies(struct fixture *fixture, const void *data)
{
    struct csv_node *nodes, node = {.host_id = 1, .name = "a"};
    struct csv_vm vm = test_vm("new", 9), *vms;
    struct csv_image image, **images;
    size_t count, damaged;

    (void)data;
    for (int i = 0; i < 2; i++) {
        copy_at(fixture, CSV_KIND_IMAGE, 0, i)[1000] ^= 1;
        copy_at(fixture, CSV_KIND_VM, 0, i)[1000] ^= 1;
        copy_at(fixture, CSV_KIND_NODE, 0, i)[1000] ^= 1;
    }
    g_assert_cmpstr(check(fixture), ==, "!slot-damaged !slot-damaged !slot-damaged");
    /* the others live on; what may collide with the lost ones is refused */
    assert_ok(csv_image_list(fixture->volume, &images, &count, error));
    g_assert_cmpuint(count, ==, 1);
    free(images);
    assert_ok(csv_vm_list(fixture->volume, true, &vms, &count, error));
    g_assert_cmpuint(count, ==, 1);
    csv_vm_list_free(vms, count);
    assert_ok(csv_node_list(fixture->volume, &nodes, &count, &damaged, error));
    g_assert_cmpuint(count, ==, 0);
    g_assert_cmpuint(damaged, ==, 1);
    free(nodes);
    assert_ok(csv_image_find(fixture->volume, "two", &image, error));
    assert_code(csv_image_find(fixture->volume, "one", &image, error), CSV_E_DAMAGED);
    assert_code(csv_image_create(fixture->volume, &epoch, "new", MIB, 0, &image, error),
                CSV_E_DAMAGED);
    assert_code(csv_image_rename(fixture->volume, &epoch, "two", "one", error), CSV_E_DAMAGED);
    assert_code(csv_vm_create(fixture->volume, &epoch, &vm, error), CSV_E_DAMAGED);
    assert_code(csv_vm_find(fixture->volume, "web", &vm, error), CSV_E_DAMAGED);
    assert_code(csv_node_read(fixture->volume, 1, &node, error), CSV_E_DAMAGED);
    assert_ok(csv_node_write(fixture->volume, &node, error)); /* its owner just writes again */
    assert_ok(csv_node_read(fixture->volume, 1, &node, error));
}

static void
test_torn_first_write(struct fixture *fixture, const void *data)
{
    struct csv_image image;

    (void)data;
    memcpy(copy_at(fixture, CSV_KIND_IMAGE, 5, 0), copy_at(fixture, CSV_KIND_IMAGE, 0, 0), 512);
    copy_at(fixture, CSV_KIND_IMAGE, 5, 0)[100] ^= 1;
    g_assert_cmpstr(check(fixture), ==, "copy-torn");
    assert_ok(csv_image_create(fixture->volume, &epoch, "new", MIB, 0, &image, error));
}

static void
test_misplaced(struct fixture *fixture, const void *data)
{
    struct csv_image **images;
    size_t count;

    (void)data;
    /* a slot copied over another one: its blocks say where they belong */
    memcpy(copy_at(fixture, CSV_KIND_IMAGE, 5, 0), copy_at(fixture, CSV_KIND_IMAGE, 0, 0),
           2 * CSV_IMAGE_BLOCK);
    g_assert_cmpstr(check(fixture), ==, "!slot-damaged");
    assert_ok(csv_image_list(fixture->volume, &images, &count, error));
    g_assert_cmpuint(count, ==, 2);
    free(images);
    memset(copy_at(fixture, CSV_KIND_IMAGE, 5, 0), 0, 2 * CSV_IMAGE_BLOCK);
    memcpy(copy_at(fixture, CSV_KIND_IMAGE, 1, 0), copy_at(fixture, CSV_KIND_IMAGE, 0, 0),
           CSV_IMAGE_BLOCK);
    g_assert_cmpstr(check(fixture), ==, "!copy-misplaced");
}

static void
test_overlap(struct fixture *fixture, const void *data)
{
    struct csv_image_record record = {0};
    struct csv_image image;

    (void)data;
    assert_ok(csv_image_find(fixture->volume, "one", &record.image, error));
    g_strlcpy(record.image.name, "other", sizeof(record.image.name));
    record.image.uuid[0] = record.image.uuid[0] == '0' ? '1' : '0';
    put_image(fixture, 4, &record);
    g_assert_cmpstr(check(fixture), ==, "!image-overlap");
    assert_code(csv_image_create(fixture->volume, &epoch, "new", MIB, 0, &image, error),
                CSV_E_DAMAGED);
    assert_ok(csv_image_find(fixture->volume, "one", &record.image, error));
    put_image(fixture, 4, &record);
    g_assert_cmpstr(check(fixture), ==, "!image-name-twice !image-uuid-twice !image-overlap");
}

static void
test_vm_twice(struct fixture *fixture, const void *data)
{
    struct csv_vm_record record = {.vm = test_vm("web", 1), .birth = 1};

    (void)data;
    for (int i = 0; i < 2; i++) {
        uint8_t *block = copy_at(fixture, CSV_KIND_VM, 3, i);
        struct csv_head head = {.generation = 7, .epoch = epoch, .is_used = true};
        head.payload_bytes = csv_vm_encode(&record, block);
        csv_block_seal(block, CSV_KIND_VM, fixture->volume->super.uuid,
                       csv_slot_address(&fixture->volume->super, CSV_KIND_VM, 3, i), &head);
    }
    g_assert_cmpstr(check(fixture), ==, "!vm-name-twice !vm-uuid-twice");
}

static void
test_owner_gone(struct fixture *fixture, const void *data)
{
    (void)data;
    assert_ok(csv_image_assign(fixture->volume, &epoch, "one", "web", error));
    g_assert_cmpstr(check(fixture), ==, "");
    assert_ok(csv_vm_delete(fixture->volume, &epoch, "web", error));
    g_assert_cmpstr(check(fixture), ==, "owner-gone");
}

/* The VM's slot is damaged, and that VM may run: its disk is nobody's to touch, and was not freed.
 */
static void
test_owner_damaged(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume, *other;
    struct csv_image image;

    (void)data;
    assert_ok(csv_image_assign(volume, &epoch, "one", "web", error));
    assert_ok(csv_image_find(volume, "one", &image, error));
    g_assert_cmpstr(image.owner, ==, "web");
    for (int i = 0; i < 2; i++)
        copy_at(fixture, CSV_KIND_VM, 0, i)[1000] ^= 1;
    g_assert_cmpstr(check(fixture), ==, "!slot-damaged");
    assert_code(csv_image_find(volume, "one", &image, error), CSV_E_DAMAGED);
    assert_ok(lun_open(&fixture->lun, 0, &other, error)); /* one that has not seen it before */
    memset(&image, 0xff, sizeof(image));
    assert_code(csv_image_find(other, "one", &image, error), CSV_E_DAMAGED);
    g_assert_cmpstr(image.name, ==, "one"); /* it can still be saved */
    g_assert_cmpstr(image.owner, ==, "");
    csv_close(other);
    assert_code(csv_image_delete(volume, &epoch, "one", false, error), CSV_E_DAMAGED);
    assert_code(csv_image_rename(volume, &epoch, "one", "uno", error), CSV_E_DAMAGED);
    assert_code(csv_image_assign(volume, &epoch, "one", "db", error), CSV_E_DAMAGED);
    assert_code(csv_image_assign(volume, &epoch, "one", "", error), CSV_E_DAMAGED);
    assert_ok(csv_image_assign(volume, &epoch, "two", "db", error)); /* the others go on */
    for (int i = 0; i < 2; i++)
        copy_at(fixture, CSV_KIND_VM, 0, i)[1000] ^= 1;
    assert_ok(csv_image_find(volume, "one", &image, error));
    g_assert_cmpstr(image.owner, ==, "web");
}

static void
test_superblocks(struct fixture *fixture, const void *data)
{
    uint8_t *second = fixture->lun.data + fixture->volume->super.tail_offset;
    struct csv_super super = fixture->volume->super;
    struct csv_head head = {.generation = 1, .is_used = true};

    (void)data;
    super.io_timeout_s = 3;
    head.payload_bytes = csv_super_encode(&super, second);
    csv_block_seal(second, CSV_KIND_SUPER, super.uuid, super.tail_offset, &head);
    g_assert_cmpstr(check(fixture), ==, "!superblock-differs");
    second[200] ^= 1;
    g_assert_cmpstr(check(fixture), ==, "!superblock-copy");
    memset(fixture->lun.data, 0xff, 4096);
    g_assert_cmpstr(check(fixture), ==, "!superblock-copy !superblock-copy");
}

#define ADD(name, function) \
    g_test_add("/csv/check/" name, struct fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("clean", test_clean);
    ADD("one-content", test_one_content);
    ADD("one-copy", test_one_copy);
    ADD("both-copies", test_both_copies);
    ADD("torn-first-write", test_torn_first_write);
    ADD("misplaced", test_misplaced);
    ADD("overlap", test_overlap);
    ADD("vm-twice", test_vm_twice);
    ADD("owner-gone", test_owner_gone);
    ADD("owner-damaged", test_owner_damaged);
    ADD("superblocks", test_superblocks);
    return g_test_run();
}
