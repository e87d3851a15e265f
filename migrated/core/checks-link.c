/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checks-link.c - the rules about the migration network. */
#include "core/checks.h"
#include "core/link.h"
#include "core/timeouts.h"

MigLinkFacts *
mig_link_facts_new(void)
{
    MigLinkFacts *facts = g_new0(MigLinkFacts, 1);

    facts->guests = g_new0(char *, 1);
    facts->clients = g_new0(char *, 1);
    return facts;
}

void
mig_link_facts_free(MigLinkFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->address);
    g_free(facts->interface);
    g_strfreev(facts->guests);
    g_strfreev(facts->clients);
    g_free(facts);
}

void
mig_path_facts_clear(MigPathFacts *facts)
{
    g_clear_pointer(&facts->not_measured, g_free);
}

/* ---- both ends ---- */

typedef struct {
    const char *source, *target;
    const MigLinkFacts *here, *there;
    GPtrArray *checks;
} Ends;

static void
add(GPtrArray *checks, const char *name, MigVerdict verdict, char *text_take, const char *advice)
{
    g_ptr_array_add(checks, mig_check_new(name, verdict, text_take, advice));
}

static MigVerdict
fails_unless(gboolean passes)
{
    return passes ? MIG_VERDICT_PASS : MIG_VERDICT_FAIL;
}

/* "A: this; B: that", or of one node alone. */
static char *
both(const Ends *ends, char *(*say)(const MigLinkFacts *))
{
    g_autofree char *here = say(ends->here), *there = say(ends->there);

    return g_str_equal(ends->source, ends->target)
               ? g_strdup_printf("%s: %s", ends->source, here)
               : g_strdup_printf("%s: %s; %s: %s", ends->source, here, ends->target, there);
}

static char *
say_up(const MigLinkFacts *facts)
{
    return g_strdup_printf("%s is %s", facts->interface, facts->is_up ? "up" : "down");
}

static char *
say_mtu(const MigLinkFacts *facts)
{
    return g_strdup_printf("%s has MTU %u", facts->interface, facts->mtu);
}

static char *
say_route(const MigLinkFacts *facts)
{
    return g_strdup_printf("%s default route on %s", facts->has_default_route ? "a" : "no",
                           facts->interface);
}

static char *
say_guests(const MigLinkFacts *facts)
{
    g_autofree char *list = g_strjoinv(", ", facts->guests);

    return facts->guests[0] ? g_strdup_printf("%s: %s", facts->interface, list)
                            : g_strdup_printf("no guest on %s", facts->interface);
}

static char *
say_clients(const MigLinkFacts *facts)
{
    g_autofree char *list = g_strjoinv(", ", facts->clients);

    return facts->clients[0] ? g_strdup_printf("connections of %s, which is no node", list)
                             : g_strdup("only nodes");
}

static void
check_ends(const Ends *ends)
{
    const MigLinkFacts *here = ends->here, *there = ends->there;

    add(ends->checks, "migration-link-up", fails_unless(here->is_up && there->is_up),
        both(ends, say_up), "see the card and its cable ('ip link')");
    add(ends->checks, "migration-mtu", fails_unless(here->mtu == there->mtu), both(ends, say_mtu),
        "give the migration network one MTU, on all nodes and switches");
    add(ends->checks, "migration-no-default-route",
        fails_unless(!here->has_default_route && !there->has_default_route), both(ends, say_route),
        "move the default route to another network: what is not for nodes does not belong here");
    add(ends->checks, "migration-no-guests", fails_unless(!here->guests[0] && !there->guests[0]),
        both(ends, say_guests), "tie guests to another card: moves would take their network away");
    add(ends->checks, "migration-no-clients",
        here->clients[0] || there->clients[0] ? MIG_VERDICT_WARN : MIG_VERDICT_PASS,
        both(ends, say_clients), "let clients use another address of the node");
}

/* ---- what passes ---- */

static void
check_speed(const Ends *ends, const MigPathFacts *path)
{
    g_autofree char *rate = g_format_size_full(path->bytes_s, G_FORMAT_SIZE_IEC_UNITS);

    if (path->bytes_s == 0)
        add(ends->checks, "migration-speed",
            path->not_measured ? MIG_VERDICT_WARN : MIG_VERDICT_PASS,
            g_strdup_printf("not measured: %s",
                            path->not_measured
                                ? path->not_measured
                                : "moves are on their way over it, or another one measures"),
            "let nodes connect to one another on the ports of QEMU's migrations (49152-49215)");
    else
        add(ends->checks, "migration-speed",
            path->bytes_s < MIG_LINK_HOPELESS_BYTES_S ? MIG_VERDICT_FAIL
            : path->bytes_s < MIG_LINK_SLOW_BYTES_S   ? MIG_VERDICT_WARN
                                                      : MIG_VERDICT_PASS,
            g_strdup_printf("%s/s from %s to %s", rate, ends->source, ends->target),
            "see the speed of cards and switches ('ethtool'), and what else is on that network");
}

static void
check_path(const Ends *ends, const MigPathFacts *path)
{
    guint lost = path->sent ? (path->sent - path->answered) * 100 / path->sent : 100;

    if (path->answered == 0) {
        /* where only pings are filtered, moves work */
        gboolean is_filter = path->small_answered == 0 && path->bytes_s > 0;

        add(ends->checks, "migration-path", is_filter ? MIG_VERDICT_WARN : MIG_VERDICT_FAIL,
            is_filter
                ? g_strdup_printf("%s does not answer pings of %s", ends->target, ends->source)
            : path->small_answered
                ? g_strdup_printf("packets of %u bytes do not pass from %s to %s, small ones do",
                                  path->packet_bytes, ends->source, ends->target)
                : g_strdup_printf("no packet passes from %s to %s", ends->source, ends->target),
            is_filter ? "let nodes ping one another: else nothing is known of size and loss"
            : path->small_answered ? "raise the MTU of the switches between them, or lower that of "
                                     "the nodes"
                                   : "see the network between them");
    } else {
        add(ends->checks, "migration-path", MIG_VERDICT_PASS,
            g_strdup_printf("packets of %u bytes pass whole between %s and %s", path->packet_bytes,
                            ends->source, ends->target),
            NULL);
        add(ends->checks, "migration-loss",
            lost >= MIG_LINK_LOSS_PERCENT ? MIG_VERDICT_FAIL
            : path->answered < path->sent ? MIG_VERDICT_WARN
                                          : MIG_VERDICT_PASS,
            g_strdup_printf("%u of %u packets were lost between %s and %s",
                            path->sent - path->answered, path->sent, ends->source, ends->target),
            "see cables, cards ('ethtool -S') and switches");
    }
    if (path->answered > 0 || path->bytes_s > 0)
        check_speed(ends, path);
}

/* ---- who measures ---- */

guint64
mig_probe_begin(MigProbeTurn *turn, gint64 now_ms)
{
    if (now_ms < turn->until_ms)
        return 0;
    turn->until_ms = now_ms + MIG_PROBE_TURN_MS;
    return ++turn->last;
}

gboolean
mig_probe_go_on(MigProbeTurn *turn, guint64 number, gint64 now_ms)
{
    if (!turn->until_ms || number != turn->last)
        return FALSE;
    turn->until_ms = now_ms + MIG_PROBE_TURN_MS;
    return TRUE;
}

void
mig_probe_end(MigProbeTurn *turn, guint64 number)
{
    if (number == turn->last)
        turn->until_ms = 0;
}

/* ---- public ---- */

gboolean
mig_link_can_send(const MigLinkFacts *here, const MigLinkFacts *there)
{
    return here->address && there->address && here->is_up && there->is_up &&
           here->mtu == there->mtu && mig_same_subnet(here->address, there->address);
}

void
mig_checks_link(const char *source, const MigLinkFacts *here, const char *target,
                const MigLinkFacts *there, const MigPathFacts *path, GPtrArray *checks)
{
    const Ends ends = {source, target, here, there, checks};

    /* without addresses there is nothing to look at: migration-subnet says so */
    if (!here->address || !there->address)
        return;
    check_ends(&ends);
    if (path)
        check_path(&ends, path);
}
