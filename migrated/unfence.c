/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unfence.c - letting this host in again, before it attaches anything. */
#include "unfence.h"

#include "base/error.h"
#include "base/io.h"
#include "drivers/fence-agent.h"

#include <string.h>

#define MARK_FILE "unfenced"
/* in run_dir, which is empty after each start of the host: volumes may have been attached since */
#define BEGUN_FILE "begun"

static gboolean
is_needed(const GPtrArray *levels)
{
    for (guint i = 0; i < levels->len; i++) {
        if (((const MigFenceLevel *)g_ptr_array_index(levels, i))->is_unfencing)
            return TRUE;
    }
    return FALSE;
}

/* What is left behind where it was done: this start of the host, who it is, and by what. */
static char *
mark_text(const GPtrArray *levels, const char *node, const char *boot)
{
    g_autoptr(GString) all = g_string_new(node);
    g_autofree char *sum = NULL;

    for (guint i = 0; i < levels->len; i++) {
        const MigFenceLevel *level = g_ptr_array_index(levels, i);

        if (level->is_unfencing)
            g_string_append_printf(all, "\n[%s]\n%s\n%s", level->name, level->agent, level->input);
    }
    sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, all->str, -1);
    return g_strdup_printf("%s %s", boot, sum);
}

static gboolean
is_marked(const MigConfig *config, const char *mark)
{
    g_autofree char *path = g_build_filename(config->state_dir, MARK_FILE, NULL);
    g_autofree char *then = mig_io_read_file(path, 256, NULL, NULL);

    return g_strcmp0(then, mark) == 0;
}

/* Has a volume been attached since this host was started (attached.c marks each)? Its VMs may be
 * here. */
static gboolean
had_volumes(const MigConfig *config, const char *boot)
{
    g_autofree char *folder = g_build_filename(config->state_dir, "member", NULL);
    g_autofree char *begun = g_build_filename(config->run_dir, BEGUN_FILE, NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    gboolean had = g_file_test(begun, G_FILE_TEST_EXISTS);

    while (dir && !had && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *then = mig_io_read_file(path, 256, NULL, NULL);

        had = g_strcmp0(then, boot) == 0;
    }
    return had;
}

gboolean
mig_unfence(const MigConfig *config, const char *node, GError **error)
{
    static GMutex lock; /* volumes are attached side by side */
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    g_autofree char *path = g_build_filename(config->state_dir, MARK_FILE, NULL);
    g_autofree char *boot = mig_io_boot_id();
    g_autofree char *mark = NULL;
    g_autoptr(GError) bad = NULL;
    gboolean is_missing = FALSE, had;
    g_autoptr(GPtrArray) levels = mig_fence_levels(config->fence_dir, node, &is_missing, &bad);

    if (is_missing || (levels && !is_needed(levels)))
        return TRUE;
    mark = levels ? mark_text(levels, node, boot) : NULL;
    had = had_volumes(config, boot);
    if (*boot && mark && had && is_marked(config, mark))
        return TRUE;
    if (had) { /* also where the boot's id cannot be read: nobody knows */
        g_warning("what %s's own file says of fencing is new, or cannot be read (%s): it is let in "
                  "by that with the next start of this host, and does not fence so until then",
                  node, bad ? bad->message : path);
        return TRUE;
    }
    if (!levels) {
        g_propagate_error(error, g_steal_pointer(&bad));
        return FALSE;
    }
    if (!*boot) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "the kernel does not say which start of this host that is");
        return FALSE;
    }
    if (!mig_fence_unfence(levels, (guint)config->fence_timeout_s * 1000, error))
        return FALSE;
    g_message("the fence agent has let this host in");
    /* with no mark a later start of the daemon would let in a host that was fenced since */
    return mig_io_make_dir(config->state_dir, 0700, error) &&
           mig_io_write_file(path, mark, strlen(mark), 0600, error);
}

gboolean
mig_unfence_note_attached(const MigConfig *config, GError **error)
{
    g_autofree char *begun = g_build_filename(config->run_dir, BEGUN_FILE, NULL);

    return mig_io_make_dir(config->run_dir, 0755, error) &&
           mig_io_write_file(begun, "", 0, 0600, error);
}

GPtrArray *
mig_unfence_done(const MigConfig *config, const char *node)
{
    gboolean is_missing;
    g_autoptr(GPtrArray) levels = mig_fence_levels(config->fence_dir, node, &is_missing, NULL);
    g_autofree char *boot = mig_io_boot_id();
    g_autofree char *mark = levels ? mark_text(levels, node, boot) : NULL;

    return *boot && mark && is_marked(config, mark) ? g_steal_pointer(&levels) : NULL;
}
