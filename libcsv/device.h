/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device.h - image devices: what device.c asks of loop and of device-mapper. */
#pragma once

#include "volume.h"

/* A block device that maps an image, or the image's file, open. */
struct csv_node_device {
    char path[CSV_PATH_MAX]; /* /dev/loop7, /dev/dm-3 */
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

/* ---- device-file.c ------------------------------------------------------------------------ */

/* Is target, which a link of this volume points to, the image's file? It is opened then. image
 * NULL: that of any image. */
bool csv_file_is(const struct csv_volume *volume, const struct csv_image *image, const char *target,
                 struct csv_node_device *device);
int csv_file_activate(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                      struct csv_node_device *device, struct csv_error *error);
/* Has any other process of this node that file open? *is_known becomes false where an emulator of
 * another user may not be looked into. */
bool csv_file_is_busy(int fd, bool *is_known);

/* ---- device-dm.c -------------------------------------------------------------------------- */

bool csv_dm_is_available(void);
/* As the two for loop: finds the image's mapped device or makes it. */
bool csv_dm_is(int fd, const struct csv_volume *volume, const struct csv_image *image,
               bool *is_writable);
int csv_dm_activate(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                    struct csv_node_device *device, struct csv_error *error);
bool csv_dm_is_open(const struct csv_volume *volume, const struct csv_image *image);
/* Makes the image's device as long as the image, if it is shorter. */
int
csv_dm_fit(const struct csv_volume *volume, const struct csv_image *image, struct csv_error *error);
/* Removes the image's device, at once or with its last user; image_uuid NULL: each of the volume
 * that nobody has open. */
void csv_dm_remove(const struct csv_volume *volume, const char *image_uuid);
