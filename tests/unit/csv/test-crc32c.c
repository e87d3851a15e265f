/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-crc32c.c - the checksum against published vectors (RFC 3720, B.4). */

#include <glib.h>
#include <string.h>

#include "crc32c.h"

static void
test_vectors(void)
{
    uint8_t bytes[32];

    g_assert_cmphex(csv_crc32c("", 0), ==, 0);
    g_assert_cmphex(csv_crc32c("123456789", 9), ==, 0xe3069283);
    memset(bytes, 0, sizeof(bytes));
    g_assert_cmphex(csv_crc32c(bytes, 32), ==, 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    g_assert_cmphex(csv_crc32c(bytes, 32), ==, 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    g_assert_cmphex(csv_crc32c(bytes, 32), ==, 0x46dd794e);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    g_assert_cmphex(csv_crc32c(bytes, 32), ==, 0x113fdb5c);
}

/* The definition, bit by bit. */
static uint32_t
slow(const uint8_t *data, size_t bytes)
{
    uint32_t crc = ~0u;

    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void
test_lengths_and_pieces(void)
{
    uint8_t bytes[257];

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)g_test_rand_int();
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint32_t whole = csv_crc32c(bytes, length);
        g_assert_cmphex(whole, ==, slow(bytes, length));
        g_assert_cmphex(csv_crc32c_by_table(bytes, length), ==, whole);
        for (size_t cut = 0; cut <= length; cut += 13) {
            uint32_t crc = csv_crc32c_raw(~0u, bytes, cut);
            g_assert_cmphex(~csv_crc32c_raw(crc, bytes + cut, length - cut), ==, whole);
        }
    }
}

/* Lengths about those at which it works on several stretches at once, at odd addresses. */
static void
test_stretches(void)
{
    static const size_t lengths[] = {767, 768, 769, 1535, 1536, 1543, 4016, 4096, 32688, 32768};
    g_autofree uint8_t *bytes = g_malloc(32768 + 8);

    for (unsigned i = 0; i < 32768 + 8; i++)
        bytes[i] = (uint8_t)g_test_rand_int();
    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++)
        for (unsigned at = 0; at < 8; at++) {
            uint32_t whole = csv_crc32c(bytes + at, lengths[i]);
            g_assert_cmphex(whole, ==, slow(bytes + at, lengths[i]));
            g_assert_cmphex(csv_crc32c_by_table(bytes + at, lengths[i]), ==, whole);
        }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/csv/crc32c/vectors", test_vectors);
    g_test_add_func("/csv/crc32c/lengths-and-pieces", test_lengths_and_pieces);
    g_test_add_func("/csv/crc32c/stretches", test_stretches);
    return g_test_run();
}
