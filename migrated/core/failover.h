/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* failover.h - is that node dead, and may its VMs be started elsewhere? Pure rules on evidence. */
#pragma once

#include "core/types.h"

/*
 * One snapshot of evidence in, one finding for each node out; nothing is remembered in here. What
 * may be done about a node has two sides that must never be mixed up:
 *
 * should_fence: everything that could speak for the machine is silent, or sanlock says that its
 * leases have run out and nothing proves that its QEMUs are gone: make sure that it is off. Wrong,
 * it costs running VMs their uptime, but no data.
 *
 * may_restart: proof that none of its QEMUs can write any more: a confirmed fence, or sanlock's
 * word where it is worth something. Wrong, it costs data. Silence is no proof.
 *
 * Even then the lease decides: a start elsewhere takes it, or fails.
 */

typedef enum {
    MIG_LIFE_UP,
    MIG_LIFE_SUSPECT,   /* its heartbeat stands still */
    MIG_LIFE_CUT_OFF,   /* writes its heartbeat, answers on no network */
    MIG_LIFE_DISK_LOST, /* answers, and does not write its heartbeat */
    MIG_LIFE_DEAD,      /* sanlock says so */
    MIG_LIFE_FENCED,    /* a fence agent has confirmed that it is off */
    MIG_LIFE_LEFT,      /* stopped in an orderly way */
} MigLife;

const char *mig_life_name(MigLife life);

/* What sanlock says of a host: of the volume where it says the least good. */
typedef enum {
    MIG_WORD_UNKNOWN,
    MIG_WORD_LIVE,
    MIG_WORD_FAIL, /* renewals fail, what holds leases there is being killed */
    MIG_WORD_DEAD, /* so long that its watchdog has fired, if it was armed */
    MIG_WORD_FREE, /* holds no delta lease: given back, or freed after a fence */
} MigWord;

/* Ages in ms by this node's monotonic clock, from the last sign seen to now. */
typedef struct {
    gboolean is_self;
    gboolean has_left;
    gboolean is_armed;       /* it published that sanlock's watchdog is armed */
    gboolean is_passive;     /* it published that it fences nobody, and restarts nothing */
    gboolean is_unseen;      /* it is on volumes only that are lost to this node */
    gboolean is_fenced;      /* a confirmed fence of the start (generation) it has now */
    gboolean is_elsewhere;   /* it writes its heartbeat, and not on this LUN: one is a copy */
    gint64 heartbeat_ms;     /* on the volume where it is youngest */
    gint64 heartbeat_old_ms; /* on the volume where it is oldest */
    gint64 steady_ms; /* for how long this node's own heartbeat has moved without a gap on all the
                       * volumes that it shares with that one */
    gint64 peer_ms;   /* its daemon answered */
    gint volumes;     /* what it said then: how many it has that are not lost; -1: nothing */
    gint64 management_ms; /* a ping on the management address */
    gint64 migration_ms;  /* a ping on the migration address; MIG_NEVER_ASKED: it has none */
    MigWord word;
} MigEvidence;
#define MIG_NEVER_ASKED (-1)

/* What sanlock says of a host is about the start that has the host lease now. advanced_ms: for how
 * long that has been seen to be a later one than its node slot names, MIG_NEVER_ADVANCED: it is
 * not. Then the slot is of an earlier start, whose sanlock may have been killed and its QEMUs left:
 * the new one knows nothing of them, and migrated has yet to write that they run. Only a watchdog,
 * or [failover] unsafe_without_watchdog, ends them by themselves (is_ended), host_dead_ms after the
 * last renewal of that earlier start. */
#define MIG_NEVER_ADVANCED (-1)
MigWord mig_failover_word(MigWord said, gint64 advanced_ms, gboolean is_ended, gint64 host_dead_ms);

/* Beats ("UUID HEARTBEAT", hostile until looked at) of a node: is that volume's so far ahead of the
 * heartbeat that its slot has here that it is not written here? A node that has lost the LUN counts
 * none that it could not write. */
#define MIG_ELSEWHERE_BEATS 10
gboolean mig_failover_is_elsewhere(const char *const *beats, const char *uuid, guint64 heartbeat);

/* How this node is, and what its configuration says. */
typedef struct {
    gint64 watched_ms;        /* since when it has looked without a gap */
    gboolean is_network_here; /* its own links are up */
    gint64 network_seen_ms;   /* for how long they have been */
    gint64 renewal_ms;        /* how often sanlock renews, and looks at the others' leases */
    gboolean is_unsafe;       /* [failover] unsafe_without_watchdog */
    gint64 suspect_ms;
    gint64 fence_delay_ms; /* on top of suspect_ms, for a crash dump */
} MigWatcher;

typedef struct {
    MigLife life;
    const char *rule; /* one line for people; static */
    gboolean should_fence;
    gboolean may_restart;
} MigFinding;

/* findings has room for count; exactly one node is_self. */
void mig_failover_judge(const MigWatcher *watcher, const MigEvidence *nodes, guint count,
                        MigFinding *findings);

/* Does nodes[which] give no sign of life at all, and would this node have heard one? Not where its
 * own links are down or were so lately, or where nobody that writes its heartbeat answers it: then
 * the silence may be its own. */
gboolean mig_failover_is_silent(const MigWatcher *watcher, const MigEvidence *nodes, guint count,
                                guint which);

/* When a node answered last at all, whatever this node has missed in between: ages in ms. */
typedef struct {
    gint64 peer_ms, management_ms, migration_ms;
} MigHeard;

/* Has a node answered since it was judged to be fenced, by something that was silent then? This
 * node may have had a gap itself since, and judge it later again: that is no sign of that one. */
gboolean mig_failover_is_back(const MigHeard *judged, const MigHeard *now, gint64 suspect_ms);

/* No other node that writes its heartbeat has answered this one, by anything, for long. */
typedef enum {
    MIG_CUT_NONE,
    MIG_CUT_SOMEWHERE, /* the only other one has not, and the links here are up: the cut may be its
                        */
    MIG_CUT_HERE,
} MigCut;

/* Is this node cut off, and is it the one that is? limit_ms: for how long. With several others that
 * is taken to be so; with one alone both ends see the same, and a VM that both end runs nowhere. */
MigCut
mig_failover_cut(const MigWatcher *watcher, const MigEvidence *nodes, guint count, gint64 limit_ms);

/* Is a VM ended here for that, so that another node can start it? Not one that nobody would. */
gboolean mig_failover_ends_for_cut(MigCut cut, const MigVm *vm);

/* How many nodes that are all silent at once are still taken for dead by themselves: of more, the
 * fault is looked for here. Half of all, and one at least. */
guint mig_failover_storm_limit(guint count);

/* A node that died this often within the time gets VMs only where no other one will do, until
 * fewer of its deaths are younger than that or a person pardons it. */
#define MIG_FLAP_DEATHS 3
#define MIG_FLAP_MS     (30 * 60 * 1000)
/* deaths_ms: ages of its deaths. */
gboolean mig_failover_is_flapping(const gint64 *deaths_ms, guint count);
