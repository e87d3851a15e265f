/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev-stream.h - a long range read from its start to its end, with several pieces under way. */
#pragma once

#include "dev.h"

#include <linux/aio_abi.h>
#include <pthread.h>

/* Of one device. Zeroed but for the lock: not begun yet. */
struct csv_stream {
    pthread_mutex_t lock; /* one stream at a time */
    aio_context_t context;
    uint8_t *buffers; /* of DEPTH pieces */
    size_t buffers_bytes;
    bool is_refused; /* by the kernel; not asked again */
};

void csv_stream_init(struct csv_stream *stream);
/* Nothing may be under way. */
void csv_stream_close(struct csv_stream *stream);

/* As csv_dev_ops.stream, on dev->fd. -EAGAIN: not now, and nothing was done; read it piece by
 * piece.
 */
int csv_stream_run(struct csv_stream *stream, struct csv_dev *dev, const struct csv_range *range,
                   csv_dev_piece visit, void *data);
