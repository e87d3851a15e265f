/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-hold-shim.c - Stops a move where a test wants it: preloaded into migrated and libvirtd. */

/*
 * A test that breaks something in a given state of a move has to find the move there, every time.
 * So in a lab brought up with --holds the two daemons are stopped where that state begins, each in
 * the one thread that runs the move, by files in HOLD (the node's own /tmp):
 *
 *   VM.STATE   migrated: the journal of a job of that VM has just got that state
 *   release    libvirtd: about to give a lease back (at the source: the guest stands still)
 *   acquire    libvirtd: about to take one (at the target: all has arrived, nobody has the lease)
 *
 * NAME.reached appears when it has come there, and it goes on when NAME is removed. Two files make
 * calls fail instead, as they do in life:
 *
 *   refuse     sanlock says to libvirtd that another host has the lease
 *   memory     a QEMU that is started gets next to no memory
 *
 * Nothing of this is in the daemons.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOLD         "/tmp/hold/"
#define POLL_US      5000
#define MEMORY_BYTES (160UL << 20)
#define OWNED        (-243) /* SANLK_ACQUIRE_IDLIVE */
#define JOURNAL_MAX  65536

/* Assembler names: the C library's headers would want their own declarations. */
#pragma GCC visibility push(default)
int shim_rename(const char *from, const char *to) __asm__("rename");
int shim_execve(const char *path, char *const argv[], char *const envp[]) __asm__("execve");
int shim_acquire(int sock, int pid, uint32_t flags, int count, void *resources,
                 void *options) __asm__("sanlock_acquire");
int shim_release(int sock, int pid, uint32_t flags, int count,
                 void *resources) __asm__("sanlock_release");
#pragma GCC visibility pop

/* What the daemons start is not meant. */
__attribute__((constructor)) static void
begin(void)
{
    unsetenv("LD_PRELOAD");
}

static int
is_wanted(const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), HOLD "%s", name);
    return access(path, F_OK) == 0;
}

static void
hold(const char *name)
{
    char path[PATH_MAX];
    int fd, was = errno;

    if (is_wanted(name)) {
        snprintf(path, sizeof(path), HOLD "%s.reached", name);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
        while (is_wanted(name))
            usleep(POLL_US);
    }
    errno = was;
}

/* ---- migrated ---- */

/* The value of a string in a journal: the first one of that key. */
static int
value_of(const char *json, const char *key, char *value, size_t size)
{
    char pattern[64];
    const char *at, *end;

    snprintf(pattern, sizeof(pattern), "\"%s\":", key);
    at = strstr(json, pattern);
    at = at ? strchr(at + strlen(pattern), '"') : NULL;
    if (!at)
        return 0;
    end = strchr(++at, '"');
    if (!end || (size_t)(end - at) >= size)
        return 0;
    memcpy(value, at, end - at);
    value[end - at] = '\0';
    return 1;
}

static void
hold_journal(const char *path)
{
    char *json = malloc(JOURNAL_MAX), vm[128], state[64], name[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = json && fd >= 0 ? read(fd, json, JOURNAL_MAX - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (got > 0) {
        json[got] = '\0';
        if (value_of(json, "vm", vm, sizeof(vm)) && value_of(json, "state", state, sizeof(state))) {
            snprintf(name, sizeof(name), "%s.%s", vm, state);
            hold(name);
        }
    }
    free(json);
}

int
shim_rename(const char *from, const char *to)
{
    int rc = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    const char *dot = strrchr(to, '.');

    if (rc == 0 && strstr(to, "/jobs/") && dot && strcmp(dot, ".json") == 0)
        hold_journal(to);
    return rc;
}

/* ---- libvirtd ---- */

/* Not RTLD_NEXT: the daemons load it late, with a plugin. */
static void *
sanlock_function(const char *name)
{
    void *library = dlopen("libsanlock_client.so.1", RTLD_LAZY);

    return library ? dlsym(library, name) : NULL;
}

int
shim_acquire(int sock, int pid, uint32_t flags, int count, void *resources, void *options)
{
    int (*acquire)(int, int, uint32_t, int, void *, void *) = sanlock_function("sanlock_acquire");

    hold("acquire");
    if (!acquire)
        return -ENOSYS;
    return is_wanted("refuse") ? OWNED : acquire(sock, pid, flags, count, resources, options);
}

int
shim_release(int sock, int pid, uint32_t flags, int count, void *resources)
{
    int (*release)(int, int, uint32_t, int, void *) = sanlock_function("sanlock_release");

    hold("release");
    return release ? release(sock, pid, flags, count, resources) : -ENOSYS;
}

int
shim_execve(const char *path, char *const argv[], char *const envp[])
{
    const struct rlimit limit = {.rlim_cur = MEMORY_BYTES, .rlim_max = MEMORY_BYTES};

    if (strstr(path, "qemu-system") && is_wanted("memory"))
        setrlimit(RLIMIT_AS, &limit);
    return (int)syscall(SYS_execve, path, argv, envp);
}
