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
} Vet;

/* ---- values ---- */

static gboolean
is_console_log(const char *value)
{
    return g_str_has_prefix(value, CONSOLE_DIR) && g_str_has_suffix(value, CONSOLE_SUFFIX) &&
           strlen(value) > strlen(CONSOLE_DIR CONSOLE_SUFFIX) &&
           !strchr(value + strlen(CONSOLE_DIR), '/');
}

static gboolean
is_value(const char *allowed, const char *value)
{
    g_auto(GStrv) all = g_strsplit(allowed, "|", -1);

    for (char **one = all; *one; one++) {
        gsize length = strlen(*one);

        if (g_str_equal(*one, MIG_VET_CONSOLE) ? is_console_log(value) : g_str_equal(*one, value))
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
    if (*allowed && (!value || !is_value(allowed, (const char *)value)))
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
    if (*text && !is_value(rule->text, text))
        refuse(vet, rule->advice, "has '%.100s' in <%s>, where only %s may stand", text, path,
               rule->text);
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
    for (const xmlNode *child = node->children; child && vet->problems->len < MOST;
         child = child->next) {
        if (child->type == XML_ELEMENT_NODE)
            vet_element(vet, child, path);
        else if (child->type == XML_ENTITY_REF_NODE)
            refuse(vet, "write it out", "uses an entity: &%s;", (const char *)child->name);
    }
}

char **
mig_definition_vet(xmlDoc *doc)
{
    Vet vet = {.problems = g_ptr_array_new()};

    vet_element(&vet, xmlDocGetRootElement(doc), NULL);
    g_ptr_array_add(vet.problems, NULL);
    return (char **)g_ptr_array_free(vet.problems, FALSE);
}
