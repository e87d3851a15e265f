/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-format.c - blocks and records: round trips, golden bytes, each broken rule by itself. */

#include <glib.h>
#include <stddef.h>
#include <string.h>

#include "csv-test.h"
#include "crc32c.h"
#include "format.h"

static const uint8_t uuid_a[16] = {0xa0, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t uuid_b[16] = {0xb0, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15};

static struct csv_super
sample_super(void)
{
    struct csv_super super = {
        .name = "vol1",
        .sector_bytes = 512,
        .io_timeout_s = 10,
        .max_nodes = 64,
        .max_vms = 16,
        .max_images = 64,
        .extent_bytes = 4 * MIB,
        .size_bytes = 256 * MIB,
    };

    memcpy(super.uuid, uuid_a, 16);
    g_assert_true(csv_layout(&super));
    return super;
}

static struct csv_node
sample_node(void)
{
    struct csv_node node = {
        .host_id = 3,
        .name = "nodeC",
        .management = "10.0.0.3",
        .port = 7001,
        .migration = "10.0.1.3/24",
        .cpu_vendor = "AMD",
        .memory_bytes = 64ull << 30,
        .memory_free_bytes = 60ull << 30,
        .cpus = 32,
        .flags = CSV_NODE_WATCHDOG,
        .heartbeat = 77,
        .host_generation = 5,
        .written_ms = 1700000000000,
        .version = "0.1.0",
        .cert_bytes = 3,
        .cert = {1, 2, 3},
    };

    node.running[0] = 0x81;
    node.running[511] = 0x80;
    return node;
}

static struct csv_vm_record
sample_vm(void)
{
    struct csv_vm_record record = {.vm = test_vm("web", 7), .birth = 3};

    record.vm.wanted = CSV_WANTED_RUNNING;
    record.vm.last_host_id = 2;
    return record;
}

static struct csv_image_record
sample_image(const struct csv_super *super)
{
    struct csv_image_record record = {
        .image = {.name = "web.disk", .size_bytes = 6 * MIB, .extent_count = 2},
        .owner_slot = 5,
        .owner_birth = 3,
    };

    g_strlcpy(record.image.uuid, "01234567-89ab-4cde-8f01-23456789abcd", CSV_UUID_STR);
    record.image.extents[0] = (struct csv_extent){super->data_offset + 8 * MIB, 4 * MIB};
    record.image.extents[1] = (struct csv_extent){super->data_offset, 4 * MIB};
    return record;
}

/* Makes a sealed block of a kind with sample content. */
static void
make_block(enum csv_kind kind, uint8_t *block, struct csv_head *head)
{
    struct csv_super super = sample_super();
    struct csv_node node = sample_node();
    struct csv_vm_record vm = sample_vm();
    struct csv_image_record image = sample_image(&super);

    memset(block, 0, CSV_BLOCK_MAX);
    *head = (struct csv_head){.generation = 9, .epoch = {4, 5, 6}, .is_used = true};
    switch (kind) {
    case CSV_KIND_SUPER:
        head->payload_bytes = csv_super_encode(&super, block);
        break;
    case CSV_KIND_NODE:
        head->payload_bytes = csv_node_encode(&node, block);
        break;
    case CSV_KIND_VM:
        head->payload_bytes = csv_vm_encode(&vm, block);
        break;
    case CSV_KIND_IMAGE:
        head->payload_bytes = csv_image_encode(&image, block);
        break;
    }
    csv_block_seal(block, kind, uuid_a, 0x100000, head);
}

static const enum csv_kind kinds[] = {CSV_KIND_SUPER, CSV_KIND_NODE, CSV_KIND_VM, CSV_KIND_IMAGE};

/* What is on a LUN today must be readable by every later version: these bytes never change. */
static void
test_golden(void)
{
    static const char *const golden[] = {
        "c5d06bd0c25b329a58d8b75fdbc81b599566a4be4133398867b55dab04b67e6a",
        "1c54f6b0f81bf32ab2e0c60e32c70fab0b1f94697f2e15e222272d18c8eab992",
        "c9a4bf9622c05f54b5f72c3d8dc984cceeed4e248ebf254bab581dbf750ab26a",
        "fe68bc6878b4a402c5a37ff91a205e20ad464f7a0c9c8c150deebb831597585d",
    };
    g_autofree uint8_t *block = g_malloc(CSV_BLOCK_MAX);
    struct csv_head head;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *sum = NULL;
        make_block(kinds[i], block, &head);
        sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, block, csv_block_bytes(kinds[i]));
        g_assert_cmpstr(sum, ==, golden[i]);
    }
}

static void
test_header_round_trip(void)
{
    g_autofree uint8_t *block = g_malloc(CSV_BLOCK_MAX);
    struct csv_head in, out;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        make_block(kinds[i], block, &in);
        memset(&out, 0xee, sizeof(out));
        g_assert_cmpint(csv_block_check(block, kinds[i], uuid_a, 0x100000, &out), ==, CSV_BLOCK_OK);
        g_assert_cmpuint(out.generation, ==, 9);
        g_assert_cmpuint(out.epoch.lver, ==, 4);
        g_assert_cmpuint(out.epoch.host_generation, ==, 5);
        g_assert_cmpuint(out.epoch.host_id, ==, 6);
        g_assert_cmpuint(out.payload_bytes, ==, in.payload_bytes);
        g_assert_true(out.is_used);
        g_assert_cmpint(csv_block_check(block, kinds[i], uuid_b, 0x100000, &out), ==,
                        CSV_BLOCK_FOREIGN);
        g_assert_cmpint(csv_block_check(block, kinds[i], uuid_a, 0x200000, &out), ==,
                        CSV_BLOCK_MISPLACED);
        g_assert_cmpint(csv_block_check(block, kinds[(i + 1) % 4], uuid_a, 0x100000, &out), ==,
                        CSV_BLOCK_OTHER_KIND);
    }
}

/* Changes one field and puts the checksum right again. */
static enum csv_block
check_with(size_t offset, uint64_t value, unsigned bytes, bool fix_crc)
{
    g_autofree uint8_t *block = g_malloc(CSV_BLOCK_MAX);
    struct csv_head head;

    make_block(CSV_KIND_IMAGE, block, &head);
    for (unsigned i = 0; i < bytes; i++)
        block[offset + i] = (uint8_t)(value >> (8 * i));
    if (fix_crc) {
        const size_t field = offsetof(struct csv_disk_header, crc32c);
        uint32_t crc;
        memset(block + field, 0, 4);
        crc = csv_crc32c(block, CSV_IMAGE_BLOCK);
        for (unsigned i = 0; i < 4; i++)
            block[field + i] = (uint8_t)(crc >> (8 * i));
    }
    return csv_block_check(block, CSV_KIND_IMAGE, uuid_a, 0x100000, &head);
}

static void
test_header_fields(void)
{
#define FIELD(name) offsetof(struct csv_disk_header, name)
    const struct {
        size_t offset;
        uint64_t value;
        unsigned bytes;
        enum csv_block wanted;
    } rows[] = {
        {FIELD(magic), 'X', 1, CSV_BLOCK_GARBAGE},
        {FIELD(version), 2, 4, CSV_BLOCK_FUTURE},
        {FIELD(version), 0, 4, CSV_BLOCK_FUTURE},
        {FIELD(block_bytes), 8192, 4, CSV_BLOCK_BAD_SIZE},
        {FIELD(block_bytes), 0xffffffff, 4, CSV_BLOCK_BAD_SIZE},
        {FIELD(volume_uuid), 0xb0, 1, CSV_BLOCK_FOREIGN},
        {FIELD(address), 0x100001, 8, CSV_BLOCK_MISPLACED},
        {FIELD(generation), 0, 8, CSV_BLOCK_BAD_GENERATION},
        {FIELD(generation), UINT64_MAX, 8, CSV_BLOCK_BAD_GENERATION},
        {FIELD(payload_bytes), CSV_IMAGE_BLOCK - 127, 4, CSV_BLOCK_BAD_LENGTH},
        {FIELD(payload_bytes), 0xffffffff, 4, CSV_BLOCK_BAD_LENGTH},
        {FIELD(state), 2, 4, CSV_BLOCK_BAD_STATE},
        {FIELD(epoch_lver), 999, 8, CSV_BLOCK_OK}, /* any epoch is one */
        {FIELD(requests), 1, 1, CSV_BLOCK_OK},     /* a later version may use it */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpstr(
            csv_block_text(check_with(rows[i].offset, rows[i].value, rows[i].bytes, true)), ==,
            csv_block_text(rows[i].wanted));
    }
    g_assert_cmpint(check_with(FIELD(crc32c), 0, 4, false), ==, CSV_BLOCK_BAD_CRC);
#undef FIELD
}

/* Whatever single bit flips, the block is not taken for sound. */
static void
test_every_bit(void)
{
    g_autofree uint8_t *block = g_malloc(CSV_BLOCK_MAX);
    struct csv_head head;

    make_block(CSV_KIND_IMAGE, block, &head);
    for (unsigned bit = 0; bit < CSV_IMAGE_BLOCK * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        g_assert_cmpint(csv_block_check(block, CSV_KIND_IMAGE, uuid_a, 0x100000, &head), !=,
                        CSV_BLOCK_OK);
        block[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void
test_blank_and_torn(void)
{
    g_autofree uint8_t *block = g_malloc(CSV_BLOCK_MAX);
    struct csv_head head;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        memset(block, 0, CSV_BLOCK_MAX);
        g_assert_cmpint(csv_block_check(block, kinds[i], uuid_a, 0, &head), ==, CSV_BLOCK_BLANK);
        block[csv_block_bytes(kinds[i]) - 1] = 1;
        g_assert_cmpint(csv_block_check(block, kinds[i], uuid_a, 0, &head), ==, CSV_BLOCK_TORN);
        memset(block, 0xff, CSV_BLOCK_MAX);
        g_assert_cmpint(csv_block_check(block, kinds[i], uuid_a, 0, &head), ==, CSV_BLOCK_GARBAGE);
    }
}

static void
test_super_rules(void)
{
    struct csv_super good = sample_super(), super, out;
    g_autofree uint8_t *block = g_malloc0(CSV_BLOCK_MAX);
    struct csv_head head = {.is_used = true};

#define BROKEN(change, text)                              \
    super = good;                                         \
    change;                                               \
    head.payload_bytes = csv_super_encode(&super, block); \
    g_assert_cmpstr(csv_super_decode(block, &head, &out), ==, text)

    BROKEN((void)0, NULL);
    g_assert_cmpstr(out.name, ==, "vol1");
    g_assert_cmpuint(out.data_bytes, ==, good.data_bytes);
    g_assert_cmpuint(out.tail_offset, ==, 255 * MIB);
    BROKEN(super.name[0] = '/', "bad volume name");
    BROKEN(memset(super.name, 'a', 48), "volume name not terminated");
    BROKEN(super.sector_bytes = 520, "sector size neither 512 nor 4096");
    BROKEN(super.io_timeout_s = 0, "I/O timeout out of range");
    BROKEN(super.max_nodes = 251, "number of nodes out of range");
    BROKEN(super.max_vms = 4097, "number of VMs out of range");
    BROKEN(super.max_vms = 0, "number of VMs out of range");
    BROKEN(super.max_images = UINT32_MAX, "number of images out of range");
    BROKEN(super.extent_bytes = 3 * MIB, "extent size out of range");
    BROKEN(super.extent_bytes = 0, "extent size out of range");
    BROKEN(super.size_bytes += 512, "volume size out of range");
    BROKEN(super.size_bytes = UINT64_MAX / MIB * MIB, "volume size out of range");
    BROKEN(super.data_bytes = 0, "data region is no whole number of extents");
    BROKEN(super.data_bytes += MIB, "data region is no whole number of extents");
    BROKEN(super.lockspace_offset = 0, "lockspace out of place");
    BROKEN(super.leases_offset = MIB, "leases out of place");
    BROKEN(super.nodes_offset = super.leases_offset, "node slots out of place");
    BROKEN(super.vms_offset += 4096, "VM slots out of place");
    BROKEN(super.images_offset = UINT64_MAX / MIB * MIB, "image slots out of place");
    BROKEN(super.data_bytes = UINT64_MAX / super.extent_bytes * super.extent_bytes,
           "data region out of place");
    BROKEN(super.tail_offset -= 4 * MIB, "second superblock out of place");
    BROKEN(super.size_bytes += MIB, "second superblock not at the end");
    BROKEN(super.feature_incompat = 2; super.max_vms = 0, NULL); /* refused later, as the future */
#undef BROKEN
    head.payload_bytes = 8;
    g_assert_cmpstr(csv_super_decode(block, &head, &out), ==,
                    "payload length is not a superblock's");
}

static void
test_layout(void)
{
    struct csv_super super = sample_super();

    super.size_bytes = super.data_offset + super.extent_bytes + MIB;
    g_assert_true(csv_layout(&super));
    g_assert_cmpuint(super.data_bytes, ==, super.extent_bytes);
    super.size_bytes -= MIB;
    g_assert_false(csv_layout(&super));
}

static void
test_node_record(void)
{
    struct csv_super super = sample_super();
    struct csv_node in = sample_node(), out;
    g_autofree uint8_t *block = g_malloc0(CSV_BLOCK_MAX);
    struct csv_disk_node *disk = (struct csv_disk_node *)(block + 128);
    struct csv_head head = {.is_used = true};

    g_strlcpy(in.notes, "what was\tdone\n", sizeof(in.notes));
    head.payload_bytes = csv_node_encode(&in, block);
    g_assert_null(csv_node_decode(block, &head, &super, 2, &out));
    g_assert_cmpmem(&in, sizeof(in), &out, sizeof(out));
    g_assert_cmpstr(csv_node_decode(block, &head, &super, 1, &out), ==,
                    "host id is another slot's");
#define BROKEN(change, text)         \
    memset(block, 0, CSV_BLOCK_MAX); \
    csv_node_encode(&in, block);     \
    change;                          \
    g_assert_cmpstr(csv_node_decode(block, &head, &super, 2, &out), ==, text)
    BROKEN(disk->host_id = 0, "host id out of range");
    BROKEN(disk->host_id = GUINT32_TO_LE(65), "host id out of range");
    BROKEN(disk->name[0] = 0, "bad node name");
    BROKEN(memset(disk->name, 'a', 48), "bad node name");
    BROKEN(memset(disk->management, 'a', 64), "bad management address");
    BROKEN(disk->management[0] = 27, "bad management address");
    BROKEN(disk->migration[0] = '\n', "bad migration address");
    BROKEN(disk->cpu_vendor[0] = 200, "bad CPU vendor");
    BROKEN(memset(disk->version, 'x', 32), "bad version text");
    BROKEN(disk->cert_bytes = 0xffff, "certificate too long");
    BROKEN(disk->notes_bytes = GUINT32_TO_LE(3072), "notes too long");
    BROKEN(disk->notes_bytes = GUINT32_TO_LE(15), "NUL in the notes");
#undef BROKEN
    head.payload_bytes--;
    g_assert_cmpstr(csv_node_decode(block, &head, &super, 2, &out), ==,
                    "payload length is not a node's");
}

static void
test_vm_record(void)
{
    struct csv_super super = sample_super();
    struct csv_vm_record in = sample_vm(), out;
    g_autofree uint8_t *block = g_malloc0(CSV_BLOCK_MAX);
    struct csv_disk_vm *disk = (struct csv_disk_vm *)(block + 128);
    struct csv_head head = {.is_used = true, .generation = 9};

    in.vm.restart = CSV_RESTART_ALWAYS;
    in.vm.prefer_host_id = 3;
    in.vm.move_policy = 70001; /* of a later version: kept as it is */
    g_strlcpy(in.vm.relations, "+db -web2 >db", sizeof(in.vm.relations));
    head.payload_bytes = csv_vm_encode(&in, block);
    g_assert_null(csv_vm_decode(block, &head, &super, 4, true, &out));
    g_assert_cmpstr(out.vm.name, ==, "web");
    g_assert_cmpstr(out.vm.uuid, ==, in.vm.uuid);
    g_assert_cmpstr(out.vm.definition, ==, in.vm.definition);
    g_assert_cmpuint(out.vm.slot, ==, 4);
    g_assert_cmpuint(out.vm.wanted, ==, CSV_WANTED_RUNNING);
    g_assert_cmpuint(out.vm.memory_bytes, ==, 512 * MIB);
    g_assert_cmpuint(out.birth, ==, 3);
    g_assert_cmpuint(out.vm.restart, ==, CSV_RESTART_ALWAYS);
    g_assert_cmpuint(out.vm.prefer_host_id, ==, 3);
    g_assert_cmpuint(out.vm.move_policy, ==, 70001);
    g_assert_cmpstr(out.vm.relations, ==, "+db -web2 >db");
    csv_vm_clear(&out.vm);
#define BROKEN(change, text)         \
    memset(block, 0, CSV_BLOCK_MAX); \
    csv_vm_encode(&in, block);       \
    change;                          \
    g_assert_cmpstr(csv_vm_decode(block, &head, &super, 4, true, &out), ==, text)
    BROKEN(disk->name[3] = ' ', "bad VM name");
    BROKEN(disk->wanted = GUINT32_TO_LE(2), "wanted state unknown");
    BROKEN(disk->priority = GUINT32_TO_LE(1001), "priority out of range");
    BROKEN(disk->last_host_id = GUINT32_TO_LE(65), "last host id out of range");
    BROKEN(disk->birth = 0, "birth out of range");
    BROKEN(disk->birth = GUINT64_TO_LE(10), "birth out of range");
    BROKEN(disk->definition_bytes = GUINT32_TO_LE(30001), "definition too long");
    BROKEN(disk->definition_bytes = GUINT32_TO_LE(5),
           "definition length contradicts the payload's");
    BROKEN(block[260] = 0, "NUL in the definition");
    BROKEN(disk->relations_bytes = GUINT32_TO_LE(1024), "relations too long");
    BROKEN(disk->relations_bytes = GUINT32_TO_LE(14), "a relation to no VM");
    BROKEN(disk->relations_bytes = GUINT32_TO_LE(5), "a relation to no VM");
    BROKEN(disk->relations_bytes = GUINT32_TO_LE(4), "a relation to no VM");
    BROKEN(block[CSV_VM_RELATIONS] = '*', "a relation of an unknown kind");
    BROKEN(block[CSV_VM_RELATIONS] = 0, "a relation of an unknown kind");
    BROKEN(block[CSV_VM_RELATIONS + 1] = '.', "a relation to no VM");
    BROKEN(block[CSV_VM_RELATIONS + 2] = 0, "a relation to no VM");
#undef BROKEN
    head.payload_bytes = 127;
    g_assert_cmpstr(csv_vm_decode(block, &head, &super, 4, true, &out), ==,
                    "payload length is not a VM's");
    head.payload_bytes = 128;
    disk->definition_bytes = 0;
    g_assert_cmpstr(csv_vm_decode(block, &head, &super, 4, true, &out), ==, "no definition");
}

static void
test_image_record(void)
{
    struct csv_super super = sample_super();
    struct csv_image_record in = sample_image(&super), out;
    g_autofree uint8_t *block = g_malloc0(CSV_BLOCK_MAX);
    struct csv_disk_image *disk = (struct csv_disk_image *)(block + 128);
    struct csv_head head = {.is_used = true, .generation = 9};
    uint64_t data = super.data_offset;

    head.payload_bytes = csv_image_encode(&in, block);
    g_assert_null(csv_image_decode(block, &head, &super, 4, &out));
    g_assert_cmpstr(out.image.name, ==, "web.disk");
    g_assert_cmpstr(out.image.uuid, ==, in.image.uuid);
    g_assert_cmpuint(out.image.extent_count, ==, 2);
    g_assert_cmpuint(out.image.extents[1].offset_bytes, ==, data);
    g_assert_cmpuint(out.owner_slot, ==, 5);
    g_assert_cmpuint(out.owner_birth, ==, 3);
#define BROKEN(change, text)         \
    memset(block, 0, CSV_BLOCK_MAX); \
    csv_image_encode(&in, block);    \
    change;                          \
    g_assert_cmpstr(csv_image_decode(block, &head, &super, 4, &out), ==, text)
    BROKEN(disk->name[0] = '.', "bad image name");
    BROKEN(disk->size_bytes = 0, "image size out of range");
    BROKEN(disk->size_bytes = GUINT64_TO_LE(4097), "image size out of range");
    BROKEN(disk->size_bytes = GUINT64_TO_LE(9 * MIB), "extents do not hold the size");
    BROKEN(disk->flags = GUINT32_TO_LE(2), "unknown image flags");
    BROKEN(disk->owner_slot = GUINT32_TO_LE(16), "owner's slot out of range");
    BROKEN(disk->extent_count = GUINT32_TO_LE(201), "number of extents out of range");
    BROKEN(disk->extent_count = GUINT32_TO_LE(1),
           "payload length contradicts the number of extents");
    BROKEN(disk->extents[0].bytes = 0, "extent of no whole size");
    BROKEN(disk->extents[0].bytes = GUINT64_TO_LE(MIB), "extent of no whole size");
    BROKEN(disk->extents[0].offset = 0, "extent not aligned");
    BROKEN(disk->extents[0].offset = GUINT64_TO_LE(data + MIB), "extent not aligned");
    BROKEN(disk->extents[0].offset = GUINT64_TO_LE(data + super.data_bytes),
           "extent beyond the data region");
    BROKEN(disk->extents[0].bytes = GUINT64_TO_LE(UINT64_MAX / (4 * MIB) * (4 * MIB)),
           "extent beyond the data region");
    BROKEN(disk->extents[0].offset = GUINT64_TO_LE(data), "extents overlap within the image");
#undef BROKEN
    head.payload_bytes = 128;
    disk->extent_count = 0;
    g_assert_cmpstr(csv_image_decode(block, &head, &super, 4, &out), ==,
                    "number of extents out of range");
}

static void
test_names_and_uuids(void)
{
    char long_name[49];
    uint8_t uuid[16];
    char text[CSV_UUID_STR];

    memset(long_name, 'a', 48);
    long_name[48] = 0;
    g_assert_false(csv_name_is_valid(long_name));
    long_name[47] = 0;
    g_assert_true(csv_name_is_valid(long_name));
    g_assert_true(csv_name_is_valid("0"));
    g_assert_true(csv_name_is_valid("a.b_c-D"));
    g_assert_false(csv_name_is_valid(""));
    g_assert_false(csv_name_is_valid(NULL));
    g_assert_false(csv_name_is_valid(".lun"));
    g_assert_false(csv_name_is_valid("-a"));
    g_assert_false(csv_name_is_valid("a/b"));
    g_assert_false(csv_name_is_valid("a b"));
    g_assert_false(csv_name_is_valid("\xc3\xa4"));

    g_assert_true(csv_uuid_parse("01234567-89ab-CDEF-8f01-23456789abcd", uuid));
    csv_uuid_print(uuid, text);
    g_assert_cmpstr(text, ==, "01234567-89ab-cdef-8f01-23456789abcd");
    g_assert_false(csv_uuid_parse("01234567-89ab-cdef-8f01-23456789abcd0", uuid));
    g_assert_false(csv_uuid_parse("01234567-89ab-cdef-8f01-23456789abc", uuid));
    g_assert_false(csv_uuid_parse("0123456789ab-cdef-8f01-23456789abcd-", uuid));
    g_assert_false(csv_uuid_parse("", uuid));
}

static void
test_epochs(void)
{
    const struct csv_epoch a = {5, 9, 9, ""}, b = {6, 1, 1, ""}, c = {6, 2, 1, ""},
                           d = {6, 2, 2, ""};

    g_assert_cmpint(csv_epoch_compare(&a, &b), <, 0);
    g_assert_cmpint(csv_epoch_compare(&b, &c), <, 0);
    g_assert_cmpint(csv_epoch_compare(&c, &d), <, 0);
    g_assert_cmpint(csv_epoch_compare(&d, &a), >, 0);
    g_assert_cmpint(csv_epoch_compare(&d, &d), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/csv/format/golden", test_golden);
    g_test_add_func("/csv/format/header-round-trip", test_header_round_trip);
    g_test_add_func("/csv/format/header-fields", test_header_fields);
    g_test_add_func("/csv/format/every-bit", test_every_bit);
    g_test_add_func("/csv/format/blank-and-torn", test_blank_and_torn);
    g_test_add_func("/csv/format/super-rules", test_super_rules);
    g_test_add_func("/csv/format/layout", test_layout);
    g_test_add_func("/csv/format/node", test_node_record);
    g_test_add_func("/csv/format/vm", test_vm_record);
    g_test_add_func("/csv/format/image", test_image_record);
    g_test_add_func("/csv/format/names-and-uuids", test_names_and_uuids);
    g_test_add_func("/csv/format/epochs", test_epochs);
    return g_test_run();
}
