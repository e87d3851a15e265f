/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device-loop.c - an image of one extent as a loop device with an offset. */

/*
 * For kernels without device-mapper. Autoclear makes the kernel the book-keeper: a loop device
 * lives as long as somebody has it open, QEMU or this library, and no crash can leave one behind.
 * The price is that a number may mean another device a moment later, so a device is never trusted
 * by its number: its status must name the same LUN, offset and length, and the tag that was written
 * at its making.
 *
 * The tag (lo_file_name, for recognition only) is "csv:", the image's uuid and the host's name. The
 * latter keeps apart hosts that share one kernel, as those of a lab do.
 */

#include "device.h"

#include "error.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TRIES          64
#define UUID_TAG_BYTES 37 /* csv: + 32 digits + @ */

static void
make_tag(const struct csv_image *image, char tag[LO_NAME_SIZE])
{
    char host[LO_NAME_SIZE] = "";
    size_t at = 4;

    memset(tag, 0, LO_NAME_SIZE);
    memcpy(tag, "csv:", 4);
    for (const char *c = image->uuid; *c && at < UUID_TAG_BYTES - 1; c++)
        if (*c != '-')
            tag[at++] = *c;
    tag[at++] = '@';
    gethostname(host, sizeof(host) - 1);
    snprintf(tag + at, LO_NAME_SIZE - at, "%.*s", (int)(LO_NAME_SIZE - at - 1), host);
}

/* Is that device's backing what our handle has open? */
static bool
is_same_lun(const struct loop_info64 *info, const struct csv_volume *volume)
{
    struct stat st;

    if (fstat(volume->dev->fd, &st) < 0)
        return false;
    if (volume->dev->is_block)
        return info->lo_rdevice == st.st_rdev;
    return info->lo_rdevice == 0 && info->lo_device == st.st_dev && info->lo_inode == st.st_ino;
}

static bool
matches(const struct loop_info64 *info, const struct csv_volume *volume,
        const struct csv_image *image, size_t tag_bytes)
{
    char tag[LO_NAME_SIZE];

    if (!is_same_lun(info, volume))
        return false;
    if (!image)
        return memcmp(info->lo_file_name, "csv:", 4) == 0;
    make_tag(image, tag);
    return image->extent_count == 1 && memcmp(info->lo_file_name, tag, tag_bytes) == 0 &&
           info->lo_offset == image->extents[0].offset_bytes && info->lo_sizelimit > 0 &&
           info->lo_sizelimit <= image->size_bytes;
}

bool
csv_loop_is(int fd, const struct csv_volume *volume, const struct csv_image *image,
            bool *is_writable)
{
    struct loop_info64 info;

    if (volume->dev->fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0 ||
        !matches(&info, volume, image, UUID_TAG_BYTES))
        return false;
    *is_writable = !(info.lo_flags & LO_FLAGS_READ_ONLY);
    return true;
}

/* The kernel tells whoever has the device open; QEMU asks anew when it is told to. */
int
csv_loop_fit(int fd, const struct csv_image *image, struct csv_error *error)
{
    struct loop_info64 info;

    if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
        return csv_fail(error, CSV_E_SYS, errno, "cannot look at the device of image %s",
                        image->name);
    if (info.lo_sizelimit == image->size_bytes)
        return 0;
    info.lo_sizelimit = image->size_bytes;
    if (ioctl(fd, LOOP_SET_STATUS64, &info) < 0)
        return csv_fail(error, CSV_E_SYS, errno, "cannot make the device of image %s longer",
                        image->name);
    return 0;
}

/* Opens /dev/loopN. Where /dev is not the kernel's own (a container), the node may be missing. */
static int
open_loop(long number, int flags, char path[64])
{
    char attribute[64];
    unsigned int major, minor;
    FILE *file;
    int fd;

    snprintf(path, 64, "/dev/loop%ld", number);
    fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    snprintf(attribute, sizeof(attribute), "/sys/block/loop%ld/dev", number);
    file = fopen(attribute, "re");
    if (!file)
        return -1;
    if (fscanf(file, "%u:%u", &major, &minor) != 2) {
        fclose(file);
        errno = ENOENT;
        return -1;
    }
    fclose(file);
    if (mknod(path, S_IFBLK | 0660, makedev(major, minor)) < 0 && errno != EEXIST)
        return -1;
    return open(path, flags | O_CLOEXEC);
}

/* Opens loop number N if it is the image's. The status is asked of the open device, so that it
 * can't become another one between the look and the use. */
static bool
take(long number, const struct csv_volume *volume, const struct csv_image *image, bool writable,
     struct csv_node_device *device)
{
    struct loop_info64 info;
    bool is_writable;
    int fd = open_loop(number, O_RDONLY, device->path);

    if (fd < 0)
        return false;
    if (ioctl(fd, LOOP_GET_STATUS64, &info) == 0 &&
        matches(&info, volume, image, LO_NAME_SIZE - 1)) {
        is_writable = !(info.lo_flags & LO_FLAGS_READ_ONLY);
        if (is_writable || !writable) {
            device->fd = fd;
            device->is_writable = is_writable;
            return true;
        }
    }
    close(fd);
    return false;
}

bool
csv_loop_find(const struct csv_volume *volume, const struct csv_image *image, bool writable,
              struct csv_node_device *device)
{
    DIR *dir = opendir("/sys/block");
    struct dirent *entry;
    bool is_found = false;

    while (dir && !is_found && (entry = readdir(dir))) {
        char path[320];
        if (strncmp(entry->d_name, "loop", 4) != 0 || !isdigit((unsigned char)entry->d_name[4]))
            continue;
        /* only a bound device has this directory; opening the others would be noise */
        snprintf(path, sizeof(path), "/sys/block/%s/loop", entry->d_name);
        if (access(path, F_OK) == 0)
            is_found = take(strtol(entry->d_name + 4, NULL, 10), volume, image, writable, device);
    }
    if (dir)
        closedir(dir);
    return is_found;
}

/* One try to bind a free loop device. -EBUSY: somebody else was faster. */
static int
bind_free(int control, const struct loop_config *config, bool writable,
          struct csv_node_device *device)
{
    long number = ioctl(control, LOOP_CTL_GET_FREE);
    int fd, result;

    if (number < 0)
        return -errno;
    fd = open_loop(number, writable ? O_RDWR : O_RDONLY, device->path);
    if (fd < 0)
        return errno == ENXIO ? -EBUSY : -errno;
    if (ioctl(fd, LOOP_CONFIGURE, config) < 0) {
        result = -errno;
        close(fd);
        return result;
    }
    device->fd = fd;
    device->is_writable = writable;
    return 0;
}

int
csv_loop_create(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                struct csv_node_device *device, struct csv_error *error)
{
    struct loop_config config = {0};
    int control, backing, result = -EBUSY;

    backing = open(volume->dev->path, (writable ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (backing < 0)
        return csv_fail(error, CSV_E_SYS, errno, "cannot open %s", volume->dev->path);
    control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) {
        result = csv_fail(error, CSV_E_SYS, errno,
                          "cannot open /dev/loop-control (needs root, and the loop module)");
        close(backing);
        return result;
    }
    config.fd = (uint32_t)backing;
    config.block_size = volume->super.sector_bytes;
    config.info.lo_offset = image->extents[0].offset_bytes;
    config.info.lo_sizelimit = image->size_bytes;
    config.info.lo_flags =
        LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO | (writable ? 0 : LO_FLAGS_READ_ONLY);
    make_tag(image, (char *)config.info.lo_file_name);
    for (int i = 0; i < TRIES && result == -EBUSY; i++)
        result = bind_free(control, &config, writable, device);
    close(control);
    close(backing);
    if (result)
        return csv_fail(error, CSV_E_SYS, -result, "cannot make a loop device for image %s",
                        image->name);
    return 0;
}
