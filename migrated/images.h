/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* images.h - create, import, export, rename, clone, grow and delete VM disks. */
#pragma once

#include "drivers/qemu-img.h"
#include "volumes.h"

/* All of them block; import and export for as long as the data takes. */

/* "volume/image" that this daemon copies into or out of on that volume, or NULL. g_free(). */
char *mig_images_first_copy_on(const char *volume);

/* request: of the client's own, or NULL (change.h). */
MigImage *mig_image_create(MigDaemon *daemon, const char *volume, const char *name,
                           guint64 size_bytes, const char *request, GError **error);
/* From a file of this node, any format that qemu-img reads; format NULL: it finds out. size_bytes
 * 0: the file's virtual size. The image appears under its name only when it is whole. */
MigImage *
mig_image_import(MigDaemon *daemon, const char *volume, const char *name, const char *path,
                 const char *format, guint64 size_bytes, const MigCopyHooks *hooks, GError **error);
/* To a file of this node, which appears only when it is whole. Refused while its VM runs. */
MigImage *
mig_image_export(MigDaemon *daemon, const char *volume, const char *name, const char *path,
                 const char *format, gboolean overwrite, const MigCopyHooks *hooks, GError **error);
/* Which image has that name here now, for a change that may be asked for again: image's, owned by
 * the caller, g_strfreev(); NULL where there is none, which the coordinator has the last word on.
 */
char **mig_image_meant(MigAttached *attached, const char *name);
gboolean mig_image_delete(MigDaemon *daemon, const char *volume, const char *name,
                          const char *request, GError **error);
/* Refused while a VM owns it: its definition has the name. */
gboolean mig_image_rename(MigDaemon *daemon, const char *volume, const char *name,
                          const char *new_name, GError **error);
/* A copy under another name, which appears only when it is whole. Refused while its VM runs. */
MigImage *mig_image_clone(MigDaemon *daemon, const char *volume, const char *name,
                          const char *new_name, const MigCopyHooks *hooks, GError **error);
/* Also while its VM runs on this node, which sees the new size then. Has it the size already,
 * device and guest are told again. */
MigImage *mig_image_grow(MigDaemon *daemon, const char *volume, const char *name,
                         guint64 size_bytes, GError **error);
/* Which other node runs the image's VM, and has to be asked to make it grow? NULL: none. g_free().
 */
char *mig_image_user(MigDaemon *daemon, const char *volume, const char *name);
