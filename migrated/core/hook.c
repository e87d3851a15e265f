/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hook.c - the rules of hook.h. */
#include "core/hook.h"

#include "base/error.h"
#include "base/log.h"

gboolean
mig_hook_op_from_name(const char *name, MigHookOp *op)
{
    static const char *const names[] = {"migrate", "prepare", "release"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_strcmp0(name, names[i]) == 0) {
            *op = (MigHookOp)i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
mig_hook_is_own(const MigHookFacts *facts)
{
    return facts->is_coming || (facts->op == MIG_HOOK_OP_PREPARE && facts->is_starting);
}

/* Is it the VM that its lease says? */
static gboolean
check_identity(const MigHookFacts *facts, GError **error)
{
    g_autofree char *domain = mig_log_escape(facts->domain);
    g_autofree char *lockspace = mig_log_escape(facts->lockspace ? facts->lockspace : "");
    g_autofree char *lease = mig_log_escape(facts->lease ? facts->lease : "");

    if (!facts->lockspace)
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                    "%s uses an image of a volume and has no lease there, which alone keeps two "
                    "nodes from using it at once; 'migratectl vm define' makes a VM of it",
                    domain);
    else if (!facts->is_attached)
        g_set_error(error, MIG_ERROR, MIG_ERROR_VOLUME_UNKNOWN,
                    "volume-attached: volume %s of VM %s is not attached on %s; 'migratectl volume "
                    "attach' does that",
                    lockspace, domain, facts->node);
    else if (facts->is_lost)
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                    "volume-attached: volume %s of VM %s does not answer on %s; see 'migratectl "
                    "status'",
                    lockspace, domain, facts->node);
    else if (!facts->defined_uuid)
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN,
                    "no VM %s is defined on volume %s; see 'migratectl vm list'", lease, lockspace);
    else if (g_strcmp0(facts->domain, facts->lease) != 0)
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                    "domain %s has the lease of VM %s; a VM of the cluster keeps its name", domain,
                    lease);
    else if (!facts->uuid || g_ascii_strcasecmp(facts->uuid, facts->defined_uuid) != 0)
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                    "this %s is not the VM of that name on volume %s, whose uuid is %s", domain,
                    lockspace, facts->defined_uuid);
    else
        return TRUE;
    return FALSE;
}

MigHookVerdict
mig_hook_decide(const MigHookFacts *facts, GError **error)
{
    if (mig_hook_is_own(facts))
        return MIG_HOOK_ALLOW;
    if (!check_identity(facts, error))
        return MIG_HOOK_REFUSE;
    if (!facts->is_owner_known) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                    "the lease of %s cannot be read, so nobody knows where it runs", facts->lease);
        return MIG_HOOK_REFUSE;
    }
    if (facts->owner &&
        (facts->op == MIG_HOOK_OP_PREPARE || g_str_equal(facts->owner, facts->node))) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_LEASE_HELD,
                    "%s runs on %s, which has its lease; 'migratectl move %s NODE' moves it",
                    facts->lease, facts->owner, facts->lease);
        return MIG_HOOK_REFUSE;
    }
    if (facts->op == MIG_HOOK_OP_PREPARE) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                    "%s is a VM of the cluster: 'migratectl vm start %s --node %s' starts it, with "
                    "its definition and images from volume %s",
                    facts->lease, facts->lease, facts->node, facts->lockspace);
        return MIG_HOOK_REFUSE;
    }
    if (facts->owner)
        return MIG_HOOK_FOLLOW;
    g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                "vm-runs-here: no living node has the lease of %s; only a running VM moves",
                facts->lease);
    return MIG_HOOK_REFUSE;
}
