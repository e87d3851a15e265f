/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* predict.c - the rounds of a move, run beforehand. */
#include "core/predict.h"

#include "core/policy.h"

/* Where nothing is learnt: a QEMU on one core, with and without encryption. */
#define RATE_TLS_BYTES_S   (300e6)
#define RATE_CLEAR_BYTES_S (800e6)
#define AROUND_MS          1000
#define BASE_MS            60 /* a stop and a start, with nothing left to send */
/* What QEMU has sent and the link has not when the guest stops (buffers on the way), and the state
 * of the devices. */
#define TAIL_BYTES (2.5e6)
/* TCP and QEMU's headers leave so much of a link. */
#define LINK_PART 0.94
/* Slower than this part of the link a move was held up by something else than the link. */
#define LINK_BOUND 0.75
/* Of what is resident: not all of it is the guest's. */
#define USED_PART 0.9
/* What a QEMU has besides. */
#define OWN_BYTES (50e6)
/* QEMU looks whether the guest has to be slowed once a second at most. */
#define THROTTLE_MS  1000
#define THROTTLE_MAX 99
/* A move that would take longer is not worth a better number. */
#define LONGEST_MS (24 * 3600 * 1000)
/* Of so many moves a spread can be told; and so many, of those that are near, are better than more
 * that are not. */
#define ENOUGH 4
#define SOME   2
/* A guest that dirties more than this part of what the link carries has long moves, or endless
 * ones; and of so much its pages were counted well. */
#define MUCH_OF_LINK 4
#define MANY_BYTES   (256 << 20)
/* Of a VM the last dozen; what hosts and links can do now only the last few say, and the fewer the
 * sooner a host that has got more to do, or less, is noticed. */
#define RECENT_OF_VM   12
#define RECENT_OF_HOST 3

typedef struct {
    MigDirtyCurve dirty;
    double first_bytes, rate_bytes_s;
    double around_ms, base_ms;
} Guest;

typedef struct {
    double duration_ms, downtime_ms, bytes;
    gboolean gives_up;
} Run;

/* ---- the rounds ---- */

typedef struct {
    MigPolicy policy;
    MigProgress progress;
    double now_ms, poll_ms, throttled_ms;
    guint high; /* rounds that left more than half of what they sent */
} Rounds;

/* The policy's looks during a round that ends at end_ms; an end of the rounds that it has decided
 * on.
 */
static MigPolicyStep
poll(Rounds *rounds, double left, double rate, double end_ms)
{
    for (; rounds->poll_ms < end_ms; rounds->poll_ms += MIG_POLICY_POLL_MS) {
        double sent = (rounds->poll_ms - rounds->now_ms) * rate / 1000;

        rounds->progress.remaining_bytes = (guint64)MAX(left - sent, 0);
        MigPolicyStep step =
            mig_policy_feed(&rounds->policy, &rounds->progress, (gint64)rounds->poll_ms);

        if (step == MIG_POLICY_GIVE_UP || step == MIG_POLICY_POSTCOPY)
            return step;
    }
    return MIG_POLICY_STAY;
}

static void
slow_down(Rounds *rounds, double sent, double dirtied)
{
    const MigPolicyRule *rule = rounds->policy.rule;
    guint *percent = &rounds->progress.throttle_percent;

    if (!rule->throttle_first || rounds->now_ms - rounds->throttled_ms < THROTTLE_MS)
        return;
    rounds->throttled_ms = rounds->now_ms;
    if (dirtied <= sent / 2 || ++rounds->high < 2)
        return;
    rounds->high = 0;
    *percent = *percent ? MIN(*percent + rule->throttle_step, THROTTLE_MAX) : rule->throttle_first;
}

/* In the middle of a round: what is left of it goes over, and what the guest has changed since. It
 * stands still for its devices only. */
static void
run_postcopy(const Rounds *rounds, const Guest *guest, double left, Run *result)
{
    double into_ms = rounds->poll_ms - rounds->now_ms;
    double dirtied = mig_dirty_curve_at(&guest->dirty, into_ms / 1000);
    double rest = MAX(left - into_ms * guest->rate_bytes_s / 1000, 0) + dirtied;

    result->bytes += left + dirtied;
    result->duration_ms = guest->around_ms + rounds->poll_ms + rest / guest->rate_bytes_s * 1000;
    result->downtime_ms = guest->base_ms + TAIL_BYTES / guest->rate_bytes_s * 1000;
}

/* How much of what it does it still gets done while it is slowed. */
static double
speed_of(const MigPredictFacts *facts, guint throttle_percent)
{
    double needs = facts->busy_percent ? facts->busy_percent : 100;

    return MIN((100.0 - throttle_percent) / needs, 1);
}

static Run
run(const MigPredictFacts *facts, const Guest *guest)
{
    Rounds rounds = {.progress = {.is_active = TRUE,
                                  .iteration = 1,
                                  .rate_bytes_s = (guint64)guest->rate_bytes_s}};
    double left = guest->first_bytes;
    Run result = {0};

    mig_policy_init(&rounds.policy, facts->policy, facts->max_downtime_ms, 0);
    rounds.policy.can_postcopy = facts->can_postcopy;
    for (;;) {
        double took_ms = MAX(left / guest->rate_bytes_s * 1000, 1);
        double speed = speed_of(facts, rounds.progress.throttle_percent), dirtied;

        double end_ms = rounds.now_ms + took_ms;
        MigPolicyStep step = poll(&rounds, left, guest->rate_bytes_s, MIN(end_ms, LONGEST_MS));

        if (step == MIG_POLICY_POSTCOPY) {
            run_postcopy(&rounds, guest, left, &result);
            return result;
        }
        if (step == MIG_POLICY_GIVE_UP || end_ms > LONGEST_MS) {
            result.gives_up = TRUE;
            result.duration_ms = guest->around_ms + rounds.poll_ms;
            return result;
        }
        rounds.now_ms += took_ms;
        result.bytes += left;
        dirtied = mig_dirty_curve_at(&guest->dirty, speed * took_ms / 1000);
        slow_down(&rounds, left, dirtied);
        left = dirtied;
        rounds.progress.iteration++;
        if (left / guest->rate_bytes_s * 1000 <= rounds.policy.limit_ms)
            break;
    }
    result.bytes += left;
    /* what was around earlier moves has the stop and the start in it */
    result.duration_ms = guest->around_ms + rounds.now_ms + left / guest->rate_bytes_s * 1000;
    /* and their stops had a last round, too, as short as the first limit asks for */
    result.downtime_ms = guest->base_ms + TAIL_BYTES / guest->rate_bytes_s * 1000 +
                         MAX(left / guest->rate_bytes_s * 1000 - MIG_POLICY_FIRST_MS, 0);
    return result;
}

/* ---- what is learnt ---- */

typedef struct {
    double low, middle, high;
    guint count;
} Learnt;

static gint
by_value(gconstpointer a, gconstpointer b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double
at(const GArray *sorted, double part)
{
    return g_array_index(sorted, double, (guint)(part * (sorted->len - 1) + 0.5));
}

/* Less than this is wanted of a past move: negative says nothing. */
typedef double (*Look)(const MigPredictFacts *facts, const MigPast *past);

typedef enum { NEAR_ANY, NEAR_PAIR, NEAR_VM } Nearness;

/* The last ones. */
static void
collect(const MigPredictFacts *facts, Look look, Nearness nearness, GArray *values)
{
    guint recent = nearness == NEAR_VM ? RECENT_OF_VM : RECENT_OF_HOST;

    g_array_set_size(values, 0);
    for (guint i = facts->n_past; i-- > 0 && values->len < recent;) {
        const MigPast *past = &facts->past[i];
        double value = look(facts, past);

        if (value >= 0 && (nearness == NEAR_ANY || (nearness == NEAR_PAIR && past->is_same_pair) ||
                           (nearness == NEAR_VM && past->is_same_vm)))
            g_array_append_val(values, value);
    }
}

/* The nearest moves of which there are any; of few of them the spread is that of a guess. */
static Learnt
learn(const MigPredictFacts *facts, Look look, Nearness nearest, double guess, double spread)
{
    g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(double));
    Learnt learnt = {guess / spread / spread, guess, guess * spread * spread, 0};

    for (gint nearness = nearest; nearness >= NEAR_ANY && values->len < SOME; nearness--)
        collect(facts, look, (Nearness)nearness, values);
    if (values->len == 0)
        return learnt;
    g_array_sort(values, by_value);
    learnt.middle = at(values, 0.5);
    learnt.low = at(values, 0.1);
    learnt.high = at(values, 0.9);
    if (values->len < ENOUGH) {
        learnt.low = MIN(learnt.low, learnt.middle / spread);
        learnt.high = MAX(learnt.high, learnt.middle * spread);
    }
    learnt.count = values->len;
    return learnt;
}

static double
used_part(const MigPredictFacts *facts, const MigPast *past)
{
    return past->used_bytes && past->first_bytes && past->has_moved == facts->has_moved
               ? (double)past->first_bytes / (double)past->used_bytes
               : -1;
}

/* What of it is QEMU's own. One that was filled by a move has besides only what the guest had in
 * use then; so that is the same for all, however much they use. */
static double
overhead(const MigPredictFacts *facts, const MigPast *past)
{
    return facts->has_moved && past->has_moved && past->first_bytes &&
                   past->used_bytes > past->first_bytes
               ? (double)(past->used_bytes - past->first_bytes)
               : -1;
}

/* What a QEMU sends where no link holds it up, before it has been seen. */
static double
own_guess(const MigPredictFacts *facts)
{
    return facts->is_encrypted ? RATE_TLS_BYTES_S : RATE_CLEAR_BYTES_S;
}

/* It was the link that held this move up. */
static gboolean
is_link_bound(const MigPast *past)
{
    return past->link_bytes_s > 0 &&
           (double)past->rate_bytes_s >= (double)past->link_bytes_s * LINK_BOUND;
}

/* What it would have sent by over the link that is asked about. One that was held up by its link
 * says of a wider one only that there a QEMU sends no less: then it is the guess, unless that is
 * less. */
static double
rate_by(const MigPredictFacts *facts, const MigPast *past)
{
    double link = (double)facts->link_bytes_s, rate = (double)past->rate_bytes_s;
    double part = LINK_PART;

    if (rate <= 0)
        return -1;
    if (is_link_bound(past)) {
        if (link > 0 && facts->link_bytes_s <= past->link_bytes_s + past->link_bytes_s / 20)
            part = MIN(rate / (double)past->link_bytes_s, 1);
        rate = MAX(rate, own_guess(facts));
    }
    return link > 0 ? MIN(rate, link * part) : rate;
}

static double
around(const MigPredictFacts *facts, const MigPast *past)
{
    return (double)past->around_ms;
}

/* Of moves that stopped the guest with little left to send, without what was on the way. */
static double
base(const MigPredictFacts *facts, const MigPast *past)
{
    double tail_ms = past->rate_bytes_s ? TAIL_BYTES * 1000 / (double)past->rate_bytes_s : 0;

    if (past->blackout_ms < 0 || past->limit_ms > MIG_POLICY_FIRST_MS)
        return -1;
    return MAX((double)past->blackout_ms - tail_ms, 0);
}

/* ---- the guests: a lucky one, a likely one, and one of the other kind ---- */

/* What the first round sends: at the least, likely, at the most. */
static guint
first_rounds(const MigPredictFacts *facts, double firsts[3])
{
    double used = (double)(facts->used_bytes ? MIN(facts->used_bytes, facts->memory_bytes)
                                             : facts->memory_bytes);
    Learnt part = learn(facts, used_part, NEAR_VM, USED_PART, facts->used_bytes ? 1.2 : 2);
    Learnt over = learn(facts, overhead, NEAR_VM, OWN_BYTES, 1.2);
    const double parts[] = {part.low, part.middle, part.high};
    const double overs[] = {over.high, over.middle, over.low};

    for (guint i = 0; i < 3; i++) {
        firsts[i] = facts->has_moved && facts->used_bytes ? (double)facts->used_bytes - overs[i]
                                                          : used * parts[i];
        firsts[i] = CLAMP(firsts[i], used / 20 + 1, (double)facts->memory_bytes + 1);
    }
    return MAX(part.count, over.count);
}

/* What it writes to in the long run, where no bend was seen: what was seen, a guess, all of it. */
static double
set_of(const MigDirtyCurve *curve, guint which, double all)
{
    if (curve->is_bent || which == 1)
        return curve->set_bytes;
    return which == 0 ? curve->rate_bytes_s * curve->even_s : all * 2;
}

static void
make_guests(const MigPredictFacts *facts, Guest guests[3], guint *n_past)
{
    const MigDirtyCurve curve = mig_dirty_curve(&facts->dirtied, &facts->later);
    double link = (double)facts->link_bytes_s;
    double own = own_guess(facts);
    Learnt rate = learn(facts, rate_by, NEAR_PAIR, link > 0 ? MIN(own, link * LINK_PART) : own,
                        link > 0 && link * LINK_PART < own ? 1.05 : 1.5);
    Learnt besides = learn(facts, around, NEAR_PAIR, AROUND_MS, 1.5);
    Learnt stop = learn(facts, base, NEAR_PAIR, BASE_MS, 1.5);
    const double rates[] = {MAX(rate.high, 1), MAX(rate.middle, 1), MAX(rate.low, 1)};
    const double arounds[] = {besides.low, besides.middle, besides.high};
    const double bases[] = {stop.low, stop.middle, stop.high};
    const double dirties[] = {0.8, 1, 1.25};

    double firsts[3];
    guint n_first = first_rounds(facts, firsts);

    for (guint i = 0; i < 3; i++) {
        guests[i].first_bytes = firsts[i];
        guests[i].rate_bytes_s = rates[i];
        guests[i].dirty = curve;
        guests[i].dirty.rate_bytes_s *= dirties[i];
        guests[i].dirty.set_bytes = set_of(&curve, i, firsts[i]) * dirties[i];
        if (!curve.even_s) /* nothing, as most; or enough to be noticed */
            guests[i].dirty = (MigDirtyCurve){
                .even_s = 1, .rate_bytes_s = i == 2 ? rates[i] / 3 : 0, .set_bytes = firsts[i]};
        guests[i].dirty.set_bytes = MIN(guests[i].dirty.set_bytes, firsts[i]);
        guests[i].around_ms = arounds[i];
        guests[i].base_ms = bases[i];
    }
    *n_past = MAX(n_first, MAX(rate.count, besides.count));
}

/* A lucky guest need not have the least of all: one that is slowed stands still for less. */
static MigRange
range(double a, double likely, double b)
{
    return (MigRange){.likely = (gint64)likely,
                      .least = (gint64)MIN(MIN(a, b), likely),
                      .most = (gint64)MAX(MAX(a, b), likely)};
}

void
mig_predict(const MigPredictFacts *facts, MigPrediction *prediction)
{
    Guest guests[3];
    Run runs[3];

    *prediction = (MigPrediction){0};
    make_guests(facts, guests, &prediction->n_past);
    for (guint i = 0; i < 3; i++)
        runs[i] = run(facts, &guests[i]);
    prediction->duration_ms = range(runs[0].duration_ms, runs[1].duration_ms, runs[2].duration_ms);
    prediction->downtime_ms = range(runs[0].downtime_ms, runs[1].downtime_ms, runs[2].downtime_ms);
    prediction->bytes = range(runs[0].bytes, runs[1].bytes, runs[2].bytes);
    prediction->gives_up = runs[1].gives_up;
}

gboolean
mig_predict_is_shaky(const MigPredictFacts *facts)
{
    const MigDirtied *later = &facts->later;

    return later->ms > 0 && facts->link_bytes_s > 0 && later->bytes < MANY_BYTES &&
           later->bytes * 1000 / (guint64)later->ms > facts->link_bytes_s / MUCH_OF_LINK;
}

/* ---- afterwards ---- */

void
mig_predict_score(const MigRange *expected, const gint64 *actual, guint count, MigMisses *misses)
{
    g_autoptr(GArray) percents = g_array_new(FALSE, FALSE, sizeof(double));
    g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(double));

    *misses = (MigMisses){
        .count = count, .median_percent = -1, .p95_percent = -1, .median_ms = -1, .p95_ms = -1};
    for (guint i = 0; i < count; i++) {
        double off = ABS((double)expected[i].likely - (double)actual[i]);
        double percent = off * 100 / (double)MAX(actual[i], 1);

        g_array_append_val(times, off);
        g_array_append_val(percents, percent);
        misses->in_range += actual[i] >= expected[i].least && actual[i] <= expected[i].most;
    }
    if (count == 0)
        return;
    g_array_sort(times, by_value);
    g_array_sort(percents, by_value);
    misses->median_percent = (gint64)(at(percents, 0.5) + 0.5);
    misses->p95_percent = (gint64)(at(percents, 0.95) + 0.5);
    misses->median_ms = (gint64)at(times, 0.5);
    misses->p95_ms = (gint64)at(times, 0.95);
}
