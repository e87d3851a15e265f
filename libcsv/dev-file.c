/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev-file.c - direct, synchronous I/O on a LUN, or on a file that stands for one. */

/*
 * O_DIRECT is not about speed: several hosts write this LUN, and a page cache would show one of
 * them what another has replaced long ago. A file system that knows no O_DIRECT is accepted
 * for regular files only, which one host alone uses.
 */

#include "dev-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (1u << 20)

struct file_dev {
    struct csv_dev dev;
    char *path;
    struct csv_stream stream;
};

static int
file_read(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes)
{
    uint8_t *to = buffer;

    while (bytes) {
        size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        ssize_t got = pread(dev->fd, to, piece, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EIO; /* beyond the end: the LUN is shorter than the caller was told */
        to += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

static int
file_stream(struct csv_dev *dev, const struct csv_range *range, csv_dev_piece visit, void *data)
{
    return csv_stream_run(&((struct file_dev *)dev)->stream, dev, range, visit, data);
}

static int
file_write(struct csv_dev *dev, uint64_t offset, const void *buffer, size_t bytes)
{
    const uint8_t *from = buffer;

    while (bytes) {
        size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        ssize_t put = pwrite(dev->fd, from, piece, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        if (put == 0)
            return -EIO;
        from += put;
        offset += (uint64_t)put;
        bytes -= (size_t)put;
    }
    return 0;
}

static int
file_flush(struct csv_dev *dev)
{
    return fdatasync(dev->fd) < 0 ? -errno : 0;
}

static int
zero_by_writing(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    void *zeroes = csv_dev_buffer(PIECE_BYTES);
    int result = 0;

    if (!zeroes)
        return -ENOMEM;
    while (bytes && !result) {
        size_t piece = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;
        result = file_write(dev, offset, zeroes, piece);
        offset += piece;
        bytes -= piece;
    }
    free(zeroes);
    return result;
}

static int
file_zero(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    uint64_t range[2] = {offset, bytes};
    int done;

    if (dev->is_block)
        done = ioctl(dev->fd, BLKZEROOUT, range);
    else
        done = fallocate(dev->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                         (off_t)bytes);
    return done == 0 ? 0 : zero_by_writing(dev, offset, bytes);
}

static int
file_discard(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    uint64_t range[2] = {offset, bytes};
    int done;

    if (dev->is_block)
        done = ioctl(dev->fd, BLKDISCARD, range);
    else
        done = fallocate(dev->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                         (off_t)bytes);
    return done == 0 ? 0 : -errno;
}

static int
file_measure(struct csv_dev *dev)
{
    struct stat st;

    if (dev->is_block)
        return ioctl(dev->fd, BLKGETSIZE64, &dev->size_bytes) < 0 ? -errno : 0;
    if (fstat(dev->fd, &st) < 0)
        return -errno;
    dev->size_bytes = (uint64_t)st.st_size;
    return 0;
}

static void
file_close(struct csv_dev *dev)
{
    struct file_dev *file = (struct file_dev *)dev;

    csv_stream_close(&file->stream);
    close(dev->fd);
    free(file->path);
    free(file);
}

static const struct csv_dev_ops file_ops = {
    .read = file_read,
    .stream = file_stream,
    .write = file_write,
    .flush = file_flush,
    .zero = file_zero,
    .discard = file_discard,
    .measure = file_measure,
    .close = file_close,
};

/* Finds out size and sector size. */
static int
measure(struct csv_dev *dev, uint32_t file_sector_bytes)
{
    struct stat st;
    int sector;

    if (fstat(dev->fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode)) {
        dev->size_bytes = (uint64_t)st.st_size;
        dev->sector_bytes = file_sector_bytes ? file_sector_bytes : 512;
        return 0;
    }
    if (!S_ISBLK(st.st_mode))
        return -ENOTBLK;
    dev->is_block = true;
    if (ioctl(dev->fd, BLKGETSIZE64, &dev->size_bytes) < 0 ||
        ioctl(dev->fd, BLKSSZGET, &sector) < 0)
        return -errno;
    dev->sector_bytes = (uint32_t)sector;
    return 0;
}

int
csv_dev_open(const char *path, bool read_only, uint32_t file_sector_bytes, struct csv_dev **dev)
{
    struct file_dev *file;
    int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
    int result;

    file = calloc(1, sizeof(*file));
    if (!file)
        return -ENOMEM;
    file->dev.ops = &file_ops;
    file->dev.is_read_only = read_only;
    file->path = strdup(path);
    file->dev.path = file->path;
    file->dev.fd = open(path, flags | O_DIRECT);
    if (file->dev.fd < 0 && errno == EINVAL)
        file->dev.fd = open(path, flags);
    if (file->dev.fd < 0)
        result = -errno;
    else
        result = file->path ? measure(&file->dev, file_sector_bytes) : -ENOMEM;
    if (result) {
        if (file->dev.fd >= 0)
            close(file->dev.fd);
        free(file->path);
        free(file);
        return result;
    }
    csv_stream_init(&file->stream);
    *dev = &file->dev;
    return 0;
}

int
csv_dev_stream(struct csv_dev *dev, const struct csv_range *range, csv_dev_piece visit, void *data)
{
    size_t most = range->bytes < range->piece_bytes ? range->bytes : range->piece_bytes;
    uint8_t *piece;
    int result = -EAGAIN;

    if (dev->ops->stream && range->bytes > range->piece_bytes)
        result = dev->ops->stream(dev, range, visit, data);
    if (result != -EAGAIN)
        return result;
    piece = csv_dev_buffer(most);
    result = piece ? 0 : -ENOMEM;
    for (uint64_t at = 0; !result && at < range->bytes; at += most) {
        size_t bytes = range->bytes - at < most ? (size_t)(range->bytes - at) : most;
        result = dev->ops->read(dev, range->offset + at, piece, bytes);
        if (!result && visit(piece, bytes, data))
            break;
    }
    free(piece);
    return result;
}

void
csv_dev_close(struct csv_dev *dev)
{
    if (dev)
        dev->ops->close(dev);
}

void *
csv_dev_buffer(size_t bytes)
{
    void *buffer = NULL;

    if (posix_memalign(&buffer, CSV_DEV_ALIGN, bytes ? bytes : CSV_DEV_ALIGN))
        return NULL;
    memset(buffer, 0, bytes);
    return buffer;
}
