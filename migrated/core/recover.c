/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover.c - the decision of recover.h. */
#include "core/recover.h"

gboolean
mig_recover_is_outrun(guint64 before, guint64 now, gboolean is_last_here, gboolean never_ran)
{
    /* 0: not known, of a move that has never come so far */
    if (!before || now == before || never_ran)
        return FALSE;
    return !is_last_here || now > before + 1;
}

/* Its CPUs run here, and libvirt is through. */
static MigRecover
decide_running(const MigRecoverFacts *facts)
{
    if (!facts->was_sent)
        return MIG_RECOVER_STAYED;
    if (!facts->is_lease_known)
        return MIG_RECOVER_WAIT;
    if (facts->has_target_lease && !facts->is_lease_newer)
        return MIG_RECOVER_WAIT;
    if (facts->has_target_lease && !facts->is_target_dead)
        return MIG_RECOVER_DESTROY_SOURCE;
    /* QEMU may have let it go on by itself where the move was cancelled at its end, without the
     * lease: then it gets that again (self.c). */
    return facts->is_lease_newer ? MIG_RECOVER_END_SOURCE : MIG_RECOVER_STAYED;
}

/* It stands still here, and the lease is known. */
static MigRecover
decide_standing(const MigRecoverFacts *facts)
{
    /* a disk can fail only under a guest that ran */
    gboolean ran_there =
        facts->target == MIG_DOMAIN_RUNNING || facts->target == MIG_DOMAIN_IO_ERROR;

    if (facts->has_target_lease) {
        if (ran_there)
            return MIG_RECOVER_DESTROY_SOURCE;
        if (facts->is_target_dead)
            return MIG_RECOVER_END_SOURCE;
        /* it may be running there, whether we can ask or not: never touch it from here */
        return facts->source == MIG_DOMAIN_PAUSED && facts->target == MIG_DOMAIN_PAUSED
                   ? MIG_RECOVER_RESUME_TARGET
                   : MIG_RECOVER_WAIT;
    }
    if (facts->target == MIG_DOMAIN_IO_ERROR && facts->is_lease_newer)
        return MIG_RECOVER_DESTROY_SOURCE;
    /* The target is still receiving, or about to take the lease: libvirt is not through yet. */
    if (facts->target != MIG_DOMAIN_ABSENT && facts->target != MIG_DOMAIN_UNKNOWN)
        return MIG_RECOVER_WAIT;
    if (facts->is_lease_newer)
        return MIG_RECOVER_END_SOURCE;
    /* Target absent or out of reach, lease ours or free: resuming takes the lease first, so it
     * cannot become a second one. Nor an old one: nobody else has had the lease. */
    return facts->source == MIG_DOMAIN_PAUSED ? MIG_RECOVER_RESUME_SOURCE : MIG_RECOVER_STAYED;
}

static MigRecover
decide_absent(const MigRecoverFacts *facts)
{
    if (facts->target == MIG_DOMAIN_RUNNING || facts->has_arrived)
        return MIG_RECOVER_MOVED;
    if (facts->is_target_dead)
        return MIG_RECOVER_START;
    if (facts->target == MIG_DOMAIN_POSTCOPY_FAILED)
        return MIG_RECOVER_LOST;
    if (!facts->is_lease_known)
        return MIG_RECOVER_WAIT;
    if (facts->target == MIG_DOMAIN_PAUSED && facts->has_target_lease)
        return MIG_RECOVER_RESUME_TARGET;
    if (facts->target == MIG_DOMAIN_ABSENT && !facts->has_target_lease && !facts->has_source_lease)
        return MIG_RECOVER_START;
    return MIG_RECOVER_WAIT;
}

MigRecover
mig_recover_decide(const MigRecoverFacts *facts)
{
    /* It runs here during most of a move: that says nothing about the end. */
    if (facts->is_moving || facts->source == MIG_DOMAIN_UNKNOWN ||
        facts->source == MIG_DOMAIN_INCOMING)
        return MIG_RECOVER_WAIT;
    if (facts->source == MIG_DOMAIN_ABSENT)
        return decide_absent(facts);
    if (facts->has_arrived)
        return MIG_RECOVER_DESTROY_SOURCE;
    if (facts->source == MIG_DOMAIN_RUNNING)
        return decide_running(facts);
    if (!facts->is_lease_known)
        return MIG_RECOVER_WAIT;
    return decide_standing(facts);
}

static const char *const names[] = {"moved",  "destroy-source", "end-source",
                                    "stayed", "resume-source",  "resume-target",
                                    "start",  "lost",           "wait"};

const char *
mig_recover_name(MigRecover decision)
{
    g_return_val_if_fail((guint)decision < G_N_ELEMENTS(names), "?");
    return names[decision];
}

gboolean
mig_recover_is_half_useless(MigDomainState other, gboolean is_other_dead)
{
    return is_other_dead || other == MIG_DOMAIN_ABSENT || other == MIG_DOMAIN_RUNNING;
}

gboolean
mig_recover_is_off(const MigFinding *finding, gboolean is_silent)
{
    return finding->life == MIG_LIFE_FENCED ||
           (finding->life == MIG_LIFE_DEAD && finding->may_restart && is_silent);
}

gboolean
mig_recover_may_have_half(const MigHalfNode *nodes, guint count, guint which)
{
    gboolean is_known = FALSE, is_published = FALSE;

    for (guint i = 0; i < count; i++) {
        is_known |= nodes[i].is_source;
        is_published |= nodes[i].is_published;
    }
    if (is_known)
        return nodes[which].is_source;
    return !is_published || nodes[which].is_published || nodes[which].is_up;
}

gboolean
mig_recover_is_source_dead(const MigHalfNode *nodes, guint count)
{
    gboolean is_dead = FALSE;

    for (guint i = 0; i < count; i++) {
        if (!mig_recover_may_have_half(nodes, count, i) ||
            !(nodes[i].is_source || nodes[i].is_published))
            continue;
        if (!nodes[i].is_off)
            return FALSE;
        is_dead = TRUE;
    }
    return is_dead;
}
