/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* files.c - images as files of a directory. */

/*
 * The directory is shared, and what lies in it is hostile until looked at: each file is opened
 * relative to the directory that was opened first, never through a link, and must be a regular file
 * of one name. Files are thick: space that a guest was promised is there, where the file system can
 * promise it. NFS knows fallocate() since 4.2 only; before it, zeroes are written.
 */

#include "files.h"

#include "error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FINISHED   ".img"
#define UNFINISHED ".new"
#define PIECE      (1u << 20)
#define RESERVED   (1ull << 30) /* at once; the guard is asked in between */

static void
name_with(const struct csv_image *image, const char *end, char name[CSV_FILE_NAME_MAX])
{
    snprintf(name, CSV_FILE_NAME_MAX, "%.36s%s", image->uuid, end);
}

void
csv_files_name(const struct csv_image *image, char name[CSV_FILE_NAME_MAX])
{
    name_with(image, FINISHED, name);
}

/* ---- the directory ---- */

/* Is that a name of ours? Then uuid gets the first part of it. */
static bool
is_ours(const char *name, char uuid[CSV_UUID_STR], bool *is_unfinished)
{
    uint8_t bytes[CSV_UUID_BYTES];
    char again[CSV_UUID_STR];

    if (strlen(name) != CSV_UUID_STR - 1 + strlen(FINISHED))
        return false;
    memcpy(uuid, name, CSV_UUID_STR - 1);
    uuid[CSV_UUID_STR - 1] = 0;
    if (!csv_uuid_parse(uuid, bytes))
        return false;
    csv_uuid_print(bytes, again);
    *is_unfinished = strcmp(name + CSV_UUID_STR - 1, UNFINISHED) == 0;
    return strcmp(again, uuid) == 0 &&
           (*is_unfinished || strcmp(name + CSV_UUID_STR - 1, FINISHED) == 0);
}

static DIR *
open_directory(const struct csv_dev *dev)
{
    int fd = openat(dev->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (!directory && fd >= 0)
        close(fd);
    return directory;
}

int
csv_files_walk(const struct csv_dev *dev,
               void (*visit)(const char *uuid, bool is_unfinished, uint64_t bytes, void *data),
               void *data)
{
    DIR *directory = open_directory(dev);
    struct dirent *entry;
    char uuid[CSV_UUID_STR];
    bool is_unfinished;
    struct stat st;
    int result;

    if (!directory)
        return -errno;
    while ((errno = 0, entry = readdir(directory)))
        if (is_ours(entry->d_name, uuid, &is_unfinished) &&
            fstatat(dev->directory_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            visit(uuid, is_unfinished, (uint64_t)st.st_size, data);
    result = -errno;
    closedir(directory);
    return result;
}

int
csv_files_check_empty(const struct csv_dev *dev, struct csv_error *error)
{
    DIR *directory = open_directory(dev);
    struct dirent *entry;
    int result = 0;

    if (!directory)
        return csv_fail(error, CSV_E_IO, errno, "cannot read the directory");
    while (!result && (errno = 0, entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strcmp(entry->d_name, "lost+found") != 0 &&
            strcmp(entry->d_name, CSV_CATALOGUE_FILE) != 0)
            result = csv_fail(error, CSV_ALREADY_FORMATTED, 0,
                              "the directory is not empty (%.64s); --force takes it, and leaves "
                              "other files than those of images alone",
                              entry->d_name);
    if (!result && errno)
        result = csv_fail(error, CSV_E_IO, errno, "cannot read the directory");
    closedir(directory);
    return result;
}

struct sweep {
    const struct csv_dev *dev;
    bool unfinished_only;
};

static void
sweep_file(const char *uuid, bool is_unfinished, uint64_t bytes, void *data)
{
    const struct sweep *sweep = data;
    char name[CSV_FILE_NAME_MAX];

    (void)bytes;
    if (sweep->unfinished_only && !is_unfinished)
        return;
    snprintf(name, sizeof(name), "%.36s%s", uuid, is_unfinished ? UNFINISHED : FINISHED);
    (void)unlinkat(sweep->dev->directory_fd, name, 0);
}

int
csv_files_clear(const struct csv_dev *dev, struct csv_error *error)
{
    struct sweep sweep = {.dev = dev};
    int result = csv_files_walk(dev, sweep_file, &sweep);

    return result ? csv_fail(error, CSV_E_IO, -result, "cannot read the directory") : 0;
}

int
csv_files_free_bytes(const struct csv_volume *volume, uint64_t *bytes, struct csv_error *error)
{
    struct statvfs st;

    if (fstatvfs(volume->dev->directory_fd, &st) < 0)
        return csv_fail(error, CSV_E_IO, errno, "cannot tell how much room the directory has");
    *bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

/* ---- a file ---- */

static int
fail_room(const struct csv_image *image, int result, struct csv_error *error)
{
    if (result == CSV_STALE_EPOCH)
        return result;
    if (result == -ENOSPC || result == -EDQUOT || result == -EFBIG)
        return csv_fail(error, CSV_FULL, -result, "no room for image %s of %llu MiB", image->name,
                        (unsigned long long)(image->size_bytes / CSV_MIB));
    return csv_fail(error, CSV_E_IO, -result, "cannot make the file of image %s", image->name);
}

/* Asked before, since what does not fit would fill the file system to its last block first, and
 * others write there, too. */
static int
check_room(const struct csv_volume *volume, const struct csv_image *image, uint64_t bytes,
           struct csv_error *error)
{
    uint64_t free_bytes = 0;
    int result = csv_files_free_bytes(volume, &free_bytes, error);

    if (!result && free_bytes < bytes)
        result = csv_fail(error, CSV_FULL, 0, "no room for image %s: %llu MiB more, %llu are free",
                          image->name, (unsigned long long)(bytes / CSV_MIB),
                          (unsigned long long)(free_bytes / CSV_MIB));
    return result;
}

static int
write_zeroes(struct csv_volume *volume, int fd, uint64_t from, uint64_t to, struct csv_error *error)
{
    void *zeroes = csv_dev_buffer(PIECE);
    int result = zeroes ? 0 : -ENOMEM;

    for (uint64_t at = from; !result && at < to;) {
        size_t bytes = to - at < PIECE ? (size_t)(to - at) : PIECE;
        result =
            csv_guard_ask(volume, error) ? CSV_STALE_EPOCH : csv_fd_write(fd, at, zeroes, bytes);
        at += bytes;
    }
    free(zeroes);
    return result;
}

/* Makes the file as long as the image, with all of its space behind it. */
static int
fill(struct csv_volume *volume, int fd, uint64_t from, uint64_t to, bool no_zero,
     struct csv_error *error)
{
    int result = 0;

    for (uint64_t at = from; at < to; at += RESERVED) {
        if (csv_guard_ask(volume, error))
            return CSV_STALE_EPOCH;
        if (fallocate(fd, 0, (off_t)at, (off_t)(to - at < RESERVED ? to - at : RESERVED)) == 0)
            continue;
        if (errno != EOPNOTSUPP)
            return -errno;
        /* the zeroes make it longer: cut short, it is not taken for one that has its space */
        if (!no_zero)
            result = write_zeroes(volume, fd, at, to, error);
        else if (ftruncate(fd, (off_t)to) < 0)
            result = -errno;
        break;
    }
    if (!result && fsync(fd) < 0)
        result = -errno;
    return result;
}

int
csv_files_create(struct csv_volume *volume, const struct csv_image *image, bool no_zero,
                 struct csv_error *error)
{
    struct sweep sweep = {.dev = volume->dev, .unfinished_only = true};
    int directory = volume->dev->directory_fd, fd, result;
    char name[CSV_FILE_NAME_MAX], unfinished[CSV_FILE_NAME_MAX];

    name_with(image, FINISHED, name);
    name_with(image, UNFINISHED, unfinished);
    result = csv_guard_ask(volume, error);
    if (!result)
        result = check_room(volume, image, image->size_bytes, error);
    if (result)
        return result;
    /* nobody else makes images now: what is unfinished is a dead coordinator's */
    (void)csv_files_walk(volume->dev, sweep_file, &sweep);
    fd = openat(directory, unfinished,
                O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_DIRECT, 0600);
    if (fd < 0)
        return fail_room(image, -errno, error);
    result = fill(volume, fd, 0, image->size_bytes, no_zero, error);
    close(fd);
    if (!result && renameat(directory, unfinished, directory, name) < 0)
        result = -errno;
    if (!result && fsync(directory) < 0 && errno != EINVAL)
        result = -errno;
    if (!result)
        return 0;
    (void)unlinkat(directory, unfinished, 0);
    (void)unlinkat(directory, name, 0); /* no slot names it yet */
    return fail_room(image, result, error);
}

/* What is wrong with an open file; NULL: nothing. */
static const char *
file_problem(int fd, const struct csv_image *image)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return "it cannot be looked at";
    if (!S_ISREG(st.st_mode))
        return "it is no regular file";
    if (st.st_nlink != 1)
        return "it has another name beside its own";
    if (st.st_mode & S_IWOTH)
        return "everybody may write to it";
    if ((uint64_t)st.st_size < image->size_bytes)
        return "it is shorter than the image";
    return NULL;
}

int
csv_files_open(const struct csv_volume *volume, const struct csv_image *image, bool writable,
               int *fd, struct csv_error *error)
{
    const char *problem = NULL;
    char name[CSV_FILE_NAME_MAX];
    int made;

    csv_files_name(image, name);
    made = openat(volume->dev->directory_fd, name,
                  (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_DIRECT);
    if (made < 0)
        problem = errno == ENOENT  ? "it is missing"
                  : errno == ELOOP ? "it is a link"
                  : errno == ENXIO || errno == EINVAL
                      ? "it is no regular file, or one without direct I/O"
                      : NULL;
    if (made < 0 && !problem)
        return csv_fail(error, CSV_E_IO, errno, "cannot open file %s of image %s", name,
                        image->name);
    if (!problem)
        problem = file_problem(made, image);
    if (problem) {
        if (made >= 0)
            close(made);
        return csv_fail(error, CSV_E_DAMAGED, 0, "file %s of image %s: %s", name, image->name,
                        problem);
    }
    *fd = made;
    return 0;
}

int
csv_files_grow(struct csv_volume *volume, const struct csv_image *image, uint64_t size_bytes,
               uint64_t *length, struct csv_error *error)
{
    struct stat st;
    uint64_t had;
    int fd, result = csv_files_open(volume, image, true, &fd, error);

    if (result)
        return result;
    if (fstat(fd, &st) < 0) {
        result = fail_room(image, -errno, error);
        close(fd);
        return result;
    }
    had = (uint64_t)st.st_size / 4096 * 4096;
    *length = had > size_bytes ? had : size_bytes;
    if (had < size_bytes)
        result = check_room(volume, image, size_bytes - had, error);
    if (!result && had < size_bytes) {
        result = fill(volume, fd, had, size_bytes, false, error);
        if (result && !csv_guard_ask(volume, NULL))
            (void)!ftruncate(fd, st.st_size);
        result = result ? fail_room(image, result, error) : 0;
    }
    close(fd);
    return result;
}

void
csv_files_remove(struct csv_volume *volume, const struct csv_image *image)
{
    char name[CSV_FILE_NAME_MAX];

    csv_files_name(image, name);
    (void)unlinkat(volume->dev->directory_fd, name, 0);
}

int
csv_files_transfer(const struct csv_volume *volume, const struct csv_image *image, uint64_t offset,
                   void *buffer, const void *source, size_t bytes, struct csv_error *error)
{
    int fd, result = csv_files_open(volume, image, !buffer, &fd, error);

    if (result)
        return result;
    result =
        buffer ? csv_fd_read(fd, offset, buffer, bytes) : csv_fd_write(fd, offset, source, bytes);
    if (!result && !buffer && fdatasync(fd) < 0)
        result = -errno;
    close(fd);
    return result ? csv_fail(error, CSV_E_IO, -result, "cannot %s image %s",
                             buffer ? "read" : "write", image->name)
                  : 0;
}
