/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-mount.c - which mounts a volume may be on, by what the kernel says of them. */

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "../disk-directory.h"
#include "csv-test.h"
#include "mount.h"

#define NFS4(version, rest)                                                                  \
    "36 35 0:44 / /srv/vms rw,relatime shared:20 - nfs4 store:/vms rw,vers=" version         \
    ",rsize=1048576,wsize=1048576,namlen=255," rest "proto=tcp,timeo=600,retrans=2,sec=sys," \
    "clientaddr=10.0.0.2,local_lock=none,addr=10.0.0.1\n"
#define PLAIN(device, type, options) "27 1 " device " / / rw - " type " x " options "\n"

static const struct {
    const char *line;
    enum csv_mount_kind kind;
    const char *says; /* all of it, separated by | */
} verdicts[] = {
    {NFS4("4.2", "hard,"), CSV_MOUNT_SHARED, NULL},
    {NFS4("4.1", "hard,"), CSV_MOUNT_SHARED, NULL},
    {NFS4("4.1", "nosharecache,hard,"), CSV_MOUNT_SHARED, NULL},
    /* versions */
    {NFS4("4.0", "hard,"), CSV_MOUNT_UNFIT, "NFS 4.0|vers=4.2"},
    {NFS4("4", "hard,"), CSV_MOUNT_UNFIT, "NFS 4:|vers=4.2"},
    {NFS4("3", "hard,"), CSV_MOUNT_UNFIT, "NFS 3|vers=4.2"},
    {NFS4("4.1x", "hard,"), CSV_MOUNT_UNFIT, "NFS 4.1x"},
    {NFS4("", "hard,"), CSV_MOUNT_UNFIT, "unknown version"},
    {NFS4("4.2", "vers=3,hard,"), CSV_MOUNT_UNFIT, "NFS 3"},
    {NFS4("3", "vers=4.2,hard,"), CSV_MOUNT_UNFIT, "NFS 3"},
    {PLAIN("0:44", "nfs", "rw,hard,local_lock=none"), CSV_MOUNT_UNFIT, "unknown version|vers=4.2"},
    {PLAIN("0:44", "nfs", "rw,hard,mountvers=4.2,local_lock=none"), CSV_MOUNT_UNFIT, "unknown"},
    {PLAIN("0:44", "nfs", ""), CSV_MOUNT_UNFIT, "unknown version"},
    {"36 35 0:44 / /srv/vms rw - nfs store:/vms\n", CSV_MOUNT_UNFIT, "unknown version"},
    /* as kernels write them */
    {NFS4("4.1", "softerr,softreval,noresvport,"), CSV_MOUNT_UNFIT, "'softerr'|'hard'"},
    {NFS4("4.2", "soft,"), CSV_MOUNT_UNFIT, "'soft'|'hard'"},
    {NFS4("4.2", "hard,soft,"), CSV_MOUNT_UNFIT, "'soft'|'hard'"},
    {NFS4("4.2", "hardly,"), CSV_MOUNT_UNFIT, "not mounted with 'hard'"},
    {NFS4("4.2", "hard,nocto,"), CSV_MOUNT_UNFIT, "'nocto'|'cto'"},
    {NFS4("4.2", "hard,nolock,"), CSV_MOUNT_UNFIT, "'nolock'|'lock'"},
    {PLAIN("0:44", "nfs4", "rw,vers=4.2,hard,local_lock=all"), CSV_MOUNT_UNFIT,
     "'local_lock=all'|'local_lock=none'"},
    {PLAIN("0:44", "nfs4", "rw,vers=4.2,hard,local_lock=flock"), CSV_MOUNT_UNFIT,
     "'local_lock=flock'"},
    {PLAIN("0:44", "nfs4", "rw,vers=4.2,hard,local_lock=none,local_lock=posix"), CSV_MOUNT_UNFIT,
     "'local_lock=posix'"},
    {PLAIN("0:44", "nfs4", "rw,vers=4.2,hard,local_lock=nonesuch"), CSV_MOUNT_UNFIT,
     "'local_lock=nonesuch'"},
    {PLAIN("0:44", "nfs4", "rw,vers=4.2,hard"), CSV_MOUNT_UNFIT, "'local_lock=?'"},
    /* of one host */
    {PLAIN("254:0", "ext4", "rw,discard"), CSV_MOUNT_LOCAL, NULL},
    {PLAIN("8:1", "xfs", "rw"), CSV_MOUNT_LOCAL, NULL},
    {PLAIN("0:31", "btrfs", "rw"), CSV_MOUNT_LOCAL, NULL},
    {PLAIN("0:31", "overlay", "rw,lowerdir=/a:/b"), CSV_MOUNT_LOCAL, NULL},
    {PLAIN("0:31", "tmpfs", "rw,size=4k"), CSV_MOUNT_LOCAL, NULL},
    /* of a cluster, by whose locks */
    {PLAIN("0:50", "ceph", "rw"), CSV_MOUNT_SHARED, NULL},
    {PLAIN("0:50", "gpfs", "rw"), CSV_MOUNT_SHARED, NULL},
    {PLAIN("253:2", "gfs2", "rw"), CSV_MOUNT_SHARED, NULL},
    {PLAIN("253:2", "gfs2", "rw,lockproto=lock_dlm,locktable=c:x,acl"), CSV_MOUNT_SHARED, NULL},
    {PLAIN("253:2", "gfs2", "rw,localflocks"), CSV_MOUNT_UNFIT,
     "'localflocks'|without|'lockproto=lock_dlm'"},
    {PLAIN("253:2", "gfs2", "rw,lockproto=lock_dlm,localflocks,acl"), CSV_MOUNT_UNFIT,
     "'localflocks'|without"},
    {PLAIN("253:2", "gfs2", "rw,lockproto=lock_nolock,localflocks"), CSV_MOUNT_UNFIT,
     "'lockproto=lock_nolock'|'lockproto=lock_dlm'"},
    {PLAIN("253:2", "gfs2", "rw,lockproto=lock_nolock"), CSV_MOUNT_UNFIT, "=lock_nolock'"},
    {PLAIN("253:2", "gfs2", "rw,lockproto=lock_dlm,lockproto=lock_nolock"), CSV_MOUNT_UNFIT,
     "'lockproto=lock_nolock'"},
    {PLAIN("253:2", "gfs2", "rw,lockproto="), CSV_MOUNT_UNFIT, "'lockproto='"},
    {PLAIN("253:2", "ocfs2", "rw,heartbeat=none,coherency=full,cluster_stack=pcmk,user_xattr"),
     CSV_MOUNT_SHARED, NULL},
    {PLAIN("253:2", "ocfs2", "rw,heartbeat=none,localflocks,,cluster_stack=pcmk"), CSV_MOUNT_UNFIT,
     "'localflocks'|without"},
    {PLAIN("253:2", "ocfs2", "rw,_netdev,heartbeat=local"), CSV_MOUNT_UNFIT,
     "o2cb|'cluster_stack=pcmk'|tunefs.ocfs2"},
    {PLAIN("253:2", "ocfs2", "rw,_netdev,heartbeat=global,cluster_stack=o2cb"), CSV_MOUNT_UNFIT,
     "o2cb|'cluster_stack=pcmk'|tunefs.ocfs2"},
    {PLAIN("253:2", "ocfs2", "rw,heartbeat=none"), CSV_MOUNT_UNFIT, "or none|'cluster_stack=pcmk'"},
    {PLAIN("253:2", "ocfs2", "rw,cluster_stack="), CSV_MOUNT_UNFIT, "or none"},
    {PLAIN("0:50", "lustre", "rw,flock,user_xattr,lazystatfs"), CSV_MOUNT_SHARED, NULL},
    {PLAIN("0:50", "lustre", "rw,user_xattr"), CSV_MOUNT_UNFIT, "without 'flock'"},
    {PLAIN("0:50", "lustre", "rw,localflock"), CSV_MOUNT_UNFIT, "'localflock'|with 'flock'"},
    {PLAIN("0:50", "lustre", "rw,noflock"), CSV_MOUNT_UNFIT, "'noflock'|with 'flock'"},
    {PLAIN("0:50", "lustre", "rw,flock,localflock"), CSV_MOUNT_UNFIT, "'localflock'"},
    {PLAIN("0:50", "lustre", "rw,nolock,flock"), CSV_MOUNT_UNFIT, "'nolock'|with 'flock'"},
    /* others */
    {PLAIN("0:50", "fuse.glusterfs", "rw"), CSV_MOUNT_UNFIT, "on fuse.glusterfs|NFS 4.2"},
    {PLAIN("0:50", "fuse", "rw"), CSV_MOUNT_UNFIT, "on fuse"},
    {PLAIN("8:1", "fuseblk", "rw"), CSV_MOUNT_UNFIT, "on fuseblk"},
    {PLAIN("0:50", "cifs", "rw,vers=3.1.1,hard"), CSV_MOUNT_UNFIT, "on cifs"},
    {PLAIN("0:50", "9p", "rw"), CSV_MOUNT_UNFIT, "on 9p"},
    {PLAIN("0:50", "virtiofs", "rw"), CSV_MOUNT_UNFIT, "on virtiofs"},
    {PLAIN("0:50", "nfsd", "rw,vers=4.2,hard,local_lock=none"), CSV_MOUNT_UNFIT, "on nfsd"},
    {PLAIN("0:21", "proc", "rw"), CSV_MOUNT_UNFIT, "on proc"},
};

static void
test_verdicts(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(verdicts); i++) {
        g_autofree char *line = g_strdup(verdicts[i].line);
        g_auto(GStrv) says = g_strsplit(verdicts[i].says ? verdicts[i].says : "", "|", 0);
        struct csv_mount mount;
        char problem[192] = "";

        g_test_message("%s", verdicts[i].line);
        g_assert_true(csv_mount_parse(line, &mount));
        g_assert_cmpint(csv_mount_judge(&mount, problem, sizeof(problem)), ==, verdicts[i].kind);
        g_test_message("%s", problem);
        if (!verdicts[i].says)
            g_assert_cmpstr(problem, ==, "");
        for (char **piece = says; *piece; piece++)
            g_assert_nonnull(strstr(problem, *piece));
        g_assert_cmpuint(strlen(problem), <, sizeof(problem) - 1); /* nothing is cut off */
    }
}

static void
test_fields(void)
{
    /* the place looks like what comes behind it, and there are two optional fields */
    char line[] = "4294967295 1 8:17 /a\\040- /- rw master:1 propagate_from:2 - xfs - rw,noquota";
    struct csv_mount mount;

    g_assert_true(csv_mount_parse(line, &mount));
    g_assert_cmpuint(mount.id, ==, 4294967295);
    g_assert_true(mount.has_device);
    g_assert_cmpstr(mount.type, ==, "xfs");
    g_assert_cmpstr(mount.options, ==, "rw,noquota");
}

static void
test_no_lines(void)
{
    static const char *const lines[] = {
        "",
        "\n",
        " ",
        "27",
        "27 ",
        "27 1 8:1 / / rw",
        "27 1 8:1 / / rw -",
        "27 1 8:1 / / rw - ",
        "27 1 8:1 / / rw - ext4",
        "27 1 8:1 / / rw -  /dev/sda rw",
        "27 1 8:1 / / rw shared:1 ext4 /dev/sda rw",
        "27 1 8:1 / / rw - ext4 /dev/sda rw more",
        "27 1 8 / / rw - ext4 /dev/sda rw",
        "27 1 8: / / rw - ext4 /dev/sda rw",
        "27 1 :1 / / rw - ext4 /dev/sda rw",
        "27 1 8:1x / / rw - ext4 /dev/sda rw",
        "-27 1 8:1 / / rw - ext4 /dev/sda rw",
        "27x 1 8:1 / / rw - ext4 /dev/sda rw",
        "99999999999999999999999999 1 8:1 / / rw - ext4 /dev/sda rw",
        "- - - - - - - -",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autofree char *line = g_strdup(lines[i]);
        struct csv_mount mount;

        g_test_message("'%s'", lines[i]);
        g_assert_false(csv_mount_parse(line, &mount));
    }
}

/* However it is cut short, a line of NFS never becomes one that is taken. */
static void
test_cut_short(void)
{
    static const char whole[] = NFS4("4.2", "hard,");
    size_t taken = strstr(whole, "local_lock=none") + strlen("local_lock=none") - whole;

    for (size_t length = 0; length < sizeof(whole); length++) {
        g_autofree char *line = g_strndup(whole, length);
        struct csv_mount mount;
        char problem[192];

        if (csv_mount_parse(line, &mount) &&
            csv_mount_judge(&mount, problem, sizeof(problem)) != CSV_MOUNT_UNFIT)
            g_assert_cmpuint(length, >=, taken);
    }
}

/* ---- of real directories ---- */

static void
test_refused(void)
{
    static const struct csv_format_options options = {.name = "share"};
    struct csv_volume *volume = NULL;
    struct csv_error error;

    g_assert_cmpint(csv_format("/proc/self", &options, NULL, &error), ==, CSV_E_MOUNT);
    g_test_message("%s", error.text);
    g_assert_nonnull(strstr(error.text, "/proc/self is on proc: "));
    g_assert_cmpint(csv_open("/proc/self", 0, &volume, &error), ==, CSV_E_MOUNT);
    /* who only looks is told what is there */
    g_assert_cmpint(csv_open("/proc/self", CSV_OPEN_READ_ONLY, &volume, &error), ==,
                    CSV_E_NO_VOLUME);
    g_assert_null(volume);
}

static void
test_local(void)
{
    g_autofree char *path = disk_directory_make("csv-mount-XXXXXX");
    g_autofree char *link = NULL;
    bool is_local = false;
    int fd;

    link = g_strconcat(path, "/link", NULL);
    g_assert_cmpint(symlink(path, link), ==, 0);
    fd = open(link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    assert_ok(csv_mount_check(fd, link, &is_local, error));
    g_assert_true(is_local);
    close(fd);
    g_unlink(link);
    g_rmdir(path);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/csv/mount/verdicts", test_verdicts);
    g_test_add_func("/csv/mount/fields", test_fields);
    g_test_add_func("/csv/mount/no-lines", test_no_lines);
    g_test_add_func("/csv/mount/cut-short", test_cut_short);
    g_test_add_func("/csv/mount/refused", test_refused);
    g_test_add_func("/csv/mount/local", test_local);
    return g_test_run();
}
