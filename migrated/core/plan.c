/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c - bound, targets and search of plan.h. */
#include "core/plan.h"

#include "core/plan-sim.h"

#include <math.h>
#include <string.h>

/* As good as the bound: nothing is looked for below it. */
#define GOOD_ENOUGH 1.001

typedef struct {
    const MigPlanNode *nodes;
    guint n_nodes;
    MigPlanMove *moves; /* a copy: targets get filled in */
    guint n_moves;
    guint8 *was_any;
    double *memory_free; /* what is left once all who come have come */
    guint64 seed;
    gint64 effort;
    /* the best so far */
    double makespan_s, bound_s;
    double *start_s, *end_s, *offsets, *shares;
    guint *targets;
} Search;

/* ---- the bound ---- */

static gboolean
may_go_to(const MigPlanNode *nodes, const MigPlanMove *move, guint target)
{
    return target != move->source && nodes[target].takes_moves &&
           (!move->allowed || move->allowed[target]);
}

/* The fastest link that this move may take; MIG_PLAN_ANY: none. */
static guint
fastest(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *move)
{
    guint best = MIG_PLAN_ANY;

    if (move->target != MIG_PLAN_ANY)
        return move->target;
    for (guint t = 0; t < n_nodes; t++)
        if (may_go_to(nodes, move, t) &&
            (best == MIG_PLAN_ANY || nodes[t].in_bytes_s > nodes[best].in_bytes_s))
            best = t;
    return best;
}

double
mig_plan_alone_s(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *move)
{
    guint target = fastest(nodes, n_nodes, move);

    if (target == MIG_PLAN_ANY)
        return 0;
    return move->bytes / mig_plan_net_rate(move, mig_plan_full_rate(nodes, move, target));
}

static int
compare_down(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* What these lengths take on so many machines, at least. */
static double
machines_bound(GArray *lengths, guint machines)
{
    double sum = 0, bound = 0;

    g_array_sort(lengths, compare_down);
    for (guint i = 0; i < lengths->len; i++)
        sum += g_array_index(lengths, double, i);
    bound = sum / machines;
    if (lengths->len > 0)
        bound = MAX(bound, g_array_index(lengths, double, 0));
    for (guint k = 1; k * machines < lengths->len; k++) {
        double shared = 0;

        for (guint i = 0; i <= k; i++)
            shared += g_array_index(lengths, double, k *machines - i);
        bound = MAX(bound, shared);
    }
    return bound;
}

typedef struct {
    double out_s, in_s;
    double any_bytes; /* of moves whose target may be chosen */
    GArray *lengths;  /* double */
} Burden;

/* The most that a node can send to nodes of choice at a time: to max_moves of them, one move each,
 * and no more than its link carries. */
static double
most_sent(const MigPlanNode *nodes, guint n_nodes, guint source)
{
    g_autoptr(GArray) rates = g_array_new(FALSE, FALSE, sizeof(double));
    double sum = 0;

    for (guint t = 0; t < n_nodes; t++) {
        double rate = MIN(nodes[source].out_bytes_s, nodes[t].in_bytes_s);

        if (t != source && nodes[t].takes_moves)
            g_array_append_val(rates, rate);
    }
    g_array_sort(rates, compare_down);
    for (guint i = 0; i < MIN(rates->len, nodes[source].max_moves); i++)
        sum += g_array_index(rates, double, i);
    return MIN(sum, nodes[source].out_bytes_s);
}

double
mig_plan_bound(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *moves, guint n_moves)
{
    g_autofree Burden *burdens = g_new0(Burden, n_nodes);
    g_autofree double *pairs = g_new0(double, (gsize)n_nodes *n_nodes);
    double bound = 0, all_s = 0, all_bytes = 0, takers_bytes_s = 0;
    guint takers = 0;

    for (guint i = 0; i < n_nodes; i++) {
        burdens[i].lengths = g_array_new(FALSE, FALSE, sizeof(double));
        takers += nodes[i].takes_moves ? nodes[i].max_moves : 0;
        takers_bytes_s += nodes[i].takes_moves ? nodes[i].in_bytes_s : 0;
    }
    for (guint j = 0; j < n_moves; j++) {
        const MigPlanMove *move = &moves[j];
        guint target = fastest(nodes, n_nodes, move);

        if (target == MIG_PLAN_ANY)
            continue;
        double rate = mig_plan_full_rate(nodes, move, target);
        double length_s = move->bytes / mig_plan_net_rate(move, rate);
        Burden *source = &burdens[move->source];

        bound = MAX(bound, length_s);
        source->out_s += rate * length_s / nodes[move->source].out_bytes_s;
        g_array_append_val(source->lengths, length_s);
        if (move->target == MIG_PLAN_ANY) {
            all_s += length_s;
            source->any_bytes += rate * length_s;
            all_bytes += rate * length_s;
        } else {
            guint low = MIN(move->source, target), high = MAX(move->source, target);

            burdens[target].in_s += rate * length_s / nodes[target].in_bytes_s;
            g_array_append_val(burdens[target].lengths, length_s);
            pairs[(gsize)low * n_nodes + high] += length_s;
            bound = MAX(bound, pairs[(gsize)low * n_nodes + high]);
        }
    }
    if (takers > 0)
        bound = MAX(bound, MAX(all_s / takers, all_bytes / takers_bytes_s));
    for (guint i = 0; i < n_nodes; i++) {
        bound = MAX(bound, MAX(burdens[i].out_s, burdens[i].in_s));
        bound = MAX(bound, machines_bound(burdens[i].lengths, nodes[i].max_moves));
        if (burdens[i].any_bytes > 0)
            bound = MAX(bound, burdens[i].any_bytes / most_sent(nodes, n_nodes, i));
        g_array_unref(burdens[i].lengths);
    }
    return bound;
}

/* ---- targets ---- */

static double
alone_to(const Search *search, guint j, guint target)
{
    const MigPlanMove *move = &search->moves[j];

    return move->bytes / mig_plan_net_rate(move, mig_plan_full_rate(search->nodes, move, target));
}

typedef struct {
    guint move;
    double key;
} Ranked;

static int
compare_ranked(gconstpointer a, gconstpointer b)
{
    const Ranked *x = a, *y = b;

    return x->key < y->key ? 1 : x->key > y->key ? -1 : x->move < y->move ? -1 : 1;
}

/* Each move that has no target yet to the node that is through with it soonest. by_memory: those
 * that need most memory choose first, for clusters that are nearly full. bias: by how much faster
 * links are preferred beyond that: a source with few places must not waste them on slow targets.
 * The number unplaced. */
static guint
choose_targets(Search *search, gboolean by_memory, double bias)
{
    guint n = search->n_nodes, unplaced = 0;
    g_autofree Ranked *ranked = g_new(Ranked, search->n_moves + 1);
    g_autofree double *link_s = g_new0(double, n), *places_s = g_new0(double, n);
    g_autofree double *pair_s = g_new0(double, (gsize)n *n);

    for (guint t = 0; t < n; t++)
        search->memory_free[t] = (double)search->nodes[t].memory_free_bytes;
    for (guint j = 0; j < search->n_moves; j++) {
        MigPlanMove *move = &search->moves[j];

        if (search->was_any[j])
            move->target = MIG_PLAN_ANY;
        ranked[j] = (Ranked){.move = j,
                             .key = by_memory ? (double)move->memory_bytes
                                              : mig_plan_alone_s(search->nodes, n, move)};
        if (!search->was_any[j]) {
            double length_s = alone_to(search, j, move->target);

            link_s[move->target] += length_s *
                                    mig_plan_full_rate(search->nodes, move, move->target) /
                                    search->nodes[move->target].in_bytes_s;
            places_s[move->target] += length_s / search->nodes[move->target].max_moves;
            pair_s[(gsize)move->source * n + move->target] += length_s;
            search->memory_free[move->target] -= (double)move->memory_bytes;
            search->memory_free[move->source] += (double)move->memory_bytes;
        }
    }
    qsort(ranked, search->n_moves, sizeof *ranked, compare_ranked);
    for (guint i = 0; i < search->n_moves; i++) {
        MigPlanMove *move = &search->moves[ranked[i].move];
        guint best = MIG_PLAN_ANY;
        double best_s = INFINITY, best_link_s = 0, best_length_s = 0;

        if (move->target != MIG_PLAN_ANY)
            continue;
        for (guint t = 0; t < n; t++) {
            if (!may_go_to(search->nodes, move, t) ||
                search->memory_free[t] < (double)move->memory_bytes)
                continue;
            double length_s = alone_to(search, ranked[i].move, t);
            double part_s =
                length_s * mig_plan_full_rate(search->nodes, move, t) / search->nodes[t].in_bytes_s;
            double through_s =
                MAX(MAX(link_s[t] + part_s, places_s[t] + length_s / search->nodes[t].max_moves),
                    pair_s[(gsize)move->source * n + t] + length_s);

            through_s *= pow(length_s, bias);

            if (through_s < best_s ||
                (through_s == best_s && search->memory_free[t] > search->memory_free[best])) {
                best = t;
                best_s = through_s;
                best_link_s = part_s;
                best_length_s = length_s;
            }
        }
        move->target = best;
        if (best == MIG_PLAN_ANY) {
            unplaced++;
            continue;
        }
        link_s[best] += best_link_s;
        places_s[best] += best_length_s / search->nodes[best].max_moves;
        pair_s[(gsize)move->source * n + best] += best_length_s;
        search->memory_free[best] -= (double)move->memory_bytes;
    }
    return unplaced;
}

/* ---- the search ---- */

/* Knuth's numbers for a 64 bit linear congruential generator; core has no other source. */
static guint
random_below(Search *search, guint limit)
{
    search->seed = search->seed * 6364136223846793005u + 1442695040888963407u;
    return (guint)((search->seed >> 33) % limit);
}

static double
random_around(Search *search, double width)
{
    return width * ((double)random_below(search, 20001) / 10000.0 - 1);
}

static const MigPlanRule rules[] = {
    {.load_weight = 1, .length_weight = 0.3, .least_share = 1},
    {.load_weight = 1, .length_weight = 0.3, .least_share = 0.3},
    {.load_weight = 1, .length_weight = 0.3, .least_share = 0.6},
    {.load_weight = 1, .length_weight = 2, .least_share = 1},
    {.load_weight = 0, .length_weight = 1, .least_share = 1},
    {.load_weight = 1, .length_weight = 0, .least_share = 0.6},
    {.load_weight = 0, .length_weight = 1, .least_share = 0.3},
    {.load_weight = 1, .length_weight = 1, .least_share = 0},
};

/* The moves that have a target, simulated by this rule; kept if better. TRUE: no worse. */
static gboolean
try_rule(Search *search, MigPlanSim *sim, const MigPlanRule *rule, const double *offsets,
         const double *shares)
{
    MigPlanRule with = *rule;
    g_autofree double *start_s = g_new(double, search->n_moves + 1);
    g_autofree double *end_s = g_new(double, search->n_moves + 1);

    with.offsets = offsets;
    with.shares = shares;
    gint64 before = (gint64)mig_plan_sim_looked_at(sim);
    double makespan_s =
        mig_plan_sim_run(sim, &with, search->makespan_s * (1 + 1e-9), start_s, end_s);

    /* what a run costs besides */
    search->effort -=
        (gint64)mig_plan_sim_looked_at(sim) - before + 50 * (search->n_moves + search->n_nodes);

    if (makespan_s > search->makespan_s * (1 + 1e-9))
        return FALSE;
    search->makespan_s = makespan_s;
    memcpy(search->start_s, start_s, sizeof *start_s * search->n_moves);
    memcpy(search->end_s, end_s, sizeof *end_s * search->n_moves);
    for (guint j = 0; j < search->n_moves; j++)
        search->targets[j] = search->moves[j].target;
    return TRUE;
}

static gboolean
is_done(const Search *search)
{
    return search->effort <= 0 || search->makespan_s <= search->bound_s * GOOD_ENOUGH;
}

/* One move that may go anywhere goes somewhere else; FALSE: nowhere to go. */
static gboolean
change_target(Search *search, guint *changed, guint *old)
{
    guint j = random_below(search, search->n_moves);
    MigPlanMove *move = &search->moves[j];
    guint target = random_below(search, search->n_nodes);

    if (!search->was_any[j] || target == move->target || !may_go_to(search->nodes, move, target) ||
        search->memory_free[target] < (double)move->memory_bytes)
        return FALSE;
    *changed = j;
    *old = move->target;
    search->memory_free[move->target] += (double)move->memory_bytes;
    search->memory_free[target] -= (double)move->memory_bytes;
    move->target = target;
    return TRUE;
}

static void
undo_target(Search *search, guint changed, guint old)
{
    MigPlanMove *move = &search->moves[changed];

    search->memory_free[move->target] += (double)move->memory_bytes;
    search->memory_free[old] -= (double)move->memory_bytes;
    move->target = old;
}

/* A few offsets change, or shares, or a target; what is no worse stays. */
static void
improve(Search *search, gboolean has_choice)
{
    guint n = search->n_moves;
    g_autofree double *offsets = g_new0(double, n + 1), *shares = g_new0(double, n + 1);
    MigPlanSim *sim =
        mig_plan_sim_new(search->nodes, search->n_nodes, search->moves, n, search->bound_s);

    while (!is_done(search)) {
        const MigPlanRule *rule = &rules[random_below(search, G_N_ELEMENTS(rules))];
        gboolean is_by_move = random_below(search, 2) == 0;
        guint changed = 0, old = MIG_PLAN_ANY;

        memcpy(offsets, search->offsets, sizeof *offsets * n);
        memcpy(shares, search->shares, sizeof *shares * n);
        for (guint changes = 1 + random_below(search, 3); changes > 0; changes--)
            offsets[random_below(search, n)] = random_around(search, 1);
        for (guint changes = random_below(search, 3); changes > 0; changes--)
            shares[random_below(search, n)] = (double)random_below(search, 6) / 5;
        if (random_below(search, 8) == 0)
            for (guint j = 0; j < n; j++)
                offsets[j] = random_around(search, 1.5);
        gboolean is_elsewhere =
            has_choice && random_below(search, 2) == 0 && change_target(search, &changed, &old);

        if (is_elsewhere) {
            mig_plan_sim_free(sim);
            sim =
                mig_plan_sim_new(search->nodes, search->n_nodes, search->moves, n, search->bound_s);
        }
        if (try_rule(search, sim, rule, offsets, is_by_move ? shares : NULL)) {
            memcpy(search->offsets, offsets, sizeof *offsets * n);
            memcpy(search->shares, shares, sizeof *shares * n);
        } else if (is_elsewhere) {
            undo_target(search, changed, old);
            mig_plan_sim_free(sim);
            sim =
                mig_plan_sim_new(search->nodes, search->n_nodes, search->moves, n, search->bound_s);
        }
    }
    mig_plan_sim_free(sim);
}

static void
try_rules(Search *search)
{
    MigPlanSim *sim = mig_plan_sim_new(search->nodes, search->n_nodes, search->moves,
                                       search->n_moves, search->bound_s);

    for (guint i = 0; i < G_N_ELEMENTS(rules) && (i == 0 || !is_done(search)); i++)
        try_rule(search, sim, &rules[i], NULL, NULL);
    mig_plan_sim_free(sim);
}

/* The best targets so far again, and what they leave free. */
static void
take_best_targets(Search *search)
{
    for (guint t = 0; t < search->n_nodes; t++)
        search->memory_free[t] = (double)search->nodes[t].memory_free_bytes;
    for (guint j = 0; j < search->n_moves; j++) {
        MigPlanMove *move = &search->moves[j];

        move->target = search->targets[j];
        search->memory_free[move->target] -= (double)move->memory_bytes;
        if (!search->was_any[j])
            search->memory_free[move->source] += (double)move->memory_bytes;
    }
}

static void
run_search(Search *search, gboolean has_choice, gboolean by_memory)
{
    static const double biases[] = {0, 1, 3};

    for (guint b = 0; b < (has_choice ? G_N_ELEMENTS(biases) : 1); b++) {
        if (b > 0 && (is_done(search) || choose_targets(search, by_memory, biases[b]) > 0))
            break;
        try_rules(search);
    }
    take_best_targets(search);
    if (search->n_moves > 1)
        improve(search, has_choice);
}

/* ---- the plan ---- */

static int
compare_steps(gconstpointer a, gconstpointer b)
{
    const MigPlanStep *x = a, *y = b;

    return x->start_s < y->start_s ? -1 : x->start_s > y->start_s ? 1 : x->move < y->move ? -1 : 1;
}

/* names: for each move of the search, its index in the caller's list. */
static void
fill_plan(MigPlan *plan, const Search *search, const guint *names)
{
    plan->steps = g_new0(MigPlanStep, search->n_moves + 1);
    for (guint j = 0; j < search->n_moves; j++) {
        if (search->end_s[j] < 0) { /* its target's memory never came free */
            plan->unplaced[plan->n_unplaced++] = names[j];
            continue;
        }
        plan->steps[plan->n_steps++] = (MigPlanStep){.move = names[j],
                                                     .source = search->moves[j].source,
                                                     .target = search->targets[j],
                                                     .start_s = search->start_s[j],
                                                     .end_s = search->end_s[j]};
    }
    qsort(plan->steps, plan->n_steps, sizeof *plan->steps, compare_steps);
    plan->makespan_s = search->makespan_s;
}

MigPlan *
mig_plan_make(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *moves, guint n_moves,
              guint effort)
{
    MigPlan *plan = g_new0(MigPlan, 1);
    g_autofree MigPlanMove *copy = g_new0(MigPlanMove, n_moves + 1);
    g_autofree guint8 *was_any = g_new0(guint8, n_moves + 1);
    g_autofree guint *names = g_new0(guint, n_moves + 1);
    g_autofree double *memory_free = g_new0(double, n_nodes + 1);
    g_autofree double *start_s = g_new0(double, n_moves + 1), *end_s = g_new0(double, n_moves + 1);
    g_autofree double *offsets = g_new0(double, n_moves + 1);
    g_autofree double *shares = g_new0(double, n_moves + 1);
    g_autofree guint *targets = g_new0(guint, n_moves + 1);
    Search search = {.nodes = nodes,
                     .n_nodes = n_nodes,
                     .moves = copy,
                     .n_moves = n_moves,
                     .was_any = was_any,
                     .memory_free = memory_free,
                     .seed = 1,
                     .effort = effort,
                     .makespan_s = INFINITY,
                     .start_s = start_s,
                     .end_s = end_s,
                     .offsets = offsets,
                     .shares = shares,
                     .targets = targets};
    gboolean has_choice = FALSE;
    guint kept = 0;

    if (n_moves > 0) /* moves may be NULL then, which memcpy() must not be given */
        memcpy(copy, moves, sizeof *copy * n_moves);
    plan->unplaced = g_new0(guint, n_moves + 1);
    plan->bound_s = search.bound_s = mig_plan_bound(nodes, n_nodes, moves, n_moves);
    for (guint j = 0; j < n_moves; j++) {
        was_any[j] = moves[j].target == MIG_PLAN_ANY;
        has_choice |= was_any[j];
    }
    guint missed = choose_targets(&search, FALSE, 0);
    gboolean by_memory = missed > 0 && choose_targets(&search, TRUE, 0) < missed;

    if (missed > 0 && !by_memory)
        choose_targets(&search, FALSE, 0);
    for (guint j = 0; j < n_moves; j++) {
        if (copy[j].target == MIG_PLAN_ANY) {
            plan->unplaced[plan->n_unplaced++] = j;
            continue;
        }
        copy[kept] = copy[j];
        was_any[kept] = was_any[j];
        names[kept++] = j;
    }
    search.n_moves = kept;
    if (kept > 0)
        run_search(&search, has_choice, by_memory);
    else
        search.makespan_s = 0;
    fill_plan(plan, &search, names);
    return plan;
}

void
mig_plan_free(MigPlan *plan)
{
    if (!plan)
        return;
    g_free(plan->steps);
    g_free(plan->unplaced);
    g_free(plan);
}

gboolean
mig_plan_is_ready(const MigPlan *plan, guint step, const guint8 *has_ended)
{
    const MigPlanStep *one = &plan->steps[step];

    for (guint i = 0; i < plan->n_steps; i++) {
        const MigPlanStep *other = &plan->steps[i];

        if (i == step || has_ended[i] || other->end_s > one->start_s + 1e-9)
            continue;
        if (other->source == one->source || other->target == one->source ||
            other->source == one->target || other->target == one->target)
            return FALSE;
    }
    return TRUE;
}
