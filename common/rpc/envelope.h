/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* envelope.h - what Varlink puts around the parameters of a call and of an answer. */
#pragma once

#include "rpc/message-json.h"

#define MIG_VARLINK_SERVICE "org.varlink.service"

typedef struct {
    char *method;        /* "io.migrated.MoveVm" */
    MigJson *parameters; /* NULL: none given */
    gboolean more, oneway, upgrade;
    gint64 caller_uid; /* of a node that passes a call on: who has called it; -1: not said */
} MigRequestEnvelope;

#define MIG_REQUEST_ENVELOPE_EMPTY ((MigRequestEnvelope){.caller_uid = -1})

typedef struct {
    char *error;         /* "io.migrated.VmUnknown", NULL: success */
    MigJson *parameters; /* NULL: none given */
    gboolean continues;
} MigReplyEnvelope;

void mig_request_envelope_clear(MigRequestEnvelope *envelope);
void mig_reply_envelope_clear(MigReplyEnvelope *envelope);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigRequestEnvelope, mig_request_envelope_clear)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigReplyEnvelope, mig_reply_envelope_clear)

/* MIG_ERROR_PROTOCOL, and *envelope is left as it was: start with an empty one ({0} for a reply).
 */
gboolean mig_request_envelope_parse(const char *json, gsize length, MigRequestEnvelope *envelope,
                                    GError **error);
gboolean mig_reply_envelope_parse(const char *json, gsize length, MigReplyEnvelope *envelope,
                                  GError **error);

/* "caller_uid" is no key of Varlink's own: it is between nodes only, and an older node refuses it.
 */
GBytes *mig_request_frame_for(gint64 caller_uid, const char *method, const MigType *type,
                              gconstpointer message, gboolean more, gboolean upgrade);
/* The frames with their closing NUL. A frame that would be too big for the other side is NULL. */
GBytes *mig_request_frame(const char *method, const MigType *type, gconstpointer message,
                          gboolean more, gboolean upgrade);
GBytes *mig_reply_frame(const MigType *type, gconstpointer message, gboolean continues);
/* key NULL: no parameters, else {key: text}. */
GBytes *mig_error_frame(const char *name, const char *key, const char *text);
