/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-init-dev.c - A machine's own /dev. */

/*
 * The kernel has one devtmpfs for all, so /dev/lab, /dev/csv and /dev/mapper in it would be shared
 * by all machines and left over on the host. A tmpfs with just the needed nodes keeps them apart
 * and goes away with the mount namespace. Loop nodes are made beforehand: the kernel adds new ones
 * to devtmpfs only.
 */
#include "lab-init.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEV_NEW    "/dev/shm"
#define LOOP_MAJOR 7
#define LOOP_NODES 256

/* No watchdog here: a lab machine must not be able to reset the host. */
static const char *const wanted[] = {"null", "zero",    "full",         "random", "urandom", "tty",
                                     "kvm",  "net/tun", "loop-control", "fuse",   "hwrng",   NULL};

static void
make_dir(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), DEV_NEW "/%s", name);
    if (mkdir(path, 0755) && errno != EEXIST)
        lab_die("cannot make %s", path);
}

static void
make_node(const char *name, mode_t mode, dev_t dev)
{
    char path[256];

    snprintf(path, sizeof(path), DEV_NEW "/%s", name);
    if (mknod(path, mode, dev) || chmod(path, mode & 07777))
        lab_die("cannot make %s", path);
}

void
lab_dev_setup(void)
{
    static const char *const dirs[] = {"pts", "shm", "net", "lab", "csv", "mapper", NULL};
    char name[64];
    struct stat st;

    /* Built on top of /dev/shm while the host's /dev is still to be seen, then moved over /dev. */
    if (mount("tmpfs", DEV_NEW, "tmpfs", MS_NOSUID, "mode=755"))
        lab_die("cannot mount a tmpfs on %s", DEV_NEW);
    for (int i = 0; dirs[i]; i++)
        make_dir(dirs[i]);
    for (int i = 0; wanted[i]; i++) {
        snprintf(name, sizeof(name), "/dev/%s", wanted[i]);
        if (stat(name, &st) == 0)
            make_node(wanted[i], st.st_mode, st.st_rdev);
    }
    if (stat("/dev/mapper/control", &st) == 0)
        make_node("mapper/control", st.st_mode, st.st_rdev);
    for (int i = 0; i < LOOP_NODES; i++) {
        snprintf(name, sizeof(name), "loop%d", i);
        make_node(name, S_IFBLK | 0600, makedev(LOOP_MAJOR, i));
    }
    if (symlink("pts/ptmx", DEV_NEW "/ptmx") || symlink("/proc/self/fd", DEV_NEW "/fd") ||
        symlink("/proc/self/fd/0", DEV_NEW "/stdin") ||
        symlink("/proc/self/fd/1", DEV_NEW "/stdout") ||
        symlink("/proc/self/fd/2", DEV_NEW "/stderr"))
        lab_die("cannot make links in %s", DEV_NEW);
    if (mount(DEV_NEW, "/dev", NULL, MS_MOVE, NULL))
        lab_die("cannot move the new /dev into place");
    if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=620"))
        lab_die("cannot mount /dev/pts");
    if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL))
        lab_die("cannot mount /dev/shm");
}
