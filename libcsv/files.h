/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* files.h - images as files of a directory, beside the catalogue. */
#pragma once

#include "volume.h"

/*
 * An image's file has its uuid for a name, so that no name of a user's ever reaches the file
 * system, a rename is one slot, and no file is ever used twice. It is made under a second name and
 * gets its own right before the slot is written, and goes after its slot is freed: what a crash
 * leaves is a file without an image, never an image without its file.
 */

#define CSV_FILE_NAME_MAX 48 /* UUID.img and a NUL */
void csv_files_name(const struct csv_image *image, char name[CSV_FILE_NAME_MAX]);

/* Makes the image's file, of its size and zero; no_zero: what is in it is of no matter. */
int csv_files_create(struct csv_volume *volume, const struct csv_image *image, bool no_zero,
                     struct csv_error *error);
/* Makes it that long. *length: what the image has to have then; more than that where a growth that
 * was cut short had made it longer before: a guest may have seen that, and it must never shrink.
 * What fails leaves it as it was. */
int csv_files_grow(struct csv_volume *volume, const struct csv_image *image, uint64_t size_bytes,
                   uint64_t *length, struct csv_error *error);
/* Removes it; one that is not there is none. */
void csv_files_remove(struct csv_volume *volume, const struct csv_image *image);

/* Opens it for direct I/O; *fd is the caller's to close. CSV_E_DAMAGED where it is missing, shorter
 * than the image, a link, or anything else that it was not when it was made. */
int csv_files_open(const struct csv_volume *volume, const struct csv_image *image, bool writable,
                   int *fd, struct csv_error *error);
/* csv_image_read() and csv_image_write(); range and image are checked. */
int
csv_files_transfer(const struct csv_volume *volume, const struct csv_image *image, uint64_t offset,
                   void *buffer, const void *source, size_t bytes, struct csv_error *error);

/* What the file system that the directory is on has left. */
int csv_files_free_bytes(const struct csv_volume *volume, uint64_t *bytes, struct csv_error *error);

/* Calls visit for each file of an image's name; is_unfinished: one whose making was cut short. */
int csv_files_walk(const struct csv_dev *dev,
                   void (*visit)(const char *uuid, bool is_unfinished, uint64_t bytes, void *data),
                   void *data);
/* CSV_ALREADY_FORMATTED where anything but the catalogue is in the directory. */
int csv_files_check_empty(const struct csv_dev *dev, struct csv_error *error);
/* Removes all files of images. */
int csv_files_clear(const struct csv_dev *dev, struct csv_error *error);
