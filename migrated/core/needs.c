/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* needs.c - making and freeing the structs of needs.h. */
#include "core/needs.h"

MigNeeds *
mig_needs_new(void)
{
    MigNeeds *needs = g_new0(MigNeeds, 1);

    needs->bridges = g_new0(char *, 1);
    needs->networks = g_new0(char *, 1);
    needs->cards = g_new0(char *, 1);
    needs->media = g_new0(char *, 1);
    needs->host_devices = g_new0(char *, 1);
    needs->local_files = g_new0(char *, 1);
    return needs;
}

void
mig_needs_free(MigNeeds *needs)
{
    if (!needs)
        return;
    g_free(needs->emulator);
    g_free(needs->arch);
    g_free(needs->machine);
    g_free(needs->virt_type);
    g_free(needs->cpu);
    g_free(needs->numa_nodes);
    g_strfreev(needs->bridges);
    g_strfreev(needs->networks);
    g_strfreev(needs->cards);
    g_strfreev(needs->media);
    g_strfreev(needs->host_devices);
    g_strfreev(needs->local_files);
    g_free(needs);
}

static const char *const fit_names[] = {
    [MIG_CPU_FITS] = "fits",
    [MIG_CPU_INCOMPATIBLE] = "incompatible",
    [MIG_CPU_NOT_COMPARED] = "not-compared",
};

const char *
mig_cpu_fit_name(MigCpuFit fit)
{
    g_return_val_if_fail((guint)fit < G_N_ELEMENTS(fit_names), "incompatible");
    return fit_names[fit];
}

MigCpuFit
mig_cpu_fit_from_name(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(fit_names); i++) {
        if (g_strcmp0(name, fit_names[i]) == 0)
            return i;
    }
    return MIG_CPU_INCOMPATIBLE;
}

MigFit *
mig_fit_new(void)
{
    MigFit *fit = g_new0(MigFit, 1);

    fit->missing_networks = g_new0(char *, 1);
    return fit;
}

void
mig_fit_free(MigFit *fit)
{
    if (!fit)
        return;
    g_free(fit->machine_problem);
    g_free(fit->cpu_problem);
    g_free(fit->numa_problem);
    g_free(fit->uuid_owner);
    g_free(fit->postcopy_problem);
    g_strfreev(fit->missing_networks);
    g_free(fit);
}

void
mig_host_cpu_free(MigHostCpu *cpu)
{
    if (!cpu)
        return;
    g_free(cpu->vendor);
    g_free(cpu->features);
    g_free(cpu->microcode);
    g_free(cpu->xml);
    g_free(cpu);
}
