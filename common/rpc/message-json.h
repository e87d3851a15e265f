/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* message-json.h - the half of message.h that shows json-c; for files of rpc/ only. */
#pragma once

#include <json-c/json.h>

#include "rpc/message.h"

typedef struct json_object MigJson;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigJson, json_object_put)

/* Parses one JSON object, strictly (json-check.h); NULL + MIG_ERROR_PROTOCOL. */
MigJson *mig_json_parse(const char *json, gsize length, GError **error);

/* Decodes an object that mig_json_parse() made; NULL object: as {}. */
gpointer mig_json_to_message(const MigType *type, MigJson *object, GError **error);
/* The same for an answer: a newer version may say more in it, which is passed over. A request that
 * asks for more than is known here is refused. */
gpointer mig_json_to_reply(const MigType *type, MigJson *object, GError **error);
/* New object; NULL message: {}. */
MigJson *mig_json_from_message(const MigType *type, gconstpointer message);
/* The text; g_free(). */
char *mig_json_to_text(MigJson *object, gboolean pretty);
