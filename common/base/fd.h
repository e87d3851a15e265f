/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fd.h - file descriptors that close by scope (GLib 2.74 has no such thing yet). */
#pragma once

#include <errno.h>
#include <unistd.h>

/* Closes *fd if it is open and sets it to -1; errno is kept. */
static inline void
mig_clear_fd(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

/* Hands the descriptor over: *fd is -1 afterwards. */
static inline int
mig_steal_fd(int *fd)
{
    int result = *fd;

    *fd = -1;
    return result;
}

/* "mig_autofd int fd = -1;": closed at the end of the scope. */
#define mig_autofd __attribute__((cleanup(mig_clear_fd)))
