/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover.c - the decision of recover.h. */
#include "core/recover.h"

MigRecover
mig_recover_decide(const MigRecoverFacts *facts)
{
    /* It runs here during most of a move: that says nothing about the end. */
    if (facts->is_moving)
        return MIG_RECOVER_WAIT;
    /* A CPU that runs settles it. QEMU may have let it go on by itself where the move was cancelled
     * at its end, without the lease: then it gets that again (self.c). */
    if (facts->source == MIG_DOMAIN_RUNNING)
        return MIG_RECOVER_STAYED;
    if (facts->source == MIG_DOMAIN_UNKNOWN || facts->source == MIG_DOMAIN_INCOMING)
        return MIG_RECOVER_WAIT;
    if (facts->source == MIG_DOMAIN_ABSENT && facts->target == MIG_DOMAIN_RUNNING)
        return MIG_RECOVER_MOVED;
    if (facts->source == MIG_DOMAIN_ABSENT && facts->is_target_dead)
        return MIG_RECOVER_START;
    if (facts->source == MIG_DOMAIN_ABSENT && facts->target == MIG_DOMAIN_POSTCOPY_FAILED)
        return MIG_RECOVER_LOST;

    /* Nobody runs it, or a half is left here. From here on the lease must be known. */
    if (!facts->is_lease_known)
        return MIG_RECOVER_WAIT;
    if (facts->target == MIG_DOMAIN_RUNNING)
        return facts->has_target_lease ? MIG_RECOVER_DESTROY_SOURCE : MIG_RECOVER_WAIT;
    if (facts->has_target_lease) {
        /* it may be running there, whether we can ask or not: never touch it from here */
        if (facts->target == MIG_DOMAIN_PAUSED)
            return MIG_RECOVER_RESUME_TARGET;
        return MIG_RECOVER_WAIT;
    }
    /* The target is still receiving, or about to take the lease: libvirt is not through yet. */
    if (facts->target == MIG_DOMAIN_INCOMING || facts->target == MIG_DOMAIN_PAUSED ||
        facts->target == MIG_DOMAIN_POSTCOPY || facts->target == MIG_DOMAIN_POSTCOPY_FAILED)
        return MIG_RECOVER_WAIT;
    /* Here it stands, target absent or out of reach, lease ours or free: resuming takes the
     * lease first, so it cannot become a second one. Nor an old one: nobody has had the lease. */
    if (facts->source == MIG_DOMAIN_PAUSED)
        return facts->is_lease_newer ? MIG_RECOVER_WAIT : MIG_RECOVER_RESUME_SOURCE;
    if (facts->source == MIG_DOMAIN_ABSENT && facts->target == MIG_DOMAIN_ABSENT &&
        !facts->has_source_lease)
        return MIG_RECOVER_START;
    return MIG_RECOVER_WAIT;
}

static const char *const names[] = {"moved",         "destroy-source", "stayed", "resume-source",
                                    "resume-target", "start",          "lost",   "wait"};

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
        if (!nodes[i].is_dead)
            return FALSE;
        is_dead = TRUE;
    }
    return is_dead;
}
