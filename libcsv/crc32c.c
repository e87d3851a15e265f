/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crc32c.c - CRC-32C by table, or by the processor where it can. */

/*
 * A catalogue change reads every slot again, tens of MiB, so the checksum must not be
 * what that costs. The tables are eight (slicing by eight bytes) and are computed at first use.
 */

#include "crc32c.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void
table_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int slice = 1; slice < 8; slice++)
            table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 0xff];
}

static uint32_t
by_table(uint32_t crc, const uint8_t *data, size_t bytes)
{
    pthread_once(&table_once, table_init);
    for (; bytes >= 8; data += 8, bytes -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        word = le64toh(word) ^ crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= table[7 - i][(word >> (8 * i)) & 0xff];
    }
    for (; bytes; data++, bytes--)
        crc = (crc >> 8) ^ table[0][(crc ^ *data) & 0xff];
    return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
by_processor(uint32_t crc, const uint8_t *data, size_t bytes)
{
    uint64_t wide = crc;

    for (; bytes >= 8; data += 8, bytes -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; bytes; data++, bytes--)
        crc = __builtin_ia32_crc32qi(crc, *data);
    return crc;
}
#endif

uint32_t
csv_crc32c_raw(uint32_t crc, const void *data, size_t bytes)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return by_processor(crc, data, bytes);
#endif
    return by_table(crc, data, bytes);
}

uint32_t
csv_crc32c(const void *data, size_t bytes)
{
    return ~csv_crc32c_raw(~0u, data, bytes);
}

uint32_t
csv_crc32c_by_table(const void *data, size_t bytes)
{
    return ~by_table(~0u, data, bytes);
}
