/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server-denials.c - refusals on their way into the log: a flood of them is no flood of lines. */

#include "rpc/server-private.h"

#include "base/log.h"

/*
 * Lines are counted for each caller and each method apart, so that nobody can hide what another
 * one, or he himself, tries besides. What was not written is summed up when the window ends.
 * How many counts there are is bounded: methods that do not exist share one of each caller.
 */

#define LINES      5u /* of one caller and one method, in a window */
#define WINDOW_MS  10000
#define MAX_COUNTS 1024u

typedef struct {
    char *who, *method; /* as text */
    guint lines, skipped;
} Count;

struct MigRpcDenials {
    gatomicrefcount references;
    GMainContext *context;
    GMutex lock;        /* guards what follows */
    GHashTable *counts; /* "who method" -> Count */
    GSource *end;       /* of the window; NULL: none has begun */
    guint window_ms;
};

static void
count_free(gpointer data)
{
    Count *count = data;

    g_free(count->who);
    g_free(count->method);
    g_free(count);
}

MigRpcDenials *
mig_rpc_denials_new(GMainContext *context)
{
    MigRpcDenials *denials = g_new0(MigRpcDenials, 1);

    g_atomic_ref_count_init(&denials->references);
    denials->context = g_main_context_ref(context);
    g_mutex_init(&denials->lock);
    denials->counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, count_free);
    denials->window_ms = WINDOW_MS;
    return denials;
}

MigRpcDenials *
mig_rpc_denials_ref(MigRpcDenials *denials)
{
    g_atomic_ref_count_inc(&denials->references);
    return denials;
}

void
mig_rpc_denials_unref(MigRpcDenials *denials)
{
    if (!g_atomic_ref_count_dec(&denials->references))
        return;
    g_hash_table_unref(denials->counts);
    g_mutex_clear(&denials->lock);
    g_main_context_unref(denials->context);
    g_free(denials);
}

void
mig_rpc_denials_set_window(MigRpcDenials *denials, guint window_ms)
{
    denials->window_ms = window_ms;
}

void
mig_rpc_denials_end_window(MigRpcDenials *denials)
{
    g_autoptr(GHashTable) counts = NULL;
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&denials->lock);
    counts = denials->counts;
    denials->counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, count_free);
    if (denials->end)
        g_source_destroy(denials->end);
    g_clear_pointer(&denials->end, g_source_unref);
    g_mutex_unlock(&denials->lock);

    g_hash_table_iter_init(&iter, counts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Count *count = value;

        if (count->skipped > 0)
            mig_log_event(MIG_ID_DENIED, MIG_FIELDS(.from = count->who, .method = count->method),
                          "refused %s: %u more calls of %s", count->who, count->skipped,
                          count->method);
    }
}

static gboolean
on_window_end(gpointer user_data)
{
    mig_rpc_denials_end_window(user_data);
    return G_SOURCE_REMOVE;
}

/* Lock held. */
static void
begin_window(MigRpcDenials *denials)
{
    if (denials->end)
        return;
    denials->end = g_timeout_source_new(denials->window_ms);
    g_source_set_callback(denials->end, on_window_end, mig_rpc_denials_ref(denials),
                          (GDestroyNotify)mig_rpc_denials_unref);
    g_source_attach(denials->end, denials->context);
}

gboolean
mig_rpc_denials_allow(MigRpcDenials *denials, const char *who, const char *method)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&denials->lock);
    g_autofree char *key = NULL;
    Count *count;

    begin_window(denials);
    if (g_hash_table_size(denials->counts) >= MAX_COUNTS) {
        who = "others";
        method = "any";
    }
    key = g_strconcat(who, " ", method, NULL);
    count = g_hash_table_lookup(denials->counts, key);
    if (!count) {
        count = g_new0(Count, 1);
        count->who = g_strdup(who);
        count->method = g_strdup(method);
        g_hash_table_insert(denials->counts, g_steal_pointer(&key), count);
    }
    if (count->lines < LINES) {
        count->lines++;
        return TRUE;
    }
    count->skipped++;
    return FALSE;
}
