/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device-file.c - an image of a directory: its file is what QEMU opens. */

/*
 * No device lies in between, so nothing tells by itself whether a file is in use. Who on this node
 * has it open is read from /proc: locks would say that another node has it, and leases are not to
 * be had on NFS.
 */

#include "device.h"

#include "error.h"
#include "files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same on every node that has the directory at the same place; where not, the link differs. */
static bool
make_path(const struct csv_volume *volume, const char *name, char path[CSV_PATH_MAX])
{
    char *directory = realpath(volume->dev->directory, NULL);
    int length = directory ? snprintf(path, CSV_PATH_MAX, "%s/%s", directory, name) : -1;

    free(directory);
    return length > 0 && length < CSV_PATH_MAX;
}

int
csv_file_activate(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                  struct csv_node_device *device, struct csv_error *error)
{
    char name[CSV_FILE_NAME_MAX], path[CSV_PATH_MAX];
    int fd, result = csv_files_open(volume, image, writable, &fd, error);

    if (result)
        return result;
    csv_files_name(image, name);
    if (!make_path(volume, name, path)) {
        close(fd);
        return csv_fail(error, CSV_E_SYS, 0, "the path of image %s is too long", image->name);
    }
    memcpy(device->path, path, sizeof(path));
    device->fd = fd;
    device->is_writable = writable;
    return 0;
}

int
csv_image_give(struct csv_volume *volume, const struct csv_image *image, uint32_t uid, uint32_t gid,
               struct csv_error *error)
{
    int fd, result;
    struct stat st;

    if (!csv_is_directory(&volume->super) || uid == 0)
        return 0;
    result = csv_files_open(volume, image, true, &fd, error);
    if (result)
        return result;
    if (fstat(fd, &st) < 0)
        result = csv_fail(error, CSV_E_IO, errno, "cannot look at image %s", image->name);
    else if (st.st_uid == uid && st.st_gid == gid)
        result = 0;
    else if (st.st_uid != 0 && st.st_uid != geteuid() && st.st_uid != uid)
        result =
            csv_fail(error, CSV_IN_USE, 0,
                     "the file of image %s is user %u's, and QEMU is user %u here: it needs the "
                     "same number on all nodes; where it has that now, give the file to root",
                     image->name, st.st_uid, uid);
    else if (fchown(fd, uid, gid) < 0)
        result = csv_fail(error, CSV_E_IO, errno,
                          "cannot give the file of image %s to QEMU's user %u (export NFS with "
                          "no_root_squash)",
                          image->name, uid);
    close(fd);
    return result;
}

bool
csv_file_is(const struct csv_volume *volume, const struct csv_image *image, const char *target,
            struct csv_node_device *device)
{
    const char *base = strrchr(target, '/');
    struct csv_image any = {0};
    char name[CSV_FILE_NAME_MAX], path[CSV_PATH_MAX];

    if (!base || strlen(base + 1) >= CSV_FILE_NAME_MAX)
        return false;
    if (!image) {
        snprintf(any.uuid, sizeof(any.uuid), "%.36s", base + 1);
        image = &any;
    }
    csv_files_name(image, name);
    if (strcmp(base + 1, name) != 0 || !make_path(volume, name, path) || strcmp(path, target) != 0)
        return false;
    return csv_file_activate(volume, image, true, device, NULL) == 0 ||
           csv_file_activate(volume, image, false, device, NULL) == 0;
}

/* May it be that one of those that cannot be looked into has an image open? */
static bool
is_emulator(const char *pid)
{
    char path[64], name[16] = "";
    FILE *comm;

    snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
    comm = fopen(path, "re");
    if (!comm)
        return false;
    if (!fgets(name, sizeof(name), comm))
        name[0] = 0;
    fclose(comm);
    return strncmp(name, "qemu", 4) == 0 || strncmp(name, "kvm", 3) == 0;
}

/* Has process pid the file open? *is_known: untouched where that can be told. */
static bool
has_open(const char *pid, const struct stat *file, bool *is_known)
{
    char path[64];
    struct dirent *entry;
    struct stat st;
    bool is_found = false;
    DIR *fds;

    snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
    fds = opendir(path);
    if (!fds && errno == EACCES && is_emulator(pid))
        *is_known = false;
    while (fds && !is_found && (entry = readdir(fds))) {
        if (fstatat(dirfd(fds), entry->d_name, &st, 0) == 0)
            is_found = st.st_dev == file->st_dev && st.st_ino == file->st_ino;
        else if ((errno == EACCES || errno == EPERM) && is_emulator(pid))
            *is_known = false;
    }
    if (fds)
        closedir(fds);
    return is_found;
}

bool
csv_file_is_busy(int fd, bool *is_known)
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    struct stat st;
    bool is_busy = false;

    if (fstat(fd, &st) < 0) {
        if (processes)
            closedir(processes);
        return true;
    }
    while (processes && !is_busy && (entry = readdir(processes)))
        is_busy = isdigit((unsigned char)entry->d_name[0]) &&
                  strtol(entry->d_name, NULL, 10) != getpid() &&
                  has_open(entry->d_name, &st, is_known);
    if (processes)
        closedir(processes);
    else
        is_busy = true; /* nobody knows */
    return is_busy;
}
