/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-qemu.c - one live migration from QEMU to QEMU over QMP, with nobody in between. */
/*
 * The bandwidth is the only thing set: without a limit, as libvirt sends. The downtime limit stays
 * QEMU's own, 300 ms. Prints one line of JSON with milliseconds: start (the receiving QEMU, until
 * it listens), migrate (from the command until the guest runs there and the sender is done), when
 * the guest stopped and ran again (since 1970), and what QEMU itself has to say. The sender is told
 * to quit afterwards, outside of what is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_TRIES 5000 /* of 1 ms */

extern char **environ;

struct qmp {
    FILE *in;
    int fd;
    char line[65536];
};

static _Noreturn void
die(const char *what, const char *detail)
{
    fprintf(stderr, "bench-qemu: %s: %s\n", what, detail);
    exit(1);
}

static double
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void
next_line(struct qmp *qmp)
{
    if (!fgets(qmp->line, sizeof(qmp->line), qmp->in))
        die("QMP", "a QEMU has gone");
    if (strstr(qmp->line, "\"failed\"") || strstr(qmp->line, "\"error\":"))
        die("QEMU says", qmp->line);
}

/* Reads on until a line holds all of what is wanted (the second may be NULL). */
static void
wait_line(struct qmp *qmp, const char *first, const char *second)
{
    do
        next_line(qmp);
    while (!strstr(qmp->line, first) || (second && !strstr(qmp->line, second)));
}

__attribute__((format(printf, 2, 3))) static void
command(struct qmp *qmp, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vdprintf(qmp->fd, format, args);
    va_end(args);
    wait_line(qmp, "\"return\"", NULL);
}

static void
open_qmp(struct qmp *qmp, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int tries = 0;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    for (;;) {
        qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(qmp->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            break;
        close(qmp->fd);
        if (++tries == CONNECT_TRIES)
            die(path, strerror(errno));
        usleep(1000);
    }
    qmp->in = fdopen(qmp->fd, "r");
    if (!qmp->in)
        die(path, strerror(errno));
    command(qmp, "{\"execute\":\"qmp_capabilities\"}");
    command(qmp, "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":"
                 "[{\"capability\":\"events\",\"state\":true}]}}");
}

/* It stays when we have gone. */
static void
start_target(char **argv)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, 0, 1);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ))
        die(argv[0], "the receiving QEMU does not start");
    posix_spawn_file_actions_destroy(&actions);
}

static double
number(const char *line, const char *key)
{
    const char *at = strstr(line, key);

    return at ? strtod(at + strlen(key), NULL) : -1;
}

/* "timestamp": {"seconds": S, "microseconds": U} of an event */
static double
stamp_ms(const char *line)
{
    return number(line, "\"seconds\": ") * 1e3 + number(line, "\"microseconds\": ") / 1e3;
}

/* Both know the folder by the same name: each QEMU sees its own node's. */
static void
encrypt(struct qmp *qmp, const char *folder, const char *end, const char *peer)
{
    command(qmp,
            "{\"execute\":\"object-add\",\"arguments\":{\"qom-type\":\"tls-creds-x509\",\"id\":"
            "\"tls-%s\","
            "\"dir\":\"%s\",\"endpoint\":\"%s\",\"verify-peer\":true}}",
            end, folder, end);
    command(qmp,
            "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"tls-creds\":\"tls-%s\","
            "\"tls-hostname\":\"%s\"}}",
            end, peer);
}

int
main(int argc, char **argv)
{
    static struct qmp source, target;
    const char *folder = NULL, *peer = NULL;
    double start, listening, done, stopped, resumed;

    if (argc > 4 && strcmp(argv[1], "--tls") == 0) {
        folder = argv[2];
        peer = argv[3];
        argc -= 3;
        argv += 3;
    }
    if (argc < 5) {
        fputs("usage: bench-qemu [--tls FOLDER NAME] SOURCE-QMP TARGET-QMP URI COMMAND...\n"
              "NAME is the one in the receiving end's certificate.\n",
              stderr);
        return 2;
    }
    start = now_ms();
    start_target(argv + 4);
    open_qmp(&target, argv[2]);
    open_qmp(&source, argv[1]);
    command(&source, "{\"execute\":\"migrate-set-parameters\",\"arguments\":"
                     "{\"max-bandwidth\":9223372036853727232}}");
    if (folder) {
        encrypt(&target, folder, "server", "");
        encrypt(&source, folder, "client", peer);
    }
    command(&target, "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"%s\"}}", argv[3]);
    listening = now_ms();
    command(&source, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"%s\"}}", argv[3]);
    wait_line(&source, "\"STOP\"", NULL);
    stopped = stamp_ms(source.line);
    wait_line(&source, "\"MIGRATION\"", "\"completed\"");
    wait_line(&target, "\"RESUME\"", NULL);
    resumed = stamp_ms(target.line);
    done = now_ms();
    command(&source, "{\"execute\":\"query-migrate\"}");
    printf("{\"start_ms\":%.1f,\"migrate_ms\":%.1f,\"stopped_ms\":%.1f,\"resumed_ms\":%.1f,"
           "\"downtime_ms\":%.0f,"
           "\"total_ms\":%.0f,\"setup_ms\":%.0f,\"wall_ms\":%.1f}\n",
           listening - start, done - listening, stopped, resumed,
           number(source.line, "\"downtime\": "), number(source.line, "\"total-time\": "),
           number(source.line, "\"setup-time\": "), done - start);
    fflush(stdout);
    /* its end frees the path of its monitor for the way back */
    dprintf(source.fd, "{\"execute\":\"quit\"}");
    while (fgets(source.line, sizeof(source.line), source.in))
        ;
    return 0;
}
