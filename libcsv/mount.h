/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mount.h - what a directory is mounted with, and whether a volume may be in it. */
#pragma once

#include "csv.h"

/* What /proc/self/mountinfo says of one mount. */
struct csv_mount {
    uint64_t id;
    bool has_device;     /* a block device of this host is under it */
    const char *type;    /* of the file system */
    const char *options; /* its own, comma-separated; "": none */
};

/* Takes one line apart, which keeps what mount points to. false: it is none. Pure. */
bool csv_mount_parse(char *line, struct csv_mount *mount);

enum csv_mount_kind {
    CSV_MOUNT_SHARED,
    CSV_MOUNT_LOCAL, /* of one host, as far as can be told */
    CSV_MOUNT_UNFIT,
};

/* May a volume be there? problem: why not, and what to set, to stand behind a path and "is ". Pure.
 */
enum csv_mount_kind
csv_mount_judge(const struct csv_mount *mount, char *problem, size_t problem_bytes);

/* Asks that of the mount that an open directory is on. CSV_E_MOUNT: unfit. path is for people. */
int csv_mount_check(int directory_fd, const char *path, bool *is_local, struct csv_error *error);
