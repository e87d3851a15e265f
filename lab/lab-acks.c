/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-acks.c - collects which records the guest has acknowledged, as a client sees it. */

/*
 * The highest number seen is kept in a file (decimal, rewritten in place), because the
 * verifier must later find every record up to it on the disk. It connects again whenever the guest
 * is away, until it is ended by a signal.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PORT          9000
#define RETRY_US      100000
#define QUIET_S       2 /* a guest that says nothing for so long may be dead: connect anew */
#define ANSWER_LENGTH 21

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

/* One write of fixed length: a reader never sees half a number. */
static int
keep(int out, uint64_t seq)
{
    char text[ANSWER_LENGTH + 1];

    snprintf(text, sizeof(text), "%020llu\n", (unsigned long long)seq);
    return pwrite(out, text, ANSWER_LENGTH, 0) == ANSWER_LENGTH ? 0 : -1;
}

static void
follow(const struct sockaddr_in *to, int out, uint64_t *highest)
{
    struct timeval limit = {.tv_sec = QUIET_S};
    char buf[4096];
    size_t have = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to))) {
        close(fd);
        usleep(RETRY_US);
        return;
    }
    while (!stop) {
        ssize_t n = read(fd, buf + have, sizeof(buf) - 1 - have);
        char *line = buf, *end;
        uint64_t before = *highest;

        if (n <= 0)
            break;
        have += n;
        buf[have] = '\0';
        while ((end = strchr(line, '\n'))) {
            unsigned long long seq;

            if (sscanf(line, "ack %llu", &seq) == 1 && seq > *highest)
                *highest = seq;
            line = end + 1;
        }
        have -= line - buf;
        memmove(buf, line, have);
        if (have == sizeof(buf) - 1)
            have = 0; /* no line is that long */
        if (*highest != before && keep(out, *highest)) {
            perror("lab-acks");
            exit(2);
        }
    }
    close(fd);
}

int
main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sigaction action = {.sa_handler = on_signal};
    uint64_t highest = 0;
    int out;

    if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
        fputs("usage: lab-acks IP OUTFILE\n", stderr);
        return 2;
    }
    out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out < 0 || keep(out, 0)) {
        fprintf(stderr, "lab-acks: cannot write %s: %s\n", argv[2], strerror(errno));
        return 2;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (!stop)
        follow(&to, out, &highest);
    printf("%llu\n", (unsigned long long)highest);
    return 0;
}
