/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scenarios.c - every change of a volume's metadata, and what the volume says before and after. */

#include "scenarios.h"

#include <stdlib.h>

#define LUN_MIB   20
#define GROWN_MIB 25
#define OLD_BYTE  0xaa

static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = 2, .max_vms = 3, .max_images = 4, .extent_bytes = MIB};
const struct csv_epoch first_epoch = {5, 1, 1, ""}, next_epoch = {6, 1, 2, ""};

/* ---- the changes ----------------------------------------------------------------------- */

static int
vm_create(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    struct csv_vm vm = test_vm("new", 9);

    return csv_vm_create(volume, epoch, &vm, error);
}

static int
vm_update(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    struct csv_vm vm = test_vm("web", 1);
    char definition[20000] = "";

    vm.wanted = CSV_WANTED_RUNNING;
    g_strlcpy(vm.relations, "+db", sizeof(vm.relations));
    vm.definition = definition;
    memset(definition, 'd', sizeof(definition) - 1);
    return csv_vm_update(volume, epoch, &vm, error);
}

static int
vm_delete(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    return csv_vm_delete(volume, epoch, "web", error);
}

static int
image_create(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    return csv_image_create(volume, epoch, "new", 2 * MIB, 0, NULL, error);
}

static int
image_delete(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    return csv_image_delete(volume, epoch, "one", true, error);
}

static int
image_rename(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    return csv_image_rename(volume, epoch, "one", "uno", error);
}

static int
image_grow(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    return csv_image_grow(volume, epoch, "two", 4 * MIB + 4096, 0, NULL, error);
}

static int
image_assign(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    return csv_image_assign(volume, epoch, "one", "web", error);
}

static int
image_take_away(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    return csv_image_assign(volume, epoch, "two", "", error);
}

static int
volume_grow(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    return csv_volume_grow(volume, epoch, NULL, error);
}

static int
node_write(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    struct csv_node node = {.host_id = 1, .name = "a", .heartbeat = 2, .cert_bytes = CSV_CERT_MAX};

    (void)epoch;
    memset(node.cert, 'c', sizeof(node.cert)); /* so that the change is in many sectors */
    return csv_node_write(volume, &node, error);
}

static int
node_clear(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_error *error)
{
    (void)epoch;
    return csv_node_clear(volume, 1, error);
}

/* ---- states ---------------------------------------------------------------------------- */

static void
delete_vm(struct csv_volume *volume)
{
    assert_ok(csv_vm_delete(volume, &first_epoch, "db", error));
}

static struct lun *prepared;

/* Two copies that differ: the machine died between the commit and the settling. The older one has a
 * state that must never come back. */
static void
leave_unsettled(struct csv_volume *volume)
{
    assert_ok(csv_image_rename(volume, &first_epoch, "one", "was", error));
    prepared->fault = (struct csv_fault){.kind = CSV_FAULT_ERROR, .at = 3};
    assert_ok(csv_image_rename(volume, &first_epoch, "was", "one", error));
    g_assert_cmpuint(prepared->fault.count, ==, 3);
    prepared->fault = (struct csv_fault){0};
}

static void
clear_node(struct csv_volume *volume)
{
    assert_ok(csv_node_clear(volume, 1, error));
}

/* No room right behind "two": it has to go on elsewhere. */
static void
wall_in(struct csv_volume *volume)
{
    assert_ok(csv_image_create(volume, &first_epoch, "wall", MIB, 0, NULL, error));
}

/* The storage has made the LUN larger. */
static void
grow_lun(struct csv_volume *volume)
{
    (void)volume;
    prepared->size = GROWN_MIB * MIB;
}

static void
delete_image(struct csv_volume *volume)
{
    assert_ok(csv_image_delete(volume, &first_epoch, "two", false, error));
}

static void
base(struct lun *lun)
{
    struct csv_vm web = test_vm("web", 1), db = test_vm("db", 2);
    struct csv_node node = {.host_id = 1, .name = "a"};
    struct csv_volume *volume;
    const struct csv_info *info;

    lun_init(lun, GROWN_MIB, 512);
    lun->size = LUN_MIB * MIB;
    assert_ok(lun_format(lun, &options, error));
    assert_ok(lun_open(lun, 0, &volume, error));
    info = csv_volume_info(volume);
    assert_ok(csv_vm_create(volume, &first_epoch, &web, error));
    assert_ok(csv_vm_create(volume, &first_epoch, &db, error));
    assert_ok(csv_image_create(volume, &first_epoch, "one", MIB, 0, NULL, error));
    assert_ok(csv_image_create(volume, &first_epoch, "two", 2 * MIB, 0, NULL, error));
    assert_ok(csv_image_assign(volume, &first_epoch, "two", "db", error));
    assert_ok(csv_node_write(volume, &node, error));
    assert_ok(csv_node_write(volume, &node, error));
    memset(lun->data + info->data_offset_bytes, OLD_BYTE, info->data_bytes);
    csv_close(volume);
}

static const char *
content(struct csv_volume *volume, const struct csv_image *image)
{
    void *piece = csv_dev_buffer(MIB);
    const uint8_t *bytes = piece;
    bool is_old = false, is_zero = false;

    for (uint64_t at = 0; at < image->size_bytes; at += MIB) {
        size_t length = MIN(MIB, image->size_bytes - at);
        assert_ok(csv_image_read(volume, image, at, piece, length, error));
        if (bytes[0] != 0 || memcmp(bytes, bytes + 1, length - 1) != 0)
            is_old = true;
        else
            is_zero = true;
    }
    free(piece);
    return !is_old ? "zero" : is_zero ? "old+zero" : "old";
}

char *
describe(struct csv_volume *volume)
{
    const struct csv_info *info = csv_volume_info(volume);
    GString *text = g_string_new(info->name);
    struct csv_node *nodes;
    struct csv_vm *vms;
    struct csv_image **images;
    size_t count, damaged;

    assert_ok(csv_node_list(volume, &nodes, &count, &damaged, error));
    g_assert_cmpuint(damaged, ==, 0);
    for (size_t i = 0; i < count; i++)
        g_string_append_printf(text, " node:%s:%lu:%u", nodes[i].name, nodes[i].heartbeat,
                               nodes[i].cert_bytes);
    free(nodes);
    assert_ok(csv_vm_list(volume, true, &vms, &count, error));
    for (size_t i = 0; i < count; i++)
        g_string_append_printf(text, " vm:%s:%d:%s", vms[i].name, vms[i].wanted, vms[i].definition);
    csv_vm_list_free(vms, count);
    assert_ok(csv_image_list(volume, &images, &count, error));
    for (size_t i = 0; i < count; i++)
        g_string_append_printf(text, " image:%s:%lu:%s:%s", images[i]->name, images[i]->size_bytes,
                               images[i]->owner, content(volume, images[i]));
    free(images);
    g_string_append_printf(text, " data:%u", (unsigned)(info->data_bytes / MIB));
    return g_string_free(text, FALSE);
}

char *
describe_lun(struct lun *lun)
{
    struct csv_volume *volume;
    char *text;

    assert_ok(lun_open(lun, 0, &volume, error));
    g_assert_cmpuint(check_errors(volume), ==, 0);
    text = describe(volume);
    csv_close(volume);
    return text;
}

void
scenario_base(struct lun *lun, const struct scenario *scenario)
{
    struct csv_volume *volume;

    base(lun);
    if (scenario && scenario->prepare) {
        assert_ok(lun_open(lun, 0, &volume, error));
        prepared = lun;
        scenario->prepare(volume);
        csv_close(volume);
    }
}

const struct scenario scenarios[] = {
    {"vm-create", NULL, vm_create, CSV_OK, false, NULL},
    {"vm-create-in-a-freed-slot", delete_vm, vm_create, CSV_OK, false, NULL},
    {"vm-update", NULL, vm_update, CSV_OK, false, NULL},
    {"vm-delete", NULL, vm_delete, CSV_NOT_FOUND, false, NULL},
    {"image-create", NULL, image_create, CSV_EXISTS, false, " image:new:2097152::zero"},
    {"image-create-in-a-freed-slot", delete_image, image_create, CSV_EXISTS, false,
     " image:new:2097152::zero"},
    {"image-delete", NULL, image_delete, CSV_NOT_FOUND, false, NULL},
    {"image-rename", NULL, image_rename, CSV_NOT_FOUND, false, NULL},
    {"image-rename-unsettled", leave_unsettled, image_rename, CSV_NOT_FOUND, false, NULL},
    {"image-delete-unsettled", leave_unsettled, image_delete, CSV_NOT_FOUND, false, NULL},
    {"image-grow", NULL, image_grow, CSV_OK, false, " image:two:4198400:db:old+zero"},
    {"image-grow-elsewhere", wall_in, image_grow, CSV_OK, false, " image:two:4198400:db:old+zero"},
    {"image-assign", NULL, image_assign, CSV_OK, false, NULL},
    {"image-take-away", NULL, image_take_away, CSV_OK, false, NULL},
    /* All that changes of a superblock is in its first sector. A first one that is torn within it
     * is read over by the second, and named as an error: no storage does that to a write. */
    {"volume-grow", grow_lun, volume_grow, CSV_OK, true, NULL},
    {"node-write", NULL, node_write, CSV_OK, false, NULL},
    {"node-take", clear_node, node_write, CSV_OK, false, " node:a:3:"},
    {"node-clear", NULL, node_clear, CSV_OK, false, NULL},
};

const unsigned scenario_count = G_N_ELEMENTS(scenarios);
