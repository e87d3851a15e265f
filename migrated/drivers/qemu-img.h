/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qemu-img.h - copying disks between formats, with QEMU's own tool. */
#pragma once

#include <glib.h>

typedef struct {
    /* May be NULL. done and total are bytes, done only grows. */
    void (*progress)(guint64 done_bytes, guint64 total_bytes, gpointer user_data);
    /* TRUE: give up; asked each second, also of a copy that does not get on. May be NULL. */
    gboolean (*is_cancelled)(gpointer user_data);
    gpointer user_data;
    /* Asked as often. FALSE: nothing more may be written; error says why. May be NULL. */
    gboolean (*may_write)(gpointer user_data, GError **error);
} MigCopyHooks;

/* The virtual size of a disk file; format NULL: qemu-img finds out. */
gboolean mig_qemu_img_size(const char *path, const char *format, guint64 *bytes, GError **error);

/* Which ends are an image of a volume, a device or a file, that other nodes use, too. */
typedef enum {
    MIG_COPY_FILES = 0,
    MIG_COPY_FROM_IMAGE = 1, /* read past this node's page cache, which may be older */
    MIG_COPY_TO_IMAGE = 2,   /* it exists, is zero, and is written in place, past the cache */
} MigCopyKind;

/* Converts from into to. Blocks. A cancelled or failed copy leaves to as it happens to be. When
 * this returns the process is gone, and so is all that it had under way: one that was told to end,
 * and whose disk does not answer, keeps this waiting. */
gboolean
mig_qemu_img_copy(const char *from, const char *from_format, const char *to, const char *to_format,
                  MigCopyKind kind, const MigCopyHooks *hooks, GError **error);
