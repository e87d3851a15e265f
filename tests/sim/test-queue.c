/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-queue.c - many moves between many nodes: never two on a pair, all get their turn, in order.
 */
#include "base/error.h"
#include "core/job-turn.h"
#include "core/timeouts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * core/queue.c and core/job-turn.c as they are, one thread for each move; everything else is
 * simulated: clock, network, wake-up calls. One thread is awake at a time, from one sleep to the
 * next, so that a run depends on its seed alone. Answers take their time, wake-up calls get lost,
 * daemons restart and forget places, sources die with what they hold.
 */
#define NODES    8
#define JOBS     200
#define LIMIT    2
#define SWEEP_MS 5000
#define NEVER    G_MAXINT64

typedef struct Sim Sim;

typedef struct {
    Sim *sim;
    MigJob *job;
    guint source, target;
    pthread_cond_t go;
    gboolean is_awake, is_asleep_in_line, is_woken, is_cancelled, is_dead, has_ended, moves, moved;
    gboolean has_place; /* has been told to wait by the end that it asks first */
    gint64 until_ms, place_ms;
} Mover;

struct Sim {
    guint64 seed, random;
    gint64 now_ms;
    pthread_mutex_t lock;
    pthread_cond_t back;
    MigQueue *queues[NODES];
    Mover movers[JOBS];
    guint lost_percent, restart_percent, die_percent, cancel_percent;
    guint virsh_percent; /* begun past us: they never wait */
    guint done;
};

/* Of all runs: both have to happen. */
static guint virsh_moved, virsh_refused;

static guint
rnd(Sim *sim, guint below)
{
    sim->random ^= sim->random >> 12;
    sim->random ^= sim->random << 25;
    sim->random ^= sim->random >> 27;
    return (guint)((sim->random * 0x2545F4914F6CDD1Dull) >> 33) % below;
}

static void
violation(const Sim *sim, const char *text, const Mover *a, const Mover *b)
{
    fprintf(stderr,
            "# VIOLATION: %s: %s %s->%s%s%s at %" G_GINT64_FORMAT " ms, seed %" G_GUINT64_FORMAT
            "\n",
            text, a ? a->job->id : "", a ? a->job->source : "", a ? a->job->target : "",
            b ? " and " : "", b ? b->job->id : "", sim->now_ms, sim->seed);
    abort();
}

/* ---- turns of the one thread that is awake ---- */

static void
sleep_until(Mover *mover, gint64 until_ms)
{
    Sim *sim = mover->sim;

    mover->until_ms = until_ms;
    mover->is_awake = FALSE;
    pthread_cond_signal(&sim->back);
    while (!mover->is_awake)
        pthread_cond_wait(&mover->go, &sim->lock);
}

static void
take_ms(Mover *mover, guint ms)
{
    sleep_until(mover, mover->sim->now_ms + ms);
}

static void
clock_sleep(gpointer self, guint ms)
{
    Mover *mover = self;

    if (!mover->is_woken) {
        mover->is_asleep_in_line = TRUE;
        take_ms(mover, ms);
        mover->is_asleep_in_line = FALSE;
    }
    mover->is_woken = FALSE;
}

static gint64
clock_ms(gpointer self)
{
    return ((Mover *)self)->sim->now_ms;
}

static void
wake(Mover *mover)
{
    mover->is_woken = TRUE;
    if (mover->is_asleep_in_line)
        mover->until_ms = MIN(mover->until_ms, mover->sim->now_ms + 1 + rnd(mover->sim, 5));
}

static void
wake_by_id(const char *job, const char *source, gpointer user_data)
{
    Sim *sim = user_data;

    if (rnd(sim, 100) >= sim->lost_percent)
        wake(&sim->movers[atoi(strchr(job, '-') + 1)]);
}

static void
give_up(Sim *sim, guint node, const char *job)
{
    mig_queue_release(sim->queues[node], job);
    mig_queue_ready(sim->queues[node], sim->now_ms, wake_by_id, sim);
}

/* ---- ports ---- */

static guint
number_of(const char *node)
{
    return (guint)(node[0] - 'A');
}

static void
note_order(Mover *mover, const MigTurn *turn)
{
    Sim *sim = mover->sim;

    if (!turn->is_granted) {
        if (!mover->has_place)
            mover->place_ms = sim->now_ms;
        mover->has_place = TRUE;
        return;
    }
    mover->has_place = FALSE;
    /* of two that wait for one pair in good order, the better one goes first */
    for (guint i = 0; i < JOBS; i++) {
        const Mover *other = &sim->movers[i];

        if (other == mover || !other->has_place || other->is_dead || sim->restart_percent ||
            sim->lost_percent || sim->now_ms - other->place_ms < 100 ||
            MIN(other->source, other->target) != MIN(mover->source, mover->target) ||
            MAX(other->source, other->target) != MAX(mover->source, mover->target))
            continue;
        if (other->job->priority > mover->job->priority)
            violation(sim, "overtakes a more important one", mover, other);
        if (other->job->priority == mover->job->priority &&
            other->job->started_ms + 100 < mover->job->started_ms)
            violation(sim, "overtakes an older one", mover, other);
    }
}

static gboolean
peer_reserve(gpointer self, const char *node, const MigJob *job, gint64 waited_ms, MigTurn *turn,
             GError **error)
{
    Mover *mover = self;
    Sim *sim = mover->sim;
    guint at = number_of(node);
    const MigWish wish = {.job = job->id,
                          .source = job->source,
                          .target = job->target,
                          .priority = job->priority,
                          .waited_ms = waited_ms};

    if (at != mover->source)
        take_ms(mover, 1 + rnd(sim, 4));
    gboolean had_it = mig_queue_has(sim->queues[at], job->id);

    mig_queue_ask(sim->queues[at], &wish, sim->now_ms, turn);
    if (!had_it && at == MIN(mover->source, mover->target))
        note_order(mover, turn);
    if (at != mover->source)
        take_ms(mover, 1 + rnd(sim, 4));
    return TRUE;
}

static gboolean
peer_release(gpointer self, const char *node, const MigJob *job, GError **error)
{
    Mover *mover = self;

    if (number_of(node) != mover->source)
        take_ms(mover, 1 + rnd(mover->sim, 4));
    give_up(mover->sim, number_of(node), job->id);
    return TRUE;
}

static gboolean
store_save(gpointer self, const MigJob *job, GError **error)
{
    return TRUE;
}

static void
env_nothing(gpointer self)
{
}

static gboolean
env_is_cancelled(gpointer self)
{
    return ((Mover *)self)->is_cancelled;
}

/* As jobs-run.c does it. */
static gboolean
env_may_ask(gpointer self, MigTurn *turn)
{
    Mover *mover = self;
    const MigJob *job = mover->job;

    for (guint i = 0; i < JOBS; i++) {
        const Mover *other = &mover->sim->movers[i];

        if (other->source == mover->source && other->target == mover->target && !other->moves &&
            !other->moved && !other->has_ended && !other->is_dead &&
            other->job->started_ms <= mover->sim->now_ms &&
            mig_queue_goes_before(other->job->priority, other->job->started_ms, other->job->id,
                                  job->priority, job->started_ms, job->id)) {
            turn->position = 2;
            turn->waits_for = g_strdup(other->job->id);
            return FALSE;
        }
    }
    return TRUE;
}

/* ---- one move ---- */

static void
leave_line(Mover *mover)
{
    for (guint i = 0; i < JOBS; i++) {
        Mover *other = &mover->sim->movers[i];

        if (other->source == mover->source && other->target == mover->target && !other->moves)
            wake(other);
    }
}

static void
check_rule(Mover *mover)
{
    Sim *sim = mover->sim;
    guint at_node[NODES] = {0};

    for (guint i = 0; i < JOBS; i++) {
        const Mover *other = &sim->movers[i];

        if (!other->moves)
            continue;
        at_node[other->source]++;
        at_node[other->target]++;
        if (other != mover &&
            MIN(other->source, other->target) == MIN(mover->source, mover->target) &&
            MAX(other->source, other->target) == MAX(mover->source, mover->target))
            violation(sim, "two moves on one pair", mover, other);
    }
    for (guint i = 0; i < NODES; i++) {
        if (at_node[i] > LIMIT)
            violation(sim, "too many moves at one node", mover, NULL);
    }
}

static guint32
env_target_host_id(gpointer self)
{
    const Mover *mover = self;

    return mover->target + 1;
}

static gpointer
mover_thread(gpointer data)
{
    Mover *mover = data;
    Sim *sim = mover->sim;
    MigPeer peer = {.self = mover, .reserve = peer_reserve, .release = peer_release};
    MigStore store = {.self = mover, .save = store_save};
    MigClock clock = {
        .self = mover, .wall_ms = clock_ms, .monotonic_ms = clock_ms, .sleep_ms = clock_sleep};
    MigJobEnv env = {.peer = &peer,
                     .store = &store,
                     .clock = &clock,
                     .host_id = mover->source + 1,
                     .target_host_id = env_target_host_id,
                     .may_ask = env_may_ask,
                     .lock = env_nothing,
                     .unlock_and_tell = env_nothing,
                     .is_cancelled = env_is_cancelled,
                     .self = mover};
    g_autoptr(GError) error = NULL;

    pthread_mutex_lock(&sim->lock);
    while (!mover->is_awake)
        pthread_cond_wait(&mover->go, &sim->lock);
    mig_job_enter(mover->job, &env, MIG_JOB_STATE_BEGIN, "", NULL);
    if (mig_job_get_turn(mover->job, &env, &error)) {
        mover->moves = TRUE;
        check_rule(mover);
        leave_line(mover);
        take_ms(mover, 200 + rnd(sim, 3000));
        mover->moves = FALSE;
        mover->moved = TRUE;
        virsh_moved += mover->job->by_virsh;
    } else if (mover->job->no_wait && g_error_matches(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED)) {
        virsh_refused++;
    } else if (!mover->is_cancelled) {
        violation(sim, error->message, mover, NULL);
    }
    mover->has_ended = TRUE;
    mover->has_place = FALSE;
    leave_line(mover);
    peer_release(mover, mover->job->target, mover->job, NULL);
    peer_release(mover, mover->job->source, mover->job, NULL);
    sim->done++;
    mover->until_ms = NEVER;
    mover->is_awake = FALSE;
    pthread_cond_signal(&sim->back);
    pthread_mutex_unlock(&sim->lock);
    return NULL;
}

/* ---- events ---- */

static void
collect_turn(const char *job, const char *source, gpointer user_data)
{
    g_ptr_array_add(user_data, g_strdup(job));
}

/* Turns are on disk, places are not. */
static void
restart_daemon(Sim *sim, guint node)
{
    g_autoptr(GPtrArray) turns = g_ptr_array_new_with_free_func(g_free);
    char name[2] = {(char)('A' + node), '\0'};

    mig_queue_turns(sim->queues[node], collect_turn, turns);
    mig_queue_free(sim->queues[node]);
    sim->queues[node] = mig_queue_new(name, LIMIT);
    for (guint i = 0; i < turns->len; i++) {
        const Mover *mover = &sim->movers[atoi(strchr(g_ptr_array_index(turns, i), '-') + 1)];

        mig_queue_restore(sim->queues[node], mover->job->id, mover->job->source,
                          mover->job->target);
    }
}

static void
sweep(Sim *sim)
{
    for (guint i = 0; i < JOBS; i++) {
        const Mover *mover = &sim->movers[i];

        if (mover->is_dead) {
            give_up(sim, mover->source, mover->job->id);
            give_up(sim, mover->target, mover->job->id);
        }
    }
}

static void
happen(Sim *sim)
{
    Mover *mover = &sim->movers[rnd(sim, JOBS)];
    guint what = rnd(sim, 1000);

    if (what < sim->restart_percent)
        restart_daemon(sim, rnd(sim, NODES));
    else if (what < sim->restart_percent + sim->cancel_percent && !mover->moves) {
        mover->is_cancelled = TRUE;
        wake(mover);
    } else if (what > 999 - sim->die_percent && !mover->has_ended && !mover->is_dead) {
        mover->is_dead = TRUE;
        mover->moves = FALSE;
        mover->until_ms = NEVER;
        sim->done++;
    }
}

static Mover *
next_mover(Sim *sim)
{
    Mover *next = NULL;

    for (guint i = 0; i < JOBS; i++) {
        Mover *mover = &sim->movers[i];

        if (mover->until_ms != NEVER && !mover->is_dead &&
            (!next || mover->until_ms < next->until_ms))
            next = mover;
    }
    return next;
}

static void
run_sim(Sim *sim)
{
    gint64 swept_ms = 0;

    pthread_mutex_lock(&sim->lock);
    for (Mover *mover; (mover = next_mover(sim));) {
        sim->now_ms = MAX(sim->now_ms, mover->until_ms);
        if (sim->now_ms > 60 * 60 * 1000)
            violation(sim, "does not come to an end", mover, NULL);
        mover->is_awake = TRUE;
        pthread_cond_signal(&mover->go);
        while (mover->is_awake)
            pthread_cond_wait(&sim->back, &sim->lock);
        happen(sim);
        if (sim->now_ms - swept_ms >= SWEEP_MS) {
            swept_ms = sim->now_ms;
            sweep(sim);
        }
    }
    pthread_mutex_unlock(&sim->lock);
    if (sim->done != JOBS)
        violation(sim, "a move got lost", NULL, NULL);
}

static void
begin(Sim *sim, guint i, GThread **thread)
{
    Mover *mover = &sim->movers[i];
    char id[16];

    mover->sim = sim;
    mover->source = rnd(sim, NODES);
    mover->target = (mover->source + 1 + rnd(sim, NODES - 1)) % NODES;
    g_snprintf(id, sizeof id, "%c-%u", 'A' + mover->source, i);
    mover->job = mig_job_new(id);
    mover->job->source = g_strdup_printf("%c", 'A' + mover->source);
    mover->job->target = g_strdup_printf("%c", 'A' + mover->target);
    mover->job->priority = rnd(sim, 3) ? 500 : rnd(sim, 1000);
    if (sim->virsh_percent)
        mover->job->no_wait = mover->job->by_virsh = rnd(sim, 100) < sim->virsh_percent;
    mover->job->started_ms = mover->until_ms = 1 + rnd(sim, 20000);
    pthread_cond_init(&mover->go, NULL);
    *thread = g_thread_new("mover", mover_thread, mover);
}

/* How long until all had their turn. */
static gint64
run_with_virsh(guint64 seed, guint lost, guint restart, guint die, guint cancel, guint virsh)
{
    Sim *sim = g_new0(Sim, 1);
    GThread *threads[JOBS];

    sim->seed = seed;
    sim->random = seed * 0x9E3779B97F4A7C15ull + 1;
    sim->lost_percent = lost;
    sim->restart_percent = restart;
    sim->die_percent = die;
    sim->cancel_percent = cancel;
    sim->virsh_percent = virsh;
    pthread_mutex_init(&sim->lock, NULL);
    pthread_cond_init(&sim->back, NULL);
    for (guint i = 0; i < NODES; i++) {
        char name[2] = {(char)('A' + i), '\0'};

        sim->queues[i] = mig_queue_new(name, LIMIT);
    }
    pthread_mutex_lock(&sim->lock);
    for (guint i = 0; i < JOBS; i++)
        begin(sim, i, &threads[i]);
    pthread_mutex_unlock(&sim->lock);
    run_sim(sim);
    gint64 took_ms = sim->now_ms;

    for (guint i = 0; i < JOBS; i++) {
        if (sim->movers[i].is_dead) { /* stands where it died, to the end of this process */
            g_thread_unref(threads[i]);
            continue;
        }
        g_thread_join(threads[i]);
        mig_job_free(sim->movers[i].job);
    }
    for (guint i = 0; i < NODES; i++) {
        g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func(g_free);

        if (!die)
            mig_queue_turns(sim->queues[i], collect_turn, left);
        if (left->len)
            violation(sim, "a turn is left", NULL, NULL);
        mig_queue_free(sim->queues[i]);
    }
    if (!die)
        g_free(sim);
    return took_ms;
}

static gint64
run(guint64 seed, guint lost, guint restart, guint die, guint cancel)
{
    return run_with_virsh(seed, lost, restart, die, cancel, 0);
}

static void
test_all_well(void)
{
    for (guint64 seed = 1; seed <= 20; seed++)
        g_test_message("200 moves: %" G_GINT64_FORMAT " ms", run(seed, 0, 0, 0, 0));
}

static void
test_wakes_lost(void)
{
    for (guint64 seed = 1; seed <= 10; seed++)
        run(seed, 50, 0, 0, 0);
}

static void
test_restarts(void)
{
    for (guint64 seed = 1; seed <= 10; seed++)
        run(seed, 20, 10, 0, 5);
}

static void
test_cancels(void)
{
    for (guint64 seed = 1; seed <= 10; seed++)
        run(seed, 0, 0, 0, 20);
}

static void
test_sources_die(void)
{
    for (guint64 seed = 1; seed <= 5; seed++)
        run(seed, 20, 3, 4, 4);
}

static void
test_by_virsh(void)
{
    for (guint64 seed = 1; seed <= 4; seed++)
        run_with_virsh(seed, 0, 0, 0, 5, 20);
    for (guint64 seed = 1; seed <= 4; seed++)
        run_with_virsh(seed, 20, 10, 4, 4, 20);
    g_test_message("%u moved, %u refused", virsh_moved, virsh_refused);
    g_assert_cmpuint(virsh_moved, >, 0);
    g_assert_cmpuint(virsh_refused, >, 0);
}

static void
be_silent(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_handler("migrated", G_LOG_LEVEL_DEBUG, be_silent, NULL);
    g_test_add_func("/sim/queue/all-well", test_all_well);
    g_test_add_func("/sim/queue/wakes-lost", test_wakes_lost);
    g_test_add_func("/sim/queue/restarts", test_restarts);
    g_test_add_func("/sim/queue/cancels", test_cancels);
    g_test_add_func("/sim/queue/by-virsh", test_by_virsh);
    g_test_add_func("/sim/queue/sources-die", test_sources_die);
    return g_test_run();
}
