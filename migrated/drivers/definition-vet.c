/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-vet.c - walks a definition along the list of what it may say. */
#include "drivers/definition-vet.h"

#include <libxml/tree.h>
#include <string.h>

#define CONSOLE_DIR    "/var/log/libvirt/qemu/"
#define CONSOLE_SUFFIX ".console"

#define MOST 12 /* problems that are told at once */

typedef struct {
    GPtrArray *problems;
    char *console; /* the one file that a console of this VM may be kept in; NULL: it has no name */
} Vet;

/* ---- values ---- */

/* g_free() */
static char *
attribute_of(const xmlNode *node, const char *name)
{
    xmlChar *value = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;
    char *text = value ? g_strdup((const char *)value) : NULL;

    xmlFree(value);
    return text;
}

static xmlNode *
first_child(const xmlNode *parent, const char *name)
{
    xmlNode *child = parent->children;

    while (child &&
           (child->type != XML_ELEMENT_NODE || xmlStrcmp(child->name, (const xmlChar *)name) != 0))
        child = child->next;
    return child;
}

/* That of another VM would be overwritten, or show what that one's guest writes. */
static char *
console_of(const xmlNode *domain)
{
    const xmlNode *node = first_child(domain, "name");
    xmlChar *content = node ? xmlNodeGetContent(node) : NULL;
    g_autofree char *name = content ? g_strstrip(g_strdup((const char *)content)) : NULL;

    xmlFree(content);
    if (!name || !*name || strchr(name, '/'))
        return NULL;
    return g_strconcat(CONSOLE_DIR, name, CONSOLE_SUFFIX, NULL);
}

static gboolean
is_value(const Vet *vet, const char *allowed, const char *value)
{
    g_auto(GStrv) all = g_strsplit(allowed, "|", -1);

    for (char **one = all; *one; one++) {
        gsize length = strlen(*one);

        if (g_str_equal(*one, MIG_VET_CONSOLE) ? g_strcmp0(vet->console, value) == 0
                                               : g_str_equal(*one, value))
            return TRUE;
        if (length > 0 && (*one)[length - 1] == '*' && strncmp(*one, value, length - 1) == 0 &&
            !strchr(value + length - 1, '/'))
            return TRUE;
    }
    return FALSE;
}

/* NULL: there is no attribute of this name; "": any value; else the allowed values. g_free() */
static char *
values_of(const MigVetRule *rule, const char *name)
{
    g_auto(GStrv) words = g_strsplit(rule->attributes, " ", -1);
    gsize length = strlen(name);

    for (char **word = words; *word; word++) {
        if (g_str_equal(*word, "*") || g_str_equal(*word, name))
            return g_strdup("");
        if (strncmp(*word, name, length) == 0 && (*word)[length] == '=')
            return g_strdup(*word + length + 1);
    }
    return NULL;
}

/* ---- one element ---- */

static const MigVetRule *
find_rule(const char *path)
{
    for (const MigVetRule *rule = mig_vet_rules; rule->path; rule++) {
        gsize length = strlen(rule->path);

        if (g_str_equal(rule->path, path))
            return rule;
        /* a whole tree: its root, and what is below */
        if (length > 0 && rule->path[length - 1] == '/' &&
            strncmp(rule->path, path, length - 1) == 0 &&
            (path[length - 1] == '\0' || path[length - 1] == '/'))
            return rule;
    }
    return NULL;
}

static void refuse(Vet *vet, const char *advice, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void
refuse(Vet *vet, const char *advice, const char *format, ...)
{
    va_list args;
    g_autofree char *what = NULL;

    if (vet->problems->len >= MOST)
        return;
    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    g_ptr_array_add(vet->problems,
                    g_strdup_printf("it %s%s%s", what, advice ? "; " : "", advice ? advice : ""));
}

static void
vet_attribute(Vet *vet, const MigVetRule *rule, const char *path, const xmlAttr *attribute)
{
    const char *name = (const char *)attribute->name;
    g_autofree char *allowed = attribute->ns ? NULL : values_of(rule, name);
    xmlChar *value;

    if (!allowed) {
        refuse(vet, rule->advice ? rule->advice : "leave it out",
               "has an attribute that is not known to be safe: %s of <%s>", name,
               *path ? path : "domain");
        return;
    }
    value = xmlNodeGetContent((const xmlNode *)attribute);
    if (*allowed && (!value || !is_value(vet, allowed, (const char *)value)))
        refuse(vet, rule->advice, "has %s='%.60s' in <%s>, where only %s may stand", name,
               value ? (const char *)value : "", *path ? path : "domain", allowed);
    xmlFree(value);
}

static void
vet_text(Vet *vet, const MigVetRule *rule, const char *path, const xmlNode *node)
{
    xmlChar *content;
    g_autofree char *text = NULL;

    if (!rule->text)
        return;
    content = xmlNodeGetContent(node);
    text = g_strstrip(g_strdup((const char *)content));
    xmlFree(content);
    if (*text && !is_value(vet, rule->text, text))
        refuse(vet, rule->advice, "has '%.100s' in <%s>, where only %s may stand", text, path,
               rule->text);
}

/* What a path means depends on the type: a pty's is libvirt's own note, and not read; with another
 * type QEMU opens it, and a terminal of the host is no place for what a guest writes. */
static void
vet_path(Vet *vet, const char *path, const xmlNode *node)
{
    static const char *const kinds[] = {"serial", "parallel", "console", "channel"};
    const char *kind = g_str_has_prefix(path, "devices/") ? path + strlen("devices/") : "";
    g_autofree char *type = attribute_of(node, "type");
    gboolean is_pty = !type || g_str_equal(type, "pty"); /* libvirt's default */

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!g_str_equal(kind, kinds[i]))
            continue;
        for (const xmlNode *child = node->children; child; child = child->next) {
            gboolean is_source = child->type == XML_ELEMENT_NODE &&
                                 xmlStrcmp(child->name, (const xmlChar *)"source") == 0;
            g_autofree char *value = is_source ? attribute_of(child, "path") : NULL;

            if (value &&
                (is_pty ? !g_str_has_prefix(value, "/dev/pts/")
                        : !g_str_equal(type, "file") || g_strcmp0(value, vet->console) != 0))
                refuse(
                    vet,
                    "leave the path out, or keep the console with type='file' in " MIG_VET_CONSOLE,
                    "has path='%.60s' in <%s/source> of type='%s'", value, path,
                    type ? type : "pty");
        }
    }
}

/* May it stand more than once in that parent? Of what stands twice, libvirt and who vets must not
 * look at different ones. */
static gboolean
may_repeat(const char *parent, const char *name)
{
    static const char *const many[] = {"seclabel", "sysinfo"};
    static const char *const single[] = {"source", "driver", "target", "backend",
                                         "model",  "alias",  "address"};
    const char *device = g_str_has_prefix(parent, "devices/") ? strchr(parent, '/') + 1 : NULL;

    if (*parent == '\0') {
        for (guint i = 0; i < G_N_ELEMENTS(many); i++) {
            if (g_str_equal(name, many[i]))
                return TRUE;
        }
        return FALSE;
    }
    for (guint i = 0; device && !strchr(device, '/') && i < G_N_ELEMENTS(single); i++) {
        if (g_str_equal(name, single[i]))
            return FALSE;
    }
    return !g_str_equal(parent, "devices") || !g_str_equal(name, "lease");
}

static void
vet_once(Vet *vet, const char *parent, const xmlNode *node)
{
    const char *name = (const char *)node->name;

    if (may_repeat(parent, name))
        return;
    for (const xmlNode *before = node->prev; before; before = before->prev) {
        if (before->type == XML_ELEMENT_NODE && xmlStrcmp(before->name, node->name) == 0) {
            refuse(vet, "leave one", "has <%s%s%s> twice", parent, *parent ? "/" : "", name);
            return;
        }
    }
}

static void
vet_element(Vet *vet, const xmlNode *node, const char *parent)
{
    const char *name = (const char *)node->name;
    gboolean is_root = parent == NULL;
    g_autofree char *path = is_root   ? g_strdup("")
                            : *parent ? g_strconcat(parent, "/", name, NULL)
                                      : g_strdup(name);
    const MigVetRule *rule = find_rule(path);
    /* libvirt keeps metadata and does not read it; elsewhere a namespace is QEMU's back door */
    gboolean is_foreign = node->ns && !g_str_has_prefix(path, "metadata");

    if (!rule || is_foreign) {
        refuse(vet, "leave it out", "has an element that is not known to be safe: <%s%s%s>",
               is_foreign && node->ns->prefix ? (const char *)node->ns->prefix : "",
               is_foreign && node->ns->prefix ? ":" : "", path);
        return;
    }
    if (g_str_has_prefix(path, "metadata"))
        return;
    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next)
        vet_attribute(vet, rule, path, attribute);
    vet_text(vet, rule, path, node);
    vet_path(vet, path, node);
    for (const xmlNode *child = node->children; child && vet->problems->len < MOST;
         child = child->next) {
        if (child->type == XML_ELEMENT_NODE) {
            vet_element(vet, child, path);
            vet_once(vet, path, child);
        }
        if (child->type == XML_ENTITY_REF_NODE)
            refuse(vet, "write it out", "uses an entity: &%s;", (const char *)child->name);
    }
}

char **
mig_definition_vet(xmlDoc *doc)
{
    g_autofree char *console = console_of(xmlDocGetRootElement(doc));
    Vet vet = {.problems = g_ptr_array_new(), .console = console};

    vet_element(&vet, xmlDocGetRootElement(doc), NULL);
    g_ptr_array_add(vet.problems, NULL);
    return (char **)g_ptr_array_free(vet.problems, FALSE);
}
