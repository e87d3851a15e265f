/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* message.c - structs by table: life, decoding, encoding. */

#include "rpc/message.h"

#include "base/error.h"
#include "base/log.h"
#include "rpc/json-check.h"
#include "rpc/message-json.h"

#include <math.h>
#include <string.h>

/* ---- life ---- */

/* Stands before each message, so that an array can free its elements knowing only their address. */
typedef struct {
    const MigType *type;
    gpointer pad; /* keeps the struct behind it aligned as malloc would */
} Header;

G_STATIC_ASSERT(sizeof(Header) % (2 * sizeof(gpointer)) == 0);

#define MEMBER(message, field, ctype) G_STRUCT_MEMBER(ctype, message, (field)->offset)

gpointer
mig_message_new(const MigType *type)
{
    Header *header = g_malloc0(sizeof(Header) + type->size);

    header->type = type;
    return header + 1;
}

static void
free_element(gpointer message)
{
    if (message)
        mig_message_free(((Header *)message - 1)->type, message);
}

GPtrArray *
mig_message_array_new(const MigType *element_type)
{
    return g_ptr_array_new_with_free_func(free_element);
}

void
mig_message_free(const MigType *type, gpointer message)
{
    if (!message)
        return;
    g_return_if_fail(((Header *)message - 1)->type == type);
    for (size_t i = 0; i < type->field_count; i++) {
        const MigField *field = &type->fields[i];

        switch (field->kind) {
        case MIG_FIELD_STRING:
            g_free(MEMBER(message, field, char *));
            break;
        case MIG_FIELD_STRV:
            g_strfreev(MEMBER(message, field, char **));
            break;
        case MIG_FIELD_OBJECT:
            mig_message_free(field->type, MEMBER(message, field, gpointer));
            break;
        case MIG_FIELD_ARRAY:
            g_clear_pointer(&MEMBER(message, field, GPtrArray *), g_ptr_array_unref);
            break;
        case MIG_FIELD_INT:
        case MIG_FIELD_BOOL:
        case MIG_FIELD_DOUBLE:
            break;
        default:
            g_assert_not_reached();
        }
    }
    g_free((Header *)message - 1);
}

gpointer
mig_message_copy(const MigType *type, gconstpointer message)
{
    gpointer copy;

    if (!message)
        return NULL;
    copy = mig_message_new(type);
    for (size_t i = 0; i < type->field_count; i++) {
        const MigField *field = &type->fields[i];

        switch (field->kind) {
        case MIG_FIELD_STRING:
            MEMBER(copy, field, char *) = g_strdup(MEMBER(message, field, char *));
            break;
        case MIG_FIELD_STRV:
            MEMBER(copy, field, char **) = g_strdupv(MEMBER(message, field, char **));
            break;
        case MIG_FIELD_OBJECT:
            MEMBER(copy, field, gpointer) =
                mig_message_copy(field->type, MEMBER(message, field, gpointer));
            break;
        case MIG_FIELD_ARRAY: {
            GPtrArray *from = MEMBER(message, field, GPtrArray *);

            if (!from)
                break;
            MEMBER(copy, field, GPtrArray *) = mig_message_array_new(field->type);
            for (guint k = 0; k < from->len; k++)
                g_ptr_array_add(MEMBER(copy, field, GPtrArray *),
                                mig_message_copy(field->type, from->pdata[k]));
            break;
        }
        case MIG_FIELD_INT:
            MEMBER(copy, field, gint64) = MEMBER(message, field, gint64);
            break;
        case MIG_FIELD_BOOL:
            MEMBER(copy, field, gboolean) = MEMBER(message, field, gboolean);
            break;
        case MIG_FIELD_DOUBLE:
            MEMBER(copy, field, double) = MEMBER(message, field, double);
            break;
        default:
            g_assert_not_reached();
        }
    }
    return copy;
}

/* ---- JSON to struct ---- */

/* How many members all objects below this one have. */
static gsize
count_members(MigJson *json)
{
    gsize count = 0;

    if (json_object_is_type(json, json_type_object)) {
        json_object_object_foreach(json, key, value)
        {
            (void)key;
            count += 1 + count_members(value);
        }
    } else if (json_object_is_type(json, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(json); i++)
            count += count_members(json_object_array_get_idx(json, i));
    }
    return count;
}

MigJson *
mig_json_parse(const char *json, gsize length, GError **error)
{
    struct json_tokener *tokener;
    g_autoptr(MigJson) object = NULL;
    enum json_tokener_error code;
    gsize members = 0;

    if (length > MIG_MESSAGE_MAX_BYTES) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "message longer than %u bytes",
                    MIG_MESSAGE_MAX_BYTES);
        return NULL;
    }
    if (!mig_json_check(json, length, MIG_MESSAGE_MAX_DEPTH, &members, error))
        return NULL;
    tokener = json_tokener_new_ex(MIG_MESSAGE_MAX_DEPTH + 1);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    object = json_tokener_parse_ex(tokener, json, (int)length);
    code = json_tokener_get_error(tokener);
    json_tokener_free(tokener);
    if (code != json_tokener_success || !json_object_is_type(object, json_type_object)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "bad JSON: %s",
                    json_tokener_error_desc(code));
        return NULL;
    }
    /* json-c keeps the last of several equal keys; two readers that differ here can be played off
     * against one another */
    if (count_members(object) != members) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "bad JSON: the same key twice");
        return NULL;
    }
    return g_steal_pointer(&object);
}

static gboolean
wrong(GError **error, const char *path, const char *what)
{
    g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "\"%s\" %s", path, what);
    return FALSE;
}

static char *
child_path(const char *path, const char *key)
{
    return *path ? g_strdup_printf("%s.%s", path, key) : g_strdup(key);
}

/* passes_over: keys that are not in the table are those of a newer version. */
static gpointer decode_object(const MigType *type, MigJson *object, const char *path,
                              gboolean passes_over, GError **error);

static gboolean
decode_strv(MigJson *value, const char *path, char ***out, GError **error)
{
    size_t length;

    if (!json_object_is_type(value, json_type_array))
        return wrong(error, path, "must be an array of strings");
    length = json_object_array_length(value);
    if (length == 0)
        return TRUE;
    *out = g_new0(char *, length + 1);
    for (size_t i = 0; i < length; i++) {
        MigJson *element = json_object_array_get_idx(value, i);

        if (!json_object_is_type(element, json_type_string))
            return wrong(error, path, "must be an array of strings");
        (*out)[i] = g_strdup(json_object_get_string(element));
    }
    return TRUE;
}

static gboolean
decode_array(const MigField *field, MigJson *value, const char *path, gboolean passes_over,
             GPtrArray **out, GError **error)
{
    if (!json_object_is_type(value, json_type_array))
        return wrong(error, path, "must be an array");
    *out = mig_message_array_new(field->type);
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        g_autofree char *element_path = g_strdup_printf("%s[%zu]", path, i);
        gpointer element = decode_object(field->type, json_object_array_get_idx(value, i),
                                         element_path, passes_over, error);

        if (!element)
            return FALSE;
        g_ptr_array_add(*out, element);
    }
    return TRUE;
}

/* value is not null. What was stored before a failure is freed with the message. */
static gboolean
decode_field(const MigField *field, MigJson *value, const char *path, gboolean passes_over,
             gpointer message, GError **error)
{
    switch (field->kind) {
    case MIG_FIELD_STRING:
        if (!json_object_is_type(value, json_type_string))
            return wrong(error, path, "must be a string");
        MEMBER(message, field, char *) = g_strdup(json_object_get_string(value));
        return TRUE;
    case MIG_FIELD_INT:
        if (!json_object_is_type(value, json_type_int))
            return wrong(error, path, "must be an integer");
        MEMBER(message, field, gint64) = json_object_get_int64(value);
        return TRUE;
    case MIG_FIELD_BOOL:
        if (!json_object_is_type(value, json_type_boolean))
            return wrong(error, path, "must be true or false");
        MEMBER(message, field, gboolean) = json_object_get_boolean(value) != 0;
        return TRUE;
    case MIG_FIELD_DOUBLE:
        if (!json_object_is_type(value, json_type_double) &&
            !json_object_is_type(value, json_type_int))
            return wrong(error, path, "must be a number");
        if (!isfinite(json_object_get_double(value)))
            return wrong(error, path, "is out of range");
        MEMBER(message, field, double) = json_object_get_double(value);
        return TRUE;
    case MIG_FIELD_STRV:
        return decode_strv(value, path, &MEMBER(message, field, char **), error);
    case MIG_FIELD_OBJECT:
        MEMBER(message, field, gpointer) =
            decode_object(field->type, value, path, passes_over, error);
        return MEMBER(message, field, gpointer) != NULL;
    case MIG_FIELD_ARRAY:
        return decode_array(field, value, path, passes_over, &MEMBER(message, field, GPtrArray *),
                            error);
    default:
        g_assert_not_reached();
    }
}

static gboolean
check_keys(const MigType *type, MigJson *object, const char *path, GError **error)
{
    json_object_object_foreach(object, key, value)
    {
        gboolean known = FALSE;

        (void)value;
        for (size_t i = 0; i < type->field_count && !known; i++)
            known = g_str_equal(type->fields[i].name, key);
        if (!known) {
            g_autofree char *full = child_path(path, key);
            g_autofree char *shown = mig_log_escape(full); /* any bytes: an error is one line */

            g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "\"%.200s\" is not a key of %s",
                        shown, type->name);
            return FALSE;
        }
    }
    return TRUE;
}

static gpointer
decode_object(const MigType *type, MigJson *object, const char *path, gboolean passes_over,
              GError **error)
{
    gpointer message;

    if (!json_object_is_type(object, json_type_object)) {
        wrong(error, path, "must be an object");
        return NULL;
    }
    if (!passes_over && !check_keys(type, object, path, error))
        return NULL;
    message = mig_message_new(type);
    for (size_t i = 0; i < type->field_count; i++) {
        const MigField *field = &type->fields[i];
        g_autofree char *full = child_path(path, field->name);
        MigJson *value = NULL;
        gboolean ok = TRUE;

        json_object_object_get_ex(object, field->name, &value);
        if (value)
            ok = decode_field(field, value, full, passes_over, message, error);
        else if (field->flags & MIG_FIELD_REQUIRED)
            ok = wrong(error, full, "is missing");
        if (!ok) {
            mig_message_free(type, message);
            return NULL;
        }
    }
    return message;
}

static gpointer
decode_or_empty(const MigType *type, MigJson *object, gboolean passes_over, GError **error)
{
    g_autoptr(MigJson) empty = NULL;

    if (!object)
        object = empty = json_object_new_object();
    return decode_object(type, object, "", passes_over, error);
}

gpointer
mig_json_to_message(const MigType *type, MigJson *object, GError **error)
{
    return decode_or_empty(type, object, FALSE, error);
}

gpointer
mig_json_to_reply(const MigType *type, MigJson *object, GError **error)
{
    return decode_or_empty(type, object, TRUE, error);
}

gpointer
mig_message_decode(const MigType *type, const char *json, gsize length, GError **error)
{
    g_autoptr(MigJson) object = mig_json_parse(json, length, error);

    return object ? decode_object(type, object, "", FALSE, error) : NULL;
}

gpointer
mig_message_decode_record(const MigType *type, const char *json, gsize length, GError **error)
{
    g_autoptr(MigJson) object = mig_json_parse(json, length, error);

    return object ? decode_object(type, object, "", TRUE, error) : NULL;
}

/* ---- struct to JSON ---- */

/* JSON is UTF-8, but a path or a foreign error text may be anything. */
static MigJson *
new_string(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    return json_object_new_string(valid);
}

/* NULL: the field is left out. */
static MigJson *
encode_field(const MigField *field, gconstpointer message)
{
    gboolean omit_zero = (field->flags & MIG_FIELD_OMIT_ZERO) != 0;
    gboolean required = (field->flags & MIG_FIELD_REQUIRED) != 0;

    switch (field->kind) {
    case MIG_FIELD_STRING: {
        const char *text = MEMBER(message, field, char *);

        /* a required string is sent even where the sender forgot it: an empty one is found sooner
         * than a peer's complaint */
        return text ? new_string(text) : required ? new_string("") : NULL;
    }
    case MIG_FIELD_INT:
        if (omit_zero && MEMBER(message, field, gint64) == 0)
            return NULL;
        return json_object_new_int64(MEMBER(message, field, gint64));
    case MIG_FIELD_BOOL:
        if (omit_zero && !MEMBER(message, field, gboolean))
            return NULL;
        return json_object_new_boolean(MEMBER(message, field, gboolean) != 0);
    case MIG_FIELD_DOUBLE: {
        double value = MEMBER(message, field, double);

        if (!isfinite(value) || (omit_zero && fpclassify(value) == FP_ZERO))
            return required ? json_object_new_double(0) : NULL;
        return json_object_new_double(value);
    }
    case MIG_FIELD_STRV: {
        char **list = MEMBER(message, field, char **);
        MigJson *array;

        if (!list && !required)
            return NULL;
        array = json_object_new_array();
        for (guint i = 0; list && list[i]; i++)
            json_object_array_add(array, new_string(list[i]));
        return array;
    }
    case MIG_FIELD_OBJECT: {
        gconstpointer object = MEMBER(message, field, gpointer);

        return object || required ? mig_json_from_message(field->type, object) : NULL;
    }
    case MIG_FIELD_ARRAY: {
        GPtrArray *elements = MEMBER(message, field, GPtrArray *);
        MigJson *array;

        if (!elements && !required)
            return NULL;
        array = json_object_new_array();
        for (guint i = 0; elements && i < elements->len; i++)
            json_object_array_add(array, mig_json_from_message(field->type, elements->pdata[i]));
        return array;
    }
    default:
        g_assert_not_reached();
    }
}

MigJson *
mig_json_from_message(const MigType *type, gconstpointer message)
{
    MigJson *object = json_object_new_object();

    for (size_t i = 0; message && i < type->field_count; i++) {
        MigJson *value = encode_field(&type->fields[i], message);

        if (value)
            json_object_object_add(object, type->fields[i].name, value);
    }
    return object;
}

char *
mig_json_to_text(MigJson *object, gboolean pretty)
{
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE |
                (pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : 0);

    return g_strdup(json_object_to_json_string_ext(object, flags));
}

char *
mig_message_encode(const MigType *type, gconstpointer message, gboolean pretty)
{
    g_autoptr(MigJson) object = mig_json_from_message(type, message);

    return mig_json_to_text(object, pretty);
}
