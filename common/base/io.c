/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.c - reading and atomically replacing small files. */

#include "base/io.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files below /proc are read at once. */
#define PROC_BYTES ((gsize)4096)

/* GError from errno, in the one form: "cannot <what> <path>: <reason>". */
static gboolean
io_fail(GError **error, const char *what, const char *path)
{
    int code = errno;

    g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "cannot %s %s: %s", what, path, g_strerror(code));
    return FALSE;
}

gboolean
mig_io_write_all(int fd, const void *data, gsize length, const char *name, GError **error)
{
    const char *from = data;

    while (length > 0) {
        ssize_t n = write(fd, from, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return io_fail(error, "write", name);
        from += n;
        length -= (gsize)n;
    }
    return TRUE;
}

static gboolean
sync_dir_of(const char *path, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(path);
    mig_autofd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return io_fail(error, "open", dir);
    if (fsync(fd) < 0 && errno != EINVAL) /* some filesystems know no such thing */
        return io_fail(error, "sync", dir);
    return TRUE;
}

/* Not every filesystem can do it in one: there somebody may come in between. */
static int
rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (g_file_test(to, G_FILE_TEST_EXISTS)) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

gboolean
mig_io_commit_file(const char *temp, const char *path, gboolean replace, GError **error)
{
    mig_autofd int fd = open(temp, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return io_fail(error, "open", temp);
    if (fsync(fd) < 0)
        return io_fail(error, "sync", temp);
    if ((replace ? rename(temp, path) : rename_new(temp, path)) < 0) {
        if (errno != EEXIST)
            return io_fail(error, "replace", path);
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS, "%s exists by now", path);
        return FALSE;
    }
    return sync_dir_of(path, error);
}

/* gid may be NULL: as it is made. */
static gboolean
write_file(const char *path, const void *data, gsize length, mode_t mode, uid_t uid,
           const gid_t *gid, GError **error)
{
    g_autofree char *temp = g_strconcat(path, ".XXXXXX", NULL);
    mig_autofd int fd = g_mkstemp_full(temp, O_WRONLY | O_CLOEXEC, (int)mode);

    if (fd < 0)
        return io_fail(error, "create", temp);
    if (gid && (fchown(fd, uid, *gid) < 0 || fchmod(fd, mode) < 0)) {
        io_fail(error, "set the owner of", temp);
        unlink(temp);
        return FALSE;
    }
    if (mig_io_write_all(fd, data, length, temp, error) &&
        mig_io_commit_file(temp, path, TRUE, error))
        return TRUE;
    unlink(temp); /* not there any more if only the directory was not synced */
    return FALSE;
}

gboolean
mig_io_write_file(const char *path, const void *data, gsize length, mode_t mode, GError **error)
{
    return write_file(path, data, length, mode, (uid_t)-1, NULL, error);
}

gboolean
mig_io_write_file_for(const char *path, const void *data, gsize length, mode_t mode, uid_t uid,
                      gid_t gid, GError **error)
{
    return write_file(path, data, length, mode, uid, &gid, error);
}

char *
mig_io_read_file(const char *path, gsize max_bytes, gsize *length, GError **error)
{
    mig_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    g_autofree char *data = NULL;
    gsize used = 0, room;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        io_fail(error, "open", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "%s is not a regular file", path);
        return NULL;
    }
    /* One byte more than allowed tells "too big". st_size may change, and is 0 below /proc, where
     * what is left of a file that was read in part is not what follows. */
    room = MIN(MAX((gsize)st.st_size, PROC_BYTES), max_bytes) + 1;
    data = g_malloc(room + 1);
    while (used <= max_bytes) {
        ssize_t n;

        if (used == room) {
            room = MIN(room * 2, max_bytes + 1);
            data = g_realloc(data, room + 1);
        }
        n = read(fd, data + used, room - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            io_fail(error, "read", path);
            return NULL;
        }
        if (n == 0)
            break;
        used += (gsize)n;
    }
    if (used > max_bytes) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "%s is too big: more than %" G_GSIZE_FORMAT " bytes", path, max_bytes);
        return NULL;
    }
    data[used] = '\0';
    if (length)
        *length = used;
    return g_steal_pointer(&data);
}

gboolean
mig_io_remove_file(const char *path, GError **error)
{
    if (unlink(path) < 0) {
        if (errno == ENOENT)
            return TRUE;
        return io_fail(error, "remove", path);
    }
    return sync_dir_of(path, error);
}

gboolean
mig_io_make_dir(const char *path, mode_t mode, GError **error)
{
    if (g_mkdir_with_parents(path, (int)mode) < 0)
        return io_fail(error, "create directory", path);
    return TRUE;
}

char *
mig_io_boot_id(void)
{
    char *text = mig_io_read_file("/proc/sys/kernel/random/boot_id", 256, NULL, NULL);

    if (text && g_uuid_string_is_valid(g_strstrip(text)))
        return text;
    g_free(text);
    return g_strdup("");
}
