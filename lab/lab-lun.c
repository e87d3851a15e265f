/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-lun.c - one node's way to a LUN, that can be made to stall or to fail. */

/*
 * A FUSE filesystem that is one file, mounted over a file: what is read and written there is read
 * and written in the LUN's file, with direct I/O. A node's loop device stands on it, so one node
 * can lose a LUN that all others have. It speaks FUSE's protocol itself (linux/fuse.h): of a
 * filesystem that is one file there is too little to need a library.
 *
 * The first byte of the mode file says how the way is: 'o' all is well; 's' stalled, requests wait,
 * also those that have arrived already; 'e' they fail with EIO, also those that wait. The byte is
 * shared memory, so it counts from the moment it is written. Requests that waited are done when it
 * is 'o' again, as a SAN does after an outage: late, and in any order.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define THREADS    16
#define MAX_BYTES  (1 << 20)
#define PAGE       4096
#define STALL_US   5000
#define LONG_S     1000000
#define BACKGROUND 64

static int fuse_fd, lun_fd;
static const volatile char *mode;

/* What is longer than head goes on in data, aligned: the data of a write does. */
struct request {
    struct {
        struct fuse_in_header in;
        union {
            struct fuse_write_in write;
            struct fuse_read_in read;
            struct fuse_init_in init; /* its newer fields lie in data */
            char bytes[sizeof(struct fuse_write_in)];
        } u;
    } head;
    char *data;
};
#define HEAD_BYTES (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

static void
die(const char *what)
{
    fprintf(stderr, "lab-lun: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void
answer(const struct request *r, int error, const void *body, size_t bytes)
{
    struct fuse_out_header out = {.error = -error, .unique = r->head.in.unique};
    struct iovec iov[2] = {{&out, sizeof(out)}, {(void *)body, error ? 0 : bytes}};

    out.len = iov[0].iov_len + iov[1].iov_len;
    if (writev(fuse_fd, iov, 2) < 0 && errno != ENOENT)
        fprintf(stderr, "lab-lun: an answer is not taken: %s\n", strerror(errno));
}

static void
answer_init(const struct request *r)
{
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = 31,
        .max_readahead = r->head.u.init.max_readahead,
        .flags = (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_MAX_PAGES) &
                 r->head.u.init.flags,
        .max_background = BACKGROUND,
        .congestion_threshold = BACKGROUND,
        .max_write = MAX_BYTES,
        .time_gran = 1,
        .max_pages = MAX_BYTES / PAGE,
    };

    answer(r, 0, &out, sizeof(out));
}

static void
answer_attr(const struct request *r)
{
    struct fuse_attr_out out = {.attr_valid = LONG_S};
    struct stat st;

    if (fstat(lun_fd, &st)) {
        answer(r, EIO, NULL, 0);
        return;
    }
    out.attr.ino = FUSE_ROOT_ID;
    out.attr.size = st.st_size;
    out.attr.blocks = st.st_blocks;
    out.attr.mode = S_IFREG | 0600;
    out.attr.nlink = 1;
    out.attr.blksize = PAGE;
    answer(r, 0, &out, sizeof(out));
}

/* 0, or EIO. Waits as long as the way is stalled. */
static int
pass(void)
{
    while (*mode == 's')
        usleep(STALL_US);
    return *mode == 'o' ? 0 : EIO;
}

static void
do_io(struct request *r)
{
    int error = pass();
    ssize_t n = 0;

    if (!error && r->head.in.opcode == FUSE_READ)
        n = pread(lun_fd, r->data, r->head.u.read.size, r->head.u.read.offset);
    else if (!error)
        n = pwrite(lun_fd, r->data, r->head.u.write.size, r->head.u.write.offset);
    if (n < 0)
        error = errno;
    if (r->head.in.opcode == FUSE_READ) {
        answer(r, error, r->data, error ? 0 : (size_t)n);
    } else {
        struct fuse_write_out out = {.size = error ? 0 : (uint32_t)n};

        answer(r, error, &out, sizeof(out));
    }
}

static void
do_fallocate(struct request *r)
{
    const struct fuse_fallocate_in *in = (const void *)r->head.u.bytes;
    int error = pass();

    if (!error && fallocate(lun_fd, (int)in->mode, in->offset, in->length))
        error = errno;
    answer(r, error, NULL, 0);
}

static void
do_fsync(struct request *r)
{
    int error = pass();

    if (!error && fdatasync(lun_fd))
        error = errno;
    answer(r, error, NULL, 0);
}

static void
serve_one(struct request *r)
{
    struct fuse_open_out opened = {.open_flags = FOPEN_KEEP_CACHE};
    struct fuse_statfs_out statfs = {.st = {.bsize = PAGE, .namelen = 255, .frsize = PAGE}};

    switch (r->head.in.opcode) {
    case FUSE_INIT:
        answer_init(r);
        break;
    case FUSE_GETATTR:
    case FUSE_SETATTR: /* of times: nobody looks at them */
        answer_attr(r);
        break;
    case FUSE_OPEN:
        answer(r, 0, &opened, sizeof(opened));
        break;
    case FUSE_READ:
    case FUSE_WRITE:
        do_io(r);
        break;
    case FUSE_FSYNC:
        do_fsync(r);
        break;
    case FUSE_FALLOCATE:
        do_fallocate(r);
        break;
    case FUSE_STATFS:
        answer(r, 0, &statfs, sizeof(statfs));
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_DESTROY:
        answer(r, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; /* no answer is wanted */
    default:
        answer(r, ENOSYS, NULL, 0);
    }
}

static void *
serve(void *arg)
{
    struct request r;
    struct iovec iov[2] = {{&r.head, HEAD_BYTES}, {NULL, MAX_BYTES + PAGE}};

    (void)arg;
    if (posix_memalign((void **)&r.data, PAGE, MAX_BYTES + PAGE))
        die("no memory");
    iov[1].iov_base = r.data;
    for (;;) {
        ssize_t n = readv(fuse_fd, iov, 2);

        if (n < 0 && errno == ENODEV)
            exit(0); /* unmounted */
        if (n < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
            die("cannot read requests");
        if (n >= (ssize_t)sizeof(struct fuse_in_header))
            serve_one(&r);
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    char options[128];
    int fd;

    _Static_assert(offsetof(struct request, data) >= HEAD_BYTES, "a head is as long as it says");
    if (argc != 4) {
        fputs(
            "usage: lab-lun LUN MOUNTPOINT MODEFILE   both are files; serves until it is ended or "
            "unmounted\n",
            stderr);
        return 2;
    }
    lun_fd = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
    if (lun_fd < 0)
        die(argv[1]);
    fd = open(argv[3], O_RDONLY | O_CLOEXEC);
    mode = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    if (mode == MAP_FAILED)
        die(argv[3]);
    fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse_fd < 0)
        die("/dev/fuse");
    snprintf(options, sizeof(options), "fd=%d,rootmode=100600,user_id=0,group_id=0,max_read=%d",
             fuse_fd, MAX_BYTES);
    if (mount("lab-lun", argv[2], "fuse.lab-lun", MS_NOSUID | MS_NODEV, options))
        die(argv[2]);
    for (int i = 1; i < THREADS; i++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, serve, NULL))
            die("cannot make a thread");
    }
    serve(NULL);
    return 0;
}
