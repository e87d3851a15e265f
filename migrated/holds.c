/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holds.c - what holds.h says. */
#include "holds.h"

struct MigHolds {
    GMutex lock;
    GCond has_let_go;
    GHashTable *by_holder; /* holder -> images */
    GPtrArray *going;      /* images that are being let go of, one as often as by so many */
};

MigHolds *
mig_holds_new(void)
{
    MigHolds *holds = g_new0(MigHolds, 1);

    g_mutex_init(&holds->lock);
    g_cond_init(&holds->has_let_go);
    holds->by_holder =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_strfreev);
    holds->going = g_ptr_array_new_with_free_func(g_free);
    return holds;
}

void
mig_holds_free(MigHolds *holds)
{
    if (!holds)
        return;
    g_hash_table_unref(holds->by_holder);
    g_ptr_array_unref(holds->going);
    g_cond_clear(&holds->has_let_go);
    g_mutex_clear(&holds->lock);
    g_free(holds);
}

static gboolean
are_any_going(const MigHolds *holds, const char *const *images)
{
    for (guint i = 0; i < holds->going->len; i++) {
        if (g_strv_contains(images, g_ptr_array_index(holds->going, i)))
            return TRUE;
    }
    return FALSE;
}

void
mig_holds_take(MigHolds *holds, const char *holder, const char *const *images)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&holds->lock);

    /* at once, so that nobody begins with another one of them meanwhile */
    g_hash_table_replace(holds->by_holder, g_strdup(holder), g_strdupv((char **)images));
    while (are_any_going(holds, images))
        g_cond_wait(&holds->has_let_go, &holds->lock);
}

void
mig_holds_drop(MigHolds *holds, const char *holder)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&holds->lock);

    g_hash_table_remove(holds->by_holder, holder);
}

gboolean
mig_holds_begin_letting_go(MigHolds *holds, const char *image)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&holds->lock);
    GHashTableIter iter;
    const char *const *images;

    g_hash_table_iter_init(&iter, holds->by_holder);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&images)) {
        if (g_strv_contains(images, image))
            return FALSE;
    }
    g_ptr_array_add(holds->going, g_strdup(image));
    return TRUE;
}

void
mig_holds_end_letting_go(MigHolds *holds, const char *image)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&holds->lock);
    guint at;

    if (g_ptr_array_find_with_equal_func(holds->going, image, g_str_equal, &at))
        g_ptr_array_remove_index_fast(holds->going, at);
    g_cond_broadcast(&holds->has_let_go);
}
