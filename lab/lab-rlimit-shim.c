/* SPDX-License-Identifier: LGPL-2.1-or-later */
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

#pragma GCC visibility push(default)
int
setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    int rc = syscall(SYS_prlimit64, 0, resource, limit, NULL);

    return rc && errno == EPERM ? 0 : rc;
}
