/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-api-types.c - the tables in C and the .varlink texts say the same. */

#include "base/error.h"
#include "rpc/api-methods.h"

#include <string.h>

/* The struct in Varlink's words, as in the .varlink text once its white space is gone. */
static char *
struct_text(const MigType *type)
{
    g_autoptr(GString) out = g_string_new("(");

    for (size_t i = 0; i < type->field_count; i++) {
        const MigField *f = &type->fields[i];

        g_string_append_printf(out, "%s%s:%s", i ? "," : "", f->name,
                               f->flags & MIG_FIELD_REQUIRED ? "" : "?");
        switch (f->kind) {
        case MIG_FIELD_STRING:
            g_string_append(out, "string");
            break;
        case MIG_FIELD_INT:
            g_string_append(out, "int");
            break;
        case MIG_FIELD_BOOL:
            g_string_append(out, "bool");
            break;
        case MIG_FIELD_DOUBLE:
            g_string_append(out, "float");
            break;
        case MIG_FIELD_STRV:
            g_string_append(out, "[]string");
            break;
        case MIG_FIELD_OBJECT:
            g_string_append(out, f->type->name);
            break;
        case MIG_FIELD_ARRAY:
            g_string_append_printf(out, "[]%s", f->type->name);
            break;
        default:
            g_assert_not_reached();
        }
    }
    g_string_append_c(out, ')');
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* Without comments and white space, each definition on a line of its own. */
static char *
squeeze(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GString) out = g_string_new("\n");

    for (guint i = 0; lines[i]; i++) {
        if (lines[i][0] == '#' || g_str_has_prefix(g_strstrip(lines[i]), "#"))
            continue;
        if (g_str_has_prefix(lines[i], "type ") || g_str_has_prefix(lines[i], "method ") ||
            g_str_has_prefix(lines[i], "error "))
            g_string_append_c(out, '\n');
        for (const char *c = lines[i]; *c; c++) {
            if (*c != ' ')
                g_string_append_c(out, *c);
        }
    }
    g_string_append_c(out, '\n');
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* Does the text have this definition? Used up, so that leftovers show. */
static void
take(GString *text, const char *definition)
{
    g_autofree char *line = g_strdup_printf("\n%s\n", definition);
    char *found = strstr(text->str, line);

    if (!found)
        g_test_message("not in the text: %s\n%s", definition, text->str);
    g_assert_nonnull(found);
    g_string_erase(text, found - text->str, (gssize)strlen(line) - 1);
}

static void
take_types_of(GString *text, const MigType *type, GHashTable *seen)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const MigType *element = type->fields[i].type;
        g_autofree char *body = NULL;
        g_autofree char *definition = NULL;

        if (!element || !g_hash_table_add(seen, (gpointer)element))
            continue;
        take_types_of(text, element, seen);
        body = struct_text(element);
        definition = g_strdup_printf("type%s%s", element->name, body);
        take(text, definition);
    }
}

static void
take_method(GString *text, const char *name, const MigType *request, const MigType *reply,
            GHashTable *seen)
{
    g_autofree char *in = struct_text(request);
    g_autofree char *out = struct_text(reply);
    g_autofree char *definition = g_strdup_printf("method%s%s->%s", name, in, out);

    take(text, definition);
    take_types_of(text, request, seen);
    take_types_of(text, reply, seen);
}

static void
check_interface(const char *varlink, const char *name, gboolean is_peer)
{
    g_autofree char *squeezed = squeeze(varlink);
    g_autoptr(GString) text = g_string_new(squeezed);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    g_autofree char *first = g_strconcat("\ninterface", name, NULL);
    char *found = strstr(text->str, first);

    g_assert_nonnull(found);
    g_string_erase(text, found - text->str + 1, (gssize)strlen(first) - 1);
#define TAKE_METHOD(method, request, reply, flags) \
    take_method(text, #method, &mig_type_##request, &mig_type_##reply, seen);
    if (is_peer) {
        MIG_PEER_METHODS(TAKE_METHOD)
    } else {
        MIG_API_METHODS(TAKE_METHOD)
#define TAKE_ERROR(enumerator, wire_name, exit_code) \
    take(text, "error" wire_name "(message:string)");
        MIG_ERROR_LIST(TAKE_ERROR)
    }
    g_strstrip(text->str);
    g_assert_cmpstr(text->str, ==, "");
}

static void
test_api(void)
{
    check_interface(mig_api_varlink, MIG_API_INTERFACE, FALSE);
}

static void
test_peer(void)
{
    check_interface(mig_peer_varlink, MIG_PEER_INTERFACE, TRUE);
}

/* Each table is complete, in order, and inside its struct. */
static void
test_tables(void)
{
#define CHECK_TABLE(T)                                         \
    {                                                          \
        const MigType *type = &mig_type_##T;                   \
        size_t next = 0;                                       \
        g_assert_cmpstr(type->name, ==, #T);                   \
        g_assert_cmpint(type->size, ==, sizeof(Mig##T));       \
        g_assert_null(type->fields[type->field_count].name);   \
        for (size_t i = 0; i < type->field_count; i++) {       \
            g_assert_cmpint(type->fields[i].offset, >=, next); \
            next = type->fields[i].offset + sizeof(int);       \
        }                                                      \
        g_assert_cmpint(next, <=, type->size);                 \
    }
    MIG_API_TYPES(CHECK_TABLE)
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/api/varlink", test_api);
    g_test_add_func("/api/peer-varlink", test_peer);
    g_test_add_func("/api/tables", test_tables);
    return g_test_run();
}
