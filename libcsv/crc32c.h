/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crc32c.h - the checksum of every block on a volume. */
#pragma once

/*
 * CRC-32C (Castagnoli, reflected, polynomial 0x1EDC6F41), the one of iSCSI and ext4. Kept apart
 * because sanlock's leader records use the same polynomial with another start value.
 */

#include <stddef.h>
#include <stdint.h>

/* Continues a checksum without the customary inversions: crc is the raw register. */
uint32_t csv_crc32c_raw(uint32_t crc, const void *data, size_t bytes);

/* The usual CRC-32C: "123456789" gives 0xe3069283. */
uint32_t csv_crc32c(const void *data, size_t bytes);

/* The same without the processor's help, for the test that both agree. */
uint32_t csv_crc32c_by_table(const void *data, size_t bytes);
