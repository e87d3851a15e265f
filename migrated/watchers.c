/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* watchers.c - the calls to which one job is told. */
#include "watchers.h"

#include "base/error.h"
#include "drivers/store-file.h"

typedef struct {
    MigRpcCall *call;
    gboolean is_move;
} Watcher;

struct MigWatchers {
    GArray *all; /* Watcher */
};

MigWatchers *
mig_watchers_new(void)
{
    MigWatchers *watchers = g_new0(MigWatchers, 1);

    watchers->all = g_array_new(FALSE, FALSE, sizeof(Watcher));
    return watchers;
}

void
mig_watchers_free(MigWatchers *watchers)
{
    g_array_unref(watchers->all);
    g_free(watchers);
}

/* One answer; the last one where there is nothing more to say, or nobody to say it to. */
static void
answer(const Watcher *watcher, const MigJob *job, gboolean is_last)
{
    MigJobReply reply = {.job = mig_job_to_message(job, g_get_real_time() / 1000)};
    gboolean has_failed =
        mig_job_has_ended(job) && job->state != MIG_JOB_STATE_DONE && job->error != NULL;

    if (!is_last)
        mig_rpc_call_progress(watcher->call, &reply);
    else if (watcher->is_move && has_failed)
        mig_rpc_call_fail(watcher->call, g_error_copy(job->error));
    else
        mig_rpc_call_reply(watcher->call, &reply);
    mig_ApiJob_free(reply.job);
}

/* Who asked for a move wants the VM there; who watches a job wants its end. */
static gboolean
has_heard_all(const Watcher *watcher, const MigJob *job)
{
    return mig_job_has_ended(job) || (watcher->is_move && job->has_arrived);
}

static void
drop_gone(MigWatchers *watchers, const MigJob *job)
{
    for (guint i = watchers->all->len; i-- > 0;) {
        const Watcher *watcher = &g_array_index(watchers->all, Watcher, i);

        if (!mig_rpc_call_is_gone(watcher->call))
            continue;
        answer(watcher, job, TRUE);
        g_array_remove_index_fast(watchers->all, i);
    }
}

void
mig_watchers_add(MigWatchers *watchers, MigRpcCall *call, gboolean is_move, const MigJob *job)
{
    const Watcher watcher = {.call = call, .is_move = is_move};

    drop_gone(watchers, job);
    if (has_heard_all(&watcher, job)) {
        answer(&watcher, job, TRUE);
        return;
    }
    if (!is_move && watchers->all->len >= MIG_WATCHERS_MAX) {
        mig_rpc_call_fail(call, g_error_new(MIG_ERROR, MIG_ERROR_BUSY,
                                            "%u watch job %s already, which is the limit; try "
                                            "'migratectl job show %s'",
                                            watchers->all->len, job->id, job->id));
        return;
    }
    answer(&watcher, job, FALSE);
    g_array_append_val(watchers->all, watcher);
}

void
mig_watchers_tell(MigWatchers *watchers, const MigJob *job)
{
    drop_gone(watchers, job);
    for (guint i = watchers->all->len; i-- > 0;) {
        const Watcher *watcher = &g_array_index(watchers->all, Watcher, i);
        gboolean is_last = has_heard_all(watcher, job);

        answer(watcher, job, is_last);
        if (is_last)
            g_array_remove_index_fast(watchers->all, i);
    }
}

guint
mig_watchers_count(const MigWatchers *watchers)
{
    return watchers->all->len;
}
