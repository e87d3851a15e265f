/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-needs.c - a running VM's ties to its host, found in its live XML. */
#include "drivers/definition-needs.h"

#include "base/log.h"
#include "drivers/definition-private.h"

#include <string.h>

#define IMAGES "/dev/csv/"

static xmlXPathObject *
find(xmlXPathContext *context, const char *path)
{
    return xmlXPathEvalExpression((const xmlChar *)path, context);
}

static int
count(const xmlXPathObject *found)
{
    return found && found->nodesetval ? found->nodesetval->nodeNr : 0;
}

/* Each match of path, in words: values come from outside, and go to terminals. */
static void
list(xmlXPathContext *context, const char *path, const char *prefix, GStrvBuilder *to)
{
    g_autoptr(xmlXPathObject) found = find(context, path);

    for (int i = 0; i < count(found); i++) {
        xmlChar *content = xmlNodeGetContent(found->nodesetval->nodeTab[i]);
        g_autofree char *shown = mig_log_escape((const char *)content);
        g_autofree char *text = g_strconcat(prefix, shown, NULL);

        g_strv_builder_add(to, text);
        xmlFree(content);
    }
}

static char **
values(xmlXPathContext *context, const char *path)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    list(context, path, "", builder);
    return g_strv_builder_end(builder);
}

static char *
element(xmlDoc *doc, xmlNode *node)
{
    xmlBuffer *buffer = xmlBufferCreate();
    char *text = NULL;

    if (xmlNodeDump(buffer, doc, node, 0, 0) > 0)
        text = g_strdup((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}

/* ---- a VM ---- */

static void
read_cpu(MigNeeds *needs, xmlDoc *doc, xmlXPathContext *context)
{
    g_autoptr(xmlXPathObject) found = find(context, "/domain/cpu");
    g_autofree char *mode = mig_definition_get(context, "/domain/cpu/@mode");
    g_autofree char *model = mig_definition_get(context, "/domain/cpu/model");

    if (g_strcmp0(mode, "host-passthrough") == 0)
        needs->cpu_mode = MIG_CPU_PASSTHROUGH;
    else if (g_strcmp0(mode, "maximum") == 0)
        needs->cpu_mode = MIG_CPU_MAXIMUM;
    else if (model || g_strcmp0(mode, "host-model") == 0)
        needs->cpu_mode = MIG_CPU_MODEL;
    if (count(found) > 0)
        needs->cpu = element(doc, found->nodesetval->nodeTab[0]);
}

static void
read_ties(MigNeeds *needs, xmlXPathContext *context)
{
    static const struct {
        const char *path, *prefix;
        gboolean is_device;
    } ties[] = {
        {"/domain/devices/hostdev/@type", "a host device: ", TRUE},
        {"/domain/devices/interface[@type='hostdev' or @type='vdpa' or @type='vhostuser']/@type",
         "an interface of type ", TRUE},
        {"/domain/devices/disk[@type='vhostuser' or @type='nvme' or @type='vhostvdpa']/@type",
         "a disk of type ", TRUE},
        {"/domain/devices/filesystem/source/@*", "a folder of the host: ", TRUE},
        {"/domain/devices/tpm/backend[@type='passthrough']/@type", "a TPM of the host: ", TRUE},
        {"/domain/os/kernel", "kernel ", FALSE},
        {"/domain/os/initrd", "initrd ", FALSE},
        {"/domain/os/nvram", "firmware variables ", FALSE},
        {"/domain/devices/disk[(not(@device) or @device='disk' or @device='lun') and "
         "not(starts-with(source/@*[name()='file' or name()='dev'],'" IMAGES
         "'))]/source/@*[name()='file' or name()='dev' or "
         "name()='dir' or name()='name']",
         "disk ", FALSE},
        {"/domain/devices/disk[(@device='cdrom' or @device='floppy') and not(readonly) and "
         "not(starts-with(source/@*[name()='file' or name()='dev'],'" IMAGES
         "'))]/source/@*[name()='file' or name()='dev']",
         "medium ", FALSE},
        {"/domain/devices/memory/source/path", "memory ", FALSE},
        {"/domain/devices/tpm/backend[@type='emulator']/@type", "a TPM's state: ", FALSE},
    };
    g_autoptr(GStrvBuilder) devices = g_strv_builder_new(), files = g_strv_builder_new();

    for (guint i = 0; i < G_N_ELEMENTS(ties); i++)
        list(context, ties[i].path, ties[i].prefix, ties[i].is_device ? devices : files);
    g_strfreev(needs->host_devices);
    g_strfreev(needs->local_files);
    needs->host_devices = g_strv_builder_end(devices);
    needs->local_files = g_strv_builder_end(files);
}

static void
read_plugs(MigNeeds *needs, xmlXPathContext *context)
{
    g_strfreev(needs->bridges);
    g_strfreev(needs->networks);
    g_strfreev(needs->cards);
    g_strfreev(needs->media);
    /* an interface of a libvirt network has that network's bridge beside its name */
    needs->bridges =
        values(context, "/domain/devices/interface[@type='bridge']/source[not(@network)]/@bridge");
    needs->networks = values(context, "/domain/devices/interface/source/@network");
    needs->cards =
        values(context, "/domain/devices/interface[@type='direct']/source[not(@network)]/@dev");
    needs->media = values(
        context, "/domain/devices/disk[(@device='cdrom' or @device='floppy') and readonly and "
                 "not(starts-with(source/@*[name()='file' or name()='dev'],'" IMAGES
                 "'))]/source/@*[name()='file' or "
                 "name()='dev']");
}

static void
read_memory(MigNeeds *needs, xmlXPathContext *context)
{
    g_autofree char *mode = mig_definition_get(context, "/domain/numatune/memory/@mode");
    g_autoptr(xmlXPathObject) huge = find(context, "/domain/memoryBacking/hugepages");
    g_autofree char *size = NULL, *unit = NULL;

    needs->memory_bytes = mig_definition_bytes(context, "/domain/memory");
    if (count(huge) > 0) {
        guint64 number = 0;

        size = mig_definition_get(context, "/domain/memoryBacking/hugepages/page/@size");
        unit = mig_definition_get(context, "/domain/memoryBacking/hugepages/page/@unit");
        needs->hugepage_bytes = 2 << 20; /* unnamed: the usual ones */
        if (size && g_ascii_string_to_unsigned(size, 10, 1, 1 << 30, &number, NULL))
            needs->hugepage_bytes = number << (!unit || *unit == 'K' || *unit == 'k' ? 10
                                               : *unit == 'M'                        ? 20
                                               : *unit == 'G'                        ? 30
                                                                                     : 0);
    }
    if (!mode || g_str_equal(mode, "strict"))
        needs->numa_nodes = mig_definition_get(context, "/domain/numatune/memory/@nodeset");
}

MigNeeds *
mig_definition_needs(const char *xml, GError **error)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, error);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    MigNeeds *needs;

    if (!context)
        return NULL;
    needs = mig_needs_new();
    needs->emulator = mig_definition_get(context, "/domain/devices/emulator");
    needs->arch = mig_definition_get(context, "/domain/os/type/@arch");
    needs->machine = mig_definition_get(context, "/domain/os/type/@machine");
    needs->virt_type = mig_definition_get(context, "/domain/@type");
    read_cpu(needs, doc, context);
    read_memory(needs, context);
    read_ties(needs, context);
    read_plugs(needs, context);
    return needs;
}

/* ---- a host ---- */

static int
by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

MigHostCpu *
mig_capabilities_host_cpu(const char *xml)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, NULL);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autoptr(xmlXPathObject) found = context ? find(context, "/capabilities/host/cpu") : NULL;
    g_auto(GStrv) features = NULL;
    g_auto(GStrv) signature = NULL;
    g_autofree char *model = NULL, *all = NULL, *family = NULL;
    MigHostCpu *cpu;

    if (count(found) == 0)
        return NULL;
    features = values(context, "/capabilities/host/cpu/feature/@name");
    qsort(features, g_strv_length(features), sizeof *features, by_text);
    all = g_strjoinv(" ", features);
    signature = values(context, "/capabilities/host/cpu/signature/@* | "
                                "/capabilities/host/cpu/maxphysaddr/@bits");
    family = g_strjoinv("/", signature);
    model = mig_definition_get(context, "/capabilities/host/cpu/model");
    cpu = g_new0(MigHostCpu, 1);
    cpu->vendor = mig_definition_get(context, "/capabilities/host/cpu/vendor");
    cpu->microcode = mig_definition_get(context, "/capabilities/host/cpu/microcode/@version");
    cpu->features = g_strdup_printf("%s %s %s", model ? model : "", family, all);
    cpu->xml = element(doc, found->nodesetval->nodeTab[0]);
    return cpu;
}

char *
mig_domain_capabilities_host_model(const char *xml)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, NULL);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autoptr(xmlXPathObject) found =
        context
            ? find(context, "/domainCapabilities/cpu/mode[@name='host-model' and @supported='yes']")
            : NULL;
    g_autoptr(GString) text = g_string_new("<cpu mode='custom' match='exact'>");

    if (count(found) == 0)
        return NULL;
    for (xmlNode *child = found->nodesetval->nodeTab[0]->children; child; child = child->next) {
        g_autofree char *one = child->type == XML_ELEMENT_NODE ? element(doc, child) : NULL;

        g_string_append(text, one ? one : "");
    }
    g_string_append(text, "</cpu>");
    return g_string_free(g_steal_pointer(&text), FALSE);
}
