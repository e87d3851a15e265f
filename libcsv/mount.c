/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mount.c - which file systems a volume may be on, and how they are to be mounted. */

/*
 * A host that is taken for dead must not write any more, and what one host has written all others
 * must read. A LUN gives that by itself; a directory does, or does not, by what it is mounted with:
 *
 *   NFS before 4.1   an older write that is sent again can land after a newer one, also after that
 *                    of another host: only sessions keep a request from being done twice. NFS 3
 *                    takes writes of a client that it knows nothing of, however late they come
 *   soft, softerr    a write that timed out failed for QEMU and sanlock, and lands later
 *   local locks      QEMU's lock on an image keeps others on this host away, and no other host
 *   nocto            a file that another host has grown is opened with the length that it had
 *
 * Cluster file systems shut out a host that is cut off, and keep what all see the same. Their file
 * locks can be of one host, too, by an option or by what they are built upon; the kernel writes
 * that into the options of the mount, however it came about:
 *
 *   gfs2             localflocks, also where its lock manager is lock_nolock, which is for one host
 *   ocfs2            localflocks; and without any option by its own cluster stack, o2cb, which
 *                    knows flock() only, where QEMU's locks are fcntl()'s. cluster_stack= names
 *                    another one, and is not there for o2cb and for a file system of one host
 *   lustre           all but flock
 *
 * Other network file systems are refused, not because each is known to be bad, but since none is
 * known here to be good.
 */

#include "mount.h"

#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one line ---- */

/* The next field; fields are separated by one space each, and never have one inside. */
static char *
field(char **rest)
{
    char *start = *rest;

    if (start)
        *rest = strchr(start, ' ');
    if (start && *rest)
        *(*rest)++ = 0;
    return start;
}

/* Decimal digits and nothing else; *end: what is behind them. */
static bool
number(const char *text, uint64_t *value, const char **end)
{
    *value = 0;
    for (*end = text; **end >= '0' && **end <= '9'; (*end)++) {
        if (*value > UINT32_MAX)
            return false;
        *value = *value * 10 + (uint64_t)(**end - '0');
    }
    return *end != text;
}

bool
csv_mount_parse(char *line, struct csv_mount *mount)
{
    char *rest = line, *id, *device, *optional, *type, *options;
    uint64_t major, minor;
    const char *end;

    line[strcspn(line, "\n")] = 0;
    id = field(&rest);
    if (!number(id, &mount->id, &end) || *end)
        return false;
    field(&rest); /* the parent's */
    device = field(&rest);
    if (!device || !number(device, &major, &end) || *end != ':' || !number(end + 1, &minor, &end) ||
        *end)
        return false;
    field(&rest); /* its root, the place, options of the place */
    field(&rest);
    if (!field(&rest))
        return false;
    do /* any number of these */
        optional = field(&rest);
    while (optional && strcmp(optional, "-") != 0);
    type = field(&rest);
    if (!type || !*type || !field(&rest)) /* what is mounted */
        return false;
    options = field(&rest);
    if (rest)
        return false;
    mount->has_device = major != 0;
    mount->type = type;
    mount->options = options ? options : "";
    return true;
}

/* ---- the verdict ---- */

/* Finds an option: "name", or "name=" and whatever is behind it. Starts behind after, NULL: at the
 * first one. *length is what is behind the name. NULL: there is none. */
static const char *
find_option(const char *options, const char *after, const char *name, size_t *length)
{
    size_t name_length = strlen(name);

    for (const char *at = after ? after : options; *at;) {
        size_t bytes = strcspn(at, ",");
        bool has_value = name[name_length - 1] == '=';

        if (bytes >= name_length && strncmp(at, name, name_length) == 0 &&
            (has_value || bytes == name_length)) {
            *length = bytes - name_length;
            return at + name_length;
        }
        at += bytes;
        at += *at == ',';
    }
    return NULL;
}

static bool
has_option(const char *options, const char *name)
{
    size_t length;

    return find_option(options, NULL, name, &length) != NULL;
}

/* "4.1" or later of 4 */
static bool
is_version_fit(const char *value, size_t length)
{
    return length == 3 && strncmp(value, "4.", 2) == 0 && value[2] >= '1' && value[2] <= '9';
}

/* Each of that name has to pass, and there has to be one: who says a thing twice may mean either.
 * *value, *length: the first one that does not. */
static bool
do_all_pass(const char *options, const char *name, bool (*passes)(const char *value, size_t length),
            const char **value, size_t *length)
{
    size_t bytes = 0;
    const char *at = find_option(options, NULL, name, &bytes);

    *value = "";
    *length = 0;
    if (!at)
        return false;
    for (; at; at = find_option(options, at + bytes, name, &bytes)) {
        if (passes(at, bytes))
            continue;
        *value = at;
        *length = bytes;
        return false;
    }
    return true;
}

static bool
is_none(const char *value, size_t length)
{
    return length == 4 && strncmp(value, "none", 4) == 0;
}

#define SHOWN(length) ((int)((length) < 16 ? (length) : 16))

static enum csv_mount_kind
judge_nfs(const char *options, char *problem, size_t room)
{
    static const struct {
        const char *name, *why;
    } bad[] = {
        {"soft", "with 'soft': a write that timed out can still land, after another host's; "
                 "mount it with 'hard'"},
        {"softerr", "with 'softerr': a write that timed out can still land, after another host's; "
                    "mount it with 'hard'"},
        {"nolock", "with 'nolock': locks would keep no other host away; mount it with 'lock'"},
        {"nocto", "with 'nocto': what other hosts have grown would be opened as it was; mount it "
                  "with 'cto'"},
    };
    const char *value;
    size_t length;

    if (!do_all_pass(options, "vers=", is_version_fit, &value, &length)) {
        snprintf(problem, room,
                 "mounted as NFS %.*s: only from 4.1 on a late write of a dead host cannot land "
                 "twice; mount it with 'vers=4.2'",
                 length ? SHOWN(length) : 18, length ? value : "of unknown version");
        return CSV_MOUNT_UNFIT;
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (has_option(options, bad[i].name)) {
            snprintf(problem, room, "mounted %s", bad[i].why);
            return CSV_MOUNT_UNFIT;
        }
    if (!has_option(options, "hard")) {
        snprintf(problem, room, "not mounted with 'hard', by what the kernel says; mount it so");
        return CSV_MOUNT_UNFIT;
    }
    if (!do_all_pass(options, "local_lock=", is_none, &value, &length)) {
        snprintf(problem, room,
                 "mounted with 'local_lock=%.*s': locks would keep no other host away; mount it "
                 "with 'local_lock=none'",
                 length ? SHOWN(length) : 1, length ? value : "?");
        return CSV_MOUNT_UNFIT;
    }
    return CSV_MOUNT_SHARED;
}

static bool
is_dlm(const char *value, size_t length)
{
    return length == 8 && strncmp(value, "lock_dlm", 8) == 0;
}

static bool
is_stack_with_locks(const char *value, size_t length)
{
    return length && (length != 4 || strncmp(value, "o2cb", 4) != 0);
}

#define NOBODY_AWAY "locks would keep no other host away; mount it "

static enum csv_mount_kind
judge_gfs2(const char *options, char *problem, size_t room)
{
    const char *value;
    size_t length;

    if (has_option(options, "lockproto=") &&
        !do_all_pass(options, "lockproto=", is_dlm, &value, &length)) {
        snprintf(problem, room,
                 "mounted with 'lockproto=%.*s': " NOBODY_AWAY "with 'lockproto=lock_dlm'",
                 SHOWN(length), value);
        return CSV_MOUNT_UNFIT;
    }
    if (!has_option(options, "localflocks"))
        return CSV_MOUNT_SHARED;
    snprintf(problem, room,
             "mounted with 'localflocks': " NOBODY_AWAY "without, and with 'lockproto=lock_dlm'");
    return CSV_MOUNT_UNFIT;
}

static enum csv_mount_kind
judge_ocfs2(const char *options, char *problem, size_t room)
{
    const char *value;
    size_t length;

    if (has_option(options, "localflocks"))
        snprintf(problem, room, "mounted with 'localflocks': " NOBODY_AWAY "without");
    else if (!do_all_pass(options, "cluster_stack=", is_stack_with_locks, &value, &length))
        snprintf(problem, room,
                 "mounted with the cluster stack o2cb, or none: QEMU's locks would keep no other "
                 "host away; give it 'cluster_stack=pcmk' (tunefs.ocfs2 --update-cluster-stack)");
    else
        return CSV_MOUNT_SHARED;
    return CSV_MOUNT_UNFIT;
}

static enum csv_mount_kind
judge_lustre(const char *options, char *problem, size_t room)
{
    static const char *const bad[] = {"localflock", "noflock", "nolock"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (has_option(options, bad[i])) {
            snprintf(problem, room, "mounted with '%s': " NOBODY_AWAY "with 'flock'", bad[i]);
            return CSV_MOUNT_UNFIT;
        }
    if (has_option(options, "flock"))
        return CSV_MOUNT_SHARED;
    snprintf(problem, room, "mounted without 'flock': " NOBODY_AWAY "with it");
    return CSV_MOUNT_UNFIT;
}

static bool
is_one_of(const char *type, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(type, *list) == 0)
            return true;
    return false;
}

enum csv_mount_kind
csv_mount_judge(const struct csv_mount *mount, char *problem, size_t problem_bytes)
{
    /* all hosts' memory is kept coherent, and a host that is cut off is shut out by themselves */
    static const char *const clustered[] = {"gpfs", "ceph", NULL};
    /* where that, or whom locks keep away, is for their options to say */
    static const struct {
        const char *type;
        enum csv_mount_kind (*judge)(const char *options, char *problem, size_t room);
    } judges[] = {
        {"nfs", judge_nfs},     {"nfs4", judge_nfs},      {"gfs2", judge_gfs2},
        {"ocfs2", judge_ocfs2}, {"lustre", judge_lustre},
    };
    /* of this host, though no block device is seen under it */
    static const char *const local[] = {"btrfs", "zfs",     "tmpfs",    "ramfs",
                                        "ubifs", "overlay", "bcachefs", NULL};

    for (size_t i = 0; i < sizeof(judges) / sizeof(judges[0]); i++)
        if (strcmp(mount->type, judges[i].type) == 0)
            return judges[i].judge(mount->options, problem, problem_bytes);
    if (is_one_of(mount->type, clustered))
        return CSV_MOUNT_SHARED;
    if (strncmp(mount->type, "fuse", 4) != 0 &&
        (mount->has_device || is_one_of(mount->type, local)))
        return CSV_MOUNT_LOCAL;
    snprintf(problem, problem_bytes,
             "on %.32s: nobody knows whether that shows at once what another host has written, and "
             "shuts out one that is dead; take NFS 4.2, a cluster file system or a LUN",
             mount->type);
    return CSV_MOUNT_UNFIT;
}

/* ---- of an open directory ---- */

/* The kernel's number of the mount that an open file is of: that of a path can change meanwhile,
 * and device numbers are shared by mounts of one NFS server. */
static bool
mount_of(int fd, uint64_t *id)
{
    char path[64], line[128];
    const char *end;
    bool is_found = false;
    FILE *info;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = fopen(path, "re");
    while (info && !is_found && fgets(line, sizeof(line), info)) {
        static const char name[] = "mnt_id:\t";
        is_found = strncmp(line, name, sizeof(name) - 1) == 0 &&
                   number(line + sizeof(name) - 1, id, &end) && *end == '\n';
    }
    if (info)
        fclose(info);
    return is_found;
}

int
csv_mount_check(int directory_fd, const char *path, bool *is_local, struct csv_error *error)
{
    enum csv_mount_kind kind = CSV_MOUNT_UNFIT;
    char problem[192] = "on nothing that the kernel lists; mount it again";
    struct csv_mount mount;
    char *line = NULL;
    size_t room = 0;
    uint64_t id;
    FILE *mounts = mount_of(directory_fd, &id) ? fopen("/proc/self/mountinfo", "re") : NULL;

    if (!mounts)
        return csv_fail(error, CSV_E_SYS, 0,
                        "cannot tell how %.128s is mounted: /proc says nothing", path);
    while (getline(&line, &room, mounts) > 0)
        if (csv_mount_parse(line, &mount) && mount.id == id)
            kind = csv_mount_judge(&mount, problem, sizeof(problem));
    free(line);
    fclose(mounts);
    if (kind == CSV_MOUNT_UNFIT)
        return csv_fail(error, CSV_E_MOUNT, 0, "%.64s is %s", path, problem);
    *is_local = kind == CSV_MOUNT_LOCAL;
    return 0;
}
