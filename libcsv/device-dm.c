/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device-dm.c - an image as a device-mapper device: linear targets over the LUN. */

/*
 * The better way of the two, since an image may have many extents. A device is recognised by its
 * device-mapper uuid, "CSV-" + volume uuid + "-" + image uuid, and believed only if its table is
 * the one that the image's extents make. Its name is for people: csv-VOLUME-IMAGE, with hyphens
 * inside a name doubled, as LVM does, or csv-UUID where that would be too long or is taken.
 *
 * libdevmapper keeps state of its own and is not made for threads: one lock around it all.
 */

#include "device.h"

#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <libdevmapper.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SECTOR       512u /* device-mapper's unit, whatever the device's */
#define DM_UUID_SIZE 129
#define DM_NAME_SIZE 128
#define TRIES        4 /* to open what was mapped, before somebody else takes it away */

/* What is on an image is its guest's: the host looks for no filesystem, volume group or RAID there,
 * and names nothing by what a guest wrote. With each change of the device, for udev keeps the flags
 * of the last one. */
#define UDEV_FLAGS                                                            \
    (DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | DM_UDEV_DISABLE_DISK_RULES_FLAG | \
     DM_UDEV_DISABLE_OTHER_RULES_FLAG)

static pthread_mutex_t dm_lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((format(printf, 5, 6))) static void
be_quiet(int level, const char *file, int line, int error_number, const char *format, ...)
{
    (void)level;
    (void)file;
    (void)line;
    (void)error_number;
    (void)format;
}

bool
csv_dm_is_available(void)
{
    static int is_available = -1;
    char version[64];
    bool answer;

    pthread_mutex_lock(&dm_lock);
    if (is_available < 0) {
        dm_log_with_errno_init(be_quiet);
        is_available = access("/dev/mapper/control", R_OK | W_OK) == 0 &&
                       dm_driver_version(version, sizeof(version)) == 1;
    }
    answer = is_available == 1;
    pthread_mutex_unlock(&dm_lock);
    return answer;
}

static void
make_uuid(const struct csv_volume *volume, const char *image_uuid, char uuid[DM_UUID_SIZE])
{
    snprintf(uuid, DM_UUID_SIZE, "CSV-%s-%s", volume->info.uuid, image_uuid);
}

static size_t
double_hyphens(char *to, const char *from)
{
    size_t length = 0;

    for (; *from; from++) {
        to[length++] = *from;
        if (*from == '-')
            to[length++] = '-';
    }
    to[length] = 0;
    return length;
}

static void
make_name(const struct csv_volume *volume, const struct csv_image *image, char name[DM_NAME_SIZE])
{
    char both[8 + 4 * CSV_NAME_MAX];
    size_t length = 4;

    memcpy(both, "csv-", 4);
    length += double_hyphens(both + length, volume->super.name);
    both[length++] = '-';
    length += double_hyphens(both + length, image->name);
    if (length < DM_NAME_SIZE)
        memcpy(name, both, length + 1);
    else
        snprintf(name, DM_NAME_SIZE, "csv-%s", image->uuid);
}

/* The image's length in an extent: the last one may be longer than what is left. */
static uint64_t
part_bytes(const struct csv_image *image, uint32_t index, uint64_t done)
{
    uint64_t left = image->size_bytes - done;

    return image->extents[index].bytes < left ? image->extents[index].bytes : left;
}

static void
part_params(const struct csv_volume *volume, const struct csv_image *image, uint32_t index,
            char params[64])
{
    struct stat st = {0};

    fstat(volume->dev->fd, &st);
    snprintf(params, 64, "%u:%u %llu", major(st.st_rdev), minor(st.st_rdev),
             (unsigned long long)(image->extents[index].offset_bytes / SECTOR));
}

static bool
add_targets(struct dm_task *task, const struct csv_volume *volume, const struct csv_image *image)
{
    uint64_t done = 0;

    for (uint32_t i = 0; i < image->extent_count && done < image->size_bytes; i++) {
        uint64_t bytes = part_bytes(image, i, done);
        char params[64];
        part_params(volume, image, i, params);
        if (!dm_task_add_target(task, done / SECTOR, bytes / SECTOR, "linear", params))
            return false;
        done += bytes;
    }
    return true;
}

enum table {
    TABLE_SAME,
    TABLE_SHORTER, /* the image's before it grew: a beginning of it */
    TABLE_OTHER,
};

/* What the device with this uuid maps. */
static enum table
compare_table(const struct csv_volume *volume, const struct csv_image *image, const char *uuid)
{
    struct dm_task *task = dm_task_create(DM_DEVICE_TABLE);
    void *next = NULL;
    uint64_t start, length, done = 0;
    char *type, *params, wanted[64];
    enum table answer =
        task && dm_task_set_uuid(task, uuid) && dm_task_run(task) ? TABLE_SAME : TABLE_OTHER;

    for (uint32_t i = 0; answer == TABLE_SAME && done < image->size_bytes; i++) {
        uint64_t bytes;
        if (i > 0 && !next) {
            answer = TABLE_SHORTER;
            break;
        }
        bytes = part_bytes(image, i, done);
        next = dm_get_next_target(task, next, &start, &length, &type, &params);
        part_params(volume, image, i, wanted);
        if (!type || !params || start != done / SECTOR || strcmp(type, "linear") != 0 ||
            strcmp(params, wanted) != 0 || length == 0 || length > bytes / SECTOR)
            answer = TABLE_OTHER;
        else if (length < bytes / SECTOR)
            answer = next ? TABLE_OTHER : TABLE_SHORTER;
        done += bytes;
    }
    if (answer != TABLE_OTHER && next)
        answer = TABLE_OTHER; /* more targets than extents */
    if (task)
        dm_task_destroy(task);
    return answer;
}

static bool
get_info(const char *uuid, struct dm_info *info)
{
    struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
    bool done = task && dm_task_set_uuid(task, uuid) && dm_task_run(task) &&
                dm_task_get_info(task, info) && info->exists;

    if (task)
        dm_task_destroy(task);
    return done;
}

/* Is it that of any image of the volume? */
static bool
is_any(dev_t device, const struct csv_volume *volume, struct dm_info *info)
{
    struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
    char prefix[DM_UUID_SIZE];
    const char *uuid;
    bool is_ours;

    make_uuid(volume, "", prefix);
    is_ours = task && dm_task_set_major(task, (int)major(device)) &&
              dm_task_set_minor(task, (int)minor(device)) && dm_task_run(task) &&
              dm_task_get_info(task, info) && info->exists && (uuid = dm_task_get_uuid(task)) &&
              strncmp(uuid, prefix, strlen(prefix)) == 0;
    if (task)
        dm_task_destroy(task);
    return is_ours;
}

static bool
is_image(dev_t device, const struct csv_volume *volume, const struct csv_image *image,
         struct dm_info *info)
{
    char uuid[DM_UUID_SIZE];

    make_uuid(volume, image->uuid, uuid);
    return get_info(uuid, info) && makedev((unsigned)info->major, info->minor) == device &&
           compare_table(volume, image, uuid) != TABLE_OTHER;
}

bool
csv_dm_is(int fd, const struct csv_volume *volume, const struct csv_image *image, bool *is_writable)
{
    struct dm_info info;
    struct stat st;
    bool is_ours;

    if (!csv_dm_is_available() || fstat(fd, &st) < 0)
        return false;
    pthread_mutex_lock(&dm_lock);
    is_ours =
        image ? is_image(st.st_rdev, volume, image, &info) : is_any(st.st_rdev, volume, &info);
    pthread_mutex_unlock(&dm_lock);
    if (is_ours)
        *is_writable = !info.read_only;
    return is_ours;
}

bool
csv_dm_is_open(const struct csv_volume *volume, const struct csv_image *image)
{
    struct dm_info info;
    char uuid[DM_UUID_SIZE];
    bool is_open;

    make_uuid(volume, image->uuid, uuid);
    pthread_mutex_lock(&dm_lock);
    is_open = get_info(uuid, &info) && info.open_count > 0;
    pthread_mutex_unlock(&dm_lock);
    return is_open;
}

static bool
create(const struct csv_volume *volume, const struct csv_image *image, bool writable,
       const char *uuid, const char *name)
{
    struct dm_task *task = dm_task_create(DM_DEVICE_CREATE);
    uint32_t cookie = 0;
    bool done;

    if (!task)
        return false;
    done = dm_task_set_name(task, name) && dm_task_set_uuid(task, uuid) &&
           (writable || dm_task_set_ro(task)) && add_targets(task, volume, image) &&
           dm_task_set_cookie(task, &cookie, UDEV_FLAGS) && dm_task_run(task);
    if (cookie)
        dm_udev_wait(cookie);
    dm_task_destroy(task);
    return done;
}

/* Its name is for people, and may be that of a deleted or renamed one which somebody has open
 * still.
 */
static bool
create_named(const struct csv_volume *volume, const struct csv_image *image, bool writable,
             const char *uuid)
{
    char name[DM_NAME_SIZE];

    make_name(volume, image, name);
    if (create(volume, image, writable, uuid, name))
        return true;
    snprintf(name, sizeof(name), "csv-%s", image->uuid);
    return create(volume, image, writable, uuid, name);
}

/* Finds or makes the image's device. Lock held. */
static int
map(const struct csv_volume *volume, const struct csv_image *image, bool writable,
    struct dm_info *info, struct csv_error *error)
{
    char uuid[DM_UUID_SIZE];

    make_uuid(volume, image->uuid, uuid);
    if (!get_info(uuid, info) &&
        (!create_named(volume, image, writable, uuid) || !get_info(uuid, info)))
        return csv_fail(error, CSV_E_SYS, 0, "device-mapper cannot map image %s", image->name);
    if (compare_table(volume, image, uuid) == TABLE_OTHER)
        return csv_fail(error, CSV_BUSY, 0, "image %s is mapped by an older table, and in use",
                        image->name);
    if (writable && info->read_only)
        return csv_fail(error, CSV_BUSY, 0, "image %s is active read-only", image->name);
    return 0;
}

/* udev makes the nodes of /dev/mapper; the kernel itself makes /dev/dm-N, which is what is used.
 * Until it is open its last user may take the device away, and another image's be made in its
 * place: what was opened is looked at again. */
int
csv_dm_activate(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                struct csv_node_device *device, struct csv_error *error)
{
    int result = 0, reason = 0;

    for (int tries = 0; tries < TRIES; tries++) {
        struct dm_info info;
        pthread_mutex_lock(&dm_lock);
        result = map(volume, image, writable, &info, error);
        pthread_mutex_unlock(&dm_lock);
        if (result)
            return result;
        snprintf(device->path, sizeof(device->path), "/dev/dm-%u", info.minor);
        device->fd = open(device->path, O_RDONLY | O_CLOEXEC);
        reason = device->fd < 0 ? errno : ENODEV;
        if (device->fd >= 0 && csv_dm_is(device->fd, volume, image, &device->is_writable) &&
            (device->is_writable || !writable))
            return 0;
        if (device->fd >= 0)
            close(device->fd);
    }
    return csv_fail(error, CSV_E_SYS, reason, "cannot open %s", device->path);
}

/* The new table waits beside the one in use until the resume, which swaps them with I/O held back
 * for a moment. */
static bool
reload(const struct csv_volume *volume, const struct csv_image *image, const char *uuid)
{
    struct dm_task *task = dm_task_create(DM_DEVICE_RELOAD);
    uint32_t cookie = 0;
    struct dm_info info;
    bool done = task && get_info(uuid, &info) && dm_task_set_uuid(task, uuid) &&
                (!info.read_only || dm_task_set_ro(task)) && add_targets(task, volume, image) &&
                dm_task_run(task);

    if (task)
        dm_task_destroy(task);
    task = done ? dm_task_create(DM_DEVICE_RESUME) : NULL;
    done = task && dm_task_set_uuid(task, uuid) && dm_task_set_cookie(task, &cookie, UDEV_FLAGS) &&
           dm_task_run(task);
    if (cookie)
        dm_udev_wait(cookie);
    if (task)
        dm_task_destroy(task);
    return done;
}

int
csv_dm_fit(const struct csv_volume *volume, const struct csv_image *image, struct csv_error *error)
{
    char uuid[DM_UUID_SIZE];
    bool done = true;

    make_uuid(volume, image->uuid, uuid);
    pthread_mutex_lock(&dm_lock);
    if (compare_table(volume, image, uuid) == TABLE_SHORTER)
        done = reload(volume, image, uuid);
    pthread_mutex_unlock(&dm_lock);
    return done ? 0
                : csv_fail(error, CSV_E_SYS, 0, "device-mapper cannot make image %s longer",
                           image->name);
}

static void
remove_one(const char *name, const char *uuid)
{
    struct dm_task *task = dm_task_create(DM_DEVICE_REMOVE);
    uint32_t cookie = 0;
    bool done;

    if (!task)
        return;
    done = (name ? dm_task_set_name(task, name) : dm_task_set_uuid(task, uuid)) &&
           (name || dm_task_deferred_remove(task)) &&
           dm_task_set_cookie(task, &cookie, UDEV_FLAGS) && dm_task_run(task);
    (void)done;
    if (cookie)
        dm_udev_wait(cookie);
    dm_task_destroy(task);
}

/* Removes each device of this volume that has no user. */
static void
sweep(const struct csv_volume *volume)
{
    struct dm_task *list = dm_task_create(DM_DEVICE_LIST);
    struct dm_names *names;
    char prefix[DM_UUID_SIZE];

    make_uuid(volume, "", prefix);
    if (!list || !dm_task_run(list) || !(names = dm_task_get_names(list)) || !names->dev) {
        if (list)
            dm_task_destroy(list);
        return;
    }
    for (;;) {
        struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
        struct dm_info info;
        const char *uuid;
        if (task && dm_task_set_name(task, names->name) && dm_task_run(task) &&
            dm_task_get_info(task, &info) && info.exists && (uuid = dm_task_get_uuid(task)) &&
            strncmp(uuid, prefix, strlen(prefix)) == 0 && info.open_count == 0)
            remove_one(names->name, NULL);
        if (task)
            dm_task_destroy(task);
        if (!names->next)
            break;
        names = (struct dm_names *)((char *)names + names->next);
    }
    dm_task_destroy(list);
}

void
csv_dm_remove(const struct csv_volume *volume, const char *image_uuid)
{
    char uuid[DM_UUID_SIZE];

    if (!csv_dm_is_available())
        return;
    pthread_mutex_lock(&dm_lock);
    if (image_uuid) {
        make_uuid(volume, image_uuid, uuid);
        remove_one(NULL, uuid);
    } else {
        sweep(volume);
    }
    pthread_mutex_unlock(&dm_lock);
}
