/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* message.h - JSON objects to plain structs and back, by tables. */
#pragma once

#include <glib.h>
#include <stddef.h>

/*
 * Every message of the API is a C struct with a table of its fields (api-types.h). This is the only
 * place where JSON from a socket becomes memory, so this is where it is distrusted: size and
 * depth are capped, an unknown key, a wrong type, a missing required key or a value out of
 * range is a named error (MIG_ERROR_PROTOCOL, text with the key's path), and nothing half-decoded
 * is left behind.
 *
 * Threads: pure functions on their arguments, any thread.
 */

typedef enum {
    MIG_FIELD_STRING, /* char *, NULL when absent */
    MIG_FIELD_INT,    /* gint64 */
    MIG_FIELD_BOOL,   /* gboolean */
    MIG_FIELD_DOUBLE, /* double */
    MIG_FIELD_STRV,   /* char **, NULL when absent or empty */
    MIG_FIELD_OBJECT, /* pointer to a struct by .type, NULL when absent */
    MIG_FIELD_ARRAY,  /* GPtrArray * made by mig_message_array_new(.type), NULL when absent */
} MigFieldKind;

#define MIG_FIELD_REQUIRED  1u
#define MIG_FIELD_OMIT_ZERO 2u /* INT, DOUBLE, BOOL: left out of the JSON when 0 */

typedef struct MigType MigType;

typedef struct {
    const char *name;
    MigFieldKind kind;
    size_t offset;
    unsigned flags;
    const MigType *type; /* of OBJECT and ARRAY */
} MigField;

struct MigType {
    const char *name; /* as in the .varlink file */
    size_t size;      /* of the struct */
    const MigField *fields;
    size_t field_count;
};

#define MIG_MESSAGE_MAX_BYTES (1u << 20) /* one frame without its NUL */
#define MIG_MESSAGE_MAX_DEPTH 16

/* Zeroed struct of this type; free with mig_message_free(). */
gpointer mig_message_new(const MigType *type);
/* Frees the struct and all that its fields own; NULL is fine. */
void mig_message_free(const MigType *type, gpointer message);
/* Decodes the text of one JSON object. NULL + MIG_ERROR_PROTOCOL on anything not in the table. */
gpointer mig_message_decode(const MigType *type, const char *json, gsize length, GError **error);
/* The same of what this host has written down, maybe by a newer version: what that knows more is
 * passed over. */
gpointer
mig_message_decode_record(const MigType *type, const char *json, gsize length, GError **error);
/* The JSON text. pretty: indented, for people. NULL message: "{}". g_free(). */
char *mig_message_encode(const MigType *type, gconstpointer message, gboolean pretty);
gpointer mig_message_copy(const MigType *type, gconstpointer message);
/* A GPtrArray for a MIG_FIELD_ARRAY of this type (its elements are freed with it). */
GPtrArray *mig_message_array_new(const MigType *element_type);
