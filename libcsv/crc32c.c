/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crc32c.c - CRC-32C by table, or by the processor where it can. */

/*
 * A catalogue change reads every slot again, tens of MiB, so the checksum must not be
 * what that costs. The tables are eight (slicing by eight bytes) and are computed at first use.
 *
 * The processor's instruction takes three cycles and can begin another one in each: three stretches
 * of a block go side by side, and are put together by what STRETCH zero bytes make of a register,
 * for a checksum is linear: that of "ab" is that of "a0" combined with that of "b".
 */

#include "crc32c.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#define STRETCH 256u

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
/* What STRETCH zero bytes make of a register, for each of its four bytes. */
static uint32_t shift[4][256];
static pthread_once_t shift_once = PTHREAD_ONCE_INIT;

static void
shift_init(void)
{
    static const uint8_t zeroes[STRETCH];

    for (uint32_t i = 0; i < 256; i++)
        for (int at = 0; at < 4; at++)
            shift[at][i] = by_table(i << (8 * at), zeroes, STRETCH);
}

static uint32_t
shifted(uint32_t crc)
{
    return shift[0][crc & 0xff] ^ shift[1][(crc >> 8) & 0xff] ^ shift[2][(crc >> 16) & 0xff] ^
           shift[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t
three_stretches(uint32_t crc, const uint8_t *data)
{
    uint64_t a = crc, b = 0, c = 0;

    for (size_t at = 0; at < STRETCH; at += 8) {
        uint64_t words[3];
        memcpy(&words[0], data + at, 8);
        memcpy(&words[1], data + STRETCH + at, 8);
        memcpy(&words[2], data + 2 * STRETCH + at, 8);
        a = __builtin_ia32_crc32di(a, words[0]);
        b = __builtin_ia32_crc32di(b, words[1]);
        c = __builtin_ia32_crc32di(c, words[2]);
    }
    return shifted(shifted((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t
by_processor(uint32_t crc, const uint8_t *data, size_t bytes)
{
    uint64_t wide;

    if (bytes >= 3 * STRETCH)
        pthread_once(&shift_once, shift_init);
    for (; bytes >= 3 * STRETCH; data += 3 * STRETCH, bytes -= 3 * STRETCH)
        crc = three_stretches(crc, data);
    wide = crc;
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
