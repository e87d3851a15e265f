/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-disks.c - disks on devices and disks on files. */
#include "drivers/definition-disks.h"

#include "drivers/definition-private.h"

#define IMAGES "/dev/csv/"

/* By type, for libvirt reads no other attribute of that type either. */
#define OF_IMAGES "/domain/devices/disk[@type='%s']/source/@%s[starts-with(.,'" IMAGES "')]"

static xmlXPathObject *
images_by(xmlXPathContext *context, const char *type, const char *attribute)
{
    g_autofree char *path = g_strdup_printf(OF_IMAGES, type, attribute);

    return xmlXPathEvalExpression((const xmlChar *)path, context);
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
