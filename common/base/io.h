/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.h - files that survive a crash: whole or not at all. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Replaces the file: temporary file beside it, fsync, rename, fsync of the directory. After a crash
 * at any point either the old or the new content is there. On failure the old file is untouched.
 * Errors: MIG_ERROR_IO with path and reason. Blocks; any thread. */
gboolean
mig_io_write_file(const char *path, const void *data, gsize length, mode_t mode, GError **error);

/* The same, and uid ((uid_t)-1: who makes it) and gid may do what mode gives to owner and group;
 * the mode is exact, whatever the umask. */
gboolean mig_io_write_file_for(const char *path, const void *data, gsize length, mode_t mode,
                               uid_t uid, gid_t gid, GError **error);

/* What is in temp becomes path, on disk when this returns. Not replace:
 * MIG_ERROR_EXISTS where there is one already. temp stays where it fails. Errors else:
 * MIG_ERROR_IO. Blocks; any thread. */
gboolean mig_io_commit_file(const char *temp, const char *path, gboolean replace, GError **error);

/* The content with a NUL behind it; refuses more than max_bytes (MIG_ERROR_BAD_VALUE) and what is
 * not a regular file. length may be NULL. g_free(). */
char *mig_io_read_file(const char *path, gsize max_bytes, gsize *length, GError **error);

/* Which start of this host that is, as its kernel has it; "" where it does not say. g_free() */
char *mig_io_boot_id(void);

/* Removes the file and makes that durable; a missing file is fine. */
gboolean mig_io_remove_file(const char *path, GError **error);

/* write(2) until all is written, through EINTR. Sets error (MIG_ERROR_IO) with this name. */
gboolean mig_io_write_all(int fd, const void *data, gsize length, const char *name, GError **error);

/* Makes the directory and its parents; an existing one is fine. */
gboolean mig_io_make_dir(const char *path, mode_t mode, GError **error);
