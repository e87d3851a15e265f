/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-host.c - what this node's libvirt says about a VM that might come here. */
#include "drivers/definition-xml.h"
#include "drivers/hv-libvirt-private.h"

#include "base/error.h"
#include "drivers/definition-needs.h"

#include <string.h>

#define USERFAULTFD "/proc/sys/vm/unprivileged_userfaultfd"

/* libvirt reads the whole host anew for each of these questions, 30 ms and more, and both ends of a
 * move ask: it is kept for a while. A libvirtd that started anew has another connection. */
#define CAPABILITIES_KEEP_US (60 * G_USEC_PER_SEC)

/* NULL: libvirt does not say. g_free() */
static char *
get_capabilities(MigLibvirt *libvirt, virConnectPtr connection)
{
    gint64 now_us = g_get_monotonic_time();
    g_autofree char *known = NULL;
    char *text;

    g_mutex_lock(&libvirt->lock);
    if (libvirt->connection == connection &&
        now_us - libvirt->capabilities_at_us < CAPABILITIES_KEEP_US)
        known = g_strdup(libvirt->capabilities);
    g_mutex_unlock(&libvirt->lock);
    if (known)
        return g_steal_pointer(&known);
    text = virConnectGetCapabilities(connection);
    known = g_strdup(text);
    g_mutex_lock(&libvirt->lock);
    if (libvirt->connection == connection) {
        free(libvirt->capabilities);
        libvirt->capabilities = g_steal_pointer(&text);
        libvirt->capabilities_at_us = now_us;
    }
    g_mutex_unlock(&libvirt->lock);
    free(text);
    return g_steal_pointer(&known);
}

MigHostCpu *
mig_libvirt_get_cpu(gpointer self, GError **error)
{
    virConnectPtr connection = mig_libvirt_connect(self, error);
    MigHostCpu *cpu = NULL;
    unsigned long version = 0;
    g_autofree char *capabilities = NULL;
    char *text, *model;

    if (!connection)
        return NULL;
    capabilities = get_capabilities(self, connection);
    cpu = capabilities ? mig_capabilities_host_cpu(capabilities) : NULL;
    if (!cpu) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "libvirt says nothing of this host's CPU");
        virConnectClose(connection);
        return NULL;
    }
    if (virConnectGetVersion(connection, &version) == 0)
        cpu->emulator_version = version;
    /* the host's CPU as guests can have it, where it says so: better for a baseline */
    text = virConnectGetDomainCapabilities(connection, NULL, NULL, NULL, NULL, 0);
    model = text ? mig_domain_capabilities_host_model(text) : NULL;
    if (model) {
        g_free(cpu->xml);
        cpu->xml = model;
    }
    free(text);
    virConnectClose(connection);
    return cpu;
}

/* As the target would be asked to run it. The live one has also what QEMU gave to its CPU unasked
 * ('topoext' with the model EPYC), which no host's list says and every QEMU gives again: the
 * target's libvirt would call that CPU incompatible. */
char *
mig_libvirt_get_definition(gpointer self, const char *vm, const char *uuid, GError **error)
{
    g_autoptr(GError) local = NULL;
    virConnectPtr connection = mig_libvirt_connect(self, error);
    virDomainPtr domain;
    char *xml = NULL, *result = NULL;

    if (!connection)
        return NULL;
    domain = mig_libvirt_lookup(connection, vm, uuid, &local);
    if (domain)
        xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_MIGRATABLE);
    if (local)
        g_propagate_error(error, g_steal_pointer(&local));
    else if (!domain)
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED, "%s does not run here", vm);
    else if (!xml)
        mig_libvirt_set_error(error, "asking for a definition");
    result = xml ? mig_definition_mask(xml) : NULL; /* a migratable one has passwords */
    if (xml && !result)
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "what libvirt says of %s cannot be read", vm);
    free(xml);
    if (domain)
        virDomainFree(domain);
    virConnectClose(connection);
    return result;
}

/* ---- fit ---- */

/* One line, as libvirt said it. */
static char *
problem(void)
{
    g_autoptr(GError) error = NULL;

    mig_libvirt_set_error(&error, "asked");
    const char *text = strstr(error->message, ": ");

    return g_strdup(text ? text + 2 : error->message);
}

static void
fit_machine(virConnectPtr connection, const MigNeeds *needs, MigFit *fit)
{
    char *text;

    fit->has_emulator = !needs->emulator || g_file_test(needs->emulator, G_FILE_TEST_IS_EXECUTABLE);
    if (!fit->has_emulator)
        return;
    text = virConnectGetDomainCapabilities(connection, needs->emulator, needs->arch, needs->machine,
                                           needs->virt_type, 0);
    fit->has_machine = text != NULL;
    if (!text)
        fit->machine_problem = problem();
    free(text);
}

static void
fit_cpu(virConnectPtr connection, const MigNeeds *needs, MigFit *fit)
{
    const virError *reason;
    int result;

    fit->cpu = MIG_CPU_FITS;
    if (needs->cpu_mode != MIG_CPU_MODEL || !needs->cpu || !fit->has_machine)
        return;
    result = virConnectCompareHypervisorCPU(connection, needs->emulator, needs->arch,
                                            needs->machine, needs->virt_type, needs->cpu,
                                            VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
    if (result >= VIR_CPU_COMPARE_IDENTICAL)
        return;
    reason = virGetLastError();
    fit->cpu = result >= 0 || (reason && reason->code == VIR_ERR_CPU_INCOMPATIBLE)
                   ? MIG_CPU_INCOMPATIBLE
                   : MIG_CPU_NOT_COMPARED;
    fit->cpu_problem = result < 0 ? problem() : NULL;
}

/* Huge pages of the wanted size over all cells. */
static void
fit_hugepages(virConnectPtr connection, const MigNeeds *needs, MigFit *fit)
{
    unsigned int pages[] = {(unsigned)(needs->hugepage_bytes >> 10)};
    unsigned long long counts[1024] = {0};
    int cells;

    if (!needs->hugepage_bytes)
        return;
    cells = virNodeGetFreePages(connection, G_N_ELEMENTS(pages), pages, 0, G_N_ELEMENTS(counts),
                                counts, 0);
    for (int i = 0; i < cells; i++)
        fit->hugepages_free_bytes += counts[i] * needs->hugepage_bytes;
}

/* "0-1,3": is cell in it? What cannot be read has every cell, so that a missing one is found. */
static gboolean
has_cell(const char *set, guint64 cell)
{
    g_auto(GStrv) parts = g_strsplit(set, ",", -1);
    gboolean has = FALSE;

    for (guint i = 0; parts[i]; i++) {
        g_auto(GStrv) ends = g_strsplit(parts[i][0] == '^' ? parts[i] + 1 : parts[i], "-", 2);
        guint64 from = 0, to = G_MAXUINT64;

        if (ends[0] && g_ascii_string_to_unsigned(ends[0], 10, 0, 65535, &from, NULL))
            to = from;
        if (ends[0] && ends[1])
            g_ascii_string_to_unsigned(ends[1], 10, 0, 65535, &to, NULL);
        if (cell >= from && cell <= to)
            has = parts[i][0] != '^';
    }
    return has;
}

static void
fit_numa(virConnectPtr connection, const MigNeeds *needs, MigFit *fit)
{
    unsigned long long bytes[1024] = {0};
    guint64 sum = 0;
    guint found = 0, wanted = 0;
    int cells;

    if (!needs->numa_nodes)
        return;
    cells = virNodeGetCellsFreeMemory(connection, bytes, 0, G_N_ELEMENTS(bytes));
    for (guint i = 0; i < G_N_ELEMENTS(bytes); i++) {
        if (!has_cell(needs->numa_nodes, i))
            continue;
        wanted++;
        if ((int)i < cells) {
            found++;
            sum += bytes[i];
        }
    }
    if (found < wanted)
        fit->numa_problem = g_strdup_printf("has only %u of them", found);
    else if (!needs->hugepage_bytes && sum < needs->memory_bytes) {
        g_autofree char *there = g_format_size_full(sum, G_FORMAT_SIZE_IEC_UNITS);

        fit->numa_problem = g_strdup_printf("has %s free there", there);
    }
}

static void
fit_networks(virConnectPtr connection, const MigNeeds *needs, MigFit *fit)
{
    g_autoptr(GStrvBuilder) missing = g_strv_builder_new();

    for (guint i = 0; needs->networks[i]; i++) {
        virNetworkPtr network = virNetworkLookupByName(connection, needs->networks[i]);
        gboolean is_active = network && virNetworkIsActive(network) == 1;
        g_autofree char *text = g_strdup_printf("%s libvirt network %s",
                                                network ? "an active" : "the", needs->networks[i]);

        if (!is_active)
            g_strv_builder_add(missing, text);
        if (network)
            virNetworkFree(network);
    }
    g_strfreev(fit->missing_networks);
    fit->missing_networks = g_strv_builder_end(missing);
}

static void
fit_uuid(virConnectPtr connection, const char *vm, const char *uuid, MigFit *fit)
{
    virDomainPtr domain = virDomainLookupByUUIDString(connection, uuid);

    if (!domain)
        return;
    if (g_strcmp0(virDomainGetName(domain), vm) != 0)
        fit->uuid_owner = g_strdup(virDomainGetName(domain));
    virDomainFree(domain);
}

/* The receiving QEMU of a post-copy catches its guest's faults in the kernel, too, and libvirt has
 * taken all privileges from it. Asked for beforehand: libvirt would refuse the whole move. */
static char *
postcopy_problem(void)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(USERFAULTFD, &text, NULL, NULL))
        return g_strdup("its kernel has no userfaultfd");
    return text[0] == '1' ? NULL : g_strdup("vm.unprivileged_userfaultfd is not 1 there");
}

MigFit *
mig_libvirt_fit(gpointer self, const MigNeeds *needs, const char *vm, const char *uuid,
                GError **error)
{
    virConnectPtr connection = mig_libvirt_connect(self, error);
    MigFit *fit;

    if (!connection)
        return NULL;
    fit = mig_fit_new();
    fit_machine(connection, needs, fit);
    fit_cpu(connection, needs, fit);
    fit_hugepages(connection, needs, fit);
    fit_numa(connection, needs, fit);
    fit_networks(connection, needs, fit);
    fit_uuid(connection, vm, uuid, fit);
    fit->postcopy_problem = postcopy_problem();
    virConnectClose(connection);
    return fit;
}

/* ---- baseline ---- */

char *
mig_libvirt_baseline(gpointer self, const char *const *cpus, GError **error)
{
    virConnectPtr connection = mig_libvirt_connect(self, error);
    guint count = g_strv_length((char **)cpus);
    const virError *reason;
    char *text, *result;

    if (!connection)
        return NULL;
    text = virConnectBaselineHypervisorCPU(connection, NULL, NULL, NULL, NULL, (const char **)cpus,
                                           count, VIR_CONNECT_BASELINE_CPU_MIGRATABLE);
    reason = virGetLastError();
    if (!text && reason &&
        (reason->code == VIR_ERR_OPERATION_FAILED || reason->code == VIR_ERR_CPU_INCOMPATIBLE))
        g_set_error(error, MIG_ERROR, MIG_ERROR_NO_COMMON_CPU,
                    "there is no CPU model that all nodes can run: libvirt: %s", reason->message);
    else if (!text)
        mig_libvirt_set_error(error, "looking for a common CPU");
    result = g_strdup(text);
    free(text);
    virConnectClose(connection);
    return result;
}
