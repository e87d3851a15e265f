/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* failover.c - the table of design and man page (migrated-states(7)), as code. */
#include "core/failover.h"

#include <string.h>

static const char *const life_names[] = {
    [MIG_LIFE_UP] = "up",           [MIG_LIFE_SUSPECT] = "suspect",
    [MIG_LIFE_CUT_OFF] = "cut-off", [MIG_LIFE_DISK_LOST] = "disk-lost",
    [MIG_LIFE_DEAD] = "dead",       [MIG_LIFE_FENCED] = "fenced",
    [MIG_LIFE_LEFT] = "left",
};

const char *
mig_life_name(MigLife life)
{
    g_return_val_if_fail((guint)life < G_N_ELEMENTS(life_names), "suspect");
    return life_names[life];
}

static gboolean
is_young(const MigWatcher *watcher, gint64 age_ms)
{
    return age_ms != MIG_NEVER_ASKED && age_ms < watcher->suspect_ms;
}

static gboolean
answers_ping(const MigWatcher *watcher, const MigEvidence *node)
{
    return is_young(watcher, node->management_ms) || is_young(watcher, node->migration_ms);
}

/* Has everything been asked, and nothing answered, for this long? */
static gboolean
is_silent_for(const MigEvidence *node, gint64 ms)
{
    return node->heartbeat_ms >= ms && node->peer_ms >= ms && node->management_ms >= ms &&
           (node->migration_ms == MIG_NEVER_ASKED || node->migration_ms >= ms);
}

static gboolean
is_gone(const MigEvidence *node)
{
    return node->has_left || node->is_fenced || node->word == MIG_WORD_DEAD ||
           node->word == MIG_WORD_FREE;
}

MigWord
mig_failover_word(MigWord said, gint64 advanced_ms, gboolean is_ended, gint64 host_dead_ms)
{
    if (advanced_ms == MIG_NEVER_ADVANCED)
        return said;
    if (is_ended && advanced_ms >= host_dead_ms)
        return MIG_WORD_FREE;
    return said == MIG_WORD_FREE ? MIG_WORD_UNKNOWN : said;
}

guint
mig_failover_storm_limit(guint count)
{
    return MAX(1, count / 2);
}

typedef struct {
    guint silent, failed, limit; /* nodes, and of how many at once it is believed */
} Sight;

/* For how long has this node seen that one without a break? What it could not see is no sign of
 * anything: after an outage for all, one path is back before the others, and all that is old then
 * is what this node has missed. */

static gboolean
has_seen_silence(const MigWatcher *watcher, const MigEvidence *node)
{
    gint64 seen_ms = MIN(node->steady_ms, watcher->network_seen_ms);

    return seen_ms >= watcher->suspect_ms + MAX(watcher->suspect_ms, watcher->fence_delay_ms);
}

/* A renewal of theirs after their path is back, and ours in which sanlock looks at it. */
static gboolean
has_seen_renewals(const MigWatcher *watcher, const MigEvidence *node)
{
    return node->steady_ms >= 2 * MAX(watcher->suspect_ms, watcher->renewal_ms);
}

static guint
count_failed(const MigWatcher *watcher, const MigEvidence *nodes, guint count)
{
    guint failed = 0;

    for (guint i = 0; i < count; i++)
        failed += !nodes[i].is_self && !is_gone(&nodes[i]) && nodes[i].word == MIG_WORD_FAIL &&
                  !is_young(watcher, nodes[i].heartbeat_ms);
    return failed;
}

static guint
count_silent(const MigWatcher *watcher, const MigEvidence *nodes, guint count)
{
    guint silent = 0;

    for (guint i = 0; i < count; i++)
        silent += !nodes[i].is_self && !is_gone(&nodes[i]) &&
                  is_silent_for(&nodes[i], watcher->suspect_ms);
    return silent;
}

/* Of how many: who is known to be gone, perhaps for months, says nothing of a fault here. */
static guint
count_standing(const MigEvidence *nodes, guint count)
{
    guint standing = 0;

    for (guint i = 0; i < count; i++)
        standing += nodes[i].is_self || !is_gone(&nodes[i]);
    return standing;
}

/* Its heartbeat moves: whatever else is said of it, its migrated lives and has the disk. */
static MigFinding
judge_beating(const MigWatcher *watcher, const MigEvidence *node)
{
    if (node->word == MIG_WORD_DEAD)
        return (MigFinding){MIG_LIFE_SUSPECT,
                            "sanlock calls it dead, and it writes its heartbeat: its watchdog has "
                            "not fired",
                            FALSE, FALSE};
    if (!is_young(watcher, node->heartbeat_old_ms))
        return (MigFinding){MIG_LIFE_DISK_LOST, "its heartbeat stands still on one of its volumes",
                            FALSE, FALSE};
    if (!is_young(watcher, node->peer_ms) && !answers_ping(watcher, node) &&
        watcher->is_network_here)
        return (MigFinding){MIG_LIFE_CUT_OFF, "network lost, disk alive: its VMs run on", FALSE,
                            FALSE};
    return (MigFinding){MIG_LIFE_UP, "its heartbeat moves", FALSE, FALSE};
}

/* What is seen from here are the volumes that this node has, too. One that answers may have others,
 * and VMs on them that a fence would kill. */
static gboolean
may_have_other_volumes(const MigWatcher *watcher, const MigEvidence *node)
{
    return is_young(watcher, node->peer_ms) && node->volumes != 0;
}

/* sanlock's word, where its heartbeat does not contradict. */
static MigFinding
judge_dead(const MigWatcher *watcher, const MigEvidence *node)
{
    if (node->word == MIG_WORD_FREE)
        return (MigFinding){MIG_LIFE_DEAD, "its delta lease is free: it can hold no lease", FALSE,
                            TRUE};
    if (node->is_armed)
        return (MigFinding){MIG_LIFE_DEAD, "sanlock calls it dead, and its watchdog was armed",
                            FALSE, TRUE};
    if (watcher->is_unsafe)
        return (MigFinding){MIG_LIFE_DEAD,
                            "sanlock calls it dead; its watchdog was not armed, and "
                            "unsafe_without_watchdog is set",
                            FALSE, TRUE};
    if (may_have_other_volumes(watcher, node))
        return (MigFinding){MIG_LIFE_DISK_LOST,
                            "sanlock calls it dead here, its watchdog was not armed, and it "
                            "answers and may run VMs on other volumes: not fenced",
                            FALSE, FALSE};
    if (!has_seen_renewals(watcher, node))
        return (MigFinding){MIG_LIFE_DEAD,
                            "sanlock calls it dead, and this node has not seen the LUN for long "
                            "enough since it was away: not fenced",
                            FALSE, FALSE};
    return (MigFinding){MIG_LIFE_DEAD,
                        "sanlock calls it dead, but its watchdog was not armed: it may still run; "
                        "fence it, or make sure that it is off and start its VMs by hand",
                        TRUE, FALSE};
}

/* Its renewals have failed for 8 x io_timeout on all its volumes: what holds leases there is being
 * killed, so its VMs are lost to it whatever else it answers. A fence costs nothing any more, and
 * spares them the wait for its watchdog. */
static MigFinding
judge_failed(const MigWatcher *watcher, const MigEvidence *node, const Sight *sight)
{
    static const char *const rule = "it lost the LUN for so long that sanlock there kills its VMs: "
                                    "fence it";
    MigLife life = is_young(watcher, node->peer_ms) ? MIG_LIFE_DISK_LOST : MIG_LIFE_SUSPECT;

    if (may_have_other_volumes(watcher, node))
        return (MigFinding){MIG_LIFE_DISK_LOST,
                            "it lost the LUN, and may run VMs on other volumes: not fenced", FALSE,
                            FALSE};
    if (!has_seen_renewals(watcher, node))
        return (MigFinding){life, "it lost the LUN, and so had this node, not long ago: not fenced",
                            FALSE, FALSE};
    if (sight->failed > sight->limit)
        return (MigFinding){life,
                            "it lost the LUN, but so have too many at once: a fault of the LUN; "
                            "not fenced",
                            FALSE, FALSE};
    return (MigFinding){life, rule, TRUE, FALSE};
}

static MigFinding
judge_silent(const MigWatcher *watcher, const MigEvidence *node, const Sight *sight)
{
    if (is_young(watcher, node->peer_ms))
        return (MigFinding){MIG_LIFE_DISK_LOST,
                            "its daemon answers, its heartbeat stands still: it lost the LUN",
                            FALSE, FALSE};
    if (answers_ping(watcher, node))
        return (MigFinding){MIG_LIFE_SUSPECT,
                            "its daemon is dead or hung, the machine answers pings: not fenced",
                            FALSE, FALSE};
    if (!is_silent_for(node, watcher->suspect_ms))
        return (MigFinding){MIG_LIFE_SUSPECT, "not silent for long enough yet", FALSE, FALSE};
    if (!watcher->is_network_here)
        return (MigFinding){MIG_LIFE_SUSPECT,
                            "silent, but this node's own network is down: not fenced", FALSE,
                            FALSE};
    if (sight->silent > sight->limit)
        return (MigFinding){MIG_LIFE_SUSPECT,
                            "silent, but so are too many at once: a fault here, not their death; "
                            "not fenced",
                            FALSE, FALSE};
    if (!has_seen_silence(watcher, node))
        return (MigFinding){MIG_LIFE_SUSPECT,
                            "silent, but this node itself had no disk or no network not long ago: "
                            "not fenced",
                            FALSE, FALSE};
    if (!is_silent_for(node, watcher->suspect_ms + watcher->fence_delay_ms))
        return (MigFinding){MIG_LIFE_SUSPECT, "silent; waiting for the fence delay", FALSE, FALSE};
    return (MigFinding){MIG_LIFE_SUSPECT, "disk, daemon and both networks are silent: fence it",
                        TRUE, FALSE};
}

static MigFinding
judge_one(const MigWatcher *watcher, const MigEvidence *node, gboolean can_judge,
          const Sight *sight)
{
    /* an orderly end says nothing once it is back */
    if (node->has_left)
        return (MigFinding){MIG_LIFE_LEFT, "it left in an orderly way", FALSE, TRUE};
    if (is_young(watcher, node->heartbeat_ms))
        return judge_beating(watcher, node);
    if (node->is_elsewhere)
        return (MigFinding){MIG_LIFE_SUSPECT,
                            "its daemon says that it writes its heartbeat, and not on this LUN: "
                            "one of the two is a copy; its VMs are started from none",
                            FALSE, FALSE};
    if (node->is_unseen)
        return (MigFinding){MIG_LIFE_SUSPECT, "its volumes are lost to this node", FALSE, FALSE};
    if (node->is_fenced)
        return (MigFinding){MIG_LIFE_FENCED, "a fence agent has confirmed that it is off", FALSE,
                            TRUE};
    if (!can_judge)
        return (MigFinding){MIG_LIFE_SUSPECT, "this node has not watched for long enough to judge",
                            FALSE, FALSE};
    if (node->word == MIG_WORD_DEAD || node->word == MIG_WORD_FREE)
        return judge_dead(watcher, node);
    if (node->word == MIG_WORD_FAIL)
        return judge_failed(watcher, node, sight);
    return judge_silent(watcher, node, sight);
}

void
mig_failover_judge(const MigWatcher *watcher, const MigEvidence *nodes, guint count,
                   MigFinding *findings)
{
    Sight sight = {.silent = count_silent(watcher, nodes, count),
                   .failed = count_failed(watcher, nodes, count),
                   .limit = mig_failover_storm_limit(count_standing(nodes, count))};
    gboolean has_disk = FALSE;

    /* Whoever does not see its own heartbeat move sees nobody's: its LUN is away, or it was frozen
     * itself. So nothing is concluded. */
    for (guint i = 0; i < count; i++)
        has_disk = has_disk || (nodes[i].is_self && is_young(watcher, nodes[i].heartbeat_ms));
    for (guint i = 0; i < count; i++) {
        gboolean can_judge = has_disk && watcher->watched_ms >= 2 * watcher->suspect_ms;

        if (nodes[i].is_self && has_disk)
            findings[i] = (MigFinding){MIG_LIFE_UP, "this node", FALSE, FALSE};
        else if (nodes[i].is_self)
            findings[i] = (MigFinding){MIG_LIFE_DISK_LOST, "this node cannot write its heartbeat",
                                       FALSE, FALSE};
        else
            findings[i] = judge_one(watcher, &nodes[i], can_judge, &sight);
        if (!has_disk)
            findings[i].should_fence = findings[i].may_restart = FALSE;
    }
}

gboolean
mig_failover_is_elsewhere(const char *const *beats, const char *uuid, guint64 heartbeat)
{
    gsize length = strlen(uuid);

    for (guint i = 0; beats && beats[i]; i++) {
        guint64 said;

        if (strncmp(beats[i], uuid, length) == 0 && beats[i][length] == ' ' &&
            g_ascii_string_to_unsigned(beats[i] + length + 1, 10, 0, G_MAXUINT64, &said, NULL) &&
            said > heartbeat && said - heartbeat >= MIG_ELSEWHERE_BEATS)
            return TRUE;
    }
    return FALSE;
}

MigCut
mig_failover_cut(const MigWatcher *watcher, const MigEvidence *nodes, guint count, gint64 limit_ms)
{
    guint others = 0;

    for (guint i = 0; i < count; i++) {
        const MigEvidence *node = &nodes[i];

        if (node->is_self || node->has_left || !is_young(watcher, node->heartbeat_ms))
            continue;
        others++;
        if (node->peer_ms < limit_ms || node->management_ms < limit_ms ||
            (node->migration_ms != MIG_NEVER_ASKED && node->migration_ms < limit_ms))
            return MIG_CUT_NONE;
    }
    if (others == 0)
        return MIG_CUT_NONE;
    return others == 1 && watcher->is_network_here ? MIG_CUT_SOMEWHERE : MIG_CUT_HERE;
}

gboolean
mig_failover_is_silent(const MigWatcher *watcher, const MigEvidence *nodes, guint count,
                       guint which)
{
    gint64 seen_ms = MIN(watcher->watched_ms, watcher->network_seen_ms);

    return watcher->is_network_here && seen_ms >= 2 * watcher->suspect_ms &&
           is_silent_for(&nodes[which], watcher->suspect_ms) &&
           mig_failover_cut(watcher, nodes, count, watcher->suspect_ms) == MIG_CUT_NONE;
}

/* Such an age shrinks only by an answer. */
static gboolean
has_answered(gint64 judged_ms, gint64 now_ms, gint64 suspect_ms)
{
    return judged_ms >= suspect_ms && now_ms < judged_ms;
}

gboolean
mig_failover_is_back(const MigHeard *judged, const MigHeard *now, gint64 suspect_ms)
{
    return has_answered(judged->peer_ms, now->peer_ms, suspect_ms) ||
           has_answered(judged->management_ms, now->management_ms, suspect_ms) ||
           has_answered(judged->migration_ms, now->migration_ms, suspect_ms);
}

gboolean
mig_failover_ends_for_cut(MigCut cut, const MigVm *vm)
{
    return cut == MIG_CUT_HERE && vm->restarts_on_isolation && vm->wants_running &&
           vm->restart != MIG_RESTART_NEVER;
}

gboolean
mig_failover_is_flapping(const gint64 *deaths_ms, guint count)
{
    guint recent = 0;

    for (guint i = 0; i < count; i++)
        recent += deaths_ms[i] < MIG_FLAP_MS;
    return recent >= MIG_FLAP_DEATHS;
}
