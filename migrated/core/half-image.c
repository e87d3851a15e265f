/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* half-image.c - what half-image.h says. */
#include "core/half-image.h"

#include <string.h>

/* Older versions read the host id up to its dash, and nothing behind it. */
#define PREFIX  "import-"
#define COVERED 'w'

char *
mig_half_image_name(guint32 host_id, guint32 number)
{
    return g_strdup_printf(PREFIX "%u-%c%08x", host_id, COVERED, number);
}

gboolean
mig_half_image_parse(const char *name, guint32 *host_id, gboolean *is_covered)
{
    const char *digits;
    char *end = NULL;
    guint64 id;

    if (!g_str_has_prefix(name, PREFIX))
        return FALSE;
    digits = name + strlen(PREFIX);
    if (!g_ascii_isdigit(*digits))
        return FALSE;
    id = g_ascii_strtoull(digits, &end, 10);
    if (*end != '-' || id > G_MAXUINT32)
        return FALSE;
    *host_id = (guint32)id;
    *is_covered = end[1] == COVERED;
    return TRUE;
}

MigHalfImage
mig_half_image_judge(const MigHalfHost *host, gboolean is_covered, gboolean is_unsafe)
{
    if (!host->is_known || host->has_left)
        return MIG_HALF_IMAGE_FREE;
    if (host->is_beating)
        return MIG_HALF_IMAGE_ALIVE;
    if (host->is_fenced)
        return MIG_HALF_IMAGE_FREE;
    if (is_covered && (host->word == MIG_WORD_FREE ||
                       (host->word == MIG_WORD_DEAD && (host->is_armed || is_unsafe))))
        return MIG_HALF_IMAGE_FREE;
    return MIG_HALF_IMAGE_UNPROVEN;
}
