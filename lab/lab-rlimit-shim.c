/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-rlimit-shim.c - A setrlimit() that says yes. */

/*
 * A setrlimit() that says yes: preloaded into the lab's sanlock where CAP_SYS_RESOURCE is missing.
 *
 * sanlock raises its memlock limit at start and refuses to run when it may not, even where it was
 * told not to lock memory. Only refusals for lack of privilege are hidden; real errors still show.
 */
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Both names under which a 64 bit program may call it. Assembler names, because the C library
 * renames setrlimit() itself where this file is built with large file offsets.
 */
#pragma GCC visibility push(default) /* the whole point is to be seen */
int shim_setrlimit(int resource, const void *limit) __asm__("setrlimit");
int shim_setrlimit64(int resource, const void *limit) __asm__("setrlimit64");
#pragma GCC visibility pop

int
shim_setrlimit(int resource, const void *limit)
{
    int rc = syscall(SYS_prlimit64, 0, resource, limit, NULL);

    return rc && errno == EPERM ? 0 : rc;
}

int
shim_setrlimit64(int resource, const void *limit)
{
    return shim_setrlimit(resource, limit);
}
