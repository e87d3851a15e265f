/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* half-image.h - an image that a host has begun to fill: may others delete it? Pure rules. */
#pragma once

#include "core/failover.h"

/*
 * Its name says which host fills it. Deleted while that one is still at it, its space goes to
 * another image, and the copy writes on into that. So it is left alone until that host's part is
 * over for sure: silence is no proof, nor is sanlock's word of a host whose copies its watchdog
 * did not cover.
 */

/* "import-HOST-w12345678"; without the w it was begun by a version whose copies sanlock knew
 * nothing of. g_free() */
char *mig_half_image_name(guint32 host_id, guint32 number);
/* FALSE: no such name. */
gboolean mig_half_image_parse(const char *name, guint32 *host_id, gboolean *is_covered);

/* The host as it is seen on the volume that has the image. */
typedef struct {
    gboolean is_known;   /* it has a node slot there, or had one that cannot be read */
    gboolean has_left;   /* in an orderly way, which no copy outlives */
    gboolean is_beating; /* its heartbeat moves */
    gboolean is_fenced;  /* a fence of the start it has now was confirmed */
    gboolean is_armed;   /* it published that sanlock's watchdog is armed */
    MigWord word;        /* sanlock's, of that volume */
} MigHalfHost;

typedef enum {
    MIG_HALF_IMAGE_FREE,     /* nobody writes to it any more */
    MIG_HALF_IMAGE_ALIVE,    /* that host can be asked to delete it */
    MIG_HALF_IMAGE_UNPROVEN, /* that host may write to it, or do so later */
} MigHalfImage;

/* is_unsafe: [failover] unsafe_without_watchdog. */
MigHalfImage mig_half_image_judge(const MigHalfHost *host, gboolean is_covered, gboolean is_unsafe);
