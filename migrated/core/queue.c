/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* queue.c - the rules of queue.h, over a list of turns and places. */
#include "core/queue.h"

#include "core/timeouts.h"

/* One move at this node. Few hundreds at most: looked through from end to end. */
typedef struct {
    char *job, *source, *target;
    gboolean has_turn;
    guint priority;
    gint64 since_ms; /* it waits, by this node's clock */
    gint64 asked_ms; /* the last time */
} Place;

struct MigQueue {
    char *node;
    guint max_moves;
    GPtrArray *places;
};

void
mig_turn_clear(MigTurn *turn)
{
    g_clear_pointer(&turn->waits_for, g_free);
    turn->is_granted = FALSE;
    turn->position = 0;
}

static void
place_free(gpointer data)
{
    Place *place = data;

    g_free(place->job);
    g_free(place->source);
    g_free(place->target);
    g_free(place);
}

MigQueue *
mig_queue_new(const char *this_node, guint max_moves)
{
    MigQueue *queue = g_new0(MigQueue, 1);

    queue->node = g_strdup(this_node);
    queue->max_moves = max_moves;
    queue->places = g_ptr_array_new_with_free_func(place_free);
    return queue;
}

void
mig_queue_free(MigQueue *queue)
{
    if (!queue)
        return;
    g_ptr_array_unref(queue->places);
    g_free(queue->node);
    g_free(queue);
}

static Place *
place_at(const MigQueue *queue, guint i)
{
    return g_ptr_array_index(queue->places, i);
}

static Place *
find(const MigQueue *queue, const char *job)
{
    for (guint i = 0; i < queue->places->len; i++) {
        if (g_str_equal(place_at(queue, i)->job, job))
            return place_at(queue, i);
    }
    return NULL;
}

static Place *
add(MigQueue *queue, const char *job, const char *source, const char *target)
{
    Place *place = g_new0(Place, 1);

    place->job = g_strdup(job);
    place->source = g_strdup(source);
    place->target = g_strdup(target);
    g_ptr_array_add(queue->places, place);
    return place;
}

static gboolean
is_same_pair(const Place *a, const Place *b)
{
    return (g_str_equal(a->source, b->source) && g_str_equal(a->target, b->target)) ||
           (g_str_equal(a->source, b->target) && g_str_equal(a->target, b->source));
}

/* ---- order ---- */

gboolean
mig_queue_goes_before(guint a_priority, gint64 a_since_ms, const char *a_job, guint b_priority,
                      gint64 b_since_ms, const char *b_job)
{
    if (a_priority != b_priority)
        return a_priority > b_priority;
    if (a_since_ms != b_since_ms)
        return a_since_ms < b_since_ms;
    return g_strcmp0(a_job, b_job) < 0;
}

static gboolean
goes_before_on_pair(const Place *a, const Place *b)
{
    return mig_queue_goes_before(a->priority, a->since_ms, a->job, b->priority, b->since_ms,
                                 b->job);
}

static gboolean
goes_before_at_node(const Place *a, const Place *b, gint64 now_ms)
{
    gboolean a_is_late = now_ms - a->since_ms >= MIG_OVERTAKE_MS;
    gboolean b_is_late = now_ms - b->since_ms >= MIG_OVERTAKE_MS;

    if (a_is_late != b_is_late)
        return a_is_late;
    return a_is_late ? mig_queue_goes_before(0, a->since_ms, a->job, 0, b->since_ms, b->job)
                     : goes_before_on_pair(a, b);
}

static const Place *
turn_on_pair(const MigQueue *queue, const Place *place)
{
    for (guint i = 0; i < queue->places->len; i++) {
        const Place *other = place_at(queue, i);

        if (other->has_turn && is_same_pair(other, place))
            return other;
    }
    return NULL;
}

/* How many of its pair wait before it; *first is the one at the head. */
static guint
ahead_on_pair(const MigQueue *queue, const Place *place, const Place **first)
{
    guint ahead = 0;

    *first = place;
    for (guint i = 0; i < queue->places->len; i++) {
        const Place *other = place_at(queue, i);

        if (other == place || other->has_turn || !is_same_pair(other, place) ||
            !goes_before_on_pair(other, place))
            continue;
        ahead++;
        if (goes_before_on_pair(other, *first))
            *first = other;
    }
    return ahead;
}

static gboolean
is_candidate(const MigQueue *queue, const Place *place)
{
    const Place *first;

    return !place->has_turn && !turn_on_pair(queue, place) &&
           ahead_on_pair(queue, place, &first) == 0;
}

static guint
candidates_before(const MigQueue *queue, const Place *place, gint64 now_ms, const Place **first)
{
    guint ahead = 0;

    *first = place;
    for (guint i = 0; i < queue->places->len; i++) {
        const Place *other = place_at(queue, i);

        if (other == place || !goes_before_at_node(other, place, now_ms) ||
            !is_candidate(queue, other))
            continue;
        ahead++;
        if (goes_before_at_node(other, *first, now_ms))
            *first = other;
    }
    return ahead;
}

static guint
count_turns(const MigQueue *queue)
{
    guint count = 0;

    for (guint i = 0; i < queue->places->len; i++)
        count += place_at(queue, i)->has_turn;
    return count;
}

/* FALSE: it waits for nothing; else turn says for what. */
static gboolean
must_wait(const MigQueue *queue, const Place *place, gint64 now_ms, MigTurn *turn)
{
    const Place *busy = turn_on_pair(queue, place), *first;
    guint turns = count_turns(queue), ahead = ahead_on_pair(queue, place, &first);
    char **text = &turn->waits_for;

    *turn = (MigTurn){.position = ahead + 1};
    if (busy) {
        *text = g_strdup_printf("move %s between %s and %s", busy->job, busy->source, busy->target);
    } else if (ahead) {
        *text = g_strdup_printf("move %s between %s and %s, which goes first", first->job,
                                first->source, first->target);
    } else {
        ahead = candidates_before(queue, place, now_ms, &first);
        turn->position = ahead + 1;
        if (turns >= queue->max_moves)
            *text = g_strdup_printf("%s, which takes part in %u moves already (max_per_node)",
                                    queue->node, turns);
        else if (turns + ahead >= queue->max_moves)
            *text = g_strdup_printf("%s, where move %s goes first (max_per_node)", queue->node,
                                    first->job);
        else
            turn->position = 0;
    }
    return *text != NULL;
}

/* ---- asking ---- */

static void
forget_silent(MigQueue *queue, gint64 now_ms)
{
    for (guint i = 0; i < queue->places->len;) {
        const Place *place = place_at(queue, i);

        if (!place->has_turn && now_ms - place->asked_ms > MIG_PLACE_MS)
            g_ptr_array_remove_index(queue->places, i);
        else
            i++;
    }
}

void
mig_queue_ask(MigQueue *queue, const MigWish *wish, gint64 now_ms, MigTurn *turn)
{
    Place *place = find(queue, wish->job);

    *turn = (MigTurn){0};
    if (place && place->has_turn) {
        turn->is_granted = TRUE;
        return;
    }
    forget_silent(queue, now_ms);
    place = find(queue, wish->job);
    if (!place)
        place = add(queue, wish->job, wish->source, wish->target);
    place->priority = MIN(wish->priority, MIG_PRIORITY_MAX);
    place->since_ms = now_ms - CLAMP(wish->waited_ms, 0, MIG_WAITED_MAX_MS);
    place->asked_ms = now_ms;
    turn->is_granted = place->has_turn = !must_wait(queue, place, now_ms, turn);
}

char *
mig_queue_peek(const MigQueue *queue, const char *source, const char *target, gint64 now_ms)
{
    const Place place = {.job = (char *)"~",
                         .source = (char *)source,
                         .target = (char *)target,
                         .priority = MIG_PRIORITY_DEFAULT,
                         .since_ms = now_ms};
    MigTurn turn;

    return must_wait(queue, &place, now_ms, &turn) ? turn.waits_for : NULL;
}

void
mig_queue_restore(MigQueue *queue, const char *job, const char *source, const char *target)
{
    Place *place = find(queue, job);

    if (!place)
        place = add(queue, job, source, target);
    place->has_turn = TRUE;
}

void
mig_queue_release(MigQueue *queue, const char *job)
{
    Place *place = find(queue, job);

    if (place)
        g_ptr_array_remove(queue->places, place);
}

gboolean
mig_queue_has(const MigQueue *queue, const char *job)
{
    const Place *place = find(queue, job);

    return place && place->has_turn;
}

void
mig_queue_ready(MigQueue *queue, gint64 now_ms,
                void (*found)(const char *job, const char *source, gpointer user_data),
                gpointer user_data)
{
    forget_silent(queue, now_ms);
    for (guint i = 0; i < queue->places->len; i++) {
        const Place *place = place_at(queue, i);
        g_auto(MigTurn) turn = {0};

        if (!place->has_turn && !must_wait(queue, place, now_ms, &turn))
            found(place->job, place->source, user_data);
    }
}

void
mig_queue_turns(const MigQueue *queue,
                void (*found)(const char *job, const char *source, gpointer user_data),
                gpointer user_data)
{
    for (guint i = 0; i < queue->places->len; i++) {
        if (place_at(queue, i)->has_turn)
            found(place_at(queue, i)->job, place_at(queue, i)->source, user_data);
    }
}

gboolean
mig_pair_source_first(guint32 source_host_id, guint32 target_host_id)
{
    return source_host_id < target_host_id;
}
