/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-acks.c - collects which records the guest has acknowledged, as a client sees it. */

/*
 * The highest number seen is kept in a file, with the boot of the guest that wrote that record and
 * how often the guest went back (one line "SEQ BOOT BACK" of fixed length, rewritten in place),
 * because the verifier must later find every record up to it on the disk. A guest goes back where
 * it tells of fewer records than it has acknowledged before, or of another boot's under the same
 * number: what it had acknowledged is lost, or a second copy of it runs. It connects again whenever
 * the guest is away, until it is ended by a signal. With RECORDS_PER_S it asks the guest to write
 * so many, each time.
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

#define HTTP_PORT     80
#define ACKS_PORT     9000
#define RETRY_US      100000
#define QUIET_S       2 /* a guest that says nothing for so long may be dead: connect anew */
#define ANSWER_LENGTH 60
#define BOOT_LENGTH   32

struct acked {
    unsigned long long seq, back;
    char boot[BOOT_LENGTH + 1];
};

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

/* One write of fixed length: a reader never sees half a number. */
static int
keep(int out, const struct acked *acked)
{
    char text[ANSWER_LENGTH + 1];

    snprintf(text, sizeof(text), "%020llu %s %05llu\n", acked->seq, acked->boot,
             acked->back % 100000);
    return pwrite(out, text, ANSWER_LENGTH, 0) == ANSWER_LENGTH ? 0 : -1;
}

/* FALSE: it is no acknowledgement. */
static int
note(const char *line, struct acked *acked)
{
    struct acked now = {.back = acked->back};

    if (sscanf(line, "ack %llu %32[0-9a-f]", &now.seq, now.boot) != 2 ||
        strlen(now.boot) != BOOT_LENGTH)
        return 0;
    if (now.seq < acked->seq || (now.seq == acked->seq && strcmp(now.boot, acked->boot)))
        acked->back++;
    if (now.seq > acked->seq)
        *acked = now;
    return 1;
}

/* -1: the guest is away. */
static int
reach(struct in_addr guest, int port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = guest};
    struct timeval limit = {.tv_sec = QUIET_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A guest that has just booted writes nothing until somebody asks for it. */
static int
ask_to_write(struct in_addr guest, const char *rate)
{
    char text[64], answer[16] = "";
    int fd = reach(guest, HTTP_PORT), done;

    if (fd < 0)
        return 0;
    snprintf(text, sizeof(text), "GET /writer?rate=%.16s HTTP/1.0\r\n\r\n", rate);
    done = write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
           read(fd, answer, sizeof(answer) - 1) > 9 && !strncmp(answer + 9, "200", 3);
    close(fd);
    return done;
}

static void
follow(struct in_addr guest, const char *rate, int out, struct acked *acked)
{
    char buf[4096];
    size_t have = 0;
    int fd = rate && !ask_to_write(guest, rate) ? -1 : reach(guest, ACKS_PORT);

    if (fd < 0) {
        usleep(RETRY_US);
        return;
    }
    while (!stop) {
        ssize_t n = read(fd, buf + have, sizeof(buf) - 1 - have);
        char *line = buf, *end;
        int is_news = 0;

        if (n <= 0)
            break;
        have += n;
        buf[have] = '\0';
        while ((end = strchr(line, '\n'))) {
            *end = '\0';
            is_news |= note(line, acked);
            line = end + 1;
        }
        have -= line - buf;
        memmove(buf, line, have);
        if (have == sizeof(buf) - 1)
            have = 0; /* no line is that long */
        if (is_news && keep(out, acked)) {
            perror("lab-acks");
            exit(2);
        }
    }
    close(fd);
}

int
main(int argc, char **argv)
{
    struct in_addr guest;
    struct sigaction action = {.sa_handler = on_signal};
    struct acked acked = {.boot = "00000000000000000000000000000000"};
    int out;

    if (argc < 3 || argc > 4 || inet_pton(AF_INET, argv[1], &guest) != 1) {
        fputs("usage: lab-acks IP OUTFILE [RECORDS_PER_S]\n", stderr);
        return 2;
    }
    out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out < 0 || keep(out, &acked)) {
        fprintf(stderr, "lab-acks: cannot write %s: %s\n", argv[2], strerror(errno));
        return 2;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (!stop)
        follow(guest, argv[3], out, &acked);
    printf("%llu\n", acked.seq);
    return 0;
}
