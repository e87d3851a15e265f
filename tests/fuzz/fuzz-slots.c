/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-slots.c - single blocks as they come off a LUN: superblock, node, VM and image slots. */

/*
 * The first byte of an input chooses the kind; the rest is the block, with zeros where it ends
 * early. Its checksum is put right, or hardly any input would come past it.
 */

#include "fuzz-csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a decoder lets through keeps the rules that the rest of the library relies on. */
static void
decode(const uint8_t *block, enum csv_kind kind, const struct csv_head *head)
{
    struct csv_super super = sample_super();
    struct csv_vm_record vm = {0};
    struct csv_image_record image;
    struct csv_node node;

    switch (kind) {
    case CSV_KIND_SUPER:
        if (csv_super_decode(block, head, &super) == NULL && super.feature_incompat == 0) {
            require(super.data_offset + super.data_bytes <= super.tail_offset, "data over tail");
            require(super.tail_offset + CSV_MIB == super.size_bytes, "tail not at the end");
        }
        break;
    case CSV_KIND_NODE:
        if (csv_node_decode(block, head, &super, 0, &node) == NULL) {
            require(csv_name_is_valid(node.name), "node name");
            require(node.cert_bytes <= CSV_CERT_MAX, "certificate");
            require(memchr(node.management, 0, sizeof(node.management)) != NULL, "management");
        }
        break;
    case CSV_KIND_VM:
        if (csv_vm_decode(block, head, &super, 0, true, &vm) == NULL) {
            require(csv_name_is_valid(vm.vm.name), "VM name");
            require(strlen(vm.vm.definition) <= CSV_DEFINITION_MAX, "definition");
            require(!csv_relations_problem(vm.vm.relations, strlen(vm.vm.relations)), "relations");
        }
        csv_vm_clear(&vm.vm);
        break;
    case CSV_KIND_IMAGE:
        if (csv_image_decode(block, head, &super, 0, &image) == NULL) {
            require(csv_name_is_valid(image.image.name), "image name");
            for (uint32_t i = 0; i < image.image.extent_count; i++)
                require(image.image.extents[i].offset_bytes >= super.data_offset &&
                            image.image.extents[i].bytes <= super.data_bytes &&
                            image.image.extents[i].offset_bytes + image.image.extents[i].bytes <=
                                super.data_offset + super.data_bytes,
                        "extent");
        }
        break;
    }
}

static void
try_block(enum csv_kind kind, const uint8_t *data, size_t size)
{
    uint8_t *block = calloc(1, csv_block_bytes(kind)); /* exact: a byte beyond is an ASan report */
    struct csv_head head;

    require(block != NULL, "memory");
    memcpy(block, data, size < csv_block_bytes(kind) ? size : csv_block_bytes(kind));
    if (csv_block_check(block, kind, NULL, 0, &head) == CSV_BLOCK_OK)
        decode(block, kind, &head);
    fix_checksum(block, kind);
    if (csv_block_check(block, kind, NULL, 0, &head) == CSV_BLOCK_OK)
        decode(block, kind, &head);
    free(block);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum csv_kind kinds[] = {CSV_KIND_SUPER, CSV_KIND_NODE, CSV_KIND_VM,
                                          CSV_KIND_IMAGE};

    if (size > 0)
        try_block(kinds[data[0] % 4], data + 1, size - 1);
    return 0;
}
