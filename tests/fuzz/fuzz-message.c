/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-message.c - frames, envelopes and messages from bytes that anyone may send. */

/*
 * What must hold: nothing crashes; what the decoder takes, it can encode and take again, the same;
 * what json-c alone would take but our grammar refuses never gets through.
 */

#include "rpc/api-types.h"
#include "rpc/envelope.h"
#include "rpc/frame.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
round_trip(const MigType *type, const char *text, gsize length)
{
    gpointer message = mig_message_decode(type, text, length, NULL);
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;
    gpointer again;

    if (!message)
        return;
    first = mig_message_encode(type, message, FALSE);
    again = mig_message_copy(type, message);
    mig_message_free(type, message);
    mig_message_free(type, again);
    again = mig_message_decode(type, first, strlen(first), NULL);
    g_assert_nonnull(again);
    second = mig_message_encode(type, again, TRUE);
    mig_message_free(type, again);
    again = mig_message_decode(type, second, strlen(second), NULL);
    g_assert_nonnull(again);
    mig_message_free(type, again);
}

static void
one_frame(const char *frame, gsize length)
{
    g_auto(MigRequestEnvelope) request = {0};
    g_auto(MigReplyEnvelope) reply = {0};

    g_autoptr(GError) error = NULL;

    if (mig_request_envelope_parse(frame, length, &request, &error))
        g_assert_nonnull(request.method);
    else
        g_assert_null(strchr(error->message, '\n')); /* it goes into a log */
    mig_reply_envelope_parse(frame, length, &reply, NULL);
    if (reply.parameters) {
        g_autofree char *text = mig_json_to_text(reply.parameters, FALSE);

        round_trip(&mig_type_JobReply, text, strlen(text));
        round_trip(&mig_type_StatusReply, text, strlen(text));
    }
    round_trip(&mig_type_MoveVmRequest, frame, length);
    round_trip(&mig_type_ApiNode, frame, length);
    round_trip(&mig_type_PeerPrepareReply, frame, length);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MigFrameBuffer buffer;
    gsize taken = 0;

    mig_frame_buffer_init(&buffer);
    /* in unequal pieces, as a socket would give it */
    for (size_t at = 0, piece = 1; at < size; at += piece, piece = piece * 3 % 4099 + 1) {
        char *frame = NULL;
        gsize length = 0;

        mig_frame_buffer_append(&buffer, data + at, MIN(piece, size - at));
        while (mig_frame_buffer_take(&buffer, &frame, &length) == MIG_FRAME_READY) {
            g_assert_cmpint(strlen(frame), ==, length);
            taken += length + 1;
            one_frame(frame, length);
            g_free(frame);
        }
    }
    g_assert_cmpint(taken + mig_frame_buffer_length(&buffer), ==, size);
    mig_frame_buffer_clear(&buffer);
    one_frame((const char *)data, size);
    return 0;
}
