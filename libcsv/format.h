/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* format.h - the bytes on a volume: blocks, their headers, their contents, where they are. */
#pragma once

/*
 * Everything that is written down on a LUN by us is a *block*: a header of 128 bytes, a payload,
 * zeroes up to the block's size. csv-format(5) has the same tables in prose. This module does no
 * I/O: it turns blocks into checked structures and back. What it gets is hostile: no length,
 * index or string of a block is used before it was checked, and each check that fails has a
 * result or a text of its own.
 */

#include "csv.h"

#include <stddef.h>
#include <stdint.h>

#define CSV_MIB        (1ull << 20)
#define CSV_UUID_BYTES 16
#define CSV_REQUESTS   3

enum csv_kind { CSV_KIND_SUPER, CSV_KIND_NODE, CSV_KIND_VM, CSV_KIND_IMAGE };

#define CSV_SUPER_BLOCK 4096u
#define CSV_NODE_BLOCK  8192u
#define CSV_VM_BLOCK    32768u
#define CSV_IMAGE_BLOCK 4096u
#define CSV_BLOCK_MAX   CSV_VM_BLOCK
#define CSV_COPIES      2 /* of a slot, one after the other */

/* Feature bits that this version knows. */
#define CSV_FEATURES_COMPAT    0u
#define CSV_FEATURES_RO_COMPAT 0u
#define CSV_FEATURE_DIRECTORY  1u /* incompatible: images are files beside the catalogue */
#define CSV_FEATURES_INCOMPAT  CSV_FEATURE_DIRECTORY

/* ---- on the LUN: little-endian ---------------------------------------------------------- */

struct csv_disk_header {
    uint8_t magic[8];
    uint32_t version;     /* CSV_FORMAT_VERSION */
    uint32_t block_bytes; /* size of the whole block, which the CRC covers */
    uint8_t volume_uuid[CSV_UUID_BYTES];
    uint64_t address;    /* where on the LUN this block belongs */
    uint64_t generation; /* of the slot, from 1 */
    uint64_t epoch_lver; /* who wrote it: see struct csv_epoch */
    uint64_t epoch_host_generation;
    uint32_t epoch_host_id;
    uint32_t payload_bytes;
    uint32_t state;                                 /* CSV_DISK_FREED or CSV_DISK_USED */
    uint32_t crc32c;                                /* of the whole block with this field zero */
    uint8_t requests[CSV_REQUESTS][CSV_UUID_BYTES]; /* that changed the slot, newest first */
};
#define CSV_DISK_FREED 0u
#define CSV_DISK_USED  1u

struct csv_disk_super {
    uint8_t name[48];
    uint32_t sector_bytes;
    uint32_t io_timeout_s;
    uint32_t max_nodes;
    uint32_t max_vms;
    uint32_t max_images;
    uint32_t feature_compat;
    uint32_t feature_ro_compat;
    uint32_t feature_incompat;
    uint64_t extent_bytes;
    uint64_t size_bytes;
    uint64_t lockspace_offset;
    uint64_t leases_offset;
    uint64_t nodes_offset;
    uint64_t vms_offset;
    uint64_t images_offset;
    uint64_t data_offset;
    uint64_t data_bytes;
    uint64_t tail_offset; /* of the superblock's other copy */
    uint64_t reserved[4];
};

struct csv_disk_node {
    uint32_t host_id;
    uint16_t port;
    uint16_t cert_bytes;
    uint8_t name[48];
    uint8_t management[64];
    uint8_t migration[64];
    uint8_t cpu_vendor[16];
    uint8_t version[32];
    uint64_t memory_bytes;
    uint64_t memory_free_bytes;
    uint64_t heartbeat;
    uint64_t host_generation;
    uint64_t written_ms;
    uint32_t cpus;
    uint32_t flags;
    uint32_t notes_bytes; /* 0: none */
    uint32_t reserved_0;
    uint64_t reserved[4];
    uint8_t running[CSV_MAX_VMS / 8];
    uint8_t cert[CSV_CERT_MAX];
};

/* Notes stand behind it, outside of the payload. */
#define CSV_NODE_NOTES (128 + 320 + CSV_MAX_VMS / 8 + CSV_CERT_MAX)

struct csv_disk_vm {
    uint8_t name[48];
    uint8_t uuid[CSV_UUID_BYTES];
    uint32_t wanted;
    uint32_t priority;
    uint64_t memory_bytes;
    uint32_t vcpus;
    uint32_t last_host_id;
    uint64_t birth; /* generation that the slot had when this VM was created */
    uint32_t definition_bytes;
    uint32_t policy; /* CSV_POLICY_* */
    uint32_t prefer_host_id;
    uint32_t relations_bytes; /* 0: none */
    uint32_t move_policy;     /* 0: none */
    uint32_t reserved[3];
    /* the definition follows, without a NUL */
};

/* Relations stand behind the longest definition, outside of the payload: readers that do not know
 * them do not see them. */
#define CSV_VM_RELATIONS (128 + 128 + CSV_DEFINITION_MAX)

#define CSV_POLICY_RESTART   3u /* enum csv_restart */
#define CSV_POLICY_ISOLATION 4u /* restarts_on_isolation */
#define CSV_POLICY_KNOWN     7u

struct csv_disk_extent {
    uint64_t offset;
    uint64_t bytes;
};

struct csv_disk_image {
    uint8_t name[48];
    uint8_t uuid[CSV_UUID_BYTES];
    uint64_t size_bytes;
    uint32_t flags;
    uint32_t extent_count;
    uint64_t owner_birth; /* with owner_slot names one VM for ever; 0: no owner */
    uint32_t owner_slot;
    uint32_t reserved[9];
    struct csv_disk_extent extents[CSV_MAX_EXTENTS];
};

_Static_assert(sizeof(struct csv_disk_header) == 128, "block header");
_Static_assert(offsetof(struct csv_disk_header, volume_uuid) == 16, "block header");
_Static_assert(offsetof(struct csv_disk_header, address) == 32, "block header");
_Static_assert(offsetof(struct csv_disk_header, epoch_host_id) == 64, "block header");
_Static_assert(offsetof(struct csv_disk_header, crc32c) == 76, "block header");
_Static_assert(offsetof(struct csv_disk_header, requests) == 80, "block header");
_Static_assert(sizeof(struct csv_disk_super) == 192, "superblock");
_Static_assert(offsetof(struct csv_disk_super, extent_bytes) == 80, "superblock");
_Static_assert(offsetof(struct csv_disk_super, tail_offset) == 152, "superblock");
_Static_assert(offsetof(struct csv_disk_node, memory_bytes) == 232, "node");
_Static_assert(offsetof(struct csv_disk_node, running) == 320, "node");
_Static_assert(offsetof(struct csv_disk_node, notes_bytes) == 280, "node");
_Static_assert(CSV_NODE_NOTES == 5056, "node");
_Static_assert(CSV_NODE_NOTES == 128 + sizeof(struct csv_disk_node), "node");
_Static_assert(CSV_NODE_NOTES + CSV_NODE_NOTES_MAX <= CSV_NODE_BLOCK, "node fits");
_Static_assert(sizeof(struct csv_disk_node) == 320 + 512 + 4096, "node");
_Static_assert(sizeof(struct csv_disk_vm) == 128, "vm");
_Static_assert(offsetof(struct csv_disk_vm, birth) == 88, "vm");
_Static_assert(offsetof(struct csv_disk_vm, policy) == 100, "vm");
_Static_assert(offsetof(struct csv_disk_vm, prefer_host_id) == 104, "vm");
_Static_assert(offsetof(struct csv_disk_vm, relations_bytes) == 108, "vm");
_Static_assert(offsetof(struct csv_disk_vm, move_policy) == 112, "vm");
_Static_assert(offsetof(struct csv_disk_image, owner_birth) == 80, "image");
_Static_assert(offsetof(struct csv_disk_image, extents) == 128, "image");
_Static_assert(128 + sizeof(struct csv_disk_node) <= CSV_NODE_BLOCK, "node fits");
_Static_assert(CSV_VM_RELATIONS == 30256, "vm");
_Static_assert(CSV_VM_RELATIONS + CSV_RELATIONS_MAX <= CSV_VM_BLOCK, "vm fits");
_Static_assert(128 + sizeof(struct csv_disk_image) <= CSV_IMAGE_BLOCK, "image fits");

/* ---- decoded ---------------------------------------------------------------------------- */

/* The superblock, checked. Regions are what its offsets say; each starts on a whole MiB. */
struct csv_super {
    uint8_t uuid[CSV_UUID_BYTES];
    char name[CSV_NAME_MAX + 1];
    uint32_t sector_bytes, io_timeout_s;
    uint32_t max_nodes, max_vms, max_images;
    uint32_t feature_compat, feature_ro_compat, feature_incompat;
    uint64_t extent_bytes, size_bytes;
    uint64_t lockspace_offset, leases_offset, nodes_offset, vms_offset, images_offset;
    uint64_t data_offset, data_bytes, tail_offset;
    uint64_t generation; /* of the superblock: 1, and one more with each growth of the volume */
};

/* Is it the catalogue of a directory, whose images are files? */
static inline bool
csv_is_directory(const struct csv_super *super)
{
    return (super->feature_incompat & CSV_FEATURE_DIRECTORY) != 0;
}

struct csv_head {
    uint64_t generation;
    struct csv_epoch epoch;
    uint32_t payload_bytes;
    bool is_used; /* else freed: it has a history, no content that counts */
    uint8_t requests[CSV_REQUESTS][CSV_UUID_BYTES]; /* newest first, zero none */
};

/* What a VM slot holds beside what the world may see. */
struct csv_vm_record {
    struct csv_vm vm;
    uint64_t birth;
};

struct csv_image_record {
    uint32_t owner_slot;
    uint64_t owner_birth;
    /* Last, for a catalogue holds it without the extents that it does not have. Its owner is empty
     * here: that is derived, see catalog.h. */
    struct csv_image image;
};

/* ---- blocks ----------------------------------------------------------------------------- */

enum csv_block {
    CSV_BLOCK_OK,
    CSV_BLOCK_BLANK,      /* all zero: never written */
    CSV_BLOCK_TORN,       /* header all zero, the rest not: only the end of a write arrived */
    CSV_BLOCK_GARBAGE,    /* not one of our magics */
    CSV_BLOCK_OTHER_KIND, /* the magic of another kind */
    CSV_BLOCK_FUTURE,     /* version beyond ours, or zero */
    CSV_BLOCK_BAD_SIZE,   /* block_bytes is not this kind's */
    CSV_BLOCK_BAD_CRC,    /* torn or rotten */
    CSV_BLOCK_FOREIGN,    /* sound, but of another volume */
    CSV_BLOCK_MISPLACED,  /* sound, but belongs elsewhere */
    CSV_BLOCK_BAD_GENERATION,
    CSV_BLOCK_BAD_LENGTH, /* payload_bytes beyond the block */
    CSV_BLOCK_BAD_STATE,
    CSV_BLOCK_BAD_CONTENT, /* sound, but the content breaks a rule */
};

/* "bad checksum", never NULL */
const char *csv_block_text(enum csv_block result);
uint32_t csv_block_bytes(enum csv_kind kind);
const char *csv_kind_name(enum csv_kind kind);
/* The number that people know a slot by: of a node its host id, from 1. */
uint32_t csv_slot_number(enum csv_kind kind, uint32_t slot);

/* Checks a block of csv_block_bytes(kind). uuid NULL: any volume's (the superblock's). *head is
 * filled when the result is CSV_BLOCK_OK. */
enum csv_block csv_block_check(const void *block, enum csv_kind kind, const uint8_t *uuid,
                               uint64_t address, struct csv_head *head);

/* Writes the header in front of a payload that is in place already, and the checksum. */
void csv_block_seal(void *block, enum csv_kind kind, const uint8_t *uuid, uint64_t address,
                    const struct csv_head *head);

/* <0, 0, >0 as a is older than, the same as, newer than b */
int csv_epoch_compare(const struct csv_epoch *a, const struct csv_epoch *b);

/* ---- contents --------------------------------------------------------------------------- */

/* Encoders write the payload into a zeroed block and return its length; they trust their input.
 * Decoders take a block that passed csv_block_check() and return NULL, or what is wrong with it;
 * the output is untouched then. */

uint32_t csv_super_encode(const struct csv_super *super, void *block);
const char *
csv_super_decode(const void *block, const struct csv_head *head, struct csv_super *super);
uint32_t csv_node_encode(const struct csv_node *node, void *block);
const char *csv_node_decode(const void *block, const struct csv_head *head,
                            const struct csv_super *super, uint32_t slot, struct csv_node *node);
/* What is wrong with a VM's relations; NULL: nothing. length bytes, no NUL needed. */
const char *csv_relations_problem(const char *relations, size_t length);
uint32_t csv_vm_encode(const struct csv_vm_record *record, void *block);
/* The definition is copied only when asked for; "no memory" may be the answer then. */
const char *
csv_vm_decode(const void *block, const struct csv_head *head, const struct csv_super *super,
              uint32_t slot, bool with_definition, struct csv_vm_record *record);
uint32_t csv_image_encode(const struct csv_image_record *record, void *block);
const char *
csv_image_decode(const void *block, const struct csv_head *head, const struct csv_super *super,
                 uint32_t slot, struct csv_image_record *record);

/* Copy an image without the extents that it does not have: there is room for many, and most have
 * one. csv_image_record_bytes() is how long such a record is. */
void csv_image_copy(struct csv_image *to, const struct csv_image *from);
/* Up to its last extent. */
size_t csv_image_bytes(const struct csv_image *image);
void csv_image_record_copy(struct csv_image_record *to, const struct csv_image_record *from);
size_t csv_image_record_bytes(const struct csv_image_record *record);

/* The rules that a decoder applies, for callers' input too: NULL or what is wrong. */
const char *csv_node_problem(const struct csv_node *node, const struct csv_super *super);
const char *csv_image_problem(const struct csv_image *image, const struct csv_super *super);

/* Fills the region offsets from sizes and counts: size_bytes (a multiple of 1 MiB), max_*,
 * extent_bytes. False: no room for the regions and one extent. Of a directory size_bytes is filled,
 * too: its catalogue has no data in it. */
bool csv_layout(struct csv_super *super);

/* Where a copy of a slot is. Nodes count from 0 here: slot = host id - 1. */
uint64_t
csv_slot_address(const struct csv_super *super, enum csv_kind kind, uint32_t slot, int copy);
uint32_t csv_slot_count(const struct csv_super *super, enum csv_kind kind);

void csv_uuid_print(const uint8_t uuid[CSV_UUID_BYTES], char text[CSV_UUID_STR]);
/* False: not 8-4-4-4-12 hexadecimal digits. */
bool csv_uuid_parse(const char *text, uint8_t uuid[CSV_UUID_BYTES]);
