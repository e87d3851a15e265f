/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* frame.c - cutting frames. */

#include "rpc/frame.h"

#include <string.h>

void
mig_frame_buffer_init(MigFrameBuffer *buffer)
{
    buffer->bytes = g_byte_array_new();
    buffer->scanned = 0;
}

void
mig_frame_buffer_clear(MigFrameBuffer *buffer)
{
    g_clear_pointer(&buffer->bytes, g_byte_array_unref);
    buffer->scanned = 0;
}

void
mig_frame_buffer_append(MigFrameBuffer *buffer, const void *data, gsize length)
{
    g_byte_array_append(buffer->bytes, data, (guint)length);
}

gsize
mig_frame_buffer_length(const MigFrameBuffer *buffer)
{
    return buffer->bytes->len;
}

MigFrameStatus
mig_frame_buffer_take(MigFrameBuffer *buffer, char **frame, gsize *length)
{
    const guint8 *data = buffer->bytes->data;
    gsize available = buffer->bytes->len;
    const guint8 *nul = NULL;

    if (available > buffer->scanned)
        nul = memchr(data + buffer->scanned, 0, available - buffer->scanned);
    if (!nul) {
        buffer->scanned = available;
        return available > MIG_MESSAGE_MAX_BYTES ? MIG_FRAME_TOO_BIG : MIG_FRAME_NONE;
    }
    if (nul - data > MIG_MESSAGE_MAX_BYTES)
        return MIG_FRAME_TOO_BIG;
    *length = (gsize)(nul - data);
    *frame = g_memdup2(data, *length + 1);
    g_byte_array_remove_range(buffer->bytes, 0, (guint)(*length + 1));
    buffer->scanned = 0;
    return MIG_FRAME_READY;
}
