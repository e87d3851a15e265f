/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* format.c - blocks and the superblock: headers, checksums, layout. */

/*
 * The frame that every block shares. The order of the checks is the order in which they mean
 * something: a checksum says nothing about a block of an unknown version, and an address says
 * nothing before the checksum has said that it is what was written.
 */

#include "format.h"

#include "crc32c.h"

#include <endian.h>
#include <string.h>

static const struct {
    char magic[9];
    uint32_t bytes;
    const char *name;
} kinds[] = {
    [CSV_KIND_SUPER] = {"CSVsuper", CSV_SUPER_BLOCK, "superblock"},
    [CSV_KIND_NODE] = {"CSVnode ", CSV_NODE_BLOCK, "node slot"},
    [CSV_KIND_VM] = {"CSVvm   ", CSV_VM_BLOCK, "VM slot"},
    [CSV_KIND_IMAGE] = {"CSVimage", CSV_IMAGE_BLOCK, "image slot"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const char *const block_texts[] = {
    [CSV_BLOCK_OK] = "sound",
    [CSV_BLOCK_BLANK] = "blank",
    [CSV_BLOCK_TORN] = "header missing, rest present (torn write)",
    [CSV_BLOCK_GARBAGE] = "no magic (garbage)",
    [CSV_BLOCK_OTHER_KIND] = "magic of another kind of block",
    [CSV_BLOCK_FUTURE] = "unknown format version",
    [CSV_BLOCK_BAD_SIZE] = "wrong block size",
    [CSV_BLOCK_BAD_CRC] = "bad checksum",
    [CSV_BLOCK_FOREIGN] = "belongs to another volume",
    [CSV_BLOCK_MISPLACED] = "belongs to another address",
    [CSV_BLOCK_BAD_GENERATION] = "generation out of range",
    [CSV_BLOCK_BAD_LENGTH] = "payload length out of range",
    [CSV_BLOCK_BAD_STATE] = "unknown state",
    [CSV_BLOCK_BAD_CONTENT] = "bad content",
};

const char *
csv_block_text(enum csv_block result)
{
    return block_texts[result];
}

uint32_t
csv_block_bytes(enum csv_kind kind)
{
    return kinds[kind].bytes;
}

const char *
csv_kind_name(enum csv_kind kind)
{
    return kinds[kind].name;
}

uint32_t
csv_slot_number(enum csv_kind kind, uint32_t slot)
{
    return kind == CSV_KIND_NODE ? slot + 1 : slot;
}

static bool
is_zero(const uint8_t *bytes, size_t count)
{
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

/* The checksum of a block as if its field were zero. */
static uint32_t
checksum(const uint8_t *block, uint32_t bytes)
{
    static const uint8_t none[4];
    const size_t field = offsetof(struct csv_disk_header, crc32c);
    uint32_t crc = ~0u;

    crc = csv_crc32c_raw(crc, block, field);
    crc = csv_crc32c_raw(crc, none, sizeof(none));
    crc = csv_crc32c_raw(crc, block + field + 4, bytes - field - 4);
    return ~crc;
}

static enum csv_block
check_magic(const uint8_t *block, enum csv_kind kind)
{
    uint32_t bytes = kinds[kind].bytes;

    if (memcmp(block, kinds[kind].magic, 8) == 0)
        return CSV_BLOCK_OK;
    if (is_zero(block, sizeof(struct csv_disk_header)))
        return is_zero(block, bytes) ? CSV_BLOCK_BLANK : CSV_BLOCK_TORN;
    for (size_t i = 0; i < KINDS; i++)
        if (memcmp(block, kinds[i].magic, 8) == 0)
            return CSV_BLOCK_OTHER_KIND;
    return CSV_BLOCK_GARBAGE;
}

enum csv_block
csv_block_check(const void *block, enum csv_kind kind, const uint8_t *uuid, uint64_t address,
                struct csv_head *head)
{
    struct csv_disk_header disk;
    uint32_t bytes = kinds[kind].bytes;
    uint32_t state;
    enum csv_block result = check_magic(block, kind);

    if (result != CSV_BLOCK_OK)
        return result;
    memcpy(&disk, block, sizeof(disk));
    if (le32toh(disk.version) != CSV_FORMAT_VERSION)
        return CSV_BLOCK_FUTURE;
    if (le32toh(disk.block_bytes) != bytes)
        return CSV_BLOCK_BAD_SIZE;
    if (le32toh(disk.crc32c) != checksum(block, bytes))
        return CSV_BLOCK_BAD_CRC;
    if (uuid && memcmp(disk.volume_uuid, uuid, CSV_UUID_BYTES) != 0)
        return CSV_BLOCK_FOREIGN;
    if (le64toh(disk.address) != address)
        return CSV_BLOCK_MISPLACED;
    if (disk.generation == 0 || le64toh(disk.generation) == UINT64_MAX)
        return CSV_BLOCK_BAD_GENERATION;
    if (le32toh(disk.payload_bytes) > bytes - sizeof(disk))
        return CSV_BLOCK_BAD_LENGTH;
    state = le32toh(disk.state);
    if (state != CSV_DISK_FREED && state != CSV_DISK_USED)
        return CSV_BLOCK_BAD_STATE;

    head->generation = le64toh(disk.generation);
    head->epoch.lver = le64toh(disk.epoch_lver);
    head->epoch.host_generation = le64toh(disk.epoch_host_generation);
    head->epoch.host_id = le32toh(disk.epoch_host_id);
    head->payload_bytes = le32toh(disk.payload_bytes);
    head->is_used = state == CSV_DISK_USED;
    memcpy(head->requests, disk.requests, sizeof(head->requests));
    return CSV_BLOCK_OK;
}

void
csv_block_seal(void *block, enum csv_kind kind, const uint8_t *uuid, uint64_t address,
               const struct csv_head *head)
{
    struct csv_disk_header disk = {
        .version = htole32(CSV_FORMAT_VERSION),
        .block_bytes = htole32(kinds[kind].bytes),
        .address = htole64(address),
        .generation = htole64(head->generation),
        .epoch_lver = htole64(head->epoch.lver),
        .epoch_host_generation = htole64(head->epoch.host_generation),
        .epoch_host_id = htole32(head->epoch.host_id),
        .payload_bytes = htole32(head->payload_bytes),
        .state = htole32(head->is_used ? CSV_DISK_USED : CSV_DISK_FREED),
    };

    memcpy(disk.magic, kinds[kind].magic, sizeof(disk.magic));
    memcpy(disk.volume_uuid, uuid, CSV_UUID_BYTES);
    memcpy(disk.requests, head->requests, sizeof(disk.requests));
    memcpy(block, &disk, sizeof(disk));
    disk.crc32c = htole32(checksum(block, kinds[kind].bytes));
    memcpy(block, &disk, sizeof(disk));
}

int
csv_epoch_compare(const struct csv_epoch *a, const struct csv_epoch *b)
{
    if (a->lver != b->lver)
        return a->lver < b->lver ? -1 : 1;
    if (a->host_generation != b->host_generation)
        return a->host_generation < b->host_generation ? -1 : 1;
    if (a->host_id != b->host_id)
        return a->host_id < b->host_id ? -1 : 1;
    return 0;
}

static uint64_t
whole_mib(uint64_t bytes)
{
    return (bytes + CSV_MIB - 1) / CSV_MIB * CSV_MIB;
}

static uint64_t
slots_bytes(const struct csv_super *super, enum csv_kind kind)
{
    return whole_mib((uint64_t)csv_slot_count(super, kind) * kinds[kind].bytes * CSV_COPIES);
}

static uint64_t
leases_bytes(const struct csv_super *super)
{
    return (2 + (uint64_t)super->max_vms) * CSV_MIB;
}

bool
csv_layout(struct csv_super *super)
{
    super->lockspace_offset = CSV_MIB;
    super->leases_offset = super->lockspace_offset + CSV_MIB;
    super->nodes_offset = super->leases_offset + leases_bytes(super);
    super->vms_offset = super->nodes_offset + slots_bytes(super, CSV_KIND_NODE);
    super->images_offset = super->vms_offset + slots_bytes(super, CSV_KIND_VM);
    super->data_offset = super->images_offset + slots_bytes(super, CSV_KIND_IMAGE);
    if (csv_is_directory(super)) {
        super->size_bytes = super->data_offset + CSV_MIB;
        super->tail_offset = super->data_offset;
        super->data_bytes = 0;
        return true;
    }
    if (super->size_bytes < super->data_offset + super->extent_bytes + CSV_MIB)
        return false;
    super->tail_offset = super->size_bytes - CSV_MIB;
    super->data_bytes =
        (super->tail_offset - super->data_offset) / super->extent_bytes * super->extent_bytes;
    return true;
}

uint32_t
csv_slot_count(const struct csv_super *super, enum csv_kind kind)
{
    switch (kind) {
    case CSV_KIND_SUPER:
        return 1;
    case CSV_KIND_NODE:
        return super->max_nodes;
    case CSV_KIND_VM:
        return super->max_vms;
    case CSV_KIND_IMAGE:
        return super->max_images;
    }
    return 0;
}

uint64_t
csv_slot_address(const struct csv_super *super, enum csv_kind kind, uint32_t slot, int copy)
{
    uint64_t base = 0;

    switch (kind) {
    case CSV_KIND_SUPER:
        return copy ? super->tail_offset : 0;
    case CSV_KIND_NODE:
        base = super->nodes_offset;
        break;
    case CSV_KIND_VM:
        base = super->vms_offset;
        break;
    case CSV_KIND_IMAGE:
        base = super->images_offset;
        break;
    }
    return base + ((uint64_t)slot * CSV_COPIES + (uint64_t)copy) * kinds[kind].bytes;
}

uint32_t
csv_super_encode(const struct csv_super *super, void *block)
{
    struct csv_disk_super disk = {
        .sector_bytes = htole32(super->sector_bytes),
        .io_timeout_s = htole32(super->io_timeout_s),
        .max_nodes = htole32(super->max_nodes),
        .max_vms = htole32(super->max_vms),
        .max_images = htole32(super->max_images),
        .feature_compat = htole32(super->feature_compat),
        .feature_ro_compat = htole32(super->feature_ro_compat),
        .feature_incompat = htole32(super->feature_incompat),
        .extent_bytes = htole64(super->extent_bytes),
        .size_bytes = htole64(super->size_bytes),
        .lockspace_offset = htole64(super->lockspace_offset),
        .leases_offset = htole64(super->leases_offset),
        .nodes_offset = htole64(super->nodes_offset),
        .vms_offset = htole64(super->vms_offset),
        .images_offset = htole64(super->images_offset),
        .data_offset = htole64(super->data_offset),
        .data_bytes = htole64(super->data_bytes),
        .tail_offset = htole64(super->tail_offset),
    };

    memcpy(disk.name, super->name, sizeof(disk.name));
    memcpy((uint8_t *)block + sizeof(struct csv_disk_header), &disk, sizeof(disk));
    return sizeof(disk);
}

/* Regions lie one behind the other, aligned, none overlapping, all within the volume. Their ends
 * are far below 2^64 since counts are bounded and the offsets were compared with size first. */
static const char *
regions_problem(const struct csv_super *super)
{
    const struct {
        uint64_t offset, bytes;
        const char *text;
    } regions[] = {
        {super->lockspace_offset, CSV_MIB, "lockspace out of place"},
        {super->leases_offset, leases_bytes(super), "leases out of place"},
        {super->nodes_offset, slots_bytes(super, CSV_KIND_NODE), "node slots out of place"},
        {super->vms_offset, slots_bytes(super, CSV_KIND_VM), "VM slots out of place"},
        {super->images_offset, slots_bytes(super, CSV_KIND_IMAGE), "image slots out of place"},
        {super->data_offset, super->data_bytes, "data region out of place"},
        {super->tail_offset, CSV_MIB, "second superblock out of place"},
    };
    uint64_t end = CSV_MIB;

    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        if (regions[i].offset % CSV_MIB || regions[i].offset < end ||
            regions[i].offset > super->size_bytes ||
            regions[i].bytes > super->size_bytes - regions[i].offset)
            return regions[i].text;
        end = regions[i].offset + regions[i].bytes;
    }
    return end == super->size_bytes ? NULL : "second superblock not at the end";
}

static const char *
super_problem(const struct csv_super *super)
{
    if (!csv_name_is_valid(super->name))
        return "bad volume name";
    if (super->sector_bytes != 512 && super->sector_bytes != 4096)
        return "sector size neither 512 nor 4096";
    if (super->io_timeout_s < 1 || super->io_timeout_s > 600)
        return "I/O timeout out of range";
    if (super->max_nodes < 1 || super->max_nodes > CSV_MAX_NODES)
        return "number of nodes out of range";
    if (super->max_vms < 1 || super->max_vms > CSV_MAX_VMS)
        return "number of VMs out of range";
    if (super->max_images < 1 || super->max_images > CSV_MAX_IMAGES)
        return "number of images out of range";
    if (super->extent_bytes < CSV_MIB || super->extent_bytes > 1024 * CSV_MIB ||
        (super->extent_bytes & (super->extent_bytes - 1)))
        return "extent size out of range";
    if (super->size_bytes % CSV_MIB || super->size_bytes > INT64_MAX)
        return "volume size out of range";
    if ((super->data_bytes == 0) != csv_is_directory(super) ||
        super->data_bytes % super->extent_bytes)
        return "data region is no whole number of extents";
    return regions_problem(super);
}

const char *
csv_super_decode(const void *block, const struct csv_head *head, struct csv_super *super)
{
    const struct csv_disk_header *header = block;
    struct csv_disk_super disk;
    struct csv_super made = {0};
    const char *problem;

    if (head->payload_bytes != sizeof(disk))
        return "payload length is not a superblock's";
    if (!head->is_used)
        return "superblock is marked free";
    memcpy(&disk, (const uint8_t *)block + sizeof(struct csv_disk_header), sizeof(disk));
    memcpy(made.uuid, header->volume_uuid, sizeof(made.uuid));
    memcpy(made.name, disk.name, sizeof(made.name));
    if (made.name[CSV_NAME_MAX])
        return "volume name not terminated";
    made.sector_bytes = le32toh(disk.sector_bytes);
    made.io_timeout_s = le32toh(disk.io_timeout_s);
    made.max_nodes = le32toh(disk.max_nodes);
    made.max_vms = le32toh(disk.max_vms);
    made.max_images = le32toh(disk.max_images);
    made.feature_compat = le32toh(disk.feature_compat);
    made.feature_ro_compat = le32toh(disk.feature_ro_compat);
    made.feature_incompat = le32toh(disk.feature_incompat);
    made.extent_bytes = le64toh(disk.extent_bytes);
    made.size_bytes = le64toh(disk.size_bytes);
    made.lockspace_offset = le64toh(disk.lockspace_offset);
    made.leases_offset = le64toh(disk.leases_offset);
    made.nodes_offset = le64toh(disk.nodes_offset);
    made.vms_offset = le64toh(disk.vms_offset);
    made.images_offset = le64toh(disk.images_offset);
    made.data_offset = le64toh(disk.data_offset);
    made.data_bytes = le64toh(disk.data_bytes);
    made.tail_offset = le64toh(disk.tail_offset);
    made.generation = head->generation;
    problem = super_problem(&made);
    /* a volume with features that nobody here knows may break every rule above */
    if (problem && !(made.feature_incompat & ~CSV_FEATURES_INCOMPAT))
        return problem;
    *super = made;
    return NULL;
}

void
csv_uuid_print(const uint8_t uuid[CSV_UUID_BYTES], char text[CSV_UUID_STR])
{
    static const char digits[] = "0123456789abcdef";
    char *to = text;

    for (int i = 0; i < CSV_UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = digits[uuid[i] >> 4];
        *to++ = digits[uuid[i] & 15];
    }
    *to = 0;
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool
csv_uuid_parse(const char *text, uint8_t uuid[CSV_UUID_BYTES])
{
    uint8_t made[CSV_UUID_BYTES];

    for (int i = 0; i < CSV_UUID_BYTES; i++) {
        int high, low;
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
            return false;
        high = hex_digit(*text);
        if (high < 0)
            return false;
        low = hex_digit(text[1]);
        if (low < 0)
            return false;
        made[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    if (*text)
        return false;
    memcpy(uuid, made, sizeof(made));
    return true;
}
