/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crc32c.h - CRC32C for the guest's records. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t lab_crc32c(const void *data, size_t len);
