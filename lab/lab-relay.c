/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-relay.c - carries libvirt connections between nodes. */

/*
 * lab-relay: carries libvirt connections between nodes, for moves by hand and for measuring plain
 * virsh against.
 *
 * Arguments are pairs LISTEN TARGET, each unix:PATH or tcp:IP:PORT. On every node one relay listens
 * on the management address for its own libvirtd, and on one local socket for each peer's, so that
 * "virsh migrate --p2p" has a URI to go to although libvirtd listens on nothing. Not needed by the
 * daemon, which tunnels through its own channel; off until started.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_PAIRS 16
#define CHUNK     65536

struct link {
    int client;
    const char *target;
};

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in in;
};

static socklen_t
parse(const char *text, union address *a)
{
    char ip[64];
    int port;

    memset(a, 0, sizeof(*a));
    if (!strncmp(text, "unix:", 5) && strlen(text + 5) < sizeof(a->un.sun_path)) {
        a->un.sun_family = AF_UNIX;
        strcpy(a->un.sun_path, text + 5);
        return sizeof(a->un);
    }
    if (sscanf(text, "tcp:%63[0-9.]:%d", ip, &port) == 2 &&
        inet_pton(AF_INET, ip, &a->in.sin_addr) == 1) {
        a->in.sin_family = AF_INET;
        a->in.sin_port = htons(port);
        return sizeof(a->in);
    }
    fprintf(stderr, "lab-relay: '%s' is neither unix:PATH nor tcp:IP:PORT\n", text);
    exit(2);
}

static int
open_end(const char *text, int listening)
{
    union address a;
    socklen_t len = parse(text, &a);
    int one = 1, fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (a.any.sa_family == AF_INET) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    } else if (listening) {
        unlink(a.un.sun_path);
    }
    if (listening ? bind(fd, &a.any, len) || listen(fd, 16) : connect(fd, &a.any, len)) {
        fprintf(stderr, "lab-relay: %s: %s\n", text, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/* One direction once; false at its end. */
static int
carry(int from, int to)
{
    char buf[CHUNK];
    ssize_t n = read(from, buf, sizeof(buf));

    for (ssize_t done = 0; done < n;) {
        ssize_t w = write(to, buf + done, n - done);

        if (w <= 0)
            return 0;
        done += w;
    }
    return n > 0;
}

static void *
serve(void *arg)
{
    struct link *l = arg;
    int one = 1, server = open_end(l->target, 0);
    struct pollfd fds[2] = {{.fd = l->client, .events = POLLIN}, {.fd = server, .events = POLLIN}};

    setsockopt(l->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on unix sockets */
    while (server >= 0 && (poll(fds, 2, -1) >= 0 || errno == EINTR)) {
        if ((fds[0].revents && !carry(l->client, server)) ||
            (fds[1].revents && !carry(server, l->client)))
            break;
    }
    if (server >= 0)
        close(server);
    close(l->client);
    free(l);
    return NULL;
}

int
main(int argc, char **argv)
{
    struct pollfd fds[MAX_PAIRS];
    const char *targets[MAX_PAIRS];
    int n = 0;

    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i + 1 < argc && n < MAX_PAIRS; i += 2, n++) {
        fds[n] = (struct pollfd){.fd = open_end(argv[i], 1), .events = POLLIN};
        targets[n] = argv[i + 1];
        if (fds[n].fd < 0)
            return 1;
    }
    for (;;) {
        if (poll(fds, n, -1) < 0)
            continue;
        for (int i = 0; i < n; i++) {
            struct link *l;
            pthread_t thread;

            if (!fds[i].revents)
                continue;
            l = malloc(sizeof(*l));
            *l = (struct link){accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC), targets[i]};
            if (l->client < 0 || pthread_create(&thread, NULL, serve, l)) {
                free(l);
                continue;
            }
            pthread_detach(thread);
        }
    }
}
