/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - the lab's virtual machine is this one program, as its init. */

/*
 * It runs twice: first from the initrd, where it loads the virtio modules and goes over to the
 * disk, then from the disk as pid 1. There it answers clients (echo, HTTP), dirties memory and
 * writes records, and powers off when told to. One program instead of a distribution, because a
 * guest under emulation has to be up in a few seconds.
 */
#include "guest/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DISK         "/dev/vda"
#define DISK_WAIT_MS 10000
#define MAX_INPUTS   8

struct guest_facts guest_facts = {.name = "guest"};

uint64_t
guest_monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

uint64_t
guest_wall_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void
guest_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 << 10);
    if (pthread_create(&thread, &attr, fn, arg))
        fprintf(stderr, "lab-guest: cannot start a thread\n");
    pthread_attr_destroy(&attr);
}

int
guest_listen(int type, int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
        (type == SOCK_STREAM && listen(fd, 16))) {
        fprintf(stderr, "lab-guest: cannot listen on port %d: %s\n", port, strerror(errno));
        return -1;
    }
    return fd;
}

static void
load_modules(void)
{
    char name[256];
    FILE *list = fopen("/modules/list", "re");

    while (list && fgets(name, sizeof(name), list)) {
        char path[300];
        int fd;

        name[strcspn(name, "\n")] = '\0';
        snprintf(path, sizeof(path), "/modules/%s", name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
            fprintf(stderr, "lab-guest: module %s: %s\n", name, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    if (list)
        fclose(list);
}

/* From the initrd to the disk; returns only on failure. */
static void
enter_disk(void)
{
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    for (int ms = 0; access(DISK, F_OK) && ms < DISK_WAIT_MS; ms++)
        usleep(1000);
    if (mount(DISK, "/disk", "ext4", MS_NOATIME, NULL) ||
        mount("/dev", "/disk/dev", NULL, MS_MOVE, NULL) || chdir("/disk") ||
        mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".")) {
        fprintf(stderr, "lab-guest: cannot go over to %s: %s\n", DISK, strerror(errno));
        return;
    }
    execl("/sbin/init", "init", (char *)NULL);
    fprintf(stderr, "lab-guest: no /sbin/init on the disk: %s\n", strerror(errno));
}

static void
read_line(const char *path, char *buf, size_t size)
{
    FILE *f = fopen(path, "re");

    if (f && fgets(buf, size, f))
        buf[strcspn(buf, "\n")] = '\0';
    if (f)
        fclose(f);
}

static void
learn_facts(void)
{
    const char *p = guest_facts.boot_id_text;

    read_line("/proc/sys/kernel/random/boot_id", guest_facts.boot_id_text,
              sizeof(guest_facts.boot_id_text));
    for (int i = 0; i < 16 && *p; i++) {
        unsigned byte = 0;

        if (*p == '-')
            p++;
        if (sscanf(p, "%2x", &byte) != 1)
            break;
        guest_facts.boot_id[i] = byte;
        p += 2;
    }
    /* The domain's XML tells the name this way. */
    read_line("/sys/class/dmi/id/product_serial", guest_facts.name, sizeof(guest_facts.name));
}

static void
start_shell(void)
{
    if (fork() == 0) {
        setsid();
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        if (open("/dev/ttyS0", O_RDWR) == 0 && dup(0) == 1 && dup(0) == 2)
            execl("/bin/busybox", "sh", (char *)NULL);
        _exit(1);
    }
}

static void
power_off(void)
{
    writer_shutdown();
    sync();
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

static volatile int wants_off;

void
guest_power_off(void)
{
    wants_off = 1;
}

/* Pid 1's own work from now on: the power button, and reaping. */
static void
watch_power_button(void)
{
    struct pollfd fds[MAX_INPUTS];
    int n = 0;
    char path[64];

    for (int i = 0; i < MAX_INPUTS; i++) {
        snprintf(path, sizeof(path), "/dev/input/event%d", i);
        fds[n].fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        fds[n].events = POLLIN;
        if (fds[n].fd >= 0)
            n++;
    }
    for (;;) {
        struct input_event event;

        if (poll(fds, n, 1000) < 0 && errno != EINTR)
            sleep(1);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (wants_off)
            power_off();
        for (int i = 0; i < n; i++)
            while (read(fds[i].fd, &event, sizeof(event)) == sizeof(event))
                if (event.type == EV_KEY && event.code == KEY_POWER && event.value)
                    power_off();
    }
}

int
main(int argc, char **argv)
{
    struct stat st;

    (void)argc;
    (void)argv;
    if (stat("/modules/list", &st) == 0) {
        enter_disk();
        sleep(3);
        return 1;
    }
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    signal(SIGPIPE, SIG_IGN);
    learn_facts();
    net_start();
    writer_start();
    http_start();
    printf("lab-guest: %s ready after %.2f s\n", guest_facts.name, guest_monotonic_ns() / 1e9);
    fflush(stdout);
    start_shell();
    watch_power_button();
}
