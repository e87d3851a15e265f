/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* shares.c - counting, and telling; shares.h says whom. */
#include "shares.h"

#include "core/bandwidth.h"
#include "core/timeouts.h"
#include "incoming.h"
#include "turns.h"

/* Calls under way at once. */
#define TELLERS 2

struct MigShares {
    MigDaemon *daemon;
    GThreadPool *tellers;
};

static gboolean
is_capped(const MigShares *shares)
{
    return shares->daemon->config->migration_mib_s > 0;
}

/* MigTurnHolder of each move that comes here by now. */
static GPtrArray *
coming(MigShares *shares)
{
    GPtrArray *holders = mig_turns_incoming(shares->daemon->turns);

    for (guint i = holders->len; i-- > 0;) {
        const MigTurnHolder *holder = g_ptr_array_index(holders, i);

        if (!holder->is_restored && !mig_incoming_has(shares->daemon->incoming, holder->job))
            g_ptr_array_remove_index_fast(holders, i);
    }
    return holders;
}

guint64
mig_shares_each(MigShares *shares)
{
    guint64 cap = (guint64)shares->daemon->config->migration_mib_s << 20;
    g_autoptr(GPtrArray) holders = is_capped(shares) ? coming(shares) : NULL;

    return mig_bandwidth_even(cap, holders ? holders->len : 0);
}

static void
tell_one(gpointer data, gpointer user_data)
{
    MigTurnHolder *holder = data;
    MigShares *shares = user_data;
    /* as it is now: of two calls the one that is overtaken says the same */
    MigPeerShareRequest request = {.id = holder->job, .bandwidth = (gint64)mig_shares_each(shares)};
    g_autoptr(GError) error = NULL;
    g_autoptr(MigEmpty) reply =
        mig_peer_rpc_call(shares->daemon->peer, holder->source, "Share", &mig_type_PeerShareRequest,
                          &request, &mig_type_Empty, MIG_PEER_CALL_MS, &error);

    if (!reply)
        g_debug("job %s was not told its share: %s", holder->job, error->message);
    mig_turn_holder_free(holder);
}

void
mig_shares_tell(MigShares *shares)
{
    g_autoptr(GPtrArray) holders = is_capped(shares) ? coming(shares) : NULL;

    for (guint i = 0; holders && i < holders->len; i++)
        g_thread_pool_push(shares->tellers, g_ptr_array_index(holders, i), NULL);
    if (holders)
        g_ptr_array_set_free_func(holders, NULL);
}

MigShares *
mig_shares_new(MigDaemon *daemon)
{
    MigShares *shares = g_new0(MigShares, 1);

    shares->daemon = daemon;
    shares->tellers = g_thread_pool_new(tell_one, shares, TELLERS, FALSE, NULL);
    return shares;
}
