/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-origin.c - what hv-libvirt-origin.h says. */
#include "drivers/hv-libvirt-origin.h"

#include <string.h>

#define WAITS_FOR_A_GUEST "-incoming"

gboolean
mig_libvirt_was_booted(const char *proc, int pid)
{
    g_autofree char *path = g_strdup_printf("%s/%d/cmdline", proc, pid);
    g_autofree char *words = NULL;
    gsize length = 0;

    /* each word ends with a NUL; one that has ended itself has none */
    if (!g_file_get_contents(path, &words, &length, NULL) || length == 0)
        return FALSE;
    for (const char *word = words; word < words + length; word += strlen(word) + 1) {
        if (g_str_equal(word, WAITS_FOR_A_GUEST))
            return FALSE;
    }
    return TRUE;
}
