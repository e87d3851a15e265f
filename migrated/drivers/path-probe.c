/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* path-probe.c - unfragmentable pings, and a short TCP stream. */
#include "drivers/path-probe.h"

#include "base/error.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADERS   28  /* IP and ICMP */
#define SPACE_US  200 /* apart, so that what is lost is the path's and no queue's */
#define CHUNK     (256 * 1024)
#define AWAIT_MS  5000
#define MOST      (256u << 20)
#define LISTENERS 4
#define PATIENCE  4
/* Where QEMU's migrations listen, so that no firewall has to know more; libvirt begins at the other
 * end. */
#define PORT_LAST  49215
#define PORT_FIRST 49200

static gint listening; /* atomic */

static gint64
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static struct sockaddr_in
address_of(const char *text, guint16 port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        address.sin_addr.s_addr = htonl(INADDR_NONE);
    return address;
}

/* ---- pings ---- */

static guint16
checksum(const guint8 *data, gsize bytes)
{
    guint32 sum = 0;

    for (gsize i = 0; i < bytes; i += 2)
        sum += (guint32)data[i] << 8 | (i + 1 < bytes ? data[i + 1] : 0);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((guint16)~sum);
}

static int
open_ping(const char *from, gboolean *is_raw)
{
    struct sockaddr_in here = address_of(from, 0);
    int discover = IP_PMTUDISC_DO;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);

    *is_raw = fd < 0;
    if (fd < 0)
        fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
    if (fd >= 0 && (setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof discover) < 0 ||
                    bind(fd, (struct sockaddr *)&here, sizeof here) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* An answer to one of ours that was not counted yet? */
static gboolean
is_new_answer(guint8 *packet, gssize bytes, gboolean is_raw, guint32 token, guint count,
              gboolean *seen)
{
    gsize skip = is_raw && bytes > 0 ? (gsize)(packet[0] & 15) * 4 : 0;
    struct icmphdr header;
    guint32 said[2];

    if (bytes < 0 || (gsize)bytes < skip + sizeof header + sizeof said)
        return FALSE;
    memcpy(&header, packet + skip, sizeof header);
    memcpy(said, packet + skip + sizeof header, sizeof said);
    if (header.type != ICMP_ECHOREPLY || said[0] != token || said[1] >= count || seen[said[1]])
        return FALSE;
    seen[said[1]] = TRUE;
    return TRUE;
}

static guint
take(int fd, guint8 *buffer, gsize size, gboolean is_raw, guint32 token, guint count,
     gboolean *seen)
{
    guint fresh = 0;
    gssize bytes;

    while ((bytes = recv(fd, buffer, size, 0)) >= 0)
        fresh += is_new_answer(buffer, bytes, is_raw, token, count, seen);
    return fresh;
}

guint
mig_path_ping(const char *from, const char *to, guint packet_bytes, guint count, guint wait_ms)
{
    struct sockaddr_in there = address_of(to, 0);
    guint32 token = g_random_int();
    gboolean is_raw = FALSE;
    gsize size =
        MAX(packet_bytes, HEADERS + 2 * (guint)sizeof token) - HEADERS + sizeof(struct icmphdr);
    g_autofree guint8 *packet = g_malloc0(size), *buffer = g_malloc(size + 64);
    g_autofree gboolean *seen = g_new0(gboolean, count);
    mig_autofd int fd = open_ping(from, &is_raw);
    guint answered = 0;
    gint64 deadline;

    if (fd < 0)
        return 0;
    for (guint32 i = 0; i < count; i++) {
        struct icmphdr header = {.type = ICMP_ECHO};
        const guint32 say[] = {token, i};

        header.un.echo.id = (guint16)token;
        header.un.echo.sequence = htons((guint16)i);
        memcpy(packet, &header, sizeof header);
        memcpy(packet + sizeof header, say, sizeof say);
        header.checksum = checksum(packet, size);
        memcpy(packet, &header, sizeof header);
        (void)!sendto(fd, packet, size, 0, (struct sockaddr *)&there, sizeof there);
        g_usleep(SPACE_US);
        answered += take(fd, buffer, size + 64, is_raw, token, count, seen);
    }
    deadline = now_ms() + wait_ms;
    while (answered < count) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        gint64 left = deadline - now_ms();

        if (left <= 0 || (poll(&ready, 1, (int)left) < 0 && errno != EINTR))
            break;
        answered += take(fd, buffer, size + 64, is_raw, token, count, seen);
    }
    return answered;
}

/* ---- the stream, where it ends ---- */

typedef struct {
    int fd;
    char word[MIG_PATH_WORD_BYTES];
    struct in_addr from;
} Awaited;

static void
set_limit(int fd)
{
    const struct timeval limit = {.tv_sec = AWAIT_MS / 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static gboolean
read_whole(int fd, void *to, gsize size)
{
    return recv(fd, to, size, MSG_WAITALL) == (gssize)size;
}

static void
count_stream(int fd, const Awaited *awaited)
{
    g_autofree char *buffer = g_malloc(CHUNK);
    char word[MIG_PATH_WORD_BYTES];
    gint64 deadline = now_ms() + AWAIT_MS;
    guint64 sum = 0;
    gssize bytes;

    set_limit(fd);
    if (!read_whole(fd, word, sizeof word) || memcmp(word, awaited->word, sizeof word) != 0)
        return;
    while (sum < MOST && now_ms() < deadline && (bytes = recv(fd, buffer, CHUNK, 0)) > 0)
        sum += (guint64)bytes;
    sum = GUINT64_TO_BE(sum);
    (void)!send(fd, &sum, sizeof sum, MSG_NOSIGNAL);
}

static gpointer
await_thread(gpointer data)
{
    g_autofree Awaited *awaited = data;
    gint64 deadline = now_ms() + AWAIT_MS, left;

    while ((left = deadline - now_ms()) > 0) {
        struct pollfd ready = {.fd = awaited->fd, .events = POLLIN};
        struct sockaddr_in other = {0};
        socklen_t length = sizeof other;

        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        mig_autofd int fd = accept4(awaited->fd, (struct sockaddr *)&other, &length, SOCK_CLOEXEC);

        if (fd < 0 || other.sin_addr.s_addr != awaited->from.s_addr)
            continue;
        count_stream(fd, awaited);
        break;
    }
    close(awaited->fd);
    g_atomic_int_add(&listening, -1);
    return NULL;
}

guint16
mig_path_await(const char *address, const char *from, const char *word)
{
    struct sockaddr_in here = address_of(address, 0), other = address_of(from, 0);
    const int again = 1;
    int fd = -1;
    guint16 port;

    if (strlen(word) < MIG_PATH_WORD_BYTES)
        return 0;
    if (g_atomic_int_add(&listening, 1) < LISTENERS)
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &again, sizeof again);
    for (port = PORT_LAST; fd >= 0 && port >= PORT_FIRST; port--) {
        here.sin_port = htons(port);
        if (bind(fd, (struct sockaddr *)&here, sizeof here) == 0 && listen(fd, 4) == 0)
            break;
    }
    if (fd < 0 || port < PORT_FIRST) {
        if (fd >= 0)
            close(fd);
        g_atomic_int_add(&listening, -1);
        return 0;
    }
    Awaited *awaited = g_new0(Awaited, 1);

    awaited->fd = fd;
    awaited->from = other.sin_addr;
    memcpy(awaited->word, word, MIG_PATH_WORD_BYTES);
    g_thread_unref(g_thread_new("path-probe", await_thread, awaited));
    return port;
}

/* ---- the stream, where it begins ---- */

static guint64
fail(GError **error, const char *doing)
{
    g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "%s: %s", doing, g_strerror(errno));
    return 0;
}

/* What looks slow may be a machine that had no time for us: it gets some more. */
static gboolean
goes_on(guint64 sum, gint64 took_us, guint ms, guint64 good_bytes_s)
{
    gint64 wanted_us = (gint64)ms * 1000;
    gboolean is_slow = sum < good_bytes_s * (guint64)took_us / G_USEC_PER_SEC;

    return sum < MOST && took_us < (is_slow ? wanted_us * PATIENCE : wanted_us);
}

guint64
mig_path_speed(const char *from, const char *to, guint16 port, const char *word, guint ms,
               guint64 good_bytes_s, GError **error)
{
    struct sockaddr_in here = address_of(from, 0), there = address_of(to, port);
    mig_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_autofree char *buffer = g_malloc0(CHUNK);
    guint64 counted = 0, sum = 0;
    gint64 start_us, took_us;
    gssize bytes = 0;

    const int small = CHUNK; /* what waits in there on a slow link has to get through, too */

    if (fd < 0)
        return fail(error, "no socket");
    set_limit(fd);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0 ||
        connect(fd, (struct sockaddr *)&there, sizeof there) < 0)
        return fail(error, "no connection to its port of the migration network");
    if (send(fd, word, MIG_PATH_WORD_BYTES, MSG_NOSIGNAL) != MIG_PATH_WORD_BYTES)
        return fail(error, "the connection broke");
    start_us = g_get_monotonic_time();
    while (goes_on(sum, g_get_monotonic_time() - start_us, ms, good_bytes_s) &&
           (bytes = send(fd, buffer, CHUNK, MSG_NOSIGNAL)) > 0)
        sum += (guint64)bytes;
    shutdown(fd, SHUT_WR);
    /* what the other end has, when it has it: what lies in buffers here does not count */
    if (bytes <= 0 || !read_whole(fd, &counted, sizeof counted))
        return fail(error, "the connection broke");
    took_us = g_get_monotonic_time() - start_us;
    counted = GUINT64_FROM_BE(counted);
    return MAX(counted * G_USEC_PER_SEC / (guint64)MAX(took_us, 1), 1);
}
