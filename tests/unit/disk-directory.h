/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disk-directory.h - where a test finds a file system with a disk under it. */
#pragma once

#include <glib.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Page cache that cannot be dropped, files without direct I/O, or mounts that no volume may be on:
 * what is tested on a disk cannot be seen there. */
static inline gboolean
disk_directory_fits(const char *path)
{
    static const guint32 unfit[] = {
        0x01021994, /* tmpfs */
        0x858458f6, /* ramfs */
        0x01021997, /* 9p */
        0x65735546, /* FUSE, virtiofs too */
        0x00006969, /* NFS */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB 2 */
        0x2fc12fc1, /* ZFS, with a cache of its own */
    };
    struct statfs fs;

    if (statfs(path, &fs) != 0 || access(path, W_OK | X_OK) != 0)
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(unfit); i++)
        if ((guint32)fs.f_type == unfit[i])
            return FALSE;
    return TRUE;
}

/* Makes a directory in /var/tmp, or where that is in memory or another host's, beside the test
 * itself. template: its name, with XXXXXX. Free with g_free(). */
static inline char *
disk_directory_make(const char *template)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *beside = g_path_get_dirname(self ? self : ".");
    const char *const places[] = {"/var/tmp", beside};
    const char *place = places[0]; /* fits none, the test says what it misses */
    char *path;

    for (guint i = G_N_ELEMENTS(places); i > 0; i--)
        if (disk_directory_fits(places[i - 1]))
            place = places[i - 1];
    path = g_build_filename(place, template, NULL);
    g_assert_nonnull(g_mkdtemp(path));
    return path;
}
