/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-output.c - sizes as people read and write them. */

#include "base/error.h"
#include "cli.h"
#include "output.h"

static void
test_parse_size(void)
{
    static const struct {
        const char *text;
        gint64 bytes; /* 0: refused */
    } cases[] = {
        {"1", 1},
        {"4096", 4096},
        {"1K", 1024},
        {"1k", 1024},
        {"2M", 2 << 20},
        {"2MiB", 2 << 20},
        {"2MB", 2 << 20},
        {"10G", 10ll << 30},
        {"1T", 1ll << 40},
        {"5B", 5},
        {"9223372036854775807", G_MAXINT64},
        {"8388607T", 8388607ll << 40},
        {"8388608T", 0},
        {"9223372036854775808", 0},
        {"", 0},
        {"0", 0},
        {"0G", 0},
        {"-1", 0},
        {"+1", 0},
        {"G", 0},
        {"1.5G", 0},
        {"1 G", 0},
        {" 1G", 0},
        {"1GG", 0},
        {"1GiBB", 0},
        {"1X", 0},
        {"0x10", 0},
        {"1BB", 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gint64 bytes = -1;

        g_test_message("%s", cases[i].text);
        if (mig_cli_parse_size("size", cases[i].text, &bytes, &error)) {
            g_assert_cmpint(bytes, ==, cases[i].bytes);
        } else {
            g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE);
            g_assert_cmpint(bytes, ==, -1);
            g_assert_cmpint(cases[i].bytes, ==, 0);
        }
    }
}

static void
test_show_size(void)
{
    g_assert_cmpstr(mig_show_size(0), ==, "0 B");
    g_assert_cmpstr(mig_show_size(1023), ==, "1023 B");
    g_assert_cmpstr(mig_show_size(1024), ==, "1.0 KiB");
    g_assert_cmpstr(mig_show_size((1 << 20) - 1), ==, "1.0 MiB");
    g_assert_cmpstr(mig_show_size(100ll << 30), ==, "100 GiB");
    g_assert_cmpstr(mig_show_size(G_MAXINT64), ==, "8.0 EiB");
    g_assert_cmpstr(mig_show_short(1536ll << 20), ==, "1.5G");
    g_assert_cmpstr(mig_show_short(512ll << 20), ==, "512M");
    g_assert_cmpstr(mig_show_ms(43), ==, "43 ms");
    g_assert_cmpstr(mig_show_ms(1240), ==, "1.24 s");
    g_assert_cmpstr(mig_show_ms(61000), ==, "1 min 01 s");
    g_assert_cmpstr(mig_show_time(0), ==, "-");
}

static void
test_range(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(mig_cli_check_range("--x", 0, 0, 1, &error));
    g_assert_true(mig_cli_check_range("--x", 1, 0, 1, &error));
    g_assert_false(mig_cli_check_range("--x", 2, 0, 1, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/output/parse-size", test_parse_size);
    g_test_add_func("/output/show-size", test_show_size);
    g_test_add_func("/output/range", test_range);
    return g_test_run();
}
