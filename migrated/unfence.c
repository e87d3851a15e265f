/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unfence.c - letting this host in again, once each start. */
#include "unfence.h"

#include "base/io.h"
#include "drivers/fence-agent.h"

#include <string.h>

#define MARK_FILE "unfenced"

static gboolean
is_needed(const GPtrArray *levels)
{
    for (guint i = 0; i < levels->len; i++) {
        if (((const MigFenceLevel *)g_ptr_array_index(levels, i))->is_unfencing)
            return TRUE;
    }
    return FALSE;
}

gboolean
mig_unfence(const MigConfig *config, const char *node, GError **error)
{
    static GMutex lock; /* volumes are attached side by side */
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    g_autofree char *path = g_build_filename(config->state_dir, MARK_FILE, NULL);
    g_autofree char *then = mig_io_read_file(path, 256, NULL, NULL);
    g_autofree char *now = mig_io_boot_id();
    g_autoptr(GError) bad = NULL;
    gboolean is_missing = FALSE;
    g_autoptr(GPtrArray) levels = mig_fence_levels(config->fence_dir, node, &is_missing, &bad);

    if (!levels) {
        if (!is_missing) /* the others' business, and they say so, too */
            g_warning("%s", bad->message);
        return TRUE;
    }
    if (!is_needed(levels) || (then && *now && g_str_equal(then, now)))
        return TRUE;
    if (!mig_fence_unfence(levels, (guint)config->fence_timeout_s * 1000, error))
        return FALSE;
    g_message("the fence agent has let this host in");
    /* with no mark a later start of the daemon would let in a host that was fenced since */
    return mig_io_make_dir(config->state_dir, 0700, error) &&
           mig_io_write_file(path, now, strlen(now), 0600, error);
}
