/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device.c - the paths under /dev/csv: links, and the image devices behind them. */

/*
 * A link means the same on every node; what it points to does not. So links are made and removed
 * here, under a lock on the volume's directory (other handles may be at it), and a link is followed
 * only after the device behind it has proved to be the image's: a loop number is used
 * again by whoever comes first.
 *
 * The handle keeps each device that it activated open. A daemon that starts again has no such
 * handle: it activates again, and gets the device that QEMU still holds.
 */

#include "device.h"

#include "error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BASE       "/dev/csv"
#define LUN_LINK   ".lun"
#define GONE_TRIES 50 /* of 10 ms: somebody (udev) may have a device open for a moment */

struct csv_active {
    struct csv_active *next;
    struct csv_image image;
    struct csv_node_device device;
};

bool
csv_device_can_scatter(void)
{
    return csv_dm_is_available();
}

static bool
uses_dm(const struct csv_volume *volume)
{
    return volume->dev->is_block && csv_dm_is_available();
}

static void
link_path(const struct csv_volume *volume, const char *name, char path[CSV_PATH_MAX])
{
    snprintf(path, CSV_PATH_MAX, BASE "/%s/%s", volume->super.name, name);
}

/* Locks the volume's directory, making it where needed. The lock goes with the descriptor. */
static int
lock_directory(const struct csv_volume *volume, bool make, int *fd, struct csv_error *error)
{
    char path[CSV_PATH_MAX];

    if (!volume->dev->path)
        return csv_fail(error, CSV_BAD_VALUE, 0, "a volume in memory has no devices");
    link_path(volume, "", path);
    if (make &&
        ((mkdir(BASE, 0755) < 0 && errno != EEXIST) || (mkdir(path, 0755) < 0 && errno != EEXIST)))
        return csv_fail(error, CSV_E_SYS, errno, "cannot make %s", path);
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return csv_fail(error, errno == ENOENT ? CSV_NOT_FOUND : CSV_E_SYS, errno, "cannot open %s",
                        path);
    while (flock(*fd, LOCK_EX) < 0) {
        if (errno == EINTR)
            continue;
        close(*fd);
        return csv_fail(error, CSV_E_SYS, errno, "cannot lock %s", path);
    }
    return 0;
}

/* A link appears whole or not at all. */
static int
make_link(int directory, const char *name, const char *target, struct csv_error *error)
{
    char temporary[CSV_NAME_MAX + 16];

    snprintf(temporary, sizeof(temporary), ".new-%s", name);
    unlinkat(directory, temporary, 0);
    if (symlinkat(target, directory, temporary) < 0 ||
        renameat(directory, temporary, directory, name) < 0)
        return csv_fail(error, CSV_E_SYS, errno, "cannot link %s to %s", name, target);
    return 0;
}

static bool
read_link(int directory, const char *name, char target[CSV_PATH_MAX])
{
    ssize_t length = readlinkat(directory, name, target, CSV_PATH_MAX - 1);

    if (length < 0)
        return false;
    target[length] = 0;
    return true;
}

/* Opens what a link points to, if that is a device of image (NULL: of any image of the volume). */
static bool
open_link(const struct csv_volume *volume, int directory, const char *name,
          const struct csv_image *image, struct csv_node_device *device)
{
    char target[CSV_PATH_MAX];

    if (!read_link(directory, name, target) || strlen(target) >= sizeof(device->path))
        return false;
    if (csv_is_directory(&volume->super))
        return csv_file_is(volume, image, target, device);
    if ((strncmp(target, "/dev/loop", 9) != 0 && strncmp(target, "/dev/dm-", 8) != 0))
        return false;
    memcpy(device->path, target, strlen(target) + 1);
    device->fd = open(target, O_RDONLY | O_CLOEXEC);
    if (device->fd < 0)
        return false;
    if (csv_loop_is(device->fd, volume, image, &device->is_writable) ||
        csv_dm_is(device->fd, volume, image, &device->is_writable))
        return true;
    close(device->fd);
    return false;
}

static struct csv_active **
find_active(struct csv_volume *volume, const char *name)
{
    struct csv_active **at = &volume->active;

    while (*at && strcmp((*at)->image.name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void
drop_active(struct csv_active **at)
{
    struct csv_active *active = *at;

    *at = active->next;
    close(active->device.fd);
    free(active);
}

void
csv_device_close_all(struct csv_volume *volume)
{
    while (volume->active)
        drop_active(&volume->active);
}

/* A device that was there before the image grew becomes as long as it is now. */
static int
fit(const struct csv_volume *volume, const struct csv_image *image,
    const struct csv_node_device *device, struct csv_error *error)
{
    if (csv_is_directory(&volume->super)) /* the coordinator has made it as long already */
        return 0;
    return strncmp(device->path, "/dev/dm-", 8) == 0 ? csv_dm_fit(volume, image, error)
                                                     : csv_loop_fit(device->fd, image, error);
}

/* A device for the image: the one behind the link, another one of this host, or a new one. */
static int
get_device(struct csv_volume *volume, int directory, const struct csv_image *image, bool writable,
           struct csv_node_device *device, struct csv_error *error)
{
    if (open_link(volume, directory, image->name, image, device)) {
        if (device->is_writable || !writable)
            return 0;
        close(device->fd);
        return csv_fail(error, CSV_BUSY, 0,
                        "image %s is active read-only on this node; deactivate it first",
                        image->name);
    }
    unlinkat(directory, image->name, 0);
    if (csv_is_directory(&volume->super))
        return csv_file_activate(volume, image, writable, device, error);
    if (uses_dm(volume))
        return csv_dm_activate(volume, image, writable, device, error);
    if (image->extent_count != 1)
        return csv_fail(error, CSV_FRAGMENTED, 0,
                        "image %s has %u pieces, and this kernel has no device-mapper to join them",
                        image->name, image->extent_count);
    if (csv_loop_find(volume, image, writable, device))
        return 0;
    return csv_loop_create(volume, image, writable, device, error);
}

/* The handle's own device, of an image that may have grown since. */
static int
refit(const struct csv_volume *volume, const struct csv_image *image, struct csv_active *active,
      struct csv_error *error)
{
    bool is_writable;
    int result = 0;

    if (active->image.size_bytes >= image->size_bytes)
        return 0;
    if (csv_is_directory(&volume->super)) {
        struct csv_node_device device;
        result = csv_file_activate(volume, image, active->device.is_writable, &device, error);
        if (!result) {
            close(active->device.fd);
            active->device = device;
            csv_image_copy(&active->image, image);
        }
        return result;
    }
    if (!csv_loop_is(active->device.fd, volume, image, &is_writable) &&
        !csv_dm_is(active->device.fd, volume, image, &is_writable))
        return csv_fail(error, CSV_BUSY, 0,
                        "image %s has grown, and the device that it has on this node cannot",
                        image->name);
    result = fit(volume, image, &active->device, error);
    if (!result)
        csv_image_copy(&active->image, image);
    return result;
}

/* The handle's own device of this very image. One of another image that had the name before it
 * goes: what was deleted has no use for it, and what was renamed gets another. */
static struct csv_active *
own_device(struct csv_volume *volume, const struct csv_image *image)
{
    struct csv_active **at = find_active(volume, image->name);
    char uuid[CSV_UUID_STR];

    if (!*at || strcmp((*at)->image.uuid, image->uuid) == 0)
        return *at;
    memcpy(uuid, (*at)->image.uuid, sizeof(uuid));
    drop_active(at); /* and *at is whatever comes behind it now */
    csv_dm_remove(volume, uuid);
    return NULL;
}

static int
activate(struct csv_volume *volume, int directory, const struct csv_image *image, bool writable,
         struct csv_error *error)
{
    struct csv_active *active = own_device(volume, image);
    int result;

    if (active) {
        if (writable && !active->device.is_writable)
            return csv_fail(error, CSV_BUSY, 0,
                            "image %s is active read-only on this node; deactivate it first",
                            image->name);
        result = refit(volume, image, active, error);
        return result ? result : make_link(directory, image->name, active->device.path, error);
    }
    active = calloc(1, sizeof(*active));
    if (!active)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot activate image %s", image->name);
    csv_image_copy(&active->image, image);
    result = get_device(volume, directory, image, writable, &active->device, error);
    if (!result) {
        result = fit(volume, image, &active->device, error);
        if (result)
            close(active->device.fd);
    }
    if (result) {
        free(active);
        return result;
    }
    active->next = volume->active;
    volume->active = active;
    result = make_link(directory, image->name, active->device.path, error);
    if (result)
        drop_active(&volume->active);
    return result;
}

int
csv_device_activate(struct csv_volume *volume, const struct csv_image *image, bool writable,
                    char path[CSV_PATH_MAX], struct csv_error *error)
{
    const char *problem = csv_image_problem(image, &volume->super);
    int directory, result;

    if (problem)
        return csv_fail(error, CSV_BAD_VALUE, 0, "image %.47s: %s", image->name, problem);
    if (writable) {
        result = csv_need_writable(volume, error);
        if (result)
            return result;
    }
    pthread_mutex_lock(&volume->device_lock);
    result = lock_directory(volume, true, &directory, error);
    if (!result) {
        result = activate(volume, directory, image, writable, error);
        close(directory);
    }
    pthread_mutex_unlock(&volume->device_lock);
    if (!result && path)
        link_path(volume, image->name, path);
    return result;
}

int
csv_device_deactivate(struct csv_volume *volume, const char *image_name, const char *uuid,
                      struct csv_error *error)
{
    struct csv_active **at;
    struct csv_image image = {0};
    char target[CSV_PATH_MAX];
    int directory, result;
    bool is_link;

    if (!csv_name_is_valid(image_name))
        return csv_fail(error, CSV_NOT_FOUND, 0, "image %.64s is not active", image_name);
    pthread_mutex_lock(&volume->device_lock);
    result = lock_directory(volume, false, &directory, error);
    if (result)
        goto out;
    at = find_active(volume, image_name);
    if (*at && uuid && strcmp((*at)->image.uuid, uuid) != 0) {
        csv_dm_remove(volume, uuid); /* the link is the other one's */
        close(directory);
        goto out;
    }
    is_link = read_link(directory, image_name, target);
    if (!is_link && !*at)
        result =
            csv_fail(error, CSV_NOT_FOUND, 0, "image %s is not active on this node", image_name);
    unlinkat(directory, image_name, 0);
    if (*at) {
        image = (*at)->image;
        drop_active(at);
        csv_dm_remove(volume, image.uuid);
    } else if (is_link && strncmp(target, "/dev/dm-", 8) == 0) {
        (void)csv_image_find(volume, image_name, &image, NULL);
        if (image.uuid[0])
            csv_dm_remove(volume, image.uuid);
    }
    close(directory);
out:
    pthread_mutex_unlock(&volume->device_lock);
    return result;
}

bool
csv_device_is_open(struct csv_volume *volume, const struct csv_image *image)
{
    struct csv_node_device device;
    bool is_open;

    pthread_mutex_lock(&volume->device_lock);
    if (csv_is_directory(&volume->super)) {
        is_open = false;
    } else if (uses_dm(volume)) {
        is_open = csv_dm_is_open(volume, image);
    } else {
        is_open = csv_loop_find(volume, image, false, &device);
        if (is_open)
            close(device.fd);
    }
    pthread_mutex_unlock(&volume->device_lock);
    return is_open;
}

/* Calls visit for each image link of the volume. */
static void
walk_links(struct csv_volume *volume, int directory,
           void (*visit)(struct csv_volume *volume, int directory, const char *name, void *data),
           void *data)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (csv_name_is_valid(entry->d_name) || strncmp(entry->d_name, ".new-", 5) == 0)
            visit(volume, directory, entry->d_name, data);
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
}

/* Opens a link's device by what the catalogue says of the image, or where that is not to be read by
 * its looks alone. */
static bool
open_any(struct csv_volume *volume, int directory, const char *name, struct csv_node_device *device)
{
    struct csv_image image;
    int found = csv_image_find(volume, name, &image, NULL);

    if (found == CSV_NOT_FOUND)
        return false;
    return open_link(volume, directory, name, found == 0 ? &image : NULL, device);
}

/* The same, where somebody has it: a loop device goes with its last user, a file does not. */
static bool
open_in_use(struct csv_volume *volume, int directory, const char *name,
            struct csv_node_device *device)
{
    bool is_known =
        true; /* a daemon that may not look into other users' processes keeps its links */

    if (!open_any(volume, directory, name, device))
        return false;
    if (!csv_is_directory(&volume->super) || *find_active(volume, name) ||
        csv_file_is_busy(device->fd, &is_known) || !is_known)
        return true;
    close(device->fd);
    return false;
}

static void
sweep_link(struct csv_volume *volume, int directory, const char *name, void *data)
{
    struct csv_node_device device;

    (void)data;
    if (*find_active(volume, name))
        return;
    if (name[0] != '.' && open_in_use(volume, directory, name, &device))
        close(device.fd);
    else
        unlinkat(directory, name, 0);
}

/* .lun must not be taken from another LUN that has a volume of the same name and is there now. */
static int
check_lun_link(const struct csv_volume *volume, int directory, struct csv_error *error)
{
    struct csv_volume *other;
    struct stat ours, theirs;
    char target[CSV_PATH_MAX], *base;
    bool differs;

    if (!read_link(directory, LUN_LINK, target) || stat(target, &theirs) < 0 ||
        fstat(volume->dev->fd, &ours) < 0)
        return 0;
    if (ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
        return 0;
    base = strrchr(target, '/');
    if (base && strcmp(base, "/" CSV_CATALOGUE_FILE) == 0)
        *base = 0; /* a directory's: it is opened by that */
    if (csv_open(target, CSV_OPEN_READ_ONLY, &other, NULL) != 0)
        return 0;
    differs = strcmp(other->info.uuid, volume->info.uuid) != 0 &&
              strcmp(other->info.name, volume->info.name) == 0;
    csv_close(other);
    if (differs)
        return csv_fail(error, CSV_EXISTS, 0, "another volume named %s is attached from %.100s",
                        volume->super.name, target);
    return 0;
}

int
csv_device_attach(struct csv_volume *volume, struct csv_error *error)
{
    char *target;
    int directory, result;

    pthread_mutex_lock(&volume->device_lock);
    result = lock_directory(volume, true, &directory, error);
    if (result)
        goto out;
    result = check_lun_link(volume, directory, error);
    if (!result) {
        target = realpath(volume->dev->path, NULL);
        result = make_link(directory, LUN_LINK, target ? target : volume->dev->path, error);
        free(target);
    }
    if (!result) {
        /* tables first: a link that stays behind the device it names would come to name another */
        csv_dm_remove(volume, NULL);
        walk_links(volume, directory, sweep_link, NULL);
    }
    close(directory);
out:
    pthread_mutex_unlock(&volume->device_lock);
    return result;
}

struct detach {
    char busy[CSV_NAME_MAX + 1];
};

/* Lets go of a device, then looks whether it is still there: then somebody else has it open. */
static void
detach_link(struct csv_volume *volume, int directory, const char *name, void *data)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct csv_active **at = find_active(volume, name);
    struct detach *detach = data;
    struct csv_node_device device;
    bool is_there = name[0] != '.';

    if (*at)
        drop_active(at);
    if (uses_dm(volume))
        csv_dm_remove(volume, NULL);
    for (int i = 0; is_there && i < GONE_TRIES; i++) {
        if (i)
            nanosleep(&pause, NULL);
        is_there = open_in_use(volume, directory, name, &device);
        if (is_there)
            close(device.fd);
    }
    if (is_there)
        memcpy(detach->busy, name, strlen(name) + 1);
    else
        unlinkat(directory, name, 0);
}

int
csv_device_detach(struct csv_volume *volume, struct csv_error *error)
{
    struct detach detach = {0};
    char path[CSV_PATH_MAX];
    int directory, result;

    pthread_mutex_lock(&volume->device_lock);
    result = lock_directory(volume, false, &directory, error);
    if (result == CSV_NOT_FOUND)
        result = 0;
    else if (!result) {
        walk_links(volume, directory, detach_link, &detach);
        if (detach.busy[0]) {
            result = csv_fail(error, CSV_BUSY, 0, "image %s is open on this node", detach.busy);
        } else {
            csv_device_close_all(volume);
            unlinkat(directory, LUN_LINK, 0);
            link_path(volume, "", path);
            rmdir(path);
            rmdir(BASE);
        }
        close(directory);
    }
    pthread_mutex_unlock(&volume->device_lock);
    return result;
}

struct names {
    char (*names)[CSV_NAME_MAX + 1];
    size_t count, room;
    bool is_failed;
};

static void
collect(struct csv_volume *volume, int directory, const char *name, void *data)
{
    struct names *list = data;
    struct csv_node_device device;

    if (name[0] == '.' || list->is_failed || !open_in_use(volume, directory, name, &device))
        return;
    close(device.fd);
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        void *more = realloc(list->names, room * sizeof(*list->names));
        if (!more) {
            list->is_failed = true;
            return;
        }
        list->names = more;
        list->room = room;
    }
    snprintf(list->names[list->count++], CSV_NAME_MAX + 1, "%s", name);
}

int
csv_device_list(struct csv_volume *volume, char ***names, size_t *count, struct csv_error *error)
{
    struct names list = {0};
    char **made = NULL;
    int directory, result;

    pthread_mutex_lock(&volume->device_lock);
    result = lock_directory(volume, false, &directory, error);
    if (!result) {
        walk_links(volume, directory, collect, &list);
        close(directory);
    } else if (result == CSV_NOT_FOUND) {
        result = 0;
    }
    pthread_mutex_unlock(&volume->device_lock);
    if (!result) {
        size_t pointers = (list.count + 1) * sizeof(*made);
        made = list.is_failed ? NULL : malloc(pointers + list.count * sizeof(*list.names));
        if (!made)
            result = csv_fail(error, CSV_E_SYS, ENOMEM, "cannot list devices");
        for (size_t i = 0; made && i < list.count; i++) {
            made[i] = (char *)made + pointers + i * sizeof(*list.names);
            memcpy(made[i], list.names[i], sizeof(*list.names));
        }
        if (made) {
            made[list.count] = NULL;
            *names = made;
            *count = list.count;
        }
    }
    free(list.names);
    return result;
}
