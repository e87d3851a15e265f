/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copies.c - what copies.h says. */
#include "copies.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "drivers/lease-sanlock.h"

#define POLL_MS 20

typedef struct {
    MigDaemon *daemon;
    const char *volume;
    const MigCopyHooks *hooks; /* of who wants the copy; may be NULL */
} Copy;

static GMutex lock;
static GHashTable *writing; /* volume -> copies that write to it (guint) */
static gint is_ending;      /* atomic */

/* Under the lock, so that the end of one copy does not take back what another one needs. */
static gboolean
may_write(gpointer user_data, GError **error)
{
    const Copy *copy = user_data;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);

    if (g_atomic_int_get(&is_ending)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CANCELLED, "migrated stops on %s",
                    copy->daemon->node);
        return FALSE;
    }
    return mig_sanlock_set_used(copy->daemon->sanlock, copy->volume, TRUE, error);
}

static void
count(const char *volume, int by)
{
    guint now;

    if (!writing)
        writing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    now = GPOINTER_TO_UINT(g_hash_table_lookup(writing, volume)) + (guint)by;
    if (now)
        g_hash_table_replace(writing, g_strdup(volume), GUINT_TO_POINTER(now));
    else
        g_hash_table_remove(writing, volume);
}

static void
begin(const Copy *copy)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);

    count(copy->volume, 1);
}

/* Its qemu-img is gone, and all that it had under way. */
static void
end(const Copy *copy)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    g_autoptr(GError) error = NULL;

    count(copy->volume, -1);
    if (!g_hash_table_contains(writing, copy->volume) &&
        !mig_sanlock_set_used(copy->daemon->sanlock, copy->volume, FALSE, &error))
        g_message("after a copy: %s", error->message);
}

static void
progress(guint64 done_bytes, guint64 total_bytes, gpointer user_data)
{
    const MigCopyHooks *hooks = ((const Copy *)user_data)->hooks;

    if (hooks && hooks->progress)
        hooks->progress(done_bytes, total_bytes, hooks->user_data);
}

static gboolean
is_cancelled(gpointer user_data)
{
    const MigCopyHooks *hooks = ((const Copy *)user_data)->hooks;

    return hooks && hooks->is_cancelled && hooks->is_cancelled(hooks->user_data);
}

gboolean
mig_copies_into_image(MigDaemon *daemon, const char *volume, const char *from,
                      const char *from_format, const char *device, MigCopyKind kind,
                      const MigCopyHooks *hooks, GError **error)
{
    Copy copy = {.daemon = daemon, .volume = volume, .hooks = hooks};
    const MigCopyHooks own = {.progress = progress,
                              .is_cancelled = is_cancelled,
                              .may_write = may_write,
                              .user_data = &copy};
    gboolean ok;

    begin(&copy);
    ok = may_write(&copy, error) &&
         mig_qemu_img_copy(from, from_format, device, "raw", kind | MIG_COPY_TO_IMAGE, &own, error);
    end(&copy);
    return ok;
}

void
mig_copies_end_all(void)
{
    gint64 until = g_get_monotonic_time() + MIG_COPIES_STOP_MS * 1000;
    guint left = 1;

    g_atomic_int_set(&is_ending, TRUE);
    while (left && g_get_monotonic_time() < until) {
        g_mutex_lock(&lock);
        left = writing ? g_hash_table_size(writing) : 0;
        g_mutex_unlock(&lock);
        if (left)
            g_usleep(POLL_MS * 1000);
    }
}
