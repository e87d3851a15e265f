/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-init.c - pid 1 of a lab machine. */

/*
 * "start" makes the namespaces of one machine (mount, pid, net, uts, ipc), records the pid 1 in
 * them and returns as soon as that one is set up. Pid 1 then owns the machine: it runs its services
 * and reaps what is orphaned (libvirt waits 40 s for a QEMU that stays a zombie). Because it is pid
 * 1 of a pid namespace, a SIGKILL to it takes every process of the machine with it at once: a
 * pulled plug.
 *
 * "ctl" talks to a running one over its socket.
 */
#include "lab-init.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct options {
    const char *pidfile;
    const char *log;
    const char *hostname;
    const char *setup;
    const char *services;
    const char *socket;
    int private_dev;
};

void
lab_die(const char *fmt, ...)
{
    va_list ap;
    int err = errno;

    va_start(ap, fmt);
    fputs("lab-init: ", stderr);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    if (err)
        fprintf(stderr, ": %s", strerror(err));
    fputc('\n', stderr);
    exit(1);
}

/* The pid file proves later that a pid is still ours: pid, start time in ticks and the boot it
 * belongs to. */
static void
write_pidfile(const char *path, pid_t pid)
{
    char name[64], stat[1024], boot[64] = "", tmp[4096];
    const char *p;
    unsigned long long start = 0;
    FILE *f;

    snprintf(name, sizeof(name), "/proc/%d/stat", pid);
    f = fopen(name, "re");
    if (!f || !fgets(stat, sizeof(stat), f))
        lab_die("cannot read %s", name);
    fclose(f);
    p = strrchr(stat, ')'); /* field 2 may hold anything, so count from its end */
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (!p || sscanf(p, "%llu", &start) != 1)
        lab_die("cannot parse %s", name);

    f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f || fscanf(f, "%63s", boot) != 1)
        lab_die("cannot read the boot id");
    fclose(f);

    snprintf(tmp, sizeof(tmp), "%s.new", path);
    f = fopen(tmp, "we");
    if (!f || fprintf(f, "%d %llu %s\n", pid, start, boot) < 0 || fclose(f))
        lab_die("cannot write %s", tmp);
    if (rename(tmp, path))
        lab_die("cannot rename %s", tmp);
}

static void
run_setup(const char *script)
{
    int status;
    pid_t pid = fork();

    if (pid < 0)
        lab_die("cannot fork");
    if (pid == 0) {
        execl("/bin/bash", "bash", script, (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        errno = 0;
        lab_die("%s failed with status 0x%x", script, status);
    }
}

/* Runs as pid 1. Nothing inherited may stay open: an inherited lock file would be held for the
 * machine's whole life. */
static void
machine_main(const struct options *o, int go, int ready)
{
    char byte;
    int fd;

    if (read(go, &byte, 1) != 1)
        _exit(1); /* the recorder died before it had recorded us */
    setsid();
    if (dup2(go, 3) != 3 || dup2(ready, 4) != 4)
        _exit(1);
    syscall(SYS_close_range, 5U, ~0U, 0);
    close(3);
    fcntl(4, F_SETFD, FD_CLOEXEC);

    fd = open(o->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        lab_die("cannot open %s", o->log);
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    dup2(fd, 1);
    dup2(fd, 2);

    if (sethostname(o->hostname, strlen(o->hostname)))
        lab_die("cannot set the host name");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        lab_die("cannot make the mounts private");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        lab_die("cannot mount /proc");
    if (o->private_dev)
        lab_dev_setup();
    if (o->services)
        lab_services_load(o->services);
    if (o->setup)
        run_setup(o->setup);
    if (chdir("/"))
        lab_die("cannot go to /");
    lab_services_run(o->socket, 4);
}

static int
cmd_start(int argc, char **argv)
{
    static const struct option longs[] = {{"pidfile", 1, NULL, 'p'},     {"log", 1, NULL, 'l'},
                                          {"hostname", 1, NULL, 'h'},    {"setup", 1, NULL, 's'},
                                          {"services", 1, NULL, 't'},    {"socket", 1, NULL, 'c'},
                                          {"private-dev", 0, NULL, 'd'}, {NULL, 0, NULL, 0}};
    struct options o = {0};
    int opt, go[2], ready[2];
    char byte = 0;
    pid_t pid;

    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'p':
            o.pidfile = optarg;
            break;
        case 'l':
            o.log = optarg;
            break;
        case 'h':
            o.hostname = optarg;
            break;
        case 's':
            o.setup = optarg;
            break;
        case 't':
            o.services = optarg;
            break;
        case 'c':
            o.socket = optarg;
            break;
        case 'd':
            o.private_dev = 1;
            break;
        default:
            return 2;
        }
    }
    if (!o.pidfile || !o.log || !o.hostname)
        lab_die("start needs --pidfile, --log and --hostname");

    if (pipe2(go, O_CLOEXEC) || pipe2(ready, O_CLOEXEC))
        lab_die("cannot make a pipe");
    if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC))
        lab_die("cannot make namespaces");
    pid = fork();
    if (pid < 0)
        lab_die("cannot fork");
    if (pid == 0) {
        close(go[1]);
        close(ready[0]);
        machine_main(&o, go[0], ready[1]);
        _exit(1);
    }
    close(ready[1]);
    write_pidfile(o.pidfile, pid);
    if (write(go[1], &byte, 1) != 1 || read(ready[0], &byte, 1) != 1) {
        errno = 0;
        lab_die("%s did not come up, see %s", o.hostname, o.log);
    }
    return 0;
}

static int
cmd_ctl(int argc, char **argv)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char buf[4096];
    ssize_t n;
    int fd, failed = 0, first = 1, dirfd;
    char *base;

    if (argc < 3 || argc > 4)
        lab_die("usage: lab-init ctl SOCKET COMMAND [SERVICE]");
    /* A socket's path is limited to 107 bytes, a lab's directory is not: go to the directory first.
     */
    base = strrchr(argv[1], '/');
    if (base) {
        *base++ = '\0';
        dirfd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dirfd < 0 || fchdir(dirfd))
            lab_die("cannot reach %s", argv[1]);
    } else {
        base = argv[1];
    }
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", base);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
        lab_die("cannot reach the machine's pid 1");
    n = snprintf(buf, sizeof(buf), "%s %s\n", argv[2], argc > 3 ? argv[3] : "-");
    if (write(fd, buf, n) != n)
        lab_die("cannot send");
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        if (first && n >= 6 && !memcmp(buf, "error:", 6))
            failed = 1;
        first = 0;
        fwrite(buf, 1, n, failed ? stderr : stdout);
    }
    return failed;
}

int
main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "start"))
        return cmd_start(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "ctl"))
        return cmd_ctl(argc - 1, argv + 1);
    fputs("usage: lab-init start --pidfile F --log F --hostname H [--setup SCRIPT] [--services "
          "TABLE]\n"
          "                      [--socket PATH] [--private-dev]\n"
          "       lab-init ctl SOCKET go|status|start|stop|restart|kill [SERVICE]\n",
          stderr);
    return 2;
}
