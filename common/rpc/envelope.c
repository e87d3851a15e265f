/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* envelope.c - parsing and building Varlink's outer objects. */

#include "rpc/envelope.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>

void
mig_request_envelope_clear(MigRequestEnvelope *envelope)
{
    g_clear_pointer(&envelope->method, g_free);
    g_clear_pointer(&envelope->parameters, json_object_put);
}

void
mig_reply_envelope_clear(MigReplyEnvelope *envelope)
{
    g_clear_pointer(&envelope->error, g_free);
    g_clear_pointer(&envelope->parameters, json_object_put);
}

/* One key of an envelope: where its value goes, by type. */
typedef struct {
    const char *key;
    char **text;
    gboolean *flag;
    MigJson **object;
    gint64 *uid;
} Slot;

static gboolean
fill_slot(const Slot *slot, MigJson *value)
{
    if (slot->text && json_object_is_type(value, json_type_string))
        *slot->text = g_strdup(json_object_get_string(value));
    else if (slot->flag && json_object_is_type(value, json_type_boolean))
        *slot->flag = json_object_get_boolean(value) != 0;
    else if (slot->object && json_object_is_type(value, json_type_object))
        *slot->object = json_object_get(value);
    else if (slot->uid && json_object_is_type(value, json_type_int) &&
             json_object_get_int64(value) >= 0 && json_object_get_int64(value) < G_MAXUINT32)
        *slot->uid = json_object_get_int64(value);
    else
        return FALSE;
    return TRUE;
}

/* slots ends with a NULL key */
static gboolean
parse_envelope(const char *json, gsize length, const Slot *slots, GError **error)
{
    g_autoptr(MigJson) object = mig_json_parse(json, length, error);

    if (!object)
        return FALSE;
    json_object_object_foreach(object, key, value)
    {
        const Slot *slot = slots;

        while (slot->key && !g_str_equal(slot->key, key))
            slot++;
        if (!slot->key) {
            g_autofree char *shown = mig_log_escape(key);

            g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL,
                        "\"%.100s\" is not a key of a message", shown);
            return FALSE;
        }
        if (value && !fill_slot(slot, value)) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL,
                        "\"%s\" of a message has a wrong type", key);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
mig_request_envelope_parse(const char *json, gsize length, MigRequestEnvelope *envelope,
                           GError **error)
{
    g_auto(MigRequestEnvelope) e = MIG_REQUEST_ENVELOPE_EMPTY;
    const Slot slots[] = {{"method", .text = &e.method},
                          {"parameters", .object = &e.parameters},
                          {"more", .flag = &e.more},
                          {"oneway", .flag = &e.oneway},
                          {"upgrade", .flag = &e.upgrade},
                          {"caller_uid", .uid = &e.caller_uid},
                          {NULL}};

    if (!parse_envelope(json, length, slots, error))
        return FALSE;
    if (!e.method) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "\"method\" is missing");
        return FALSE;
    }
    if ((e.more != 0) + (e.oneway != 0) + (e.upgrade != 0) > 1) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL,
                    "\"more\", \"oneway\" and \"upgrade\" exclude one another");
        return FALSE;
    }
    *envelope = e;
    memset(&e, 0, sizeof(e));
    return TRUE;
}

gboolean
mig_reply_envelope_parse(const char *json, gsize length, MigReplyEnvelope *envelope, GError **error)
{
    g_auto(MigReplyEnvelope) e = {0};
    const Slot slots[] = {{"error", .text = &e.error},
                          {"parameters", .object = &e.parameters},
                          {"continues", .flag = &e.continues},
                          {NULL}};

    if (!parse_envelope(json, length, slots, error))
        return FALSE;
    *envelope = e;
    memset(&e, 0, sizeof(e));
    return TRUE;
}

/* Text and NUL; takes the object. */
static GBytes *
make_frame(MigJson *object)
{
    char *text = mig_json_to_text(object, FALSE);
    gsize length = strlen(text);

    json_object_put(object);
    if (length > MIG_MESSAGE_MAX_BYTES) {
        g_free(text);
        return NULL;
    }
    return g_bytes_new_take(text, length + 1);
}

GBytes *
mig_request_frame(const char *method, const MigType *type, gconstpointer message, gboolean more,
                  gboolean upgrade)
{
    return mig_request_frame_for(-1, method, type, message, more, upgrade);
}

GBytes *
mig_request_frame_for(gint64 caller_uid, const char *method, const MigType *type,
                      gconstpointer message, gboolean more, gboolean upgrade)
{
    MigJson *object = json_object_new_object();

    json_object_object_add(object, "method", json_object_new_string(method));
    json_object_object_add(object, "parameters", mig_json_from_message(type, message));
    if (more)
        json_object_object_add(object, "more", json_object_new_boolean(1));
    if (upgrade)
        json_object_object_add(object, "upgrade", json_object_new_boolean(1));
    if (caller_uid >= 0)
        json_object_object_add(object, "caller_uid", json_object_new_int64(caller_uid));
    return make_frame(object);
}

GBytes *
mig_reply_frame(const MigType *type, gconstpointer message, gboolean continues)
{
    MigJson *object = json_object_new_object();

    json_object_object_add(object, "parameters", mig_json_from_message(type, message));
    if (continues)
        json_object_object_add(object, "continues", json_object_new_boolean(1));
    return make_frame(object);
}

GBytes *
mig_error_frame(const char *name, const char *key, const char *text)
{
    MigJson *object = json_object_new_object();
    MigJson *parameters = json_object_new_object();

    if (key) {
        /* an error text may quote anything; cut so that the frame always fits */
        g_autofree char *valid = g_utf8_make_valid(text, (gssize)MIN(strlen(text), 8192));

        json_object_object_add(parameters, key, json_object_new_string(valid));
    }
    json_object_object_add(object, "error", json_object_new_string(name));
    json_object_object_add(object, "parameters", parameters);
    return make_frame(object);
}
