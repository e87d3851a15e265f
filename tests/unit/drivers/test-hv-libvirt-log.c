/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-hv-libvirt-log.c - only a guest that has powered itself off counts as that. */
#include "drivers/hv-libvirt-log.h"

#include <glib/gstdio.h>
#include <string.h>

#define AT "2026-11-26 07:41:29.123+0000: "

static void
test_ends(void)
{
    static const struct {
        const char *text;
        gboolean is_shut_down;
    } cases[] = {
        {"", FALSE},
        {AT "starting up libvirt version: 9.0.0, qemu version: 7.2\nLC_ALL=C qemu\n", FALSE},
        {AT "starting up\n" AT "shutting down, reason=shutdown\n", TRUE},
        {AT "starting up\n" AT "shutting down, reason=shutdown", TRUE},
        {AT "starting up\n" AT "shutting down, reason=crashed\n", FALSE},
        {AT "starting up\n" AT "shutting down, reason=destroyed\n", FALSE},
        {AT "starting up\n" AT "shutting down, reason=migrated\n", FALSE},
        {AT "starting up\n" AT "shutting down, reason=failed\n", FALSE},
        /* somebody has ended the QEMU, not its guest */
        {AT
         "starting up\n2026-11-26T07:41:29.1Z qemu: terminating on signal 15 from pid 1 (init)\n" AT
         "shutting down, reason=shutdown\n",
         FALSE},
        {AT "starting up\n"
            "qemu: terminating on signal 15 from pid 1 (<unknown process>)\n" AT
            "shutting down, reason=shutdown\n",
         FALSE},
        {AT "starting up\nqemu: terminating on signal 15 from pid 9 (/tmp/libvirtd/kill)\n" AT
            "shutting down, reason=shutdown\n",
         FALSE},
        /* libvirt has, as its guest is off, and as it does for other reasons */
        {AT "starting up\n"
            "2026-11-26T13:03:17.1Z qemu-system-x86_64: terminating on signal 15 from pid 31 "
            "(libvirtd)\n" AT "shutting down, reason=shutdown\n",
         TRUE},
        {AT "starting up\nqemu: terminating on signal 15 from pid 31 (/usr/sbin/virtqemud)\n" AT
            "shutting down, reason=shutdown\n",
         TRUE},
        {AT "starting up\nqemu: terminating on signal 15 from pid 31 (/usr/sbin/libvirtd)\n" AT
            "shutting down, reason=destroyed\n",
         FALSE},
        {AT "starting up\nqemu: terminating on signal 15 from pid 9 (kill)\n"
            "qemu: terminating on signal 15 from pid 31 (/usr/sbin/libvirtd)\n" AT
            "shutting down, reason=shutdown\n",
         FALSE},
        {"qemu: terminating on signal 15 from pid 1\n" AT "shutting down, reason=shutdown\n" AT
         "starting up\n" AT "shutting down, reason=shutdown\n",
         TRUE},
        /* an earlier run */
        {AT "shutting down, reason=shutdown\n" AT "starting up\n", FALSE},
        {AT "shutting down, reason=shutdown\n" AT "shutting down, reason=crashed\n", FALSE},
        {AT "shutting down, reason=crashed\n" AT "shutting down, reason=shutdown\n", TRUE},
        /* cut at its beginning */
        {"11-26 07:41:29.123+0000: shutting down, reason=shutdown\n", FALSE},
        /* QEMU's own words */
        {AT "starting up\nshutting down, reason=shutdown\n", FALSE},
        {AT "starting up\nqemu: " AT "shutting down, reason=shutdown\n", FALSE},
        {AT "starting up\n" AT "shutting down, reason=shutdown-not\n", FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (mig_libvirt_log_is_shut_down(cases[i].text) != cases[i].is_shut_down)
            g_error("wrong of: %s", cases[i].text);
    }
}

/* A log of months is not read for its last line, and nothing in it hides that one. */
static void
test_file(void)
{
    g_autofree char *path = NULL;
    g_autofree char *end = NULL;
    g_autoptr(GString) text = g_string_new(AT "shutting down, reason=crashed\n");
    int fd = g_file_open_tmp("log-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    while (text->len < 3 * MIG_LIBVIRT_LOG_END)
        g_string_append(text, "qemu: something is wrong\n");
    g_string_append_len(text, "\0\n" AT "shutting down, reason=shutdown\n", 63);
    g_assert_true(g_file_set_contents(path, text->str, (gssize)text->len, NULL));
    end = mig_libvirt_log_read_end(path);
    g_assert_cmpuint(strlen(end), ==, MIG_LIBVIRT_LOG_END);
    g_assert_true(mig_libvirt_log_is_shut_down(end));
    g_remove(path);
    g_assert_null(mig_libvirt_log_read_end(path));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/libvirt-log/ends", test_ends);
    g_test_add_func("/libvirt-log/file", test_file);
    return g_test_run();
}
