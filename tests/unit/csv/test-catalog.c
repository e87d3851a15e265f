/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-catalog.c - nodes, VMs and images on a volume in memory, and on a file. */

#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "catalog.h"
#include "csv-test.h"

static const struct csv_epoch epoch = {5, 1, 1, ""};
static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = 4, .max_vms = 4, .max_images = 8, .extent_bytes = MIB};

struct fixture {
    struct lun lun;
    char *path;
    int fd;
    struct csv_volume *volume;
};

/* data NULL: in memory; else on a file */
static void
set_up(struct fixture *fixture, const void *data)
{
    if (data) {
        fixture->path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
        fixture->fd = g_mkstemp(fixture->path);
        g_assert_cmpint(ftruncate(fixture->fd, 40 * (off_t)MIB), ==, 0);
        assert_ok(csv_format(fixture->path, &options, NULL, error));
        assert_ok(csv_open(fixture->path, 0, &fixture->volume, error));
    } else {
        lun_init(&fixture->lun, 40, 512);
        assert_ok(lun_format(&fixture->lun, &options, error));
        assert_ok(lun_open(&fixture->lun, 0, &fixture->volume, error));
    }
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    g_assert_cmpuint(check_errors(fixture->volume), ==, 0);
    csv_close(fixture->volume);
    if (data) {
        close(fixture->fd);
        g_unlink(fixture->path);
        g_free(fixture->path);
    } else {
        lun_clear(&fixture->lun);
    }
}

static void
test_nodes(struct fixture *fixture, const void *data)
{
    struct csv_node node = {.host_id = 2, .name = "b", .management = "10.0.0.2"}, back, *nodes;
    struct csv_volume *volume = fixture->volume;
    size_t count, damaged;

    (void)data;
    assert_code(csv_node_read(volume, 2, &back, error), CSV_NOT_FOUND);
    for (unsigned i = 1; i <= 5; i++) {
        assert_ok(csv_node_write(volume, &node, error));
        g_assert_cmpuint(node.heartbeat, ==, i);
        assert_ok(csv_node_read(volume, 2, &back, error));
        g_assert_cmpmem(&node, sizeof(node), &back, sizeof(back));
    }
    node.host_id = 4;
    g_strlcpy(node.name, "d", sizeof(node.name));
    assert_ok(csv_node_write(volume, &node, error));
    assert_ok(csv_node_list(volume, &nodes, &count, &damaged, error));
    g_assert_cmpuint(count, ==, 2);
    g_assert_cmpuint(damaged, ==, 0);
    g_assert_cmpstr(nodes[0].name, ==, "b");
    g_assert_cmpstr(nodes[1].name, ==, "d");
    free(nodes);
    assert_ok(csv_node_clear(volume, 2, error));
    assert_code(csv_node_read(volume, 2, &back, error), CSV_NOT_FOUND);
    assert_code(csv_node_read(volume, 5, &back, error), CSV_BAD_VALUE);
    assert_code(csv_node_clear(volume, 0, error), CSV_BAD_VALUE);
    node.host_id = 5;
    assert_code(csv_node_write(volume, &node, error), CSV_BAD_VALUE);
    node.host_id = 2;
    g_strlcpy(node.name, "a b", sizeof(node.name));
    assert_code(csv_node_write(volume, &node, error), CSV_BAD_VALUE);
}

static void
test_vms(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_vm vm = test_vm("web", 1), other = test_vm("db", 2), back, *vms;
    struct csv_lease_owner owner;
    size_t count;

    assert_ok(csv_vm_create(volume, &epoch, &vm, error));
    g_assert_cmpuint(vm.slot, ==, 0);
    assert_ok(csv_vm_create(volume, &epoch, &vm, error)); /* its own retry */
    assert_ok(csv_vm_create(volume, &epoch, &other, error));
    g_assert_cmpuint(other.slot, ==, 1);
    assert_ok(csv_vm_find(volume, "web", &back, error));
    g_assert_cmpstr(back.definition, ==, vm.definition);
    g_assert_cmpuint(back.generation, ==, 1);
    back.wanted = CSV_WANTED_RUNNING;
    back.last_host_id = 3;
    g_strlcpy(back.relations, "-db >db", sizeof(back.relations));
    back.move_policy = 2;
    free(back.definition);
    back.definition = NULL;
    assert_ok(csv_vm_update(volume, &epoch, &back, error));
    assert_ok(csv_vm_find(volume, "web", &back, error));
    g_assert_cmpuint(back.wanted, ==, CSV_WANTED_RUNNING);
    g_assert_cmpuint(back.last_host_id, ==, 3);
    g_assert_cmpstr(back.relations, ==, "-db >db");
    g_assert_cmpuint(back.move_policy, ==, 2);
    g_assert_cmpuint(back.generation, ==, 2);
    g_assert_cmpstr(back.definition, ==, vm.definition); /* kept */
    back.slot = 1;
    assert_code(csv_vm_update(volume, &epoch, &back, error), CSV_NOT_FOUND);
    back.slot = 2;
    assert_code(csv_vm_update(volume, &epoch, &back, error), CSV_NOT_FOUND);
    back.slot = 4;
    assert_code(csv_vm_update(volume, &epoch, &back, error), CSV_BAD_VALUE);
    csv_vm_clear(&back);
    if (data) {
        assert_ok(csv_lease_read(volume, CSV_LEASE_VM, 0, &owner, error));
        g_assert_cmpstr(owner.resource, ==, "web");
    }
    assert_ok(csv_vm_list(volume, false, &vms, &count, error));
    g_assert_cmpuint(count, ==, 2);
    g_assert_null(vms[0].definition);
    g_assert_cmpstr(vms[0].relations, ==, "-db >db");
    csv_vm_list_free(vms, count);
    assert_ok(csv_vm_delete(volume, &epoch, "web", error));
    assert_code(csv_vm_delete(volume, &epoch, "web", error), CSV_NOT_FOUND);
    assert_code(csv_vm_find(volume, "web", &back, error), CSV_NOT_FOUND);
    if (data) {
        assert_ok(csv_lease_read(volume, CSV_LEASE_VM, 0, &owner, error));
        g_assert_cmpstr(owner.resource, ==, ".free-0");
        g_assert_false(csv_name_is_valid(owner.resource));
    }
    vm = test_vm("mail", 3);
    assert_ok(csv_vm_create(volume, &epoch, &vm, error));
    g_assert_cmpuint(vm.slot, ==, 2); /* freed ones come last */
    assert_ok(csv_vm_find(volume, "mail", &back, error));
    g_assert_cmpstr(back.relations, ==, "");
    csv_vm_clear(&back);
}

static void
test_vm_refusals(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_vm vm = test_vm("web", 1);
    char name[16];

    (void)data;
    assert_ok(csv_vm_create(volume, &epoch, &vm, error));
    vm = test_vm("web", 2);
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_EXISTS);
    vm = test_vm("web2", 1);
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_EXISTS);
    vm = test_vm("web", 1);
    vm.definition = (char *)"<other/>";
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_EXISTS);
    vm = test_vm("a b", 3);
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_BAD_NAME);
    vm = test_vm("c", 3);
    vm.uuid[0] = 'x';
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_BAD_VALUE);
    vm = test_vm("c", 3);
    vm.priority = 1001;
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_BAD_VALUE);
    vm = test_vm("c", 3);
    g_strlcpy(vm.relations, "+web  +db", sizeof(vm.relations));
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_BAD_VALUE);
    memset(vm.relations, 'x', sizeof(vm.relations));
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_BAD_VALUE);
    vm = test_vm("c", 3);
    vm.definition = NULL;
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_BAD_VALUE);
    vm.definition = g_strnfill(CSV_DEFINITION_MAX + 1, 'x');
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_BAD_VALUE);
    vm.definition[CSV_DEFINITION_MAX] = 0;
    assert_ok(csv_vm_create(volume, &epoch, &vm, error));
    g_free(vm.definition);
    for (unsigned i = 2; i < 4; i++) {
        g_snprintf(name, sizeof(name), "vm%u", i);
        vm = test_vm(name, 10 + i);
        assert_ok(csv_vm_create(volume, &epoch, &vm, error));
    }
    vm = test_vm("more", 99);
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_NO_SLOT);
}

static void
test_images(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_image image, back, **images;
    struct csv_usage usage;
    uint64_t total;
    size_t count;

    (void)data;
    assert_ok(csv_volume_usage(volume, &usage, error));
    total = usage.free_bytes;
    g_assert_cmpuint(total, ==, usage.total_bytes);
    assert_ok(csv_image_create(volume, &epoch, "disk", 3 * MIB + 1, 0, &image, error));
    g_assert_cmpuint(image.size_bytes, ==, 3 * MIB + 4096);
    g_assert_cmpuint(image.extent_count, ==, 1);
    g_assert_cmpuint(image.extents[0].bytes, ==, 4 * MIB);
    assert_code(csv_image_create(volume, &epoch, "disk", MIB, 0, &back, error), CSV_EXISTS);
    assert_code(csv_image_create(volume, &epoch, "disk", 3 * MIB + 1, 0, &back, error), CSV_EXISTS);
    assert_ok(csv_image_find(volume, "disk", &back, error));
    g_assert_cmpmem(&image, sizeof(image), &back, sizeof(back));
    assert_ok(csv_volume_usage(volume, &usage, error));
    g_assert_cmpuint(usage.used_bytes, ==, 4 * MIB);
    g_assert_cmpuint(usage.images, ==, 1);
    assert_ok(csv_image_rename(volume, &epoch, "disk", "disk2", error));
    assert_code(csv_image_rename(volume, &epoch, "disk", "disk3", error), CSV_NOT_FOUND);
    assert_ok(csv_image_create(volume, &epoch, "disk", MIB, CSV_CREATE_SHARED, &image, error));
    g_assert_cmpuint(image.flags, ==, CSV_IMAGE_SHARED);
    assert_code(csv_image_rename(volume, &epoch, "disk", "disk2", error), CSV_EXISTS);
    assert_code(csv_image_rename(volume, &epoch, "disk", "../x", error), CSV_BAD_NAME);
    assert_ok(csv_image_list(volume, &images, &count, error));
    g_assert_cmpuint(count, ==, 2);
    free(images);
    assert_ok(csv_image_delete(volume, &epoch, "disk", true, error));
    assert_code(csv_image_delete(volume, &epoch, "disk", true, error), CSV_NOT_FOUND);
    assert_ok(csv_image_delete(volume, &epoch, "disk2", false, error));
    assert_ok(csv_volume_usage(volume, &usage, error));
    g_assert_cmpuint(usage.free_bytes, ==, total);
    assert_code(csv_image_create(volume, &epoch, "x", total + 1, 0, &image, error), CSV_FULL);
    assert_code(csv_image_create(volume, &epoch, "x", 0, 0, &image, error), CSV_BAD_VALUE);
    assert_code(csv_image_create(volume, &epoch, "x", UINT64_MAX, 0, &image, error), CSV_BAD_VALUE);
    assert_code(csv_image_create(volume, &epoch, "x", 1, 64, &image, error), CSV_BAD_VALUE);
    assert_code(csv_image_create(volume, &epoch, "x/y", 1, 0, &image, error), CSV_BAD_NAME);
}

static void
test_image_slots_and_pieces(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_image image;
    struct csv_usage usage;
    char name[16];

    (void)data;
    for (unsigned i = 0; i < 8; i++) {
        g_snprintf(name, sizeof(name), "i%u", i);
        assert_ok(csv_image_create(volume, &epoch, name, 2 * MIB, 0, &image, error));
    }
    assert_code(csv_image_create(volume, &epoch, "more", MIB, 0, &image, error), CSV_NO_SLOT);
    for (unsigned i = 0; i < 8; i += 2) {
        g_snprintf(name, sizeof(name), "i%u", i);
        assert_ok(csv_image_delete(volume, &epoch, name, false, error));
    }
    assert_ok(csv_volume_usage(volume, &usage, error));
    g_assert_cmpuint(usage.largest_free_bytes, <, usage.free_bytes);
    assert_code(csv_image_create(volume, &epoch, "big", usage.free_bytes, CSV_CREATE_ONE_PIECE,
                                 &image, error),
                CSV_FRAGMENTED);
    assert_ok(csv_image_create(volume, &epoch, "big", usage.free_bytes, 0, &image, error));
    g_assert_cmpuint(image.extent_count, >, 1);
}

static void
test_grow(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_image first, image;
    uint8_t *buffer = csv_dev_buffer(MIB);

    (void)data;
    memset(buffer, 0xaa, MIB);
    assert_ok(csv_image_create(volume, &epoch, "old", 4 * MIB, 0, &image, error));
    for (unsigned i = 0; i < 4; i++)
        assert_ok(csv_image_write(volume, &image, i * MIB, buffer, MIB, error));
    assert_ok(csv_image_delete(volume, &epoch, "old", false, error));
    assert_ok(csv_image_create(volume, &epoch, "disk", 4096, CSV_CREATE_NO_ZERO, &first, error));
    assert_code(csv_image_grow(volume, &epoch, "none", MIB, 0, &image, error), CSV_NOT_FOUND);
    assert_code(csv_image_grow(volume, &epoch, "disk", 0, 0, &image, error), CSV_BAD_VALUE);
    assert_code(csv_image_grow(volume, &epoch, "disk", UINT64_MAX, 0, &image, error),
                CSV_BAD_VALUE);
    assert_code(csv_image_grow(volume, &epoch, "disk", MIB, 99, &image, error), CSV_BAD_VALUE);
    assert_code(csv_image_grow(volume, &epoch, "disk", 1ull << 40, 0, &image, error), CSV_FULL);
    /* within its extent: what lay there does not show, and what was its own stays */
    assert_ok(csv_image_grow(volume, &epoch, "disk", 8192, 0, &image, error));
    assert_ok(csv_image_read(volume, &image, 0, buffer, 8192, error));
    g_assert_true(buffer[0] == 0xaa && buffer[4095] == 0xaa);
    g_assert_true(buffer[4096] == 0 && memcmp(buffer + 4096, buffer + 4097, 4095) == 0);
    g_assert_cmpuint(image.extent_count, ==, 1);
    g_assert_cmpuint(image.generation, ==, first.generation + 1);
    assert_ok(csv_image_grow(volume, &epoch, "disk", 8190, 0, &image, error)); /* has it already */
    assert_code(csv_image_grow(volume, &epoch, "disk", 4096, 0, &image, error), CSV_BAD_VALUE);
    /* beyond it: in one piece where one is free, else in two */
    assert_ok(csv_image_grow(volume, &epoch, "disk", 2 * MIB, CSV_CREATE_ONE_PIECE, &image, error));
    g_assert_cmpuint(image.extent_count, ==, 1);
    assert_ok(csv_image_create(volume, &epoch, "wall", MIB, 0, NULL, error));
    assert_code(
        csv_image_grow(volume, &epoch, "disk", 3 * MIB, CSV_CREATE_ONE_PIECE, &image, error),
        CSV_FRAGMENTED);
    assert_ok(csv_image_grow(volume, &epoch, "disk", 3 * MIB, 0, &image, error));
    g_assert_cmpuint(image.extent_count, ==, 2);
    assert_ok(csv_image_read(volume, &image, 2 * MIB, buffer, MIB, error));
    g_assert_true(buffer[0] == 0 && memcmp(buffer, buffer + 1, MIB - 1) == 0);
    g_assert_cmpuint(check_errors(volume), ==, 0);
    free(buffer);
}

/* The LUN grows while two handles have the volume open. */
static void
test_volume_grow(struct fixture *fixture, const void *data)
{
    const struct csv_info *info = csv_volume_info(fixture->volume);
    struct csv_volume *other, *again;
    struct csv_image image, **images;
    struct csv_usage usage;
    struct csv_info grown;
    uint64_t before = info->data_bytes;
    struct csv_dev *dev;
    size_t count;

    if (data)
        return; /* see test-device.c for a real one */
    g_free(fixture->lun.data);
    fixture->lun.data = g_malloc0(60 * MIB);
    csv_close(fixture->volume);
    assert_ok(lun_format(&fixture->lun, &options, error));
    assert_ok(lun_open(&fixture->lun, 0, &fixture->volume, error));
    info = csv_volume_info(fixture->volume);
    assert_ok(lun_open(&fixture->lun, 0, &other, error));
    assert_ok(csv_volume_grow(fixture->volume, &epoch, &grown, error)); /* it has not grown */
    g_assert_cmpuint(grown.data_bytes, ==, before);

    fixture->lun.size = 60 * MIB;
    dev = fixture->volume->dev;
    dev->size_bytes = fixture->lun.size;
    assert_ok(csv_volume_grow(fixture->volume, &epoch, &grown, error));
    g_assert_cmpuint(grown.data_bytes, ==, before + 20 * MIB);
    g_assert_cmpuint(info->data_bytes, ==, before + 20 * MIB);
    assert_ok(csv_volume_usage(fixture->volume, &usage, error));
    g_assert_cmpuint(usage.total_bytes, ==, before + 20 * MIB);
    assert_ok(csv_image_create(fixture->volume, &epoch, "big", before + 8 * MIB, 0, &image, error));
    /* the other one's node has not looked at the LUN's size yet: it says so, and breaks nothing */
    assert_code(csv_image_list(other, &images, &count, error), CSV_E_TRUNCATED);
    assert_code(csv_image_create(other, &epoch, "more", MIB, 0, NULL, error), CSV_E_TRUNCATED);
    other->dev->size_bytes = fixture->lun.size;
    assert_ok(csv_image_list(other, &images, &count, error));
    g_assert_cmpuint(count, ==, 1);
    free(images);
    assert_ok(csv_image_create(other, &epoch, "more", 12 * MIB, 0, NULL, error));
    csv_close(other);
    assert_ok(lun_open(&fixture->lun, 0, &again, error));
    g_assert_cmpuint(csv_volume_info(again)->data_bytes, ==, before + 20 * MIB);
    g_assert_cmpuint(check_errors(again), ==, 0);
    csv_close(again);
}

/* A host lease that cannot be read is no proof that its host is gone: it may write this moment. */
static void
test_repair_alone(struct fixture *fixture, const void *data)
{
    struct csv_lease lockspace;
    size_t mended;
    uint8_t kept[512], junk[512];

    if (!data)
        return; /* leases need a path */
    memset(junk, 'x', sizeof(junk));
    csv_lockspace_locate(fixture->volume, &lockspace);
    g_assert_cmpint(pread(fixture->fd, kept, 512, (off_t)lockspace.offset_bytes + 512), ==, 512);
    g_assert_cmpint(pwrite(fixture->fd, junk, 512, (off_t)lockspace.offset_bytes + 512), ==, 512);
    assert_code(csv_repair(fixture->path, false, NULL, NULL, &mended, error), CSV_BUSY);
    assert_ok(csv_repair(fixture->path, true, NULL, NULL, &mended, error));
    g_assert_cmpint(pwrite(fixture->fd, kept, 512, (off_t)lockspace.offset_bytes + 512), ==, 512);
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
}

static void
mended_code(const struct csv_finding *finding, void *data)
{
    g_string_append_printf(data, "%s ", finding->code);
}

/* A VM's lease is written over: the VM cannot be started until that is mended. */
static void
test_lease_repair(struct fixture *fixture, const void *data)
{
    struct csv_vm vm = test_vm("web", 1);
    g_autoptr(GString) codes = g_string_new(NULL);
    struct csv_lease_owner owner;
    struct csv_lease lease;
    size_t errors, mended;
    uint8_t junk[4096];

    if (!data)
        return; /* leases need a path */
    memset(junk, 'x', sizeof(junk));
    assert_ok(csv_vm_create(fixture->volume, &epoch, &vm, error));
    /* the coordinator's lease was never taken for the epochs of these tests */
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
    assert_ok(csv_lease_locate(fixture->volume, CSV_LEASE_VM, vm.slot, &lease, error));
    g_assert_cmpint(pwrite(fixture->fd, junk, sizeof(junk), (off_t)lease.offset_bytes), ==, 4096);
    assert_ok(csv_check(fixture->volume, NULL, NULL, &errors, error));
    g_assert_cmpuint(errors, ==, 1);
    assert_ok(csv_repair(fixture->path, false, mended_code, codes, &mended, error));
    g_assert_cmpuint(mended, ==, 1);
    g_assert_cmpstr(codes->str, ==, "lease-damaged ");
    g_assert_cmpuint(check_errors(fixture->volume), ==, 0);
    assert_ok(csv_lease_read(fixture->volume, CSV_LEASE_VM, vm.slot, &owner, error));
    g_assert_cmpstr(owner.resource, ==, "web");
}

static void
test_data(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_image image;
    struct csv_usage usage;
    uint8_t *buffer = csv_dev_buffer(4 * MIB), *back = csv_dev_buffer(4 * MIB);

    (void)data;
    /* an image spread over pieces: what is written at an offset is read there again */
    for (unsigned i = 0; i < 6; i++) {
        g_autofree char *name = g_strdup_printf("i%u", i);
        assert_ok(csv_image_create(volume, &epoch, name, MIB, 0, &image, error));
        memset(buffer, 0xaa, MIB);
        assert_ok(csv_image_write(volume, &image, 0, buffer, MIB, error));
    }
    for (unsigned i = 0; i < 6; i += 2) {
        g_autofree char *name = g_strdup_printf("i%u", i);
        assert_ok(csv_image_delete(volume, &epoch, name, false, error));
    }
    assert_ok(csv_volume_usage(volume, &usage, error));
    assert_ok(csv_image_create(volume, &epoch, "big", usage.free_bytes, 0, &image, error));
    g_assert_cmpuint(image.extent_count, ==, 4);
    for (uint64_t at = 0; at < image.size_bytes; at += MIB) { /* nothing of the old ones shows */
        assert_ok(csv_image_read(volume, &image, at, back, MIB, error));
        g_assert_true(back[0] == 0 && memcmp(back, back + 1, MIB - 1) == 0);
    }
    for (size_t i = 0; i < 4 * MIB; i++)
        buffer[i] = (uint8_t)(i >> 12);
    assert_ok(csv_image_write(volume, &image, 4096, buffer, 4 * MIB - 8192, error));
    assert_ok(csv_image_read(volume, &image, 4096, back, 4 * MIB - 8192, error));
    g_assert_cmpmem(buffer, 4 * MIB - 8192, back, 4 * MIB - 8192);
    assert_ok(csv_image_read(volume, &image, MIB, back, 4096, error));
    g_assert_cmpmem(back, 4096, buffer + MIB - 4096, 4096);
    assert_code(csv_image_read(volume, &image, 512, back, 4096, error), CSV_BAD_VALUE);
    assert_code(csv_image_read(volume, &image, image.size_bytes, back, 4096, error), CSV_BAD_VALUE);
    image.extents[0].offset_bytes = 0; /* a caller can't reach what is no data */
    assert_code(csv_image_write(volume, &image, 0, back, 4096, error), CSV_BAD_VALUE);
    free(buffer);
    free(back);
}

static void
test_owners(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_vm web = test_vm("web", 1), db = test_vm("db", 2);
    struct csv_vm others[] = {test_vm("mail", 3), test_vm("ns", 4)};
    struct csv_image image;

    (void)data;
    assert_ok(csv_vm_create(volume, &epoch, &web, error));
    assert_ok(csv_vm_create(volume, &epoch, &db, error));
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) /* no other slot is left */
        assert_ok(csv_vm_create(volume, &epoch, &others[i], error));
    assert_ok(csv_image_create(volume, &epoch, "disk", MIB, 0, &image, error));
    assert_ok(csv_image_create(volume, &epoch, "both", MIB, CSV_CREATE_SHARED, &image, error));
    assert_ok(csv_image_assign(volume, &epoch, "disk", "web", error));
    assert_ok(csv_image_assign(volume, &epoch, "disk", "web", error));
    assert_code(csv_image_assign(volume, &epoch, "disk", "db", error), CSV_IN_USE);
    assert_code(csv_image_assign(volume, &epoch, "disk", "nobody", error), CSV_NOT_FOUND);
    assert_code(csv_image_assign(volume, &epoch, "nothing", "db", error), CSV_NOT_FOUND);
    assert_ok(csv_image_find(volume, "disk", &image, error));
    g_assert_cmpstr(image.owner, ==, "web");
    assert_ok(csv_image_assign(volume, &epoch, "both", "web", error));
    assert_ok(csv_image_assign(volume, &epoch, "both", "db", error));
    assert_ok(csv_image_assign(volume, &epoch, "disk", "", error));
    assert_ok(csv_image_assign(volume, &epoch, "disk", "db", error));
    assert_ok(csv_vm_delete(volume, &epoch, "db", error));
    assert_ok(csv_image_find(volume, "disk", &image, error));
    g_assert_cmpstr(image.owner, ==, "");
    /* the next VM in that slot inherits nothing, be it the same in all */
    assert_ok(csv_vm_create(volume, &epoch, &db, error));
    g_assert_cmpuint(db.slot, ==, 1);
    assert_ok(csv_image_find(volume, "disk", &image, error));
    g_assert_cmpstr(image.owner, ==, "");
    assert_ok(csv_image_assign(volume, &epoch, "disk", "web", error));
    /* an update is no new birth */
    web.wanted = CSV_WANTED_RUNNING;
    assert_ok(csv_vm_update(volume, &epoch, &web, error));
    assert_ok(csv_image_find(volume, "disk", &image, error));
    g_assert_cmpstr(image.owner, ==, "web");
}

static void
test_epochs(struct fixture *fixture, const void *data)
{
    const struct csv_epoch older = {4, 9, 9, ""}, newer = {6, 1, 2, ""};
    struct csv_volume *volume = fixture->volume;
    struct csv_vm vm = test_vm("web", 1), db = test_vm("db", 2);
    struct csv_image image;

    (void)data;
    assert_ok(csv_vm_create(volume, &epoch, &vm, error));
    assert_code(csv_vm_create(volume, &older, &db, error), CSV_STALE_EPOCH);
    assert_code(csv_image_create(volume, &older, "a", MIB, 0, &image, error), CSV_STALE_EPOCH);
    assert_ok(csv_image_create(volume, &newer, "a", MIB, 0, &image, error));
    /* whichever slot the newer one touched, the older one can write none */
    assert_code(csv_vm_update(volume, &epoch, &vm, error), CSV_STALE_EPOCH);
    assert_code(csv_vm_delete(volume, &epoch, "web", error), CSV_STALE_EPOCH);
    assert_code(csv_vm_create(volume, &epoch, &db, error), CSV_STALE_EPOCH);
    assert_code(csv_image_create(volume, &epoch, "b", MIB, 0, &image, error), CSV_STALE_EPOCH);
    assert_code(csv_image_delete(volume, &epoch, "a", false, error), CSV_STALE_EPOCH);
    assert_code(csv_image_rename(volume, &epoch, "a", "b", error), CSV_STALE_EPOCH);
    assert_code(csv_image_assign(volume, &epoch, "a", "web", error), CSV_STALE_EPOCH);
    assert_ok(csv_image_delete(volume, &newer, "a", false, error));
    assert_code(csv_vm_delete(volume, &epoch, "web", error), CSV_STALE_EPOCH); /* freed ones too */
    assert_ok(csv_vm_delete(volume, &newer, "web", error));
}

/* ---- VM slots that never had a user are left unread ---- */

static guint64 bytes_read;
static const struct csv_dev_ops *plain_ops;

static int
counted_read(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes)
{
    bytes_read += bytes;
    return plain_ops->read(dev, offset, buffer, bytes);
}

static void
create_vms(struct csv_volume *volume, guint first, guint count)
{
    for (guint i = first; i < first + count; i++) {
        g_autofree char *name = g_strdup_printf("vm%u", i);
        struct csv_vm vm = test_vm(name, i + 1);

        assert_ok(csv_vm_create(volume, &epoch, &vm, error));
        g_assert_cmpuint(vm.slot, ==, i);
    }
}

/* Lists them, and tells how much was read for it. */
static size_t
list_counted(struct csv_volume *volume, gboolean with_definition)
{
    struct csv_vm *vms;
    size_t count;

    bytes_read = 0;
    assert_ok(csv_vm_list(volume, with_definition, &vms, &count, error));
    csv_vm_list_free(vms, count);
    return count;
}

static void
test_brief_reading(void)
{
    const guint max = 512, all = max * CSV_VM_BLOCK * CSV_COPIES;
    const struct csv_format_options many = {
        .name = "vol1", .max_nodes = 4, .max_vms = max, .max_images = 8, .extent_bytes = MIB};
    struct csv_volume *writer, *reader;
    struct csv_dev_ops counting;
    struct lun lun;
    guint looks = 0;

    lun_init(&lun, 700, 512); /* a lease takes a MiB */
    assert_ok(lun_format(&lun, &many, error));
    assert_ok(lun_open(&lun, 0, &writer, error));
    assert_ok(lun_open(&lun, 0, &reader, error));
    plain_ops = reader->dev->ops;
    counting = *plain_ops;
    counting.read = counted_read;
    reader->dev->ops = &counting;

    g_assert_cmpuint(list_counted(reader, FALSE), ==, 0);
    g_assert_cmpuint(bytes_read, >=, all); /* nothing is known yet */
    g_assert_cmpuint(list_counted(reader, FALSE), ==, 0);
    g_assert_cmpuint(bytes_read, <, all / 4);
    create_vms(writer, 0, 3);
    g_assert_cmpuint(list_counted(reader, FALSE), ==, 3);
    g_assert_cmpuint(bytes_read, <, all / 4);
    create_vms(writer, 3, 200); /* more than it looks ahead */
    g_assert_cmpuint(list_counted(reader, FALSE), ==, 203);
    g_assert_cmpuint(list_counted(reader, FALSE), ==, 203);
    g_assert_cmpuint(bytes_read, <, all * 3 / 4);
    g_assert_cmpuint(list_counted(reader, TRUE), ==, 203);
    g_assert_cmpuint(bytes_read, >=, all);

    /* damage: a hole where it would stop */
    memset(lun.data + csv_slot_address(&writer->super, CSV_KIND_VM, 0, 0), 0, all / 4);
    reader->vms_touched = 0;
    while (list_counted(reader, FALSE) != 203 - max / 4)
        g_assert_cmpuint(++looks, <, 16);
    g_assert_cmpuint(looks, >, 1); /* else the test shows nothing */
    reader->dev->ops = plain_ops;
    csv_close(reader);
    csv_close(writer);
    lun_clear(&lun);
}

/* One slot is all that is read of what was seen before, also under the name of one that is gone. */
static void
test_hints(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_vm vm, found;
    struct csv_image image;

    (void)data;
    for (int i = 0; i < 2; i++) {
        vm = test_vm("web", 1);
        assert_ok(csv_vm_create(volume, &epoch, &vm, error));
        assert_ok(csv_vm_find(volume, "web", &found, error));
        g_assert_cmpint(csv_catalog_hint(volume, CSV_KIND_VM, "web"), ==, found.slot);
        free(found.definition);
        assert_ok(csv_image_create(volume, &epoch, "disk", MIB, 0, &image, error));
        assert_ok(csv_image_find(volume, "disk", &image, error));
        g_assert_cmpint(csv_catalog_hint(volume, CSV_KIND_IMAGE, "disk"), ==, image.slot);
        if (i == 0) {
            assert_ok(csv_vm_delete(volume, &epoch, "web", error));
            assert_ok(csv_image_delete(volume, &epoch, "disk", false, error));
        }
    }
    g_assert_cmpuint(found.slot, >, 0); /* else it shows nothing */
    g_assert_cmpuint(image.slot, >, 0);
}

#define ADD(name, function)                                                                     \
    g_test_add("/csv/catalog/memory/" name, struct fixture, NULL, set_up, function, tear_down); \
    g_test_add("/csv/catalog/file/" name, struct fixture, "file", set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("nodes", test_nodes);
    ADD("vms", test_vms);
    ADD("vm-refusals", test_vm_refusals);
    ADD("images", test_images);
    ADD("image-slots-and-pieces", test_image_slots_and_pieces);
    ADD("grow", test_grow);
    ADD("volume-grow", test_volume_grow);
    ADD("lease-repair", test_lease_repair);
    ADD("repair-alone", test_repair_alone);
    ADD("data", test_data);
    ADD("owners", test_owners);
    ADD("epochs", test_epochs);
    ADD("hints", test_hints);
    g_test_add_func("/csv/catalog/brief-reading", test_brief_reading);
    return g_test_run();
}
