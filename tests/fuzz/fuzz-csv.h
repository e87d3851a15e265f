/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-csv.h - what the fuzzers of slots and of whole volumes share. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "csv.h"
#include "format.h"

#define LUN_BYTES (20u << 20)

static const uint8_t uuid[CSV_UUID_BYTES] = {1, 2, 3, 4, 5, 6, 0x47, 8, 0x89};

static inline void
require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

static inline struct csv_super
sample_super(void)
{
    struct csv_super super = {
        .name = "fuzz",
        .sector_bytes = 512,
        .io_timeout_s = 10,
        .max_nodes = 2,
        .max_vms = 3,
        .max_images = 4,
        .extent_bytes = CSV_MIB,
        .size_bytes = LUN_BYTES,
    };

    memcpy(super.uuid, uuid, sizeof(uuid));
    require(csv_layout(&super), "layout");
    return super;
}

static inline void
fix_checksum(uint8_t *block, enum csv_kind kind)
{
    const size_t field = offsetof(struct csv_disk_header, crc32c);
    uint32_t crc;

    memset(block + field, 0, 4);
    crc = csv_crc32c(block, csv_block_bytes(kind));
    for (unsigned i = 0; i < 4; i++)
        block[field + i] = (uint8_t)(crc >> (8 * i));
}
