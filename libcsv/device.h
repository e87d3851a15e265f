/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device.h - image devices: what device.c asks of loop and of device-mapper. */
#pragma once

#include "volume.h"

/* A block device that maps an image, open. */
struct csv_node_device {
    char path[64]; /* /dev/loop7, /dev/dm-3 */
    int fd;
    bool is_writable;
};

/* ---- device-loop.c ------------------------------------------------------------------------ */

/* Is the open block device fd a loop device that maps this image of this volume, or what the image
 * was before it grew? image NULL: any image of it. */
bool csv_loop_is(int fd, const struct csv_volume *volume, const struct csv_image *image,
                 bool *is_writable);
/* Makes the device as long as the image, if it is shorter. */
int csv_loop_fit(int fd, const struct csv_image *image, struct csv_error *error);
/* Looks through the kernel's loop devices for one of this image made by this host. False: none. */
bool csv_loop_find(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                   struct csv_node_device *device);
int csv_loop_create(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                    struct csv_node_device *device, struct csv_error *error);

/* ---- device-dm.c -------------------------------------------------------------------------- */

bool csv_dm_is_available(void);
/* As the two for loop: finds the image's mapped device or makes it. */
bool csv_dm_is(int fd, const struct csv_volume *volume, const struct csv_image *image,
               bool *is_writable);
int csv_dm_activate(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                    struct csv_node_device *device, struct csv_error *error);
/* Makes the image's device as long as the image, if it is shorter. */
int
csv_dm_fit(const struct csv_volume *volume, const struct csv_image *image, struct csv_error *error);
/* Removes the image's device, at once or with its last user; image_uuid NULL: each of the volume
 * that nobody has open. */
void csv_dm_remove(const struct csv_volume *volume, const char *image_uuid);
