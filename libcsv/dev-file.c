/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev-file.c - direct, synchronous I/O on a LUN, or on a file that stands for one. */

/*
 * O_DIRECT is not about speed: several hosts write this LUN, and a page cache would show one of
 * them what another has replaced long ago. A file system that knows no O_DIRECT is accepted
 * for regular files only, which one host alone uses.
 */

#include "dev-stream.h"

#include "error.h"
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (1u << 20)

struct file_dev {
    struct csv_dev dev;
    char *path, *directory;
    struct csv_stream stream;
};

int
csv_fd_read(int fd, uint64_t offset, void *buffer, size_t bytes)
{
    uint8_t *to = buffer;

    while (bytes) {
        size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        ssize_t got = pread(fd, to, piece, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EIO; /* beyond the end: it is shorter than the caller was told */
        to += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

int
csv_fd_write(int fd, uint64_t offset, const void *buffer, size_t bytes)
{
    const uint8_t *from = buffer;

    while (bytes) {
        size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        ssize_t put = pwrite(fd, from, piece, (off_t)offset);
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
file_read(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes)
{
    return csv_fd_read(dev->fd, offset, buffer, bytes);
}

static int
file_write(struct csv_dev *dev, uint64_t offset, const void *buffer, size_t bytes)
{
    return csv_fd_write(dev->fd, offset, buffer, bytes);
}

static int
file_stream(struct csv_dev *dev, const struct csv_range *range, csv_dev_piece visit, void *data)
{
    return csv_stream_run(&((struct file_dev *)dev)->stream, dev, range, visit, data);
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
drop(struct file_dev *file)
{
    if (file->dev.fd >= 0)
        close(file->dev.fd);
    if (file->dev.is_directory)
        close(file->dev.directory_fd);
    free(file->path);
    free(file->directory);
    free(file);
}

static void
file_close(struct csv_dev *dev)
{
    struct file_dev *file = (struct file_dev *)dev;

    csv_stream_close(&file->stream);
    drop(file);
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

static int
open_file(struct file_dev *file, int flags)
{
    struct csv_dev *dev = &file->dev;

    if (!dev->is_directory) {
        dev->fd = open(file->path, flags | O_NONBLOCK | O_DIRECT);
        if (dev->fd < 0 && errno == EINVAL)
            dev->fd = open(file->path, flags | O_NONBLOCK);
    } else {
        /* several hosts write it: without O_DIRECT they would not see one another */
        dev->fd =
            openat(dev->directory_fd, CSV_CATALOGUE_FILE, flags | O_NOFOLLOW | O_DIRECT, 0600);
        if (dev->fd < 0 && errno == EINVAL)
            return -EMEDIUMTYPE;
    }
    return dev->fd < 0 ? -errno : 0;
}

/* sanlock runs as a user of its own, and has to get at the leases. Where it does not exist, or the
 * server of a file system does not let us, the administrator has to see to it. */
static void
give_to_sanlock(int fd)
{
    struct group group, *found = NULL;
    char buffer[4096];

    if (getgrnam_r("sanlock", &group, buffer, sizeof(buffer), &found) == 0 && found &&
        fchown(fd, (uid_t)-1, group.gr_gid) == 0)
        (void)fchmod(fd, 0660);
}

/* Files are trusted as far as nobody but root could have put them there. */
static int
check_trust(int fd, bool is_catalogue)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (is_catalogue && (!S_ISREG(st.st_mode) || st.st_nlink != 1))
        return -ELOOP;
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return -EPERM;
    return st.st_mode & S_IWOTH || (st.st_mode & S_IWGRP && !is_catalogue) ? -EPERM : 0;
}

static int
open_directory(struct file_dev *file)
{
    struct csv_dev *dev = &file->dev;
    size_t length = strlen(file->path);

    dev->directory_fd = open(file->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dev->directory_fd < 0)
        return -errno;
    dev->is_directory = true;
    file->directory = file->path;
    file->path = NULL;
    while (length > 1 && file->directory[length - 1] == '/')
        file->directory[--length] = 0;
    if (asprintf(&file->path, "%s/" CSV_CATALOGUE_FILE, file->directory) < 0)
        file->path = NULL;
    dev->path = file->path;
    dev->directory = file->directory;
    if (!file->path)
        return -ENOMEM;
    /* before anything is made there; to look at it does no harm */
    if (!dev->is_read_only &&
        csv_mount_check(dev->directory_fd, dev->directory, &dev->is_local, NULL))
        return -EPROTONOSUPPORT;
    return check_trust(dev->directory_fd, false);
}

static int
open_any(const char *path, int flags, uint32_t file_sector_bytes, struct csv_dev **dev)
{
    struct file_dev *file = calloc(1, sizeof(*file));
    struct stat st;
    int result = 0;

    if (!file)
        return -ENOMEM;
    file->dev.ops = &file_ops;
    file->dev.is_read_only = (flags & O_ACCMODE) == O_RDONLY;
    file->dev.fd = -1;
    file->path = strdup(path);
    file->dev.path = file->path;
    if (!file->path)
        result = -ENOMEM;
    else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        result = open_directory(file);
    else
        flags &= ~(O_CREAT | O_EXCL);
    if (!result)
        result = open_file(file, flags | O_CLOEXEC);
    if (!result && file->dev.is_directory)
        result = check_trust(file->dev.fd, true);
    if (!result)
        result = measure(&file->dev, file_sector_bytes);
    if (result) {
        drop(file);
        return result;
    }
    csv_stream_init(&file->stream);
    *dev = &file->dev;
    return 0;
}

int
csv_dev_open(const char *path, bool read_only, uint32_t file_sector_bytes, struct csv_dev **dev)
{
    return open_any(path, read_only ? O_RDONLY : O_RDWR, file_sector_bytes, dev);
}

int
csv_dev_open_or_make(const char *path, struct csv_dev **dev, bool *is_new)
{
    int result = open_any(path, O_RDWR, 0, dev);

    *is_new = false;
    if (result != -ENOENT)
        return result;
    result = open_any(path, O_RDWR | O_CREAT | O_EXCL, 0, dev);
    *is_new = result == 0;
    if (*is_new)
        give_to_sanlock((*dev)->fd);
    return result;
}

void
csv_dev_unmake(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        unlinkat(fd, CSV_CATALOGUE_FILE, 0);
        close(fd);
    }
}

/* Says again what is wrong with the mount of a directory. */
static int
fail_mount(const char *path, struct csv_error *error)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), result = 0;
    bool is_local;

    if (fd >= 0) {
        result = csv_mount_check(fd, path, &is_local, error);
        close(fd);
    }
    return result ? result : csv_fail(error, CSV_E_MOUNT, 0, "%s was just mounted", path);
}

int
csv_dev_fail(const char *path, int result, int otherwise, struct csv_error *error)
{
    struct stat st;

    switch (-result) {
    case ENOTBLK:
        return csv_fail(error, CSV_E_NO_VOLUME, 0, "%s is no block device, file or directory",
                        path);
    case ELOOP:
        return csv_fail(error, CSV_E_DAMAGED, 0,
                        "%s: its " CSV_CATALOGUE_FILE " is no regular file of one name", path);
    case ENOENT:
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            return csv_fail(
                error, CSV_E_NO_VOLUME, 0,
                "%s has no file " CSV_CATALOGUE_FILE ", and is no volume; format it first", path);
        return csv_fail(error, otherwise, ENOENT, "cannot open %s", path);
    case EPERM:
        return csv_fail(error, CSV_E_DAMAGED, 0,
                        "%s: it or its " CSV_CATALOGUE_FILE
                        " belongs to another user than root, or others may write to it; chown and "
                        "chmod it, and export NFS with no_root_squash",
                        path);
    case EPROTONOSUPPORT:
        return fail_mount(path, error);
    case EMEDIUMTYPE:
        return csv_fail(error, CSV_E_SYS, 0, "%s: its filesystem has no direct I/O", path);
    case EACCES:
        /* root is refused by no file system of this host's */
        if (geteuid() == 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            return csv_fail(error, otherwise, 0,
                            "cannot open %s: permission denied to root; export NFS with "
                            "no_root_squash",
                            path);
        __attribute__((fallthrough));
    default:
        return csv_fail(error, otherwise, -result, "cannot open %s", path);
    }
}

int
csv_dev_resize(struct csv_dev *dev, uint64_t bytes)
{
    int result = 0;

    if (dev->is_block || dev->fd < 0)
        return dev->size_bytes >= bytes ? 0 : -EINVAL;
    if (dev->size_bytes > bytes ||
        (dev->size_bytes < bytes && fallocate(dev->fd, 0, 0, (off_t)bytes) < 0)) {
        /* NFS before 4.2 cannot fallocate: then all is written once */
        uint64_t from = dev->size_bytes;
        if (from < bytes && errno != EOPNOTSUPP)
            return -errno;
        if (ftruncate(dev->fd, (off_t)bytes) < 0)
            return -errno;
        if (from < bytes)
            result = zero_by_writing(dev, from, bytes - from);
    }
    if (!result)
        result = file_flush(dev);
    return result ? result : file_measure(dev);
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
    piece = csv_dev_space(most);
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
csv_dev_space(size_t bytes)
{
    void *buffer = NULL;

    return posix_memalign(&buffer, CSV_DEV_ALIGN, bytes ? bytes : CSV_DEV_ALIGN) ? NULL : buffer;
}

void *
csv_dev_buffer(size_t bytes)
{
    void *buffer = csv_dev_space(bytes);

    if (buffer)
        memset(buffer, 0, bytes);
    return buffer;
}
