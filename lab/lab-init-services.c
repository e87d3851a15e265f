/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-init-services.c - The services of a lab machine. */

/*
 * A table file names them, one a line: NAME|once, respawn or manual|GATE or -|COMMAND. A service
 * starts when its gate, a path, exists: that is the order of start. Only "respawn" ones come back
 * by themselves, after a growing pause, and not when stopped by command; the others stay dead, as
 * tests want to look at just that. A service is signalled alone, never its group: QEMU must outlive
 * libvirtd.
 */
#include "lab-init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SERVICES 16
#define STOP_MS      10000
#define BACKOFF_MS   200
#define BACKOFF_MAX  5000
#define STEADY_MS    10000 /* one that ran this long starts again without delay */
#define GATE_POLL_MS 20
#define REPLY_SIZE   4096

struct service {
    char name[32];
    char gate[128];
    char command[1024];
    int respawn;
    int manual; /* started by command only */
    int wanted;
    pid_t pid; /* 0 = not running */
    int starts;
    int last_status;
    long long started_ms;
    long long not_before_ms;
    int backoff_ms;
};

static struct service services[MAX_SERVICES];
static int n_services;

static long long
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void
lab_services_load(const char *path)
{
    char line[2048], kind[16];
    FILE *f = fopen(path, "re");

    if (!f)
        lab_die("cannot read %s", path);
    while (fgets(line, sizeof(line), f)) {
        struct service *s = &services[n_services];

        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (n_services == MAX_SERVICES || sscanf(line, "%31[^|]|%15[^|]|%127[^|]|%1023[^\n]",
                                                 s->name, kind, s->gate, s->command) != 4) {
            errno = 0;
            lab_die("bad line in %s: %s", path, line);
        }
        s->respawn = !strcmp(kind, "respawn");
        s->manual = !strcmp(kind, "manual");
        s->backoff_ms = BACKOFF_MS;
        n_services++;
    }
    fclose(f);
}

static void
start_service(struct service *s)
{
    char log[128];
    sigset_t none;
    int fd;
    pid_t pid = fork();

    if (pid < 0)
        return; /* tried again on the next round */
    if (pid == 0) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        snprintf(log, sizeof(log), "/var/log/%s.out", s->name);
        fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (fd >= 0) {
            dup2(fd, 1);
            dup2(fd, 2);
        }
        execl("/bin/sh", "sh", "-c", s->command, (char *)NULL);
        _exit(127);
    }
    s->pid = pid;
    s->starts++;
    s->started_ms = now_ms();
}

/* Reaps services and orphans alike; a service that fell over is planned anew where it should be. */
static void
reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < n_services; i++) {
            struct service *s = &services[i];

            if (s->pid != pid)
                continue;
            s->pid = 0;
            s->last_status = status;
            if (!s->respawn)
                s->wanted = 0;
            if (now_ms() - s->started_ms >= STEADY_MS)
                s->backoff_ms = BACKOFF_MS;
            s->not_before_ms = now_ms() + s->backoff_ms;
            s->backoff_ms = s->backoff_ms * 2 < BACKOFF_MAX ? s->backoff_ms * 2 : BACKOFF_MAX;
        }
    }
}

/* Starts what is due; returns after how many ms to look again, -1 for no need. */
static int
start_due(void)
{
    int wait = -1;

    for (int i = 0; i < n_services; i++) {
        struct service *s = &services[i];

        if (!s->wanted || s->pid)
            continue;
        if (now_ms() >= s->not_before_ms && (s->gate[0] == '-' || access(s->gate, F_OK) == 0))
            start_service(s);
        if (!s->pid)
            wait = GATE_POLL_MS;
    }
    return wait;
}

static void
stop_service(struct service *s, int sig)
{
    long long until = now_ms() + STOP_MS;

    s->wanted = 0;
    if (s->pid)
        kill(s->pid, sig);
    while (s->pid) {
        usleep(5000);
        reap();
        if (s->pid && now_ms() > until)
            kill(s->pid, SIGKILL);
    }
}

static void
want(struct service *s)
{
    s->wanted = 1;
    s->not_before_ms = 0;
    s->backoff_ms = BACKOFF_MS;
}

static void
format_status(char *reply, const char *name)
{
    size_t used = 0;

    for (int i = 0; i < n_services; i++) {
        const struct service *s = &services[i];
        const char *state = s->pid ? "running" : s->wanted ? "waiting" : "stopped";

        if (name[0] != '-' && strcmp(name, s->name))
            continue;
        used += snprintf(reply + used, REPLY_SIZE - used, "%s %s %d starts=%d last=0x%x\n", s->name,
                         state, s->pid, s->starts, s->last_status);
    }
}

static void
handle_command(const char *cmd, const char *name, char *reply)
{
    struct service *s = NULL;

    for (int i = 0; i < n_services; i++)
        if (!strcmp(services[i].name, name))
            s = &services[i];
    snprintf(reply, REPLY_SIZE, "ok\n");
    if (!strcmp(cmd, "go")) {
        for (int i = 0; i < n_services; i++)
            if (!services[i].starts && !services[i].manual)
                services[i].wanted = 1;
    } else if (!strcmp(cmd, "status") && (s || name[0] == '-')) {
        reply[0] = '\0';
        format_status(reply, name);
    } else if (!s) {
        snprintf(reply, REPLY_SIZE, "error: no service '%s' here\n", name);
    } else if (!strcmp(cmd, "start")) {
        want(s);
    } else if (!strcmp(cmd, "stop")) {
        stop_service(s, SIGTERM);
    } else if (!strcmp(cmd, "restart")) {
        stop_service(s, SIGTERM);
        want(s);
    } else if (!strcmp(cmd, "kill")) {
        int again = s->respawn && s->wanted;

        stop_service(s, SIGKILL);
        s->wanted = again; /* a crash, not an order to stay away */
    } else {
        snprintf(reply, REPLY_SIZE, "error: unknown command '%s'\n", cmd);
    }
}

static void
serve(int listen_fd)
{
    char line[128] = "", cmd[32] = "", name[32] = "-", reply[REPLY_SIZE];
    struct timeval limit = {.tv_sec = 1};
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (read(fd, line, sizeof(line) - 1) > 0 && sscanf(line, "%31s %31s", cmd, name) >= 1) {
        handle_command(cmd, name, reply);
        if (write(fd, reply, strlen(reply)) < 0)
            fprintf(stderr, "lab-init: nobody took the answer to '%s'\n", cmd);
    }
    close(fd);
}

static int
open_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8))
        lab_die("cannot listen on %s", path);
    return fd;
}

void
lab_services_run(const char *socket_path, int ready_fd)
{
    struct pollfd fds[2] = {{.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    struct signalfd_siginfo info;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fds[0].fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (socket_path)
        fds[1].fd = open_socket(socket_path);
    if (write(ready_fd, "", 1) != 1)
        _exit(1);
    close(ready_fd);

    for (;;) {
        int wait;

        reap();
        wait = start_due();
        if (poll(fds, 2, wait) < 0 && errno != EINTR)
            lab_die("cannot poll");
        while (read(fds[0].fd, &info, sizeof(info)) > 0)
            ;
        if (fds[1].revents)
            serve(fds[1].fd);
    }
}
