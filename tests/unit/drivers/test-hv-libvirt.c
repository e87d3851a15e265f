/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-hv-libvirt.c - what libvirt and QEMU say, and which of it is told apart. */
#include "drivers/hv-libvirt-private.h"

#include "base/error.h"

#define OPEN                                                                                   \
    "internal error: process exited while connecting to monitor: 2024-05-01T08:00:00.000000Z " \
    "qemu-system-x86_64: -blockdev {\"driver\":\"file\",\"filename\":\"/dev/csv/vol1/web\"}: "

static const struct {
    const char *text;
    gboolean is_locked;
} texts[] = {
    {OPEN "Failed to get \"write\" lock\nIs another process using the image [/dev/csv/vol1/web]?",
     TRUE},
    {OPEN "Failed to get shared \"write\" lock\nIs another process using the image?", TRUE},
    {OPEN "Failed to get \"consistent read\" lock", TRUE},
    {"Failed to get \"write\" lock", TRUE},
    {OPEN "Could not open '/dev/csv/vol1/web': Permission denied", FALSE},
    {"Failed to acquire lock: No locks available", FALSE},
    {"Failed to get shared memory lock", FALSE},
    {"resource busy: Lockspace resource 'web' is locked", FALSE},
    {"Failed to get \"write", FALSE},
    {"\" lock Failed to get \"", FALSE},
    {"", FALSE},
};

static void
test_locked(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_test_message("%s", texts[i].text);
        g_assert_cmpint(mig_libvirt_is_locked(texts[i].text), ==, texts[i].is_locked);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hv-libvirt/locked", test_locked);
    return g_test_run();
}
