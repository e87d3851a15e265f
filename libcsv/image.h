/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.h - what the files about images share. */
#pragma once

#include "catalog.h"

/* The result where no image has that name; CSV_E_DAMAGED where a damaged slot may have it. */
int csv_image_not_found(const struct csv_volume *volume, const struct csv_catalog *catalog,
                        const char *name, struct csv_error *error);

/* The image as the world sees it, with its owner's name. */
void csv_image_named(const struct csv_catalog *catalog, const struct csv_image_record *record,
                     struct csv_image *image);

/* Writes record into its slot, which has generation expected; is_used false frees it. */
int csv_image_commit(struct csv_volume *volume, const struct csv_epoch *epoch, uint64_t expected,
                     const struct csv_image_record *record, bool is_used, struct csv_error *error);

/* Zeroes the image's space from one byte on, and flushes. from is a multiple of 4096. */
int csv_image_zero(struct csv_volume *volume, const struct csv_image *image, uint64_t from,
                   struct csv_error *error);
