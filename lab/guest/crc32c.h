/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRC32C for the guest's records; tables, because an emulated CPU may lack the instruction. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t lab_crc32c(const void *data, size_t len);
