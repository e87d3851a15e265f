/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ping.c - ICMP echo requests and their answers. */
#include "drivers/ping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_MAX 256

/* Behind the ICMP header: whose question it was. Both families' echo headers have 8 bytes. */
typedef struct {
    guint32 token; /* of this process */
    guint32 round;
    guint32 index;
} Payload;

typedef struct {
    guint8 type, code;
    guint16 checksum, id, sequence;
    Payload payload;
} Echo;

struct MigPinger {
    int fd[2];          /* IPv4, IPv6; -1: may not */
    gboolean is_raw[2]; /* answers come with IPv4's header, requests need a checksum */
    guint32 token, round;
};

static const int families[] = {AF_INET, AF_INET6};
static const int protocols[] = {IPPROTO_ICMP, IPPROTO_ICMPV6};

MigPinger *
mig_pinger_new(void)
{
    MigPinger *pinger = g_new0(MigPinger, 1);

    pinger->token = g_random_int();
    for (guint i = 0; i < 2; i++) {
        const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;

        pinger->fd[i] = socket(families[i], SOCK_DGRAM | flags, protocols[i]);
        if (pinger->fd[i] < 0) {
            pinger->fd[i] = socket(families[i], SOCK_RAW | flags, protocols[i]);
            pinger->is_raw[i] = TRUE;
        }
    }
    return pinger;
}

void
mig_pinger_free(MigPinger *pinger)
{
    if (!pinger)
        return;
    for (guint i = 0; i < 2; i++) {
        if (pinger->fd[i] >= 0)
            close(pinger->fd[i]);
    }
    g_free(pinger);
}

gboolean
mig_pinger_works(const MigPinger *pinger)
{
    return pinger->fd[0] >= 0;
}

/* RFC 1071, over the bytes as they lie. */
static guint16
checksum(const void *data, gsize bytes)
{
    const guint8 *at = data;
    guint32 sum = 0;

    for (gsize i = 0; i + 1 < bytes; i += 2) {
        guint16 word;

        memcpy(&word, at + i, sizeof word);
        sum += word;
    }
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (guint16)~sum;
}

static void
ask_one(MigPinger *pinger, const char *address, guint index)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    Echo echo = {.payload = {pinger->token, pinger->round, index},
                 .id = (guint16)pinger->token,
                 .sequence = htons((guint16)pinger->round)};

    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        echo.type = ICMP_ECHO;
        echo.checksum = checksum(&echo, sizeof echo);
        (void)!sendto(pinger->fd[0], &echo, sizeof echo, 0, (struct sockaddr *)&v4, sizeof v4);
    } else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
        echo.type = ICMP6_ECHO_REQUEST; /* the kernel fills in the checksum */
        (void)!sendto(pinger->fd[1], &echo, sizeof echo, 0, (struct sockaddr *)&v6, sizeof v6);
    }
}

/* Takes all answers that are there; counts those that are new. */
static guint
take(MigPinger *pinger, guint which, guint count, gboolean *answered)
{
    guint8 packet[PACKET_MAX];
    guint fresh = 0;
    ssize_t n;

    while ((n = recv(pinger->fd[which], packet, sizeof packet, 0)) > 0) {
        const guint8 *at = packet;
        Echo echo;

        if (which == 0 && pinger->is_raw[0]) {
            gsize header = (gsize)(packet[0] & 15) * 4;

            if ((gsize)n < header)
                continue;
            at += header;
            n -= (ssize_t)header;
        }
        if ((gsize)n < sizeof echo)
            continue;
        memcpy(&echo, at, sizeof echo);
        if (echo.type != (which == 0 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) ||
            echo.payload.token != pinger->token || echo.payload.round != pinger->round ||
            echo.payload.index >= count || answered[echo.payload.index])
            continue;
        answered[echo.payload.index] = TRUE;
        fresh++;
    }
    return fresh;
}

void
mig_pinger_ask(MigPinger *pinger, const char *const *addresses, guint count, guint wait_ms,
               gboolean *answered)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)wait_ms * 1000;
    guint open = 0;

    pinger->round++;
    for (guint i = 0; i < count; i++) {
        answered[i] = FALSE;
        if (addresses[i]) {
            ask_one(pinger, addresses[i], i);
            open++;
        }
    }
    while (open > 0) {
        struct pollfd fds[] = {{.fd = pinger->fd[0], .events = POLLIN},
                               {.fd = pinger->fd[1], .events = POLLIN}};
        gint64 left_ms = (deadline - g_get_monotonic_time()) / 1000;

        if (left_ms <= 0 || (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR))
            break;
        for (guint i = 0; i < 2; i++) {
            if (pinger->fd[i] >= 0)
                open -= MIN(open, take(pinger, i, count, answered));
        }
    }
}
