/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev-stream.c - a long range read from its start to its end, with several pieces under way. */

/*
 * Who reads all slots of a volume waits for the LUN most of the time, and a LUN does several things
 * at once. So the next pieces are asked for while this one is looked at, by the kernel's
 * asynchronous I/O, which needs neither a thread nor a library. It only ever makes reading faster:
 * whatever goes wrong with a piece, it is read again the plain way, and that decides.
 *
 * The context stays as long as the device is open: to give one back takes the kernel tens
 * of milliseconds. So do the buffers: on a virtual machine a page that is touched for the first
 * time can cost more than reading what comes to lie there.
 */

#include "dev-stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH 4u

/* One piece under way. */
struct flight {
    struct iocb block;
    uint8_t *buffer;
    size_t bytes;
    bool is_under_way;
    int64_t result;
};

void
csv_stream_init(struct csv_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    pthread_mutex_init(&stream->lock, NULL);
}

void
csv_stream_close(struct csv_stream *stream)
{
    if (stream->context)
        syscall(SYS_io_destroy, stream->context);
    free(stream->buffers);
    pthread_mutex_destroy(&stream->lock);
}

static void
depart(struct csv_stream *stream, const struct csv_dev *dev, struct flight *flight, uint64_t offset,
       uint64_t bytes)
{
    struct iocb *block = &flight->block;

    memset(block, 0, sizeof(*block));
    block->aio_lio_opcode = IOCB_CMD_PREAD;
    block->aio_fildes = (uint32_t)dev->fd;
    block->aio_buf = (uintptr_t)flight->buffer;
    block->aio_nbytes = bytes;
    block->aio_offset = (int64_t)offset;
    block->aio_data = (uintptr_t)flight;
    flight->bytes = bytes;
    flight->result = -EAGAIN;
    flight->is_under_way = syscall(SYS_io_submit, stream->context, 1L, &block) == 1;
}

/* Waits until it is back. False: that cannot be told, and its buffer is not ours any more. */
static bool
arrive(struct csv_stream *stream, const struct flight *flight)
{
    struct io_event events[DEPTH];

    while (flight->is_under_way) {
        long got = syscall(SYS_io_getevents, stream->context, 1L, (long)DEPTH, events, NULL);
        if (got < 0 && errno != EINTR)
            return false;
        for (long i = 0; i < got; i++) {
            struct flight *back = (struct flight *)(uintptr_t)events[i].data;
            back->result = events[i].res;
            back->is_under_way = false;
        }
    }
    return true;
}

/* False: there is no memory for so many. */
static bool
have_buffers(struct csv_stream *stream, size_t bytes)
{
    if (stream->buffers_bytes >= bytes)
        return true;
    free(stream->buffers);
    stream->buffers = csv_dev_space(bytes);
    stream->buffers_bytes = stream->buffers ? bytes : 0;
    return stream->buffers != NULL;
}

/* All flights have buffers, and the first pieces are not asked for yet. */
static int
run(struct csv_stream *stream, struct csv_dev *dev, const struct csv_range *range,
    struct flight *flights, uint64_t count, csv_dev_piece visit, void *data)
{
    uint64_t asked = 0;

    for (uint64_t i = 0; i < count; i++) {
        struct flight *flight = &flights[i % DEPTH];
        uint64_t at = i * range->piece_bytes;
        int result = 0;

        for (; asked < count && asked < i + DEPTH; asked++) {
            uint64_t start = asked * range->piece_bytes, left = range->bytes - start;
            depart(stream, dev, &flights[asked % DEPTH], range->offset + start,
                   left < range->piece_bytes ? left : range->piece_bytes);
        }
        if (!arrive(stream, flight))
            return -EIO;
        if (flight->result != (int64_t)flight->bytes)
            result = dev->ops->read(dev, range->offset + at, flight->buffer, flight->bytes);
        if (result)
            return result == -EAGAIN ? -EIO : result; /* that would mean that nothing was done */
        if (visit(flight->buffer, flight->bytes, data))
            return 0;
    }
    return 0;
}

int
csv_stream_run(struct csv_stream *stream, struct csv_dev *dev, const struct csv_range *range,
               csv_dev_piece visit, void *data)
{
    uint64_t count = (range->bytes + range->piece_bytes - 1) / range->piece_bytes;
    struct flight flights[DEPTH] = {0};
    bool is_back = true;
    int result = -EAGAIN;

    if (pthread_mutex_trylock(&stream->lock) != 0)
        return -EAGAIN;
    if (!stream->is_refused && !stream->context &&
        syscall(SYS_io_setup, DEPTH, &stream->context) != 0)
        stream->is_refused = true;
    if (!stream->is_refused && have_buffers(stream, DEPTH * range->piece_bytes)) {
        for (unsigned i = 0; i < DEPTH; i++)
            flights[i].buffer = stream->buffers + i * range->piece_bytes;
        result = run(stream, dev, range, flights, count, visit, data);
        for (unsigned i = 0; i < DEPTH; i++)
            is_back = arrive(stream, &flights[i]) && is_back;
        if (!is_back) { /* the kernel may write there still */
            stream->is_refused = true;
            stream->buffers = NULL;
            stream->buffers_bytes = 0;
        }
    }
    pthread_mutex_unlock(&stream->lock);
    return result;
}
