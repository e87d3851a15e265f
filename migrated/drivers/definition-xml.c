/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-xml.c - reading, vetting and completing a definition; libxml2 lives here. */
#include "drivers/definition-xml.h"

#include "base/error.h"
#include "base/log.h"
#include "drivers/definition-private.h"
#include "drivers/definition-vet.h"

#include <string.h>

#define XML_MAX_BYTES (256 * 1024)
#define DEVICE_PREFIX "/dev/csv/"
#define MASK          "***" /* instead of a secret, wherever a definition is shown */

void
mig_definition_free(MigDefinition *definition)
{
    if (!definition)
        return;
    g_free(definition->name);
    g_free(definition->uuid);
    g_strfreev(definition->images);
    g_free(definition->lockspace);
    g_free(definition->problem);
    g_clear_pointer(&definition->problems, g_ptr_array_unref);
    g_free(definition);
}

xmlDoc *
mig_definition_read(const char *xml, GError **error)
{
    size_t length = strlen(xml);
    xmlDoc *doc;

    if (length > XML_MAX_BYTES) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "definition has %zu bytes, %d are the most", length, XML_MAX_BYTES);
        return NULL;
    }
    doc = xmlReadMemory(xml, (int)length, "definition.xml", NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!doc) {
        const xmlError *reason = xmlGetLastError();
        g_autofree char *text = g_strdup(reason && reason->message ? reason->message : "not XML");

        g_strdelimit(text, "\n", ' ');
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION, "definition line %d: %s",
                    reason ? reason->line : 0, g_strstrip(text));
        return NULL;
    }
    if (doc->intSubset) { /* entities are the only use of a DTD here, and a bad one */
        xmlFreeDoc(doc);
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "definition has a DOCTYPE; leave it out");
        return NULL;
    }
    return doc;
}

static gboolean
check_domain(xmlDoc *doc, GError **error)
{
    const xmlNode *root = xmlDocGetRootElement(doc);

    if (root && !root->ns && xmlStrcmp(root->name, (const xmlChar *)"domain") == 0)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION, "definition is not a libvirt <domain>");
    return FALSE;
}

char *
mig_definition_get(xmlXPathContext *context, const char *path)
{
    g_autoptr(xmlXPathObject) found = xmlXPathEvalExpression((const xmlChar *)path, context);

    if (!found || !found->nodesetval || found->nodesetval->nodeNr == 0)
        return NULL;
    xmlChar *content = xmlNodeGetContent(found->nodesetval->nodeTab[0]);
    char *text = g_strstrip(g_strdup((const char *)content));

    xmlFree(content);
    if (*text == '\0')
        g_clear_pointer(&text, g_free);
    return text;
}

static guint
count(xmlXPathContext *context, const char *path)
{
    g_autoptr(xmlXPathObject) found = xmlXPathEvalExpression((const xmlChar *)path, context);

    return found && found->nodesetval ? (guint)found->nodesetval->nodeNr : 0;
}

static gboolean
has(xmlXPathContext *context, const char *path)
{
    return count(context, path) > 0;
}

guint64
mig_definition_bytes(xmlXPathContext *context, const char *path)
{
    static const struct {
        const char *unit;
        guint64 factor;
    } units[] = {{"b", 1},
                 {"bytes", 1},
                 {"KB", 1000},
                 {"k", 1024},
                 {"KiB", 1024},
                 {"MB", 1000000},
                 {"M", 1 << 20},
                 {"MiB", 1 << 20},
                 {"GB", 1000000000},
                 {"G", 1 << 30},
                 {"GiB", 1 << 30},
                 {"TB", 1000000000000},
                 {"T", (guint64)1 << 40},
                 {"TiB", (guint64)1 << 40}};
    g_autofree char *unit_path = g_strconcat(path, "/@unit", NULL);
    g_autofree char *value = mig_definition_get(context, path);
    g_autofree char *unit = mig_definition_get(context, unit_path);
    guint64 number = 0, factor = unit ? 0 : 1024;

    for (guint i = 0; unit && i < G_N_ELEMENTS(units); i++) {
        if (g_str_equal(unit, units[i].unit))
            factor = units[i].factor;
    }
    if (!value || !factor ||
        !g_ascii_string_to_unsigned(value, 10, 1, G_MAXUINT64 / factor, &number, NULL))
        return 0;
    return number * factor;
}

/* The first one stays. Names and values in it come from outside: it must still be one line. */
static void
complain(MigDefinition *definition, char *text_take)
{
    g_autofree char *text = text_take;

    g_ptr_array_add(definition->problems, mig_log_escape(text));
    if (!definition->problem)
        definition->problem = mig_log_escape(text);
}

/* /dev/csv/VOLUME/IMAGE -> VOLUME/IMAGE */
static char *
image_of_path(const char *path)
{
    if (!path || !g_str_has_prefix(path, DEVICE_PREFIX))
        return NULL;
    const char *image = path + strlen(DEVICE_PREFIX);
    const char *slash = strchr(image, '/');

    if (!slash || slash == image || *image == '.' || slash[1] == '\0' || slash[1] == '.' ||
        strchr(slash + 1, '/'))
        return NULL;
    return g_strdup(image);
}

static void
read_disk(MigDefinition *definition, xmlXPathContext *context, xmlNode *node, GPtrArray *images)
{
    context->node = node;
    g_autofree char *device = mig_definition_get(context, "@device");
    g_autofree char *type = mig_definition_get(context, "@type");
    gboolean is_file = g_strcmp0(type, "file") == 0; /* of a volume that is a directory */
    g_autofree char *path = mig_definition_get(context, is_file ? "source/@file" : "source/@dev");
    g_autofree char *cache = mig_definition_get(context, "driver/@cache");
    g_autofree char *target = mig_definition_get(context, "target/@dev");
    g_autofree char *image = image_of_path(path);
    gboolean is_medium = device && !g_str_equal(device, "disk") && !g_str_equal(device, "lun");

    if (is_medium && !has(context, "source"))
        return; /* an empty drive */
    if (!image || (g_strcmp0(type, "block") != 0 && !is_file)) {
        complain(
            definition,
            g_strdup_printf("disk %s is not an image of a volume; use <disk type='block'> with "
                            "<source dev='" DEVICE_PREFIX "VOLUME/IMAGE'/> ('migratectl image "
                            "import' brings a file there)",
                            target ? target : "?"));
        return;
    }
    if (has(context, is_file ? "source/@dev" : "source/@file"))
        complain(definition,
                 g_strdup_printf("disk %s has two sources; leave %s= out of its <source>",
                                 target ? target : "?", is_file ? "dev" : "file"));
    /* the host's page cache of one node knows nothing of another node's writes */
    if (g_strcmp0(cache, "none") != 0 && g_strcmp0(cache, "directsync") != 0)
        complain(definition, g_strdup_printf("disk %s has cache='%s'; a shared disk needs <driver "
                                             "name='qemu' type='raw' cache='none'/>",
                                             target ? target : "?", cache ? cache : "default"));
    g_ptr_array_add(images, g_steal_pointer(&image));
}

static void
read_disks(MigDefinition *definition, xmlXPathContext *context)
{
    GPtrArray *images = g_ptr_array_new();
    g_autoptr(xmlXPathObject) disks =
        xmlXPathEvalExpression((const xmlChar *)"/domain/devices/disk", context);
    int count = disks && disks->nodesetval ? disks->nodesetval->nodeNr : 0;

    for (int i = 0; i < count; i++)
        read_disk(definition, context, disks->nodesetval->nodeTab[i], images);
    context->node = xmlDocGetRootElement(context->doc);
    g_ptr_array_add(images, NULL);
    definition->images = (char **)g_ptr_array_free(images, FALSE);
}

/* The common ones in words of their own; all else that is not allowed is found by vetting. */
static void
find_problems(MigDefinition *definition, xmlXPathContext *context)
{
    static const struct {
        const char *path, *text;
    } refused[] = {
        {"/domain/devices/hostdev", "has a host device (<hostdev>), which cannot move"},
        {"/domain/devices/filesystem", "shares a directory of the host (<filesystem>)"},
        {"/domain/os/kernel", "boots a kernel file of the host (<kernel>); boot from its disk"},
        {"/domain/os/initrd", "uses a file of the host (<initrd>); boot from its disk"},
        {"/domain/os/nvram", "keeps its firmware variables in a file of the host (<nvram>)"},
        {"/domain/os/loader[@type='pflash' and not(@stateless='yes')]",
         "keeps its firmware variables in a file of the host; add stateless='yes' to <loader>"},
        {"/domain/devices/disk/mirror", "has a block job on a disk"},
        {"/domain/*[local-name()='commandline']", "passes arguments to QEMU (<qemu:commandline>)"},
        {"/domain/devices/graphics[@passwd='" MASK "']",
         "has passwd='" MASK "', which is how 'vm show' masks a password; put it in, or leave it "
         "out"},
    };
    g_auto(GStrv) vetted = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        if (has(context, refused[i].path))
            complain(definition, g_strdup_printf("it %s", refused[i].text));
    }
    vetted = mig_definition_vet(context->doc);
    for (guint i = 0; vetted[i]; i++) {
        gboolean is_said = FALSE;

        for (guint k = 0; k < G_N_ELEMENTS(refused); k++) {
            g_autofree char *shown =
                g_strconcat("<", refused[k].path + strlen("/domain/"), ">", NULL);

            is_said |= strstr(vetted[i], shown) && has(context, refused[k].path);
        }
        if (!is_said)
            complain(definition, g_strdup(vetted[i]));
    }
}

MigDefinition *
mig_definition_parse(const char *xml, GError **error)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, error);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autoptr(MigDefinition) definition = g_new0(MigDefinition, 1);
    guint64 vcpus = 1;

    if (!doc)
        return NULL;
    if (!context || !check_domain(doc, error))
        return NULL;
    g_autofree char *vcpu = mig_definition_get(context, "/domain/vcpu");

    definition->problems = g_ptr_array_new_with_free_func(g_free);
    definition->name = mig_definition_get(context, "/domain/name");
    definition->uuid = mig_definition_get(context, "/domain/uuid");
    definition->lockspace = mig_definition_get(context, "/domain/devices/lease/lockspace");
    definition->leases = count(context, "/*/*[local-name()='devices']/*[local-name()='lease']");
    definition->memory_bytes = mig_definition_bytes(context, "/domain/memory");
    if (vcpu && !g_ascii_string_to_unsigned(vcpu, 10, 1, 4096, &vcpus, NULL))
        complain(definition, g_strdup_printf("<vcpu>%s</vcpu> is not a number of CPUs", vcpu));
    definition->vcpus = (guint32)vcpus;
    if (!definition->name)
        complain(definition, g_strdup("it has no <name>"));
    if (definition->memory_bytes == 0)
        complain(definition, g_strdup("it has no readable <memory>"));
    if (definition->uuid && !g_uuid_string_is_valid(definition->uuid))
        complain(definition, g_strdup_printf("<uuid>%s</uuid> is not a uuid", definition->uuid));
    read_disks(definition, context);
    find_problems(definition, context);
    return g_steal_pointer(&definition);
}

/* An element: a processing instruction has a name, too. */
static gboolean
is_element(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && xmlStrcmp(node->name, (const xmlChar *)name) == 0;
}

static void
remove_children(xmlNode *parent, const char *name)
{
    for (xmlNode *child = parent->children, *next; child; child = next) {
        next = child->next;
        if (is_element(child, name)) {
            xmlUnlinkNode(child);
            xmlFreeNode(child);
        }
    }
}

static void
set_child(xmlNode *parent, const char *name, const char *text)
{
    xmlNode *child = parent->children;

    while (child && !is_element(child, name))
        child = child->next;
    if (child) {
        xmlNodeSetContent(child, NULL);
        xmlNodeAddContent(child, (const xmlChar *)text); /* which, unlike Set, reads no entities */
    } else
        xmlNewTextChild(parent, NULL, (const xmlChar *)name, (const xmlChar *)text);
}

/* The first one, made where there is none. No lease is left in any of them: the VM's own is to be
 * the only one. */
static xmlNode *
devices_without_leases(xmlNode *domain)
{
    xmlNode *first = NULL;

    for (xmlNode *child = domain->children; child; child = child->next) {
        if (!is_element(child, "devices"))
            continue;
        remove_children(child, "lease");
        first = first ? first : child;
    }
    return first ? first : xmlNewChild(domain, NULL, (const xmlChar *)"devices", NULL);
}

static void
set_missing(xmlNode *node, const char *name, const char *value)
{
    if (!xmlHasProp(node, (const xmlChar *)name))
        xmlNewProp(node, (const xmlChar *)name, (const xmlChar *)value);
}

static gboolean
has_prop(xmlNode *node, const char *name, const char *start)
{
    xmlChar *value = xmlGetProp(node, (const xmlChar *)name);
    gboolean result = value && g_str_has_prefix((const char *)value, start);

    xmlFree(value);
    return result;
}

/* A guest whose LUN is away for a moment stands still, and never sees an error of its disk, whose
 * file system it would take for broken: unless its definition says otherwise. */
static void
stop_on_errors(xmlNode *disk)
{
    gboolean is_ours = FALSE;

    for (xmlNode *child = disk->children; child; child = child->next)
        is_ours = is_ours || (is_element(child, "source") && has_prop(child, "dev", DEVICE_PREFIX));
    if (!is_ours ||
        (xmlHasProp(disk, (const xmlChar *)"device") && !has_prop(disk, "device", "disk")))
        return;
    for (xmlNode *child = disk->children; child; child = child->next) {
        if (!is_element(child, "driver"))
            continue;
        set_missing(child, "error_policy", "stop");
        set_missing(child, "rerror_policy", "stop");
    }
}

char *
mig_definition_complete(const char *xml, const char *uuid, const MigLease *lease, GError **error)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, error);
    g_autofree char *offset = g_strdup_printf("%" G_GUINT64_FORMAT, lease->offset_bytes);
    xmlNode *domain, *devices, *node, *target;
    xmlChar *text = NULL;

    if (!doc)
        return NULL;
    if (!check_domain(doc, error))
        return NULL;
    domain = xmlDocGetRootElement(doc);
    /* what libvirt calls it is what we call it, to the last blank */
    set_child(domain, "name", lease->resource);
    set_child(domain, "uuid", uuid);
    devices = devices_without_leases(domain);
    for (xmlNode *child = devices->children; child; child = child->next) {
        if (is_element(child, "disk"))
            stop_on_errors(child);
    }
    node = xmlNewChild(devices, NULL, (const xmlChar *)"lease", NULL);
    xmlNewTextChild(node, NULL, (const xmlChar *)"lockspace", (const xmlChar *)lease->lockspace);
    xmlNewTextChild(node, NULL, (const xmlChar *)"key", (const xmlChar *)lease->resource);
    target = xmlNewChild(node, NULL, (const xmlChar *)"target", NULL);
    xmlNewProp(target, (const xmlChar *)"path", (const xmlChar *)lease->path);
    xmlNewProp(target, (const xmlChar *)"offset", (const xmlChar *)offset);
    xmlDocDumpMemory(doc, &text, NULL);
    char *result = g_strdup((const char *)text);

    xmlFree(text);
    return result;
}

char *
mig_definition_mask(const char *xml)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, NULL);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autoptr(xmlXPathObject) found =
        context ? xmlXPathEvalExpression((const xmlChar *)"//@passwd", context) : NULL;
    xmlChar *text = NULL;

    if (!found)
        return NULL;
    if (!found->nodesetval || found->nodesetval->nodeNr == 0)
        return g_strdup(xml); /* as it was written, to the last blank */
    for (int i = 0; i < found->nodesetval->nodeNr; i++)
        xmlNodeSetContent(found->nodesetval->nodeTab[i], (const xmlChar *)MASK);
    xmlDocDumpMemory(doc, &text, NULL);
    char *result = g_strdup((const char *)text);

    xmlFree(text);
    return result;
}

char *
mig_capabilities_cpu_vendor(const char *xml)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, NULL);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;

    return context ? mig_definition_get(context, "/capabilities/host/cpu/vendor") : NULL;
}

/* "+64055" or "64055" */
static gint64
id_of(const char *text)
{
    guint64 id;

    text += *text == '+';
    return g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT32 - 1, &id, NULL) ? (gint64)id : -1;
}

void
mig_capabilities_qemu(const char *xml, gint64 *user, gint64 *group)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, NULL);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autofree char *label =
        context
            ? mig_definition_get(context, "/capabilities/host/secmodel[model='dac']/baselabel[1]")
            : NULL;
    g_auto(GStrv) parts = label ? g_strsplit(label, ":", 2) : NULL;

    *user = parts && parts[0] && parts[1] ? id_of(parts[0]) : -1;
    *group = parts && parts[0] && parts[1] ? id_of(parts[1]) : -1;
}
