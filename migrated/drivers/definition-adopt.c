/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-adopt.c - rewrites a local domain's disks to images of a volume. */
#include "drivers/definition-adopt.h"

#include "base/error.h"
#include "base/log.h"
#include "drivers/definition-private.h"
#include "drivers/definition-xml.h"

#include <string.h>

#define DEVICE_DIR  "/dev/csv/"
#define LOCKED_TYPE "being-adopted"

static void
disk_free(MigAdoptDisk *disk)
{
    g_free(disk->target);
    g_free(disk->path);
    g_free(disk->format);
    g_free(disk->image);
    g_free(disk);
}

void
mig_adoption_free(MigAdoption *adoption)
{
    if (!adoption)
        return;
    g_free(adoption->name);
    g_free(adoption->uuid);
    g_clear_pointer(&adoption->disks, g_ptr_array_unref);
    g_free(adoption->xml);
    g_free(adoption->lockspace);
    g_free(adoption->problem);
    g_free(adoption);
}

/* ---- one disk ---- */

static xmlNode *
child_of(const xmlNode *parent, const char *name)
{
    xmlNode *child = parent ? parent->children : NULL;

    while (child && xmlStrcmp(child->name, (const xmlChar *)name) != 0)
        child = child->next;
    return child;
}

/* g_free() */
static char *
attribute(xmlNode *node, const char *name)
{
    xmlChar *value = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;
    char *text = value ? g_strdup((const char *)value) : NULL;

    xmlFree(value);
    return text;
}

static void
drop_child(xmlNode *parent, const char *name)
{
    xmlNode *child = child_of(parent, name);

    if (!child)
        return;
    xmlUnlinkNode(child);
    xmlFreeNode(child);
}

/* What stands in <source> and changes what the disk's data mean, or who may have it. */
static const char *
odd_source(const xmlNode *source)
{
    static const char *const odd[] = {"encryption", "slices", "reservations", "auth", "initiator"};

    for (guint i = 0; i < G_N_ELEMENTS(odd); i++) {
        if (child_of(source, odd[i]))
            return odd[i];
    }
    return NULL;
}

/* NULL: it can be imported. g_free() */
static char *
objection(xmlNode *node, const char *device, const char *target, const char *path)
{
    xmlNode *source = child_of(node, "source");
    const char *odd = odd_source(source);

    if (!g_str_equal(device, "disk"))
        return g_strdup_printf("%s %s has the medium %s of this host in it; eject it first: "
                               "'virsh change-media DOMAIN %s --eject --config', with --live where "
                               "it runs",
                               device, target, path ? path : "(not a file)", target);
    if (!child_of(node, "target") || g_str_equal(target, "?"))
        return g_strdup("disk ? has no <target dev>");
    if (!path)
        return g_strdup_printf("disk %s is on no file and no device of this host, and only these "
                               "can be imported; bring it into a file first",
                               target);
    if (g_str_has_prefix(path, DEVICE_DIR))
        return g_strdup_printf("disk %s is an image of a volume already; stop the domain, "
                               "'virsh undefine' it and 'migratectl vm define' it",
                               target);
    if (odd)
        return g_strdup_printf("disk %s has <%s> in its <source>, which an image cannot have",
                               target, odd);
    if (child_of(node, "shareable"))
        return g_strdup_printf("disk %s is shared with other domains (<shareable>); a copy of it "
                               "would be shared with none",
                               target);
    return NULL;
}

static void
point_to_image(xmlNode *node, const char *image, gboolean keeps_cache)
{
    g_autofree char *path = g_strconcat(DEVICE_DIR, image, NULL);
    xmlNode *source = child_of(node, "source"), *driver = child_of(node, "driver"), *fresh;
    g_autofree char *cache = attribute(driver, "cache");

    fresh = xmlNewNode(NULL, (const xmlChar *)"source");
    xmlNewProp(fresh, (const xmlChar *)"dev", (const xmlChar *)path);
    xmlReplaceNode(source, fresh);
    xmlFreeNode(source);
    drop_child(node, "backingStore");
    drop_child(node, "mirror");
    xmlSetProp(node, (const xmlChar *)"type", (const xmlChar *)"block");
    if (!driver) {
        driver = xmlNewNode(NULL, (const xmlChar *)"driver");
        xmlAddPrevSibling(fresh, driver);
    }
    xmlSetProp(driver, (const xmlChar *)"name", (const xmlChar *)"qemu");
    xmlSetProp(driver, (const xmlChar *)"type", (const xmlChar *)"raw");
    drop_child(driver, "metadata_cache"); /* of qcow2 */
    if (!keeps_cache && g_strcmp0(cache, "directsync") != 0)
        xmlSetProp(driver, (const xmlChar *)"cache", (const xmlChar *)"none");
}

static void
adopt_disk(MigAdoption *adoption, xmlNode *node, const char *volume, gboolean keeps_cache,
           GPtrArray *problems)
{
    g_autofree char *device = attribute(node, "device");
    g_autofree char *type = attribute(node, "type");
    g_autofree char *target = attribute(child_of(node, "target"), "dev");
    xmlNode *source = child_of(node, "source");
    g_autofree char *path = attribute(source, g_strcmp0(type, "block") == 0 ? "dev" : "file");
    g_autofree char *format = attribute(child_of(node, "driver"), "type");
    char *refused;
    MigAdoptDisk *disk;

    if (device && !g_str_equal(device, "disk") && !g_str_equal(device, "lun") && !source)
        return; /* an empty drive */
    refused = objection(node, !device || g_str_equal(device, "lun") ? "disk" : device,
                        target ? target : "?", path);
    if (refused) {
        g_ptr_array_add(problems, refused);
        xmlUnlinkNode(node); /* what else there is to say of it would only repeat that */
        xmlFreeNode(node);
        return;
    }
    disk = g_new0(MigAdoptDisk, 1);
    disk->target = g_strdup(target ? target : "");
    disk->path = g_steal_pointer(&path);
    disk->format = format ? g_steal_pointer(&format) : g_strdup("raw");
    disk->image = g_strdup_printf("%s/%s-%s", volume, adoption->name, disk->target);
    g_ptr_array_add(adoption->disks, disk);
    point_to_image(node, disk->image, keeps_cache);
}

/* ---- the definition ---- */

static char *
dump(xmlDoc *doc)
{
    xmlChar *text = NULL;
    char *result;

    xmlDocDumpMemory(doc, &text, NULL);
    result = g_strdup((const char *)text);
    xmlFree(text);
    return result;
}

/* A VM that has state in other files of the host would come without it. */
static void
find_state(xmlXPathContext *context, GPtrArray *problems)
{
    g_autofree char *tpm = mig_definition_get(context, "/domain/devices/tpm/backend/@type");

    if (tpm)
        g_ptr_array_add(problems, g_strdup("it has a TPM, whose secrets are in files of this host "
                                           "and would not come along; remove <tpm>"));
}

static char *
one_line(GPtrArray *problems)
{
    g_autoptr(GString) all = g_string_new(NULL);

    for (guint i = 0; i < problems->len; i++) {
        if (problems->len > 1)
            g_string_append_printf(all, "%s(%u) ", i ? " " : "", i + 1);
        g_string_append(all, g_ptr_array_index(problems, i));
    }
    return problems->len ? mig_log_escape(all->str) : NULL;
}

MigAdoption *
mig_definition_adopt(const char *xml, const char *volume, gboolean keeps_cache, GError **error)
{
    g_autoptr(MigDefinition) before = mig_definition_parse(xml, error);
    g_autoptr(xmlDoc) doc = before ? mig_definition_read(xml, error) : NULL;
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autoptr(xmlXPathObject) disks = NULL;
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(MigAdoption) adoption = g_new0(MigAdoption, 1);
    g_autoptr(MigDefinition) after = NULL;

    if (!context)
        return NULL;
    if (!before->name || !before->uuid) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION, "definition has no name or uuid");
        return NULL;
    }
    adoption->name = g_strdup(before->name);
    adoption->uuid = g_ascii_strdown(before->uuid, -1);
    adoption->memory_bytes = before->memory_bytes;
    adoption->vcpus = before->vcpus;
    adoption->lockspace = g_strdup(before->lockspace);
    adoption->leases = before->leases;
    adoption->disks = g_ptr_array_new_with_free_func((GDestroyNotify)disk_free);
    disks = xmlXPathEvalExpression((const xmlChar *)"/domain/devices/disk", context);
    for (int i = 0; disks && disks->nodesetval && i < disks->nodesetval->nodeNr; i++) {
        xmlNode *node = disks->nodesetval->nodeTab[i];

        disks->nodesetval->nodeTab[i] = NULL; /* it may be freed */
        adopt_disk(adoption, node, volume, keeps_cache, problems);
    }
    find_state(context, problems);
    adoption->xml = dump(doc);
    after = mig_definition_parse(adoption->xml, error);
    if (!after)
        return NULL;
    for (guint i = 0; i < after->problems->len; i++)
        g_ptr_array_add(problems, g_strdup(g_ptr_array_index(after->problems, i)));
    adoption->problem = one_line(problems);
    return g_steal_pointer(&adoption);
}

/* ---- locked while it is being adopted ---- */

static char *
with_type(const char *xml, const char *type, GError **error)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, error);

    if (!doc)
        return NULL;
    xmlSetProp(xmlDocGetRootElement(doc), (const xmlChar *)"type", (const xmlChar *)type);
    return dump(doc);
}

char *
mig_definition_lock(const char *xml, GError **error)
{
    return with_type(xml, LOCKED_TYPE, error);
}

char *
mig_definition_unlock(const char *xml, const char *like, GError **error)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(like, error);
    g_autofree char *type = doc ? attribute(xmlDocGetRootElement(doc), "type") : NULL;

    return doc ? with_type(xml, type ? type : "", error) : NULL;
}

gboolean
mig_definition_is_locked(const char *xml)
{
    g_autoptr(xmlDoc) doc = xml ? mig_definition_read(xml, NULL) : NULL;
    g_autofree char *type = doc ? attribute(xmlDocGetRootElement(doc), "type") : NULL;

    return g_strcmp0(type, LOCKED_TYPE) == 0;
}

/* ---- disks of a running domain ---- */

static char *
get_of_disk(const char *xml, const char *target, const char *what)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, NULL);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autofree char *path =
        g_strdup_printf("/domain/devices/disk[target/@dev='%s']/%s", target, what);

    return context && !strchr(target, '\'') ? mig_definition_get(context, path) : NULL;
}

char *
mig_definition_disk_path(const char *xml, const char *target)
{
    return get_of_disk(xml, target, "source/@*[name()='dev' or name()='file']");
}

char **
mig_definition_disks_elsewhere(const char *xml, const char *live_xml, GError **error)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, error);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autoptr(xmlXPathObject) disks = NULL;
    g_autoptr(GStrvBuilder) targets = g_strv_builder_new();

    if (!context)
        return NULL;
    disks = xmlXPathEvalExpression((const xmlChar *)"/domain/devices/disk[target]", context);
    for (int i = 0; disks && disks->nodesetval && i < disks->nodesetval->nodeNr; i++) {
        xmlNode *node = disks->nodesetval->nodeTab[i], *source = child_of(node, "source");
        g_autofree char *target = attribute(child_of(node, "target"), "dev");
        g_autofree char *device = attribute(source, "dev");
        g_autofree char *image = device ? g_steal_pointer(&device) : attribute(source, "file");
        g_autofree char *path = target ? mig_definition_disk_path(live_xml, target) : NULL;

        if (target && image && g_str_has_prefix(image, DEVICE_DIR) && g_strcmp0(path, image) != 0)
            g_strv_builder_add(targets, target);
    }
    return g_strv_builder_end(targets);
}

gboolean
mig_definition_is_copied(const char *xml, const char *target)
{
    g_autofree char *job = get_of_disk(xml, target, "mirror[@job='copy']/@ready");

    return g_strcmp0(job, "yes") == 0;
}
