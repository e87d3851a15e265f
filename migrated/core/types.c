/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* types.c - freeing and copying the daemon's plain structs. */
#include "core/types.h"

static const char *const domain_state_names[] = {
    [MIG_DOMAIN_UNKNOWN] = "unknown",   [MIG_DOMAIN_ABSENT] = "absent",
    [MIG_DOMAIN_RUNNING] = "running",   [MIG_DOMAIN_PAUSED] = "paused",
    [MIG_DOMAIN_INCOMING] = "incoming", [MIG_DOMAIN_IO_ERROR] = "io-error",
    [MIG_DOMAIN_POSTCOPY] = "postcopy", [MIG_DOMAIN_POSTCOPY_FAILED] = "postcopy-failed",
};

const char *
mig_domain_state_name(MigDomainState state)
{
    g_return_val_if_fail((guint)state < G_N_ELEMENTS(domain_state_names), "unknown");
    return domain_state_names[state];
}

MigDomainState
mig_domain_state_from_name(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(domain_state_names); i++) {
        if (g_strcmp0(name, domain_state_names[i]) == 0)
            return i;
    }
    return MIG_DOMAIN_UNKNOWN;
}

static const char *const policy_names[MIG_POLICY_COUNT] = {
    [MIG_POLICY_FAST] = "fast",
    [MIG_POLICY_GENTLE] = "gentle",
    [MIG_POLICY_MUST_FINISH] = "must-finish",
    [MIG_POLICY_NEVER_POSTCOPY] = "never-postcopy",
};

const char *
mig_policy_kind_name(MigPolicyKind kind)
{
    g_return_val_if_fail((guint)kind < G_N_ELEMENTS(policy_names), NULL);
    return policy_names[kind];
}

gboolean
mig_policy_kind_from_name(const char *name, MigPolicyKind *kind)
{
    for (guint i = 0; i < G_N_ELEMENTS(policy_names); i++) {
        if (g_strcmp0(name, policy_names[i]) == 0) {
            *kind = i;
            return TRUE;
        }
    }
    return FALSE;
}

static const char *const restart_names[] = {
    [MIG_RESTART_ON_NODE_DEATH] = "on-node-death",
    [MIG_RESTART_ALWAYS] = "always",
    [MIG_RESTART_NEVER] = "never",
};

const char *
mig_restart_name(MigRestart restart)
{
    g_return_val_if_fail((guint)restart < G_N_ELEMENTS(restart_names), "never");
    return restart_names[restart];
}

gboolean
mig_restart_from_name(const char *name, MigRestart *restart)
{
    for (guint i = 0; i < G_N_ELEMENTS(restart_names); i++) {
        if (g_strcmp0(name, restart_names[i]) == 0) {
            *restart = i;
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean
is_of_version(const MigNode *node, guint64 least_minor)
{
    char *rest = NULL;
    guint64 major = node->version ? g_ascii_strtoull(node->version, &rest, 10) : 0;

    return rest && *rest == '.' && g_ascii_isdigit(node->version[0]) &&
           (major > 0 || g_ascii_strtoull(rest + 1, NULL, 10) >= least_minor);
}

gboolean
mig_node_hears_callers(const MigNode *node)
{
    return is_of_version(node, 2);
}

gboolean
mig_node_is_of_0_3(const MigNode *node)
{
    return is_of_version(node, 3);
}

void
mig_node_free(MigNode *node)
{
    if (!node)
        return;
    g_free(node->name);
    g_free(node->management);
    g_free(node->migration);
    g_free(node->cpu_vendor);
    g_free(node->version);
    g_free(node->notes);
    g_clear_pointer(&node->certificates, g_bytes_unref);
    g_free(node);
}

MigNode *
mig_node_copy(const MigNode *node)
{
    MigNode *copy = g_memdup2(node, sizeof *node);

    copy->name = g_strdup(node->name);
    copy->management = g_strdup(node->management);
    copy->migration = g_strdup(node->migration);
    copy->cpu_vendor = g_strdup(node->cpu_vendor);
    copy->version = g_strdup(node->version);
    copy->notes = g_strdup(node->notes);
    copy->certificates = node->certificates ? g_bytes_ref(node->certificates) : NULL;
    return copy;
}

void
mig_vm_free(MigVm *vm)
{
    if (!vm)
        return;
    g_free(vm->volume);
    g_free(vm->name);
    g_free(vm->uuid);
    g_strfreev(vm->affinity);
    g_strfreev(vm->anti_affinity);
    g_strfreev(vm->start_after);
    g_free(vm->definition);
    g_free(vm);
}

void
mig_image_free(MigImage *image)
{
    if (!image)
        return;
    g_free(image->volume);
    g_free(image->name);
    g_free(image->owner);
    g_free(image->uuid);
    g_free(image);
}

void
mig_volume_info_free(MigVolumeInfo *info)
{
    if (!info)
        return;
    g_free(info->name);
    g_free(info->uuid);
    g_free(info->device);
    g_free(info);
}

void
mig_lease_free(MigLease *lease)
{
    if (!lease)
        return;
    g_free(lease->lockspace);
    g_free(lease->resource);
    g_free(lease->path);
    g_free(lease);
}

void
mig_domain_free(MigDomain *domain)
{
    if (!domain)
        return;
    g_free(domain->name);
    g_free(domain->uuid);
    g_free(domain->volume);
    g_strfreev(domain->images);
    g_free(domain);
}

void
mig_host_free(MigHost *host)
{
    if (!host)
        return;
    g_free(host->cpu_vendor);
    g_free(host);
}
