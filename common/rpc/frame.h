/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* frame.h - a stream of bytes cut into NUL-terminated frames. */
#pragma once

#include <glib.h>

#include "rpc/message.h"

/* The receiving end of one connection. No I/O here, so that tests and the fuzzer reach all of it.
 */
typedef struct {
    GByteArray *bytes;
    gsize scanned; /* bytes from the start that are known to hold no NUL */
} MigFrameBuffer;

typedef enum {
    MIG_FRAME_NONE, /* not yet a whole one */
    MIG_FRAME_READY,
    MIG_FRAME_TOO_BIG, /* more than MIG_MESSAGE_MAX_BYTES without a NUL: close the connection */
} MigFrameStatus;

void mig_frame_buffer_init(MigFrameBuffer *buffer);
void mig_frame_buffer_clear(MigFrameBuffer *buffer);
void mig_frame_buffer_append(MigFrameBuffer *buffer, const void *data, gsize length);
/* How many bytes wait in it. */
gsize mig_frame_buffer_length(const MigFrameBuffer *buffer);
/* MIG_FRAME_READY: *frame is the next one, with a NUL behind its *length bytes; g_free(). */
MigFrameStatus mig_frame_buffer_take(MigFrameBuffer *buffer, char **frame, gsize *length);
