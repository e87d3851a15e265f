/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-disks.c - disks on devices and disks on files. */
#include "drivers/definition-disks.h"

#include "drivers/definition-private.h"

#include <sys/stat.h>

#define IMAGES "/dev/csv/"

/* By type, for libvirt reads no other attribute of that type either. */
#define OF_IMAGES "/domain/devices/disk[@type='%s']/source/@%s[starts-with(.,'" IMAGES "')]"

static xmlXPathObject *
images_by(xmlXPathContext *context, const char *type, const char *attribute)
{
    g_autofree char *path = g_strdup_printf(OF_IMAGES, type, attribute);

    return xmlXPathEvalExpression((const xmlChar *)path, context);
}

/* A file that was given to QEMU's user is so for good (csv_image_give()). libvirt would chown it at
 * each end of each move: it leaves it alone where it knows that the file system is shared, not when
 * a QEMU ends in another way, and then takes it away from one that runs elsewhere. */
static gboolean
is_given(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid != 0;
}

static void
keep_owner(xmlNode *source, const char *path)
{
    xmlNode *label;

    if (!is_given(path))
        return;
    for (xmlNode *child = source->children; child; child = child->next)
        if (xmlStrcmp(child->name, (const xmlChar *)"seclabel") == 0)
            return;
    label = xmlNewChild(source, NULL, (const xmlChar *)"seclabel", NULL);
    xmlNewProp(label, (const xmlChar *)"model", (const xmlChar *)"dac");
    xmlNewProp(label, (const xmlChar *)"relabel", (const xmlChar *)"no");
}

/* Devices to files, or back, where that is what lies behind them. */
static void
turn(xmlXPathContext *context, gboolean to_file)
{
    const char *from = to_file ? "dev" : "file", *to = to_file ? "file" : "dev";
    g_autoptr(xmlXPathObject) found = images_by(context, to_file ? "block" : "file", from);

    for (int i = 0; found && found->nodesetval && i < found->nodesetval->nodeNr; i++) {
        xmlNode *source = found->nodesetval->nodeTab[i]->parent;
        xmlChar *path = xmlGetNoNsProp(source, (const xmlChar *)from);

        found->nodesetval->nodeTab[i] = NULL; /* it is freed with the attribute */
        if (path && g_file_test((const char *)path, G_FILE_TEST_EXISTS) &&
            g_file_test((const char *)path, G_FILE_TEST_IS_REGULAR) == to_file) {
            xmlSetProp(source, (const xmlChar *)to, path);
            xmlUnsetProp(source, (const xmlChar *)from);
            xmlSetProp(source->parent, (const xmlChar *)"type",
                       (const xmlChar *)(to_file ? "file" : "block"));
        }
        xmlFree(path);
    }
}

static void
keep_owners(xmlXPathContext *context)
{
    g_autoptr(xmlXPathObject) found = images_by(context, "file", "file");

    for (int i = 0; found && found->nodesetval && i < found->nodesetval->nodeNr; i++) {
        xmlNode *source = found->nodesetval->nodeTab[i]->parent;
        xmlChar *path = xmlGetNoNsProp(source, (const xmlChar *)"file");

        if (path)
            keep_owner(source, (const char *)path);
        xmlFree(path);
    }
}

char *
mig_definition_fit_disks(const char *xml, GError **error)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, error);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    xmlChar *text = NULL;
    char *result;

    if (!context)
        return NULL;
    turn(context, TRUE);
    turn(context, FALSE);
    keep_owners(context);
    xmlDocDumpMemory(doc, &text, NULL);
    result = g_strdup((const char *)text);
    xmlFree(text);
    return result;
}

gboolean
mig_definition_has_files(const char *xml)
{
    g_autoptr(xmlDoc) doc = mig_definition_read(xml, NULL);
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autoptr(xmlXPathObject) found = context ? images_by(context, "file", "file") : NULL;

    return found && found->nodesetval && found->nodesetval->nodeNr > 0;
}

char *
mig_definition_copy_disk(const char *device)
{
    gboolean is_file = g_file_test(device, G_FILE_TEST_IS_REGULAR);

    g_autofree char *source =
        g_markup_printf_escaped("<source %s='%s'>", is_file ? "file" : "dev", device);

    return g_strdup_printf("<disk type='%s'><driver name='qemu' type='raw'/>%s%s</source></disk>",
                           is_file ? "file" : "block", source,
                           is_given(device) ? "<seclabel model='dac' relabel='no'/>" : "");
}
