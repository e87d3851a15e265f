/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.c - looking at this node's end of the migration network, and along it. */
#include "link.h"

#include "core/checks.h"
#include "core/timeouts.h"
#include "drivers/path-probe.h"
#include "events.h"
#include "net.h"
#include "turns.h"
#include "volumes.h"

#include <string.h>

/* Enough to see one lost in a hundred now and then, and one in five for sure. */
#define PACKETS       20
#define SMALL_PACKETS 3
#define SMALL_BYTES   84

typedef struct {
    gint64 at_us;
    guint64 bytes_s;
    char *between; /* both addresses: others, and it is no longer true */
} Measured;

struct MigLink {
    MigDaemon *daemon;
    GMutex lock;
    const char *address;  /* interned */
    char *told;           /* what was warned of last */
    GHashTable *measured; /* node -> Measured */
    char **clients;       /* of clients_of, as seen at clients_at_us */
    char *clients_of;     /* an address; NULL: not looked yet */
    gint64 clients_at_us;
    MigProbeTurn probing;
};

static void
measured_free(gpointer data)
{
    Measured *measured = data;

    g_free(measured->between);
    g_free(measured);
}

const char *
mig_link_address(MigLink *link)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    return link->address;
}

/* ---- this end ---- */

/* Of all nodes, without prefix length: who may have connections here. */
static char **
node_addresses(MigDaemon *daemon)
{
    g_autoptr(GPtrArray) views = mig_volumes_nodes(daemon->volumes);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (guint i = 0; i < views->len; i++) {
        const char *address = ((MigNodeView *)g_ptr_array_index(views, i))->node->migration;
        g_autofree char *bare = address ? g_strndup(address, strcspn(address, "/")) : NULL;

        if (bare)
            g_strv_builder_add(builder, bare);
    }
    return g_strv_builder_end(builder);
}

static char **
clients_of(MigLink *link, const char *address)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    return g_strcmp0(link->clients_of, address) == 0 &&
                   g_get_monotonic_time() - link->clients_at_us <
                       MIG_CLIENTS_KEEP_MS * G_GINT64_CONSTANT(1000)
               ? g_strdupv(link->clients)
               : NULL;
}

static char **
look_for_clients(MigLink *link, const char *address)
{
    g_auto(GStrv) nodes = node_addresses(link->daemon);
    char **clients = mig_net_clients(address, (const char *const *)nodes);

    g_mutex_lock(&link->lock);
    g_strfreev(link->clients);
    g_free(link->clients_of);
    link->clients = g_strdupv(clients);
    link->clients_of = g_strdup(address);
    link->clients_at_us = g_get_monotonic_time();
    g_mutex_unlock(&link->lock);
    return clients;
}

static MigLinkFacts *
facts_of(MigLink *link, gboolean is_anew)
{
    MigLinkFacts *facts = mig_net_link(link->daemon->config->migration);
    char **clients;

    if (!facts->address)
        return facts;
    clients = is_anew ? NULL : clients_of(link, facts->address);
    g_strfreev(facts->clients);
    facts->clients = clients ? clients : look_for_clients(link, facts->address);
    return facts;
}

static char **
problems_of(MigLink *link, const MigLinkFacts *facts)
{
    const char *node = link->daemon->node;
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    if (!facts->address) {
        g_autofree char *text =
            g_strdup_printf("this node has no address in the migration network %s",
                            link->daemon->config->migration);

        g_strv_builder_add(builder, text);
    }
    mig_checks_link(node, facts, node, facts, NULL, checks);
    for (guint i = 0; i < checks->len; i++) {
        const MigCheck *check = g_ptr_array_index(checks, i);
        g_autofree char *text =
            g_strdup_printf("%s: %s; %s", check->name, check->text, check->advice);

        if (check->verdict != MIG_VERDICT_PASS)
            g_strv_builder_add(builder, text);
    }
    return g_strv_builder_end(builder);
}

char **
mig_link_warnings(MigLink *link)
{
    g_autoptr(MigLinkFacts) facts = facts_of(link, FALSE);

    return problems_of(link, facts);
}

static void
tell_address(MigLink *link, const char *before, const char *now)
{
    MigDaemon *daemon = link->daemon;

    mig_events_add(daemon->events, daemon->node, NULL, "migration-address",
                   "the address in the migration network was %s and is %s",
                   before ? before : "none", now ? now : "none");
}

static void
tell_problems(MigLink *link, const MigLinkFacts *facts)
{
    g_auto(GStrv) warnings = problems_of(link, facts);
    g_autofree char *text = g_strjoinv(" | ", warnings);
    gboolean is_new;

    g_mutex_lock(&link->lock);
    is_new = g_strcmp0(link->told, text) != 0;
    if (is_new) {
        g_free(link->told);
        link->told = g_strdup(text);
    }
    g_mutex_unlock(&link->lock);
    if (is_new && *text)
        g_warning("migration network: %s", text);
}

static void
take_in(MigLink *link, const MigLinkFacts *facts)
{
    const char *before, *now = g_intern_string(facts->address);

    g_mutex_lock(&link->lock);
    before = link->address;
    link->address = now;
    g_mutex_unlock(&link->lock);
    if (before != now)
        tell_address(link, before, now);
    tell_problems(link, facts);
}

MigLinkFacts *
mig_link_look(MigLink *link)
{
    MigLinkFacts *facts = facts_of(link, FALSE);

    take_in(link, facts);
    return facts;
}

void
mig_link_look_anew(MigLink *link)
{
    g_autoptr(MigLinkFacts) facts = facts_of(link, TRUE);

    take_in(link, facts);
}

/* ---- along it ---- */

guint16
mig_link_await(MigLink *link, const char *from, char **word)
{
    const char *address = mig_link_address(link);
    g_autofree char *bare = address ? g_strndup(address, strcspn(address, "/")) : NULL;
    g_autofree char *uuid = g_uuid_string_random();
    guint16 port;

    *word = g_strndup(uuid, MIG_PATH_WORD_BYTES);
    port = bare ? mig_path_await(bare, from, *word) : 0;
    return port;
}

/* Lock held. NULL: nothing, or too old. */
static const Measured *
find_new(MigLink *link, const char *node, gint64 keep_ms)
{
    const Measured *measured = g_hash_table_lookup(link->measured, node);

    if (!measured)
        return NULL;
    /* who mends a slow network wants to see that it is */
    if (measured->bytes_s < MIG_LINK_SLOW_BYTES_S)
        keep_ms = MIG_PROBE_SLOW_MS;
    return g_get_monotonic_time() - measured->at_us < keep_ms * 1000 ? measured : NULL;
}

guint64
mig_link_speed(MigLink *link, const char *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);
    const Measured *measured = g_hash_table_lookup(link->measured, node);

    return measured ? measured->bytes_s : 0;
}

static gint64
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static gboolean
has_moves(MigLink *link)
{
    return mig_turns_count(link->daemon->turns) > 0;
}

/*
 * Not while moves are on their way: it would slow them down, and find what they leave. Nor while
 * another one measures, to whichever node: all share this end. A drain begins a dozen moves at
 * once, and each would find a twelfth of the link, and be refused for it.
 */
guint64
mig_link_begin_probe(MigLink *link, const char *node, gboolean for_forecast)
{
    gboolean is_busy = has_moves(link);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    return is_busy || find_new(link, node, for_forecast ? MIG_METER_FRESH_MS : MIG_PROBE_KEEP_MS)
               ? 0
               : mig_probe_begin(&link->probing, now_ms());
}

/* The target has taken its time, and another one measures by now? */
static gboolean
has_lost_turn(MigLink *link, guint64 turn)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    return !mig_probe_go_on(&link->probing, turn, now_ms());
}

void
mig_link_end_probe(MigLink *link, guint64 turn)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&link->lock);

    mig_probe_end(&link->probing, turn);
}

/* Where moves keep us from measuring, what is old refuses nothing; but what was new when the target
 * was asked still does. */
static gboolean
is_usable(const Measured *measured)
{
    return measured->bytes_s >= MIG_LINK_HOPELESS_BYTES_S ||
           g_get_monotonic_time() - measured->at_us <
               5 * MIG_PROBE_SLOW_MS * G_GINT64_CONSTANT(1000);
}

static void
measure_speed(MigLink *link, const char *node, guint64 turn, const char *from, const char *to,
              guint16 port, const char *word, MigPathFacts *path)
{
    g_autofree char *between = g_strdup_printf("%s %s", from, to);
    g_autoptr(GError) error = NULL;
    Measured *measured;
    const Measured *known;

    if (word && has_lost_turn(link, turn))
        word = NULL;
    g_mutex_lock(&link->lock);
    known = g_hash_table_lookup(link->measured, node);
    if (known && !g_str_equal(known->between, between))
        g_hash_table_remove(link->measured, node);
    else if (known && !word && is_usable(known))
        path->bytes_s = known->bytes_s;
    g_mutex_unlock(&link->lock);
    if (!word || strlen(word) < MIG_PATH_WORD_BYTES)
        return;
    if (port)
        path->bytes_s =
            mig_path_speed(from, to, port, word, MIG_PROBE_MS, MIG_LINK_HOPELESS_BYTES_S, &error);
    if (path->bytes_s && path->bytes_s < MIG_LINK_SLOW_BYTES_S && has_moves(link)) {
        path->bytes_s = 0; /* one has begun meanwhile, and this is what it has left */
        return;
    }
    if (path->bytes_s == 0) {
        path->not_measured = g_strdup(error ? error->message : "no port is free for it there");
        return;
    }
    measured = g_new0(Measured, 1);
    measured->at_us = g_get_monotonic_time();
    measured->bytes_s = path->bytes_s;
    measured->between = g_steal_pointer(&between);
    g_mutex_lock(&link->lock);
    g_hash_table_replace(link->measured, g_strdup(node), measured);
    g_mutex_unlock(&link->lock);
}

void
mig_link_measure(MigLink *link, const char *node, guint64 turn, const MigLinkFacts *here,
                 const MigLinkFacts *there, guint16 port, const char *word, MigPathFacts *path)
{
    g_autofree char *from = g_strndup(here->address, strcspn(here->address, "/"));
    g_autofree char *to = g_strndup(there->address, strcspn(there->address, "/"));

    path->packet_bytes = here->mtu;
    path->sent = PACKETS;
    path->answered = mig_path_ping(from, to, here->mtu, PACKETS, MIG_PROBE_PING_MS);
    if (path->answered == 0)
        path->small_answered =
            mig_path_ping(from, to, SMALL_BYTES, SMALL_PACKETS, MIG_PROBE_PING_MS);
    /* what does not get through cannot be measured, and takes its time */
    if (path->answered > 0 || path->small_answered == 0)
        measure_speed(link, node, turn, from, to, port, word, path);
}

/* ---- life ---- */

MigLink *
mig_link_new(MigDaemon *daemon)
{
    MigLink *link = g_new0(MigLink, 1);
    g_autofree char *found = mig_net_own_address(daemon->config->migration);

    link->daemon = daemon;
    g_mutex_init(&link->lock);
    link->address = g_intern_string(found);
    link->measured = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, measured_free);
    if (!found)
        g_warning("no address of this node is in the migration network %s; VMs cannot move",
                  daemon->config->migration);
    return link;
}

void
mig_link_free(MigLink *link)
{
    if (!link)
        return;
    g_hash_table_unref(link->measured);
    g_mutex_clear(&link->lock);
    g_free(link->told);
    g_strfreev(link->clients);
    g_free(link->clients_of);
    g_free(link);
}
