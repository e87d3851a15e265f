/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net.c - The guest's network: address and echo. */

/*
 * The address follows from the MAC (52:54:00:77:02:XX is 10.77.2.XX), so that the same image serves
 * any number of guests without a DHCP server, whose delays would show in every measurement.
 */
#include "guest/guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define INTERFACE    "eth0"
#define ECHO_MAX     2048
#define GUEST_PREFIX 0x0a4d0200U /* 10.77.2.0 */
#define GUEST_MASK   0xffffff00U

static int
set_address(int fd, struct ifreq *req, unsigned long request, uint32_t value)
{
    struct sockaddr_in *sin = (struct sockaddr_in *)&req->ifr_addr;

    memset(sin, 0, sizeof(*sin));
    sin->sin_family = AF_INET;
    sin->sin_addr.s_addr = htonl(value);
    return ioctl(fd, request, req);
}

static int
bring_up(int fd, const char *name)
{
    struct ifreq req = {0};

    strncpy(req.ifr_name, name, IFNAMSIZ - 1);
    req.ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &req);
}

static void
configure(void)
{
    struct ifreq req = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint8_t last;

    bring_up(fd, "lo");
    strncpy(req.ifr_name, INTERFACE, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFHWADDR, &req)) {
        fprintf(stderr, "lab-guest: no " INTERFACE ": %s\n", strerror(errno));
        close(fd);
        return;
    }
    last = req.ifr_hwaddr.sa_data[5];
    if (set_address(fd, &req, SIOCSIFADDR, GUEST_PREFIX | last) ||
        set_address(fd, &req, SIOCSIFNETMASK, GUEST_MASK) || bring_up(fd, INTERFACE))
        fprintf(stderr, "lab-guest: cannot set the address: %s\n", strerror(errno));
    close(fd);
}

static void *
echo_thread(void *arg)
{
    char buf[ECHO_MAX];
    int fd = guest_listen(SOCK_DGRAM, GUEST_PORT_ECHO);

    (void)arg;
    while (fd >= 0) {
        struct sockaddr_in from;
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);

        if (n > 0 && sendto(fd, buf, n, 0, (struct sockaddr *)&from, len) < 0)
            continue; /* the client asks again anyway */
    }
    return NULL;
}

void
net_start(void)
{
    configure();
    guest_thread(echo_thread, NULL);
}
