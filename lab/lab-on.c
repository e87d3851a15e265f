/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-on.c - runs a command in all namespaces of one of the lab's machines. */

/*
 * lab-on NAME CMD...: NAME is nodeA to nodeP, client or switch, of the lab whose state is in
 * MIGRATED_LAB_DIR. Exits as CMD does. lab-on --path: the PATH that programs have there.
 *
 * The same by bash, nsenter and env took 10 ms, and tests ask machines some times a second, several
 * at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATE "/run/migrated-lab"

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
    va_list ap;

    fputs("lab: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static void __attribute__((format(printf, 3, 4))) print(char *to, size_t size, const char *fmt, ...)
{
    va_list ap;
    int length;

    va_start(ap, fmt);
    length = vsnprintf(to, size, fmt, ap);
    va_end(ap);
    if (length < 0 || (size_t)length >= size)
        die("a path is too long");
}

/* The build that this program lies in. */
static const char *
build_dir(void)
{
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    path[length > 0 ? length : 0] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');

        if (!slash)
            die("cannot tell where this program lies");
        *slash = '\0';
    }
    return path;
}

static const char *
path_inside(void)
{
    static char path[8 * PATH_MAX];
    const char *build = build_dir();

    print(path, sizeof(path),
          "%s/migratectl:%s/migrated:%s/libcsv:%s/lab:%s:/usr/sbin:/usr/bin:/sbin:/bin", build,
          build, build, build, LAB_DIR);
    return path;
}

/* ---- which machine ---- */

static int
exists(const char *dir, const char *name)
{
    char path[PATH_MAX];

    print(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static int
read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    int ok = file && fgets(line, (int)size, file);

    if (file)
        fclose(file);
    return ok;
}

/* A pid counts only while its start time and this boot fit, as lab/lib/proc.sh has it. 0: it is
 * dead. */
static int
machine_pid(const char *state, const char *name)
{
    char path[PATH_MAX], line[1024], stat[1024], boot[128], was[64];
    unsigned long long start, started;
    char life;
    int pid;
    const char *field;

    print(path, sizeof(path), "%s/%s/pid", state, name);
    if (!read_line(path, line, sizeof(line)) ||
        sscanf(line, "%d %llu %63s", &pid, &start, was) != 3 || pid <= 0 ||
        !read_line("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)))
        return 0;
    boot[strcspn(boot, "\n")] = '\0';
    print(path, sizeof(path), "/proc/%d/stat", pid);
    if (strcmp(was, boot) != 0 || !read_line(path, stat, sizeof(stat)))
        return 0;
    field = strrchr(stat, ')'); /* a name may hold anything */
    if (!field ||
        sscanf(field,
               ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &life, &started) != 2)
        return 0;
    return started == start && life != 'Z' && life != 'X' ? pid : 0;
}

static int
need_machine(const char *state, const char *name)
{
    int pid;

    if (!exists(state, "settings"))
        die("the lab is down; 'lab up' brings it up");
    if (!name[0] || strchr(name, '/') || name[0] == '.' || !exists(state, name))
        die("'%s' is no machine of this lab; 'lab status' shows them", name);
    pid = machine_pid(state, name);
    if (!pid)
        die("%s is not running; 'lab boot %s' or 'lab up' starts it", name, name);
    return pid;
}

/* ---- in there ---- */

static void
enter(int pid)
{
    static const char *const kinds[] = {"ipc", "uts", "net", "pid", "mnt"};
    char path[PATH_MAX], here[PATH_MAX], there[2 * PATH_MAX];
    int spaces[5], root;
    struct stat st;

    print(path, sizeof(path), "/proc/%d/root", pid);
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        die("cannot open %s: %s", path, strerror(errno));
    /* the caller's directory where the machine has it, so that relative names work */
    if (!getcwd(here, sizeof(here)))
        strcpy(here, "/");
    print(there, sizeof(there), "/proc/%d/root%s", pid, here);
    if (stat(there, &st) != 0 || !S_ISDIR(st.st_mode))
        strcpy(here, "/");
    for (int i = 0; i < 5; i++) {
        print(path, sizeof(path), "/proc/%d/ns/%s", pid, kinds[i]);
        spaces[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (spaces[i] < 0)
            die("cannot open %s: %s", path, strerror(errno));
    }
    for (int i = 0; i < 5; i++)
        if (setns(spaces[i], 0) != 0)
            die("cannot enter %s's %s namespace: %s", getenv("LAB_NODE"), kinds[i],
                strerror(errno));
    if (fchdir(root) != 0 || chroot(".") != 0 || chdir(here) != 0)
        die("cannot enter %s's file system: %s", getenv("LAB_NODE"), strerror(errno));
}

static void
set_environment(const char *name)
{
    const char *term = getenv("TERM");
    char *terminal = strdup(term ? term : "dumb");

    if (clearenv() != 0 || !terminal || setenv("PATH", path_inside(), 1) != 0 ||
        setenv("HOME", "/root", 1) != 0 || setenv("TERM", terminal, 1) != 0 ||
        setenv("LANG", "C.UTF-8", 1) != 0 || setenv("LAB_NODE", name, 1) != 0 ||
        setenv("MIGRATED_BUILD", build_dir(), 1) != 0)
        die("cannot set the environment");
    free(terminal);
}

/* Stops, goes on and ends as the child does. */
static void __attribute__((noreturn)) be(pid_t child)
{
    int status;

    for (;;) {
        if (waitpid(child, &status, WUNTRACED) != child) {
            if (errno == EINTR)
                continue;
            die("cannot wait: %s", strerror(errno));
        }
        if (WIFSTOPPED(status)) {
            kill(getpid(), SIGSTOP);
            kill(child, SIGCONT);
        } else if (WIFSIGNALED(status)) {
            signal(WTERMSIG(status), SIG_DFL);
            kill(getpid(), WTERMSIG(status));
            exit(128 + WTERMSIG(status));
        } else {
            exit(WEXITSTATUS(status));
        }
    }
}

int
main(int argc, char **argv)
{
    const char *state = getenv("MIGRATED_LAB_DIR");
    pid_t child;
    int pid;

    if (argc == 2 && strcmp(argv[1], "--path") == 0) {
        puts(path_inside());
        return 0;
    }
    if (argc < 3)
        die("usage: lab on NODE CMD...");
    if (geteuid() != 0)
        die("this needs root");
    pid = need_machine(state && state[0] ? state : STATE, argv[1]);
    set_environment(argv[1]);
    enter(pid);
    child = fork(); /* a pid namespace is that of children */
    if (child < 0)
        die("cannot fork: %s", strerror(errno));
    if (child > 0)
        be(child);
    execvp(argv[2], argv + 2);
    fprintf(stderr, "lab: %s: %s\n", argv[2], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}
