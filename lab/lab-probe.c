/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-probe.c - watches a guest as its users would, by UDP echo or ping every few milliseconds. */

/*
 * A guest's own clock stands still while it is moved, so a standstill shows only from outside: as
 * the longest time between two answers *received*. Answers are counted whatever their age; what was
 * sent into the standstill and is answered late ends it. Prints one line of JSON at the end, which
 * is a signal, a duration, or a file that appears.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_GAPS    4096
#define FILE_POLL_N 10 /* look for the file every so many sends */

struct gap {
    double start_s; /* since the probe's start */
    double wall_s;  /* the same as wall clock */
    double ms;
};

struct probe {
    int fd;
    int is_ping; /* the guest's kernel answers, no program in it */
    uint64_t sent, received;
    uint64_t start_ns, last_ns;
    double wall_start_s;
    struct gap longest;
    struct gap gaps[MAX_GAPS];
    int n_gaps;
    double threshold_ms;
};

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static uint64_t
now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void
note_gap(struct probe *p, uint64_t now)
{
    double start_s = (p->last_ns - p->start_ns) / 1e9;
    struct gap g = {start_s, p->wall_start_s + start_s, (now - p->last_ns) / 1e6};

    if (g.ms > p->longest.ms)
        p->longest = g;
    if (g.ms >= p->threshold_ms && p->n_gaps < MAX_GAPS)
        p->gaps[p->n_gaps++] = g;
}

struct ping {
    struct icmphdr head;
    uint64_t seq;
} __attribute__((packed));

/* Of an even number of bytes (RFC 1071). */
static uint16_t
checksum(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i += 2)
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static ssize_t
ask(const struct probe *p)
{
    struct ping ping = {.head = {.type = ICMP_ECHO}, .seq = p->sent};

    if (!p->is_ping)
        return send(p->fd, &p->sent, sizeof(p->sent), MSG_DONTWAIT);
    ping.head.un.echo.id = (uint16_t)getpid();
    ping.head.un.echo.sequence = htons((uint16_t)p->sent);
    ping.head.checksum = checksum(&ping, sizeof(ping));
    return send(p->fd, &ping, sizeof(ping), MSG_DONTWAIT);
}

static int
is_answer(const struct probe *p, const uint8_t *bytes, size_t n)
{
    struct ping ping;
    size_t head;

    if (!p->is_ping)
        return n == sizeof(p->sent);             /* else the guest's port is not open yet */
    head = n ? (size_t)(bytes[0] & 0xf) * 4 : 0; /* a raw socket has IP's header, too */
    if (head < sizeof(struct iphdr) || n != head + sizeof(ping))
        return 0;
    memcpy(&ping, bytes + head, sizeof(ping));
    return ping.head.type == ICMP_ECHOREPLY && ping.head.un.echo.id == (uint16_t)getpid();
}

static void
receive(struct probe *p)
{
    uint8_t bytes[128];
    ssize_t n;

    while ((n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0 || errno == ECONNREFUSED) {
        uint64_t now = now_ns(CLOCK_MONOTONIC);

        if (n < 0 || !is_answer(p, bytes, (size_t)n))
            continue;
        p->received++;
        if (p->received > 1)
            note_gap(p, now);
        p->last_ns = now;
    }
}

static void
print_gap(const struct gap *g)
{
    printf("{\"ms\":%.2f,\"start_s\":%.4f,\"wall_s\":%.4f}", g->ms, g->start_s, g->wall_s);
}

/* An outage that goes on at the end counts as a gap, too: a guest that never came back must not
 * look well. */
static int
report(struct probe *p)
{
    uint64_t now = now_ns(CLOCK_MONOTONIC);

    if (p->received)
        note_gap(p, now);
    printf("{\"sent\":%llu,\"received\":%llu,\"duration_s\":%.3f,\"longest_gap_ms\":%.2f,"
           "\"longest_gap_start_s\":%.4f,\"longest_gap_wall_s\":%.4f,\"gaps\":[",
           (unsigned long long)p->sent, (unsigned long long)p->received, (now - p->start_ns) / 1e9,
           p->longest.ms, p->longest.start_s, p->longest.wall_s);
    for (int i = 0; i < p->n_gaps; i++) {
        fputs(i ? "," : "", stdout);
        print_gap(&p->gaps[i]);
    }
    puts("]}");
    return p->received ? 0 : 1;
}

static void
run(struct probe *p, double interval_ms, double duration_s, const char *until_file)
{
    long long interval_ns = interval_ms * 1e6;
    struct itimerspec every = {{interval_ns / 1000000000, interval_ns % 1000000000},
                               {interval_ns / 1000000000, interval_ns % 1000000000}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct pollfd fds[2] = {{.fd = p->fd, .events = POLLIN}, {.fd = timer, .events = POLLIN}};
    uint64_t ticks;

    timerfd_settime(timer, 0, &every, NULL);
    while (!stop) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents)
            receive(p);
        if (!fds[1].revents || read(timer, &ticks, sizeof(ticks)) != sizeof(ticks))
            continue;
        p->sent++;
        if (ask(p) < 0)
            receive(p); /* a refusal sticks to the socket until it is taken off */
        if (duration_s > 0 && (now_ns(CLOCK_MONOTONIC) - p->start_ns) / 1e9 >= duration_s)
            break;
        if (until_file && p->sent % FILE_POLL_N == 0 && access(until_file, F_OK) == 0)
            break;
    }
    close(timer);
}

int
main(int argc, char **argv)
{
    static const struct option longs[] = {{"interval", 1, NULL, 'i'},   {"duration", 1, NULL, 'd'},
                                          {"until-file", 1, NULL, 'u'}, {"threshold", 1, NULL, 't'},
                                          {"port", 1, NULL, 'p'},       {"ping", 0, NULL, 'g'},
                                          {"help", 0, NULL, 'h'},       {NULL, 0, NULL, 0}};
    static struct probe p = {.threshold_ms = 50};
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct sigaction action = {.sa_handler = on_signal};
    double interval_ms = 5, duration_s = 0;
    const char *until_file = NULL;
    int opt, port = 7, status = 2;

    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'i':
            interval_ms = atof(optarg);
            break;
        case 'd':
            duration_s = atof(optarg);
            break;
        case 'u':
            until_file = optarg;
            break;
        case 't':
            p.threshold_ms = atof(optarg);
            break;
        case 'p':
            port = atoi(optarg);
            break;
        case 'g':
            p.is_ping = 1;
            break;
        case 'h':
            status = 0;
            goto usage;
        default:
            goto usage;
        }
    }
    if (optind != argc - 1 || interval_ms <= 0 ||
        inet_pton(AF_INET, argv[optind], &to.sin_addr) != 1)
        goto usage;
    to.sin_port = htons(port);
    p.fd = p.is_ping ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)
                     : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (p.fd < 0 || connect(p.fd, (struct sockaddr *)&to, sizeof(to))) {
        perror("lab-probe");
        return 2;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    p.start_ns = p.last_ns = now_ns(CLOCK_MONOTONIC);
    p.wall_start_s = now_ns(CLOCK_REALTIME) / 1e9;
    run(&p, interval_ms, duration_s, until_file);
    receive(&p);
    return report(&p);
usage:
    fputs("usage: lab-probe IP [--interval MS] [--duration S] [--until-file F] [--threshold MS]\n"
          "                    [--port N | --ping]\n",
          status ? stderr : stdout);
    return status;
}
