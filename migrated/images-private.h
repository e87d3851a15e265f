/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* images-private.h - what the files about images share. */
#pragma once

#include "images.h"

/* A name that tells which host fills the image: a copy that is not whole yet. g_free(). */
char *mig_images_half_name(MigDaemon *daemon);
/* While it is copied nobody deletes or renames it here. For a half: from before it can be seen. */
void mig_images_set_copying(const char *volume, const char *name);
/* FALSE: another copy of it goes on. */
gboolean mig_images_end_copying(const char *volume, const char *name);
/* The same, and lets go of its device with the last one. */
void mig_images_end_reading(MigCsv *csv, const MigImage *image);
/* A half with nothing in it, marked as being copied; NULL: not marked, and what may have been made
 * of it all the same goes. */
MigImage *mig_images_make_half(MigDaemon *daemon, MigAttached *attached, const char *half,
                               guint64 size_bytes, GError **error);
/* Is somebody copying into or out of it? Then error says so. */
gboolean
mig_images_is_copied(MigDaemon *daemon, const char *volume, const char *name, GError **error);
/* Is it the image that was read before, and nobody has changed it, given it away or grown it? The
 * mark above is this node's: another one does not see it. */
gboolean mig_images_is_unchanged(MigCsv *csv, const MigImage *image, GError **error);
/* MIG_ERROR_EXISTS where it is not. */
gboolean mig_images_is_free(MigCsv *csv, const char *volume, const char *name, GError **error);
/* Deletes what a copy has left that did not come to its end. */
void mig_images_drop(MigDaemon *daemon, MigAttached *attached, const char *half);
/* Gives a copy that is whole its name. */
gboolean mig_images_finish(MigDaemon *daemon, MigAttached *attached, const char *half,
                           const char *name, GError **error);
/* The VM of an image was not found: is there none? So it is where there was nobody to look for
 * (*missing NULL) or it is gone; where it could not be read it may run. Takes *missing. */
gboolean mig_images_has_no_user(GError **missing, GError **error);
/* The image's VM stands still, and stays so while we hold its lease: *lease is NULL for an image of
 * no VM. Killed meanwhile, sanlock frees the lease with this process. */
gboolean mig_images_keep_at_rest(MigDaemon *daemon, MigAttached *attached, const MigImage *image,
                                 MigLease **lease, GError **error);
