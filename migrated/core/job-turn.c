/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-turn.c - a move asks both ends for its turn, and waits for it. */
#include "core/job-turn.h"

#include "base/error.h"
#include "core/timeouts.h"

typedef struct {
    gboolean has_first; /* a turn at the end that is asked first */
    gboolean at_second; /* a place or a turn at the other one */
} Asked;

static gint64
waited_ms(const MigJob *job, const MigJobEnv *env)
{
    return MAX(env->clock->wall_ms(env->clock->self) - job->started_ms, 0);
}

/*
 * The end with the lower host id first, the other one only by who has that turn: core/queue.h says
 * why. A turn at the other end alone, which the first one has forgotten in a restart, is given
 * back.
 */
static gboolean
ask_both(MigJob *job, const MigJobEnv *env, guint32 target_host_id, Asked *asked, MigTurn *turn,
         GError **error)
{
    const MigPeer *peer = env->peer;
    gboolean source_first = mig_pair_source_first(env->host_id, target_host_id);
    const char *first = source_first ? job->source : job->target;
    const char *second = source_first ? job->target : job->source;

    if (!peer->reserve(peer->self, first, job, waited_ms(job, env), turn, error))
        return FALSE;
    asked->has_first = turn->is_granted;
    if (!turn->is_granted) {
        if (asked->at_second)
            peer->release(peer->self, second, job, NULL);
        asked->at_second = FALSE;
        return TRUE;
    }
    asked->at_second = TRUE;
    mig_turn_clear(turn);
    return peer->reserve(peer->self, second, job, waited_ms(job, env), turn, error);
}

/* In the wrong order two opposite moves would each wait with half of the pair, for good: who is not
 * known is not asked. */
static gboolean
ask_in_order(MigJob *job, const MigJobEnv *env, Asked *asked, MigTurn *turn, GError **error)
{
    guint32 target_host_id = env->target_host_id(env->self);

    if (target_host_id)
        return ask_both(job, env, target_host_id, asked, turn, error);
    g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE,
                "%s is on no volume that is attached here; see 'migratectl node list'",
                job->target);
    return FALSE;
}

void
mig_job_tell_turn(MigJob *job, const MigJobEnv *env, const MigTurn *turn)
{
    env->lock(env->self);
    g_free(job->waits_for);
    job->waits_for = turn ? g_strdup(turn->waits_for) : NULL;
    job->position = turn ? turn->position : 0;
    env->unlock_and_tell(env->self);
}

/* Not its turn: shall it wait on? */
static gboolean
wait_once(MigJob *job, const MigJobEnv *env, const MigTurn *turn, GError **error)
{
    g_autofree char *why = g_strdup_printf("waits for %s", turn->waits_for);

    if (job->no_wait) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                    "pair-free: it would wait for %s; try later, or let it wait (%s)",
                    turn->waits_for,
                    job->by_virsh ? "'migratectl move' does" : "without --no-wait");
        return FALSE;
    }
    if (job->state == MIG_JOB_STATE_BEGIN &&
        !mig_job_enter(job, env, MIG_JOB_STATE_WAITING, why, error))
        return FALSE;
    mig_job_tell_turn(job, env, turn);
    env->clock->sleep_ms(env->clock->self, MIG_ASK_AGAIN_MS);
    return TRUE;
}

gboolean
mig_job_get_turn(MigJob *job, const MigJobEnv *env, GError **error)
{
    gint64 heard_ms = env->clock->monotonic_ms(env->clock->self);
    Asked asked = {0};

    while (!mig_job_is_cancelled(job, env, error)) {
        g_auto(MigTurn) turn = {0};
        g_autoptr(GError) away = NULL;
        gint64 now_ms = env->clock->monotonic_ms(env->clock->self);

        /* who has half of what it needs is not overtaken here any more */
        if ((!asked.has_first && !env->may_ask(env->self, &turn)) ||
            ask_in_order(job, env, &asked, &turn, &away))
            heard_ms = now_ms;
        if (turn.is_granted && !away)
            return TRUE;
        if (away) {
            if (job->state == MIG_JOB_STATE_BEGIN || now_ms - heard_ms > MIG_AWAY_MS) {
                g_propagate_error(error, g_steal_pointer(&away));
                return FALSE;
            }
            mig_turn_clear(&turn);
            turn.waits_for = g_strdup_printf("an answer (%s)", away->message);
        }
        if (!wait_once(job, env, &turn, error))
            return FALSE;
    }
    return FALSE;
}

void
mig_job_wait_for_target(const MigJobEnv *env)
{
    gint64 start_ms = env->clock->monotonic_ms(env->clock->self);
    gboolean is_known = FALSE, is_up = FALSE;

    do {
        env->look_at_target(env->self, &is_known, &is_up);
        if (!is_up)
            env->clock->sleep_ms(env->clock->self, MIG_HEARTBEAT_MS / 4);
    } while (!is_up && !env->is_cancelled(env->self) &&
             env->clock->monotonic_ms(env->clock->self) - start_ms < 2 * MIG_SUSPECT_MS);
}

void
mig_job_take_turn_again(MigJob *job, const MigJobEnv *env)
{
    g_auto(MigTurn) turn = {0};
    g_autoptr(GError) error = NULL;
    Asked asked = {0};

    /* who does not wait may ask in any order */
    if (!ask_both(job, env, env->target_host_id(env->self), &asked, &turn, &error))
        g_message("job %s: goes on without its pair: %s", job->id, error->message);
    else if (!turn.is_granted)
        g_message("job %s: goes on without its pair, which waits for %s", job->id, turn.waits_for);
}
