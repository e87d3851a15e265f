/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-loops.c - finds. */

/*
 * lab-loops: finds, and with --detach frees, the loop devices that stand on given files or loop
 * devices.
 *
 * Image devices are loops over the LUN's loop, so a chain must be followed down to its file. Chains
 * are followed by device and inode numbers as the kernel knows them, not by paths: those mean
 * nothing outside of a machine's mount namespace, and foreign loop devices must never be hit.
 * Highest ones come first, so that detaching goes from the top down.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAX_LOOPS 1024
#ifndef LOOP_MAJOR
#define LOOP_MAJOR 7
#endif
#define MAX_DEPTH       8
#define DETACH_TRIES    200
#define DETACH_PAUSE_US 10000

struct loop {
    int minor;
    int depth; /* 0 = not ours, 1 = directly on a root */
    unsigned long long dev, ino, rdev;
};

static struct loop loops[MAX_LOOPS];
static int n_loops;

static void
scan(void)
{
    char name[32];
    struct loop_info64 info;
    struct stat st;

    for (int i = 0; i < MAX_LOOPS && n_loops < MAX_LOOPS; i++) {
        int fd;

        snprintf(name, sizeof(name), "/dev/loop%d", i);
        /* Only existing ones: opening an unknown minor could make the kernel create it. */
        if (stat(name, &st) || !S_ISBLK(st.st_mode))
            continue;
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (ioctl(fd, LOOP_GET_STATUS64, &info) == 0) {
            struct loop *l = &loops[n_loops++];

            l->minor = i;
            l->dev = info.lo_device;
            l->ino = info.lo_inode;
            l->rdev = info.lo_rdevice;
        }
        close(fd);
    }
}

/* Marks what stands on `root`: a regular file, or a loop device (which is then not part of the
 * answer itself). */
static void
mark(const char *root)
{
    struct stat st;

    if (stat(root, &st)) {
        fprintf(stderr, "lab-loops: cannot look at %s: %s\n", root, strerror(errno));
        exit(1);
    }
    for (int i = 0; i < n_loops; i++) {
        struct loop *l = &loops[i];

        if (S_ISBLK(st.st_mode) ? l->rdev == st.st_rdev
                                : l->dev == st.st_dev && l->ino == st.st_ino)
            l->depth = 1;
    }
}

static void
follow(void)
{
    for (int depth = 1; depth < MAX_DEPTH; depth++)
        for (int i = 0; i < n_loops; i++)
            for (int j = 0; j < n_loops; j++)
                if (loops[i].depth == depth && !loops[j].depth &&
                    loops[j].rdev == makedev(LOOP_MAJOR, loops[i].minor))
                    loops[j].depth = depth + 1;
}

/* A process killed just now may still be letting go of the device: be patient for two seconds. */
static int
detach(int minor)
{
    char name[32];
    struct loop_info64 info;

    snprintf(name, sizeof(name), "/dev/loop%d", minor);
    for (int i = 0; i < DETACH_TRIES; i++) {
        int fd = open(name, O_RDONLY | O_CLOEXEC), rc;

        if (fd < 0)
            return -1;
        ioctl(fd, LOOP_CLR_FD, 0);
        close(fd);
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return -1;
        rc = ioctl(fd, LOOP_GET_STATUS64, &info);
        close(fd);
        if (rc && errno == ENXIO)
            return 0;
        usleep(DETACH_PAUSE_US);
    }
    fprintf(stderr, "lab-loops: %s stays busy\n", name);
    return -1;
}

int
main(int argc, char **argv)
{
    int detaching = argc > 1 && !strcmp(argv[1], "--detach"), failed = 0;

    scan();
    for (int i = 1 + detaching; i < argc; i++)
        mark(argv[i]);
    follow();
    for (int depth = MAX_DEPTH; depth > 0; depth--)
        for (int i = 0; i < n_loops; i++) {
            if (loops[i].depth != depth)
                continue;
            printf("/dev/loop%d\n", loops[i].minor);
            if (detaching && detach(loops[i].minor))
                failed = 1;
        }
    return failed;
}
