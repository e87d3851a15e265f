/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan-sim.c - a simulation of moves that share links, from event to event. */
#include "core/plan-sim.h"

#include <math.h>
#include <string.h>

#define MAX_SHARERS 64 /* of one link; more than any sane max_moves_per_node */
#define NONE        G_MAXUINT
/* How far down a queue is looked where memory or rates forbid the first ones. */
#define LOOK_DOWN 8

typedef struct {
    guint source, target;
    double length_s, full_rate; /* alone */
    double left, rate, since_s, end_s;
    double key; /* the part of the score that stays the same during a run */
    guint queue, next;
} Move;

/* Moves from one node to another: only one can be under way, so only the first ones matter. */
typedef struct {
    guint source, target;
    guint first; /* move; NONE: nothing waits */
} Queue;

/* A queue, seen from one of its ends. */
typedef struct {
    guint queue, other;
} Door;

typedef struct {
    Door *doors;
    guint n_doors;
    guint active[MAX_SHARERS], n_active;
    double load_s; /* what is before it: the larger of link and places, out and in */
    double out_s, in_s, places_s;
    double memory_free;
} Node;

struct MigPlanSim {
    const MigPlanNode *nodes;
    const MigPlanMove *moves;
    guint n_nodes, n_moves;
    double bound_s;
    Node *state;
    Move *move;
    Queue *queue;
    guint n_queues;
    guint *order;    /* moves by queue */
    guint *by_load;  /* nodes, the busiest first */
    Door *doors;     /* storage of all Node.doors */
    guint8 *is_busy; /* pairs, n_nodes x n_nodes */
    guint *active, n_active;
    double now_s;
    guint64 looked_at; /* moves, when one was to begin: what all of this costs */
};

double
mig_plan_net_rate(const MigPlanMove *move, double rate)
{
    return MAX(rate - move->dirty_bytes_s, rate / 10);
}

double
mig_plan_full_rate(const MigPlanNode *nodes, const MigPlanMove *move, guint target)
{
    double rate = MIN(nodes[move->source].out_bytes_s, nodes[target].in_bytes_s);

    return move->rate_bytes_s > 0 ? MIN(rate, move->rate_bytes_s) : rate;
}

void
mig_plan_share(double carries, const double *wants, guint n, double *gets)
{
    guint left = n;
    gboolean is_changed = TRUE;

    for (guint i = 0; i < n; i++)
        gets[i] = -1;
    while (left > 0 && is_changed) {
        double even = carries / left;

        is_changed = FALSE;
        for (guint i = 0; i < n; i++) {
            if (gets[i] < 0 && wants[i] <= even) {
                gets[i] = wants[i];
                carries -= wants[i];
                left--;
                is_changed = TRUE;
            }
        }
    }
    for (guint i = 0; i < n; i++)
        if (gets[i] < 0)
            gets[i] = carries / left;
}

static void
build_queues(MigPlanSim *sim)
{
    g_autofree guint *by_pair = g_new(guint, (gsize)sim->n_nodes * sim->n_nodes + 1);
    guint used = 0;

    memset(by_pair, 0xff, sizeof *by_pair * sim->n_nodes * sim->n_nodes); /* NONE */
    for (guint j = 0; j < sim->n_moves; j++) {
        Move *move = &sim->move[j];
        guint *queue = &by_pair[(gsize)move->source * sim->n_nodes + move->target];

        if (*queue == NONE) {
            *queue = sim->n_queues++;
            sim->queue[*queue] = (Queue){.source = move->source, .target = move->target};
            sim->state[move->source].n_doors++;
            sim->state[move->target].n_doors++;
        }
        move->queue = *queue;
        sim->order[j] = j;
    }
    for (guint i = 0; i < sim->n_nodes; i++) {
        sim->state[i].doors = sim->doors + used;
        used += sim->state[i].n_doors;
        sim->state[i].n_doors = 0;
    }
    for (guint q = 0; q < sim->n_queues; q++) {
        const Queue *queue = &sim->queue[q];
        Node *source = &sim->state[queue->source], *target = &sim->state[queue->target];

        source->doors[source->n_doors++] = (Door){.queue = q, .other = queue->target};
        target->doors[target->n_doors++] = (Door){.queue = q, .other = queue->source};
    }
}

MigPlanSim *
mig_plan_sim_new(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *moves, guint n_moves,
                 double bound_s)
{
    MigPlanSim *sim = g_new0(MigPlanSim, 1);

    *sim = (MigPlanSim){.nodes = nodes,
                        .moves = moves,
                        .n_nodes = n_nodes,
                        .n_moves = n_moves,
                        .bound_s = MAX(bound_s, 1e-9)};
    sim->state = g_new0(Node, n_nodes);
    sim->move = g_new0(Move, n_moves + 1);
    sim->queue = g_new0(Queue, n_moves + 1);
    sim->order = g_new0(guint, n_moves + 1);
    sim->by_load = g_new0(guint, n_nodes + 1);
    sim->doors = g_new0(Door, 2 * (gsize)n_moves + 1);
    sim->is_busy = g_new0(guint8, (gsize)n_nodes * n_nodes);
    sim->active = g_new0(guint, n_moves + 1);
    for (guint j = 0; j < n_moves; j++) {
        Move *move = &sim->move[j];

        move->source = moves[j].source;
        move->target = moves[j].target;
        move->full_rate = mig_plan_full_rate(nodes, &moves[j], move->target);
        move->length_s = moves[j].bytes / mig_plan_net_rate(&moves[j], move->full_rate);
    }
    build_queues(sim);
    return sim;
}

void
mig_plan_sim_free(MigPlanSim *sim)
{
    g_free(sim->state);
    g_free(sim->move);
    g_free(sim->queue);
    g_free(sim->order);
    g_free(sim->by_load);
    g_free(sim->doors);
    g_free(sim->is_busy);
    g_free(sim->active);
    g_free(sim);
}

guint64
mig_plan_sim_looked_at(const MigPlanSim *sim)
{
    return sim->looked_at;
}

static void
add_load(MigPlanSim *sim, guint j, double sign)
{
    Move *move = &sim->move[j];
    Node *source = &sim->state[move->source], *target = &sim->state[move->target];
    double bytes = sign * move->full_rate * move->length_s;

    source->out_s += bytes / sim->nodes[move->source].out_bytes_s;
    target->in_s += bytes / sim->nodes[move->target].in_bytes_s;
    source->places_s += sign * move->length_s / sim->nodes[move->source].max_moves;
    target->places_s += sign * move->length_s / sim->nodes[move->target].max_moves;
    source->load_s = MAX(MAX(source->out_s, source->in_s), source->places_s);
    target->load_s = MAX(MAX(target->out_s, target->in_s), target->places_s);
}

static int
compare_moves(gconstpointer a, gconstpointer b, gpointer user_data)
{
    const MigPlanSim *sim = user_data;
    guint i = *(const guint *)a, j = *(const guint *)b;
    const Move *x = &sim->move[i], *y = &sim->move[j];

    if (x->queue != y->queue)
        return x->queue < y->queue ? -1 : 1;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return i < j ? -1 : 1;
}

static int
compare_nodes(gconstpointer a, gconstpointer b, gpointer user_data)
{
    const MigPlanSim *sim = user_data;
    guint i = *(const guint *)a, j = *(const guint *)b;
    double x = sim->state[i].load_s, y = sim->state[j].load_s;

    return x > y ? -1 : x < y ? 1 : i < j ? -1 : 1;
}

/* Everything waits, each queue in the order of this rule. */
static void
reset(MigPlanSim *sim, const MigPlanRule *rule)
{
    memset(sim->is_busy, 0, (gsize)sim->n_nodes * sim->n_nodes);
    sim->n_active = 0;
    sim->now_s = 0;
    for (guint i = 0; i < sim->n_nodes; i++) {
        Node *node = &sim->state[i];

        node->n_active = 0;
        node->load_s = node->out_s = node->in_s = node->places_s = 0;
        node->memory_free = (double)sim->nodes[i].memory_free_bytes;
    }
    for (guint j = 0; j < sim->n_moves; j++) {
        Move *move = &sim->move[j];

        move->key = rule->length_weight * move->length_s / sim->bound_s +
                    (rule->offsets ? rule->offsets[j] : 0);
        add_load(sim, j, 1);
    }
    g_qsort_with_data(sim->order, (gint)sim->n_moves, sizeof *sim->order, compare_moves, sim);
    for (guint i = 0; i < sim->n_nodes; i++)
        sim->by_load[i] = i;
    g_qsort_with_data(sim->by_load, (gint)sim->n_nodes, sizeof *sim->by_load, compare_nodes, sim);
    for (guint q = 0; q < sim->n_queues; q++)
        sim->queue[q].first = NONE;
    for (guint i = sim->n_moves; i-- > 0;) {
        Move *move = &sim->move[sim->order[i]];

        move->next = sim->queue[move->queue].first;
        sim->queue[move->queue].first = sim->order[i];
    }
}

/* What a move gets of one way of a node's link; extra: one that is not under way yet, or NONE. */
static double
share_of(MigPlanSim *sim, guint node, gboolean is_out, guint j, guint extra)
{
    const Node *state = &sim->state[node];
    double wants[MAX_SHARERS + 1], gets[MAX_SHARERS + 1];
    guint n = 0, mine = 0;

    for (guint a = 0; a <= state->n_active; a++) {
        guint other = a < state->n_active ? state->active[a] : extra;

        if (other == NONE || (is_out ? sim->move[other].source : sim->move[other].target) != node)
            continue;
        if (other == j)
            mine = n;
        wants[n++] = sim->move[other].full_rate;
    }
    if (n == 1)
        return wants[0]; /* a full rate never exceeds its link */
    mig_plan_share(is_out ? sim->nodes[node].out_bytes_s : sim->nodes[node].in_bytes_s, wants, n,
                   gets);
    return gets[mine];
}

static double
rate_of(MigPlanSim *sim, guint j, guint extra)
{
    return MIN(share_of(sim, sim->move[j].source, TRUE, j, extra),
               share_of(sim, sim->move[j].target, FALSE, j, extra));
}

/* Something began or ended at this node: everybody there gets on by what he had so far, and has a
 * new rate from now on. */
static void
reckon(MigPlanSim *sim, guint node)
{
    const Node *state = &sim->state[node];

    for (guint a = 0; a < state->n_active; a++) {
        guint j = state->active[a];
        Move *move = &sim->move[j];

        if (move->rate > 0)
            move->left -=
                mig_plan_net_rate(&sim->moves[j], move->rate) * (sim->now_s - move->since_s);
        move->since_s = sim->now_s;
        move->rate = rate_of(sim, j, NONE);
        move->end_s =
            sim->now_s + MAX(move->left, 0) / mig_plan_net_rate(&sim->moves[j], move->rate);
    }
}

static gboolean
has_place(const MigPlanSim *sim, guint node)
{
    return sim->state[node].n_active < MIN(sim->nodes[node].max_moves, MAX_SHARERS);
}

static gboolean
gets_enough(MigPlanSim *sim, const MigPlanRule *rule, guint j, guint extra)
{
    double least = rule->shares ? rule->shares[j] : rule->least_share;

    return rate_of(sim, j, extra) >= least * sim->move[j].full_rate * (1 - 1e-9);
}

static gboolean
may_begin(MigPlanSim *sim, const MigPlanRule *rule, guint j)
{
    const Move *move = &sim->move[j];
    const Node *source = &sim->state[move->source], *target = &sim->state[move->target];

    if (target->memory_free < (double)sim->moves[j].memory_bytes)
        return FALSE;
    if (source->n_active + target->n_active == 0)
        return TRUE;
    if (!gets_enough(sim, rule, j, j))
        return FALSE;
    /* nor may it take from those under way what they insist on */
    for (guint a = 0; rule->shares && a < source->n_active; a++)
        if (!gets_enough(sim, rule, source->active[a], j))
            return FALSE;
    for (guint a = 0; rule->shares && a < target->n_active; a++)
        if (!gets_enough(sim, rule, target->active[a], j))
            return FALSE;
    return TRUE;
}

static void
leave_queue(MigPlanSim *sim, guint j)
{
    guint *link = &sim->queue[sim->move[j].queue].first;

    while (*link != j)
        link = &sim->move[*link].next;
    *link = sim->move[j].next;
}

static void
begin(MigPlanSim *sim, guint j)
{
    Move *move = &sim->move[j];
    Node *source = &sim->state[move->source], *target = &sim->state[move->target];

    leave_queue(sim, j);
    move->left = sim->moves[j].bytes;
    move->rate = 0;
    move->since_s = sim->now_s;
    source->active[source->n_active++] = j;
    target->active[target->n_active++] = j;
    sim->active[sim->n_active++] = j;
    sim->is_busy[(gsize)move->source * sim->n_nodes + move->target] = 1;
    sim->is_busy[(gsize)move->target * sim->n_nodes + move->source] = 1;
    target->memory_free -= (double)sim->moves[j].memory_bytes;
    add_load(sim, j, -1);
    reckon(sim, move->source);
    reckon(sim, move->target);
}

static void
drop_active(Node *node, guint j)
{
    for (guint a = 0; a < node->n_active; a++) {
        if (node->active[a] == j) {
            node->active[a] = node->active[--node->n_active];
            return;
        }
    }
}

/* The active move that ends first; it ends. */
static guint
end_next(MigPlanSim *sim)
{
    guint first = 0;

    for (guint a = 1; a < sim->n_active; a++)
        if (sim->move[sim->active[a]].end_s < sim->move[sim->active[first]].end_s)
            first = a;

    guint j = sim->active[first];
    Move *move = &sim->move[j];

    sim->active[first] = sim->active[--sim->n_active];
    sim->now_s = move->end_s;
    drop_active(&sim->state[move->source], j);
    drop_active(&sim->state[move->target], j);
    sim->is_busy[(gsize)move->source * sim->n_nodes + move->target] = 0;
    sim->is_busy[(gsize)move->target * sim->n_nodes + move->source] = 0;
    sim->state[move->source].memory_free += (double)sim->moves[j].memory_bytes;
    reckon(sim, move->source);
    reckon(sim, move->target);
    return j;
}

/* The best move that may begin and has this node as an end; best where none is better. */
static guint
best_of(MigPlanSim *sim, const MigPlanRule *rule, guint node, double *best_score, guint best)
{
    const Node *state = &sim->state[node];

    if (!has_place(sim, node))
        return best;
    sim->looked_at += state->n_doors;
    for (guint i = 0; i < state->n_doors; i++) {
        const Door *door = &state->doors[i];
        guint looked = 0;

        if (!has_place(sim, door->other) || sim->is_busy[(gsize)node * sim->n_nodes + door->other])
            continue;
        const Queue *queue = &sim->queue[door->queue];

        if (queue->first == NONE)
            continue;
        double load =
            rule->load_weight * MAX(state->load_s, sim->state[door->other].load_s) / sim->bound_s;

        for (guint j = queue->first; j != NONE && looked < LOOK_DOWN;
             j = sim->move[j].next, looked++) {
            if (load + sim->move[j].key <= *best_score)
                break;
            if (!may_begin(sim, rule, j))
                continue;
            *best_score = load + sim->move[j].key;
            best = j;
            break;
        }
    }
    return best;
}

static guint
begin_all(MigPlanSim *sim, const MigPlanRule *rule, const guint *at, guint n_at, double *start_s)
{
    guint begun = 0;

    for (;;) {
        double score = -G_MAXDOUBLE;
        guint best = sim->n_moves;

        for (guint i = 0; i < n_at; i++)
            best = best_of(sim, rule, at[i], &score, best);
        if (best == sim->n_moves)
            return begun;
        begin(sim, best);
        if (start_s)
            start_s[best] = sim->now_s;
        begun++;
    }
}

double
mig_plan_sim_run(MigPlanSim *sim, const MigPlanRule *rule, double worst_s, double *start_s,
                 double *end_s)
{
    reset(sim, rule);
    for (guint j = 0; j < sim->n_moves && start_s; j++)
        start_s[j] = end_s[j] = -1;
    for (guint i = 0; i < sim->n_nodes; i++)
        begin_all(sim, rule, &sim->by_load[i], 1, start_s);
    while (sim->n_active > 0) {
        guint j = end_next(sim);
        guint at[2] = {sim->move[j].source, sim->move[j].target};

        if (end_s)
            end_s[j] = sim->now_s;
        begin_all(sim, rule, at, 2, start_s);
        for (guint i = 0; i < 2; i++)
            if (sim->now_s + sim->state[at[i]].load_s >= worst_s)
                return INFINITY;
    }
    return sim->now_s;
}
