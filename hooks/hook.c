/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hook.c - /etc/libvirt/hooks/qemu.d/50-migrated: may this VM start here, may it come here? */

/*
 * libvirt starts it at some points in the life of each domain, waits for it, and shows what it says
 * on stderr in its own error where it fails; at most of them it holds the domain's lock. So: what
 * is not ours is let pass without asking anybody; what is, waits for the daemon's answer, up to a
 * limit.
 *
 * Where the daemon cannot answer, the table below decides. It need not think of two copies of one
 * VM: the lease prevents these, in QEMU's own process, whatever this program does.
 * man/migrated-hook.pod argues each line.
 */

#include "ask.h"
#include "base/names.h"
#include "domain-scan.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

struct op {
    const char *name;
    bool is_told;         /* the daemon is told, and not asked */
    unsigned deadline_ms; /* for all of it */
    const char *late;     /* the last words when that is over */
};

/* All other operations (start, started, stopped, reconnect, attach, restore) pass unseen. A move's
 * target has to be asked by its daemon, which has 10 s for that; a start is decided from what is in
 * memory and one block of the LUN. */
static const struct op ops[] = {
    {"migrate", false, 15000,
     "migrated: the migrated of this node has not answered within 15 s; see 'systemctl status "
     "migrated'"},
    {"prepare", false, 5000,
     "migrated: the migrated of this node has not answered within 5 s; see 'systemctl status "
     "migrated'"},
    {"release", true, 200, ""},
};

static const struct op *current;

static const struct op *
find_op(const char *name)
{
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    }
    return NULL;
}

/* ---- the limit ---- */

static void
on_alarm(int number)
{
    ssize_t n = write(STDERR_FILENO, current->late, strlen(current->late));

    (void)n;
    _exit(current->is_told ? 0 : 1);
}

static void
set_alarm(void)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval limit = {.it_value = {.tv_sec = current->deadline_ms / 1000,
                                                 .tv_usec = current->deadline_ms % 1000 * 1000}};
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    sigaction(SIGALRM, &action, NULL);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    setitimer(ITIMER_REAL, &limit, NULL);
}

/* ---- the domain ---- */

/* At most one byte more than is taken. NULL: no memory. */
static char *
read_xml(size_t *length)
{
    size_t room = 64 << 10;
    char *xml = malloc(room);

    *length = 0;
    while (xml && *length <= DOMAIN_SCAN_MAX_BYTES) {
        ssize_t n;

        if (*length == room) {
            char *more = realloc(xml, room *= 2);

            if (!more)
                free(xml);
            xml = more;
            continue;
        }
        n = read(STDIN_FILENO, xml + *length, room - *length);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        if (n > 0)
            *length += (size_t)n;
    }
    return xml;
}

/* Without a newline: libvirt puts it into the middle of a message as it is. */
static int
refuse(const char *text, const char *reason)
{
    if (current->is_told)
        return 0;
    fprintf(stderr, "migrated: %s%s%s", text, *text && *reason ? ": " : "", reason);
    if (isatty(STDERR_FILENO))
        fputc('\n', stderr);
    return 1;
}

static int
decide(const char *vm, const struct domain_scan *domain)
{
    const char *path = getenv(MIG_ENV_SOCKET);
    char reason[REPLY_TEXT];

    switch (ask_daemon(path && *path ? path : MIG_API_SOCKET, current->name, vm, domain,
                       current->is_told, reason)) {
    case ASK_YES:
        return 0;
    case ASK_NO:
        return refuse("", reason);
    case ASK_NO_DAEMON:
        return refuse("this is a VM of the cluster, and the migrated of this node cannot be asked",
                      reason);
    case ASK_GARBAGE:
    default:
        return refuse("this is a VM of the cluster, and the answer of this node's migrated cannot "
                      "be understood",
                      "is it of another version?");
    }
}

int
main(int argc, char **argv)
{
    struct domain_scan domain;
    const char *problem;
    size_t length = 0;
    char *xml;

    if (argc < 3) {
        fprintf(stderr, "usage: 50-migrated DOMAIN OPERATION SUB-OPERATION EXTRA <XML\n"
                        "A hook of libvirt's; see migrated-hook(8).\n");
        return 2;
    }
    current = find_op(argv[2]);
    if (!current)
        return 0;
    set_alarm();
    xml = read_xml(&length);
    problem = xml ? domain_scan(xml, length, &domain) : "no memory for it";
    free(xml);
    if (problem)
        return refuse("the domain's XML cannot be read, so nobody knows whether it is a VM of the "
                      "cluster",
                      problem);
    return domain.is_ours ? decide(argv[1], &domain) : 0;
}
