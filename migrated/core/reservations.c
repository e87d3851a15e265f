/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reservations.c - a list, oldest first. */
#include "core/reservations.h"

typedef struct {
    char *job, *vm;
    guint64 bytes, page_bytes;
    gboolean is_ready;
} One;

struct MigReservations {
    GPtrArray *list;
};

static void
one_free(gpointer data)
{
    One *one = data;

    g_free(one->job);
    g_free(one->vm);
    g_free(one);
}

MigReservations *
mig_reservations_new(void)
{
    MigReservations *reservations = g_new0(MigReservations, 1);

    reservations->list = g_ptr_array_new_with_free_func(one_free);
    return reservations;
}

void
mig_reservations_free(MigReservations *reservations)
{
    if (!reservations)
        return;
    g_ptr_array_unref(reservations->list);
    g_free(reservations);
}

static One *
find(const MigReservations *reservations, const char *job)
{
    for (guint i = 0; i < reservations->list->len; i++) {
        One *one = g_ptr_array_index(reservations->list, i);

        if (g_str_equal(one->job, job))
            return one;
    }
    return NULL;
}

gboolean
mig_reservations_add(MigReservations *reservations, const char *job, const char *vm, guint64 bytes,
                     guint64 page_bytes)
{
    One *one = find(reservations, job);

    if (one && one->is_ready)
        return FALSE;
    if (!one) {
        one = g_new0(One, 1);
        one->job = g_strdup(job);
        one->vm = g_strdup(vm);
        g_ptr_array_add(reservations->list, one);
    }
    one->bytes = bytes;
    one->page_bytes = page_bytes;
    return TRUE;
}

gboolean
mig_reservations_set_ready(MigReservations *reservations, const char *job)
{
    One *one = find(reservations, job);

    if (one)
        one->is_ready = TRUE;
    return one != NULL;
}

gboolean
mig_reservations_is_ready(const MigReservations *reservations, const char *job)
{
    const One *one = find(reservations, job);

    return one && one->is_ready;
}

void
mig_reservations_remove(MigReservations *reservations, const char *job)
{
    One *one = find(reservations, job);

    if (one)
        g_ptr_array_remove(reservations->list, one);
}

guint64
mig_reservations_before(const MigReservations *reservations, const char *job, const char *vm,
                        guint64 page_bytes)
{
    guint64 sum = 0;

    for (guint i = 0; i < reservations->list->len; i++) {
        const One *one = g_ptr_array_index(reservations->list, i);

        if (job && g_str_equal(one->job, job))
            break;
        if (one->page_bytes == page_bytes && !g_str_equal(one->vm, vm))
            sum = one->bytes > G_MAXUINT64 - sum ? G_MAXUINT64 : sum + one->bytes;
    }
    return sum;
}
