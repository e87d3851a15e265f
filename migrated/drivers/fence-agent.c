/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fence-agent.c - running fence agents. */
#include "drivers/fence-agent.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAID_MAX   400 /* bytes of an agent's talk that are kept */
#define POLL_MS    20
#define STATUS_OFF 2 /* exit code of "status" for a plug that is off */

static void
level_free(gpointer data)
{
    MigFenceLevel *level = data;

    g_free(level->name);
    g_free(level->agent);
    g_free(level->action);
    g_free(level->input);
    g_free(level);
}

/* ---- what is said about a node ---- */

/* Those that take a key off a LUN: what they confirm means nothing where no key was ever put there.
 */
static gboolean
is_by_reservation(const char *agent)
{
    g_autofree char *base = g_path_get_basename(agent);

    return g_str_equal(base, "fence_scsi") || g_str_equal(base, "fence_mpath");
}

static MigFenceLevel *
read_level(GKeyFile *file, const char *path, const char *group, GError **error)
{
    g_auto(GStrv) keys = g_key_file_get_keys(file, group, NULL, NULL);
    g_autofree char *agent = g_key_file_get_value(file, group, "agent", NULL);
    g_autofree char *action = g_key_file_get_value(file, group, "action", NULL);
    g_autofree char *unfence = g_key_file_get_value(file, group, "unfence", NULL);
    g_autoptr(GString) input = g_string_new(NULL);
    MigFenceLevel *level;

    if (!agent || !*agent || (strchr(agent, '/') && !g_path_is_absolute(agent))) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                    "%s: [%s] needs agent=, the name of a fence agent or its absolute path", path,
                    group);
        return NULL;
    }
    if (action && !g_str_equal(action, "off") && !g_str_equal(action, "reboot")) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                    "%s: [%s] action is \"%s\", off and reboot are possible", path, group, action);
        return NULL;
    }
    if (unfence && !g_str_equal(unfence, "yes") && !g_str_equal(unfence, "no")) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                    "%s: [%s] unfence is \"%s\", yes and no are possible", path, group, unfence);
        return NULL;
    }
    if (is_by_reservation(agent) && (!unfence || !g_str_equal(unfence, "yes"))) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                    "%s: [%s] needs unfence=yes: %s cuts nobody off whose key is not on the LUN",
                    path, group, agent);
        return NULL;
    }
    for (guint i = 0; keys && keys[i]; i++) {
        g_autofree char *value = g_key_file_get_value(file, group, keys[i], NULL);

        if (!g_str_equal(keys[i], "agent") && !g_str_equal(keys[i], "action") &&
            !g_str_equal(keys[i], "unfence") && value)
            g_string_append_printf(input, "%s=%s\n", keys[i], value);
    }
    level = g_new0(MigFenceLevel, 1);
    level->name = g_strdup(group);
    level->agent = g_steal_pointer(&agent);
    level->action = action ? g_steal_pointer(&action) : g_strdup("off");
    level->input = g_string_free(g_steal_pointer(&input), FALSE);
    level->is_unfencing = unfence && g_str_equal(unfence, "yes");
    return level;
}

static gboolean
is_trusted(const char *path, gboolean *is_missing, GError **error)
{
    struct stat status;

    *is_missing = FALSE;
    if (stat(path, &status) < 0) {
        *is_missing = errno == ENOENT;
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG, "%s: %s", path, g_strerror(errno));
        return FALSE;
    }
    if (!S_ISREG(status.st_mode) || (status.st_mode & 022) ||
        (status.st_uid != 0 && status.st_uid != geteuid())) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                    "%s names programs that root runs, and others may write it; 'chown root' and "
                    "'chmod 600' it",
                    path);
        return FALSE;
    }
    return TRUE;
}

static GPtrArray *
read_levels(const char *path, gboolean *is_missing, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GPtrArray) levels = g_ptr_array_new_with_free_func(level_free);
    g_autoptr(GError) bad = NULL;
    g_auto(GStrv) groups = NULL;

    if (!is_trusted(path, is_missing, error))
        return NULL;
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &bad)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG, "%s: %s", path, bad->message);
        return NULL;
    }
    groups = g_key_file_get_groups(file, NULL);
    for (guint i = 0; groups[i]; i++) {
        MigFenceLevel *level = read_level(file, path, groups[i], error);

        if (!level)
            return NULL;
        g_ptr_array_add(levels, level);
    }
    if (levels->len == 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG, "%s: no group with an agent in it", path);
        return NULL;
    }
    return g_steal_pointer(&levels);
}

/* "key=0x0B2" of an agent's options: "b2"; NULL: it has none. */
static char *
key_of(const MigFenceLevel *level)
{
    g_auto(GStrv) lines = g_strsplit(level->input, "\n", -1);

    for (guint i = 0; lines[i]; i++) {
        g_autofree char *key = NULL;
        const char *digits;

        if (!g_str_has_prefix(lines[i], "key="))
            continue;
        key = g_ascii_strdown(g_strstrip(lines[i] + strlen("key=")), -1);
        digits = g_str_has_prefix(key, "0x") ? key + 2 : key;
        return g_strdup(digits + strspn(digits, "0"));
    }
    return NULL;
}

static gboolean
says_same(const MigFenceLevel *one, const MigFenceLevel *other)
{
    g_autofree char *key = key_of(one), *theirs = key_of(other);

    if (!one->is_unfencing || !other->is_unfencing || !g_str_equal(one->agent, other->agent))
        return FALSE;
    return key && theirs ? g_str_equal(key, theirs)
                         : g_ascii_strcasecmp(one->input, other->input) == 0;
}

/* What takes a key off a LUN would take another node's, and confirm that it is this one's. */
static gboolean
is_nobody_elses(const char *directory, const char *name, const GPtrArray *levels, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    const char *other;

    while (dir && (other = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(directory, other, NULL);
        gboolean is_missing;
        g_autoptr(GPtrArray) theirs = g_str_has_suffix(other, ".conf") && !g_str_equal(other, name)
                                          ? read_levels(path, &is_missing, NULL)
                                          : NULL;

        for (guint i = 0; theirs && i < theirs->len * levels->len; i++) {
            const MigFenceLevel *one = g_ptr_array_index(theirs, i / levels->len);
            const MigFenceLevel *own = g_ptr_array_index(levels, i % levels->len);

            if (!says_same(own, one))
                continue;
            g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                        "%s/%s: [%s] says the same as [%s] of %s, and each node has a key of its "
                        "own",
                        directory, name, own->name, one->name, other);
            return FALSE;
        }
    }
    return TRUE;
}

GPtrArray *
mig_fence_levels(const char *directory, const char *node, gboolean *is_missing, GError **error)
{
    g_autofree char *name = g_strconcat(node, ".conf", NULL);
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autoptr(GPtrArray) levels = read_levels(path, is_missing, error);

    return levels && is_nobody_elses(directory, name, levels, error) ? g_steal_pointer(&levels)
                                                                     : NULL;
}

/* ---- running an agent ---- */

static void
own_group(gpointer user_data)
{
    setsid();   /* so that what an agent starts can be killed with it */
    dup2(1, 2); /* agents complain on the one or the other */
}

/* Pipes of the agent, without waiting: what it says is kept up to a limit, what it does not read is
 * kept for later. */
static void
pump(int *in, int out, const char **input, GString *said)
{
    char buffer[512];
    ssize_t n;

    while (*in >= 0 && **input) {
        n = write(*in, *input, strlen(*input));
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            *input = ""; /* it does not want to know */
        else
            *input += n;
    }
    if (*in >= 0 && !**input) {
        close(*in);
        *in = -1;
    }
    while ((n = read(out, buffer, sizeof buffer)) > 0) {
        if (said->len < SAID_MAX)
            g_string_append_len(said, buffer, MIN(n, (ssize_t)(SAID_MAX - said->len)));
    }
}

static int
exit_code(const char *agent, int status, const GString *said, GError **error)
{
    g_autofree char *line = mig_log_escape(said->str);

    if (WIFEXITED(status)) {
        if (WEXITSTATUS(status) != 0)
            g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "%s failed with code %d: %s", agent,
                        WEXITSTATUS(status), *line ? line : "it says nothing");
        return WEXITSTATUS(status);
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "%s was killed by signal %d", agent,
                WTERMSIG(status));
    return -1;
}

int
mig_fence_run(const char *agent, const char *input, const char *action, guint timeout_ms,
              GError **error)
{
    char *argv[] = {(char *)agent, NULL};
    g_autofree char *text = g_strdup_printf("%saction=%s\n", input, action);
    const char *left = text;
    g_autoptr(GString) said = g_string_new(NULL);
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    g_autoptr(GError) bad = NULL;
    int in = -1, out = -1, status = 0, code = -1;
    GPid pid;

    if (!g_spawn_async_with_pipes("/", argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                                  own_group, NULL, &pid, &in, &out, NULL, &bad)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "cannot run %s: %s", agent, bad->message);
        return -1;
    }
    fcntl(in, F_SETFL, O_NONBLOCK);
    fcntl(out, F_SETFL, O_NONBLOCK);
    for (;;) {
        struct pollfd readable = {.fd = out, .events = POLLIN};
        pid_t done;

        pump(&in, out, &left, said);
        done = waitpid(pid, &status, WNOHANG);
        if (done == pid) {
            pump(&in, out, &left, said);
            code = exit_code(agent, status, said, error);
            break;
        }
        if (g_get_monotonic_time() > deadline) {
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            g_set_error(error, MIG_ERROR, MIG_ERROR_TIMEOUT,
                        "%s has not ended within %u ms, and was killed", agent, timeout_ms);
            break;
        }
        poll(&readable, 1, POLL_MS);
        if (readable.revents & POLLHUP) /* closed, not ended: poll would not wait any more */
            g_usleep(POLL_MS * 1000);
    }
    if (in >= 0)
        close(in);
    close(out);
    g_spawn_close_pid(pid);
    return code;
}

static const MigFenceLevel *
find_own(const MigFenceLevel *level, const GPtrArray *own)
{
    for (guint i = 0; own && i < own->len; i++) {
        const MigFenceLevel *mine = g_ptr_array_index(own, i);

        if (mine->is_unfencing && g_str_equal(mine->name, level->name))
            return mine;
    }
    return NULL;
}

gboolean
mig_fence_can(GPtrArray *levels, const GPtrArray *own)
{
    for (guint i = 0; i < levels->len; i++) {
        const MigFenceLevel *level = g_ptr_array_index(levels, i);

        if (!level->is_unfencing || find_own(level, own))
            return TRUE;
    }
    return FALSE;
}

/* What a level is, so that another one by the same name is not taken for it. */
static char *
identity(const MigFenceLevel *level)
{
    return g_strdup_printf("%s\n%s\n%s", level->name, level->agent, level->input);
}

/* Is this node let in by it, on each LUN? A storage that has forgotten all keys cuts nobody off,
 * and an agent calls a node in that has its key on one of several. */
static gboolean
is_let_in(const MigFenceLevel *mine, guint timeout_ms, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(mine->input, "\n", -1);
    g_autoptr(GString) rest = g_string_new(NULL);
    g_auto(GStrv) devices = NULL;
    gboolean has_device = FALSE;

    for (guint i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], "devices=") && !devices)
            devices = g_strsplit_set(lines[i] + strlen("devices="), ", \t", -1);
        else if (*lines[i])
            g_string_append_printf(rest, "%s\n", lines[i]);
    }
    for (guint i = 0; devices && devices[i]; i++) {
        g_autofree char *input = g_strdup_printf("%sdevices=%s\n", rest->str, devices[i]);

        if (!*devices[i])
            continue;
        has_device = TRUE;
        if (mig_fence_run(mine->agent, input, "status", timeout_ms, error) != 0) {
            g_prefix_error(error, "%s: ", devices[i]);
            return FALSE;
        }
    }
    return has_device || mig_fence_run(mine->agent, mine->input, "status", timeout_ms, error) == 0;
}

/* Was it seen to have what that level takes from it, and does that mean anything on this LUN? */
static gboolean
is_in_force(const MigFenceLevel *level, const GPtrArray *own, GHashTable *shown, guint timeout_ms,
            GError **error)
{
    const MigFenceLevel *mine = find_own(level, own);
    g_autoptr(GError) unclear = NULL;
    g_autofree char *name = identity(level);
    int code;

    if (!mine) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "this node was not let in by a level of that name (unfence=yes in its own "
                    "file) since it was started, so nothing says that anybody can be cut off by "
                    "it");
        return FALSE;
    }
    if (!is_let_in(mine, timeout_ms, error)) {
        g_prefix_error(error, "this node is not let in itself any more, so nobody is cut off: ");
        return FALSE;
    }
    code = mig_fence_run(level->agent, level->input, "status", timeout_ms, &unclear);
    if (code == 0) {
        if (shown)
            g_hash_table_add(shown, g_steal_pointer(&name));
        return TRUE;
    }
    if (code != STATUS_OFF) {
        g_propagate_error(error, g_steal_pointer(&unclear));
        return FALSE;
    }
    if (!shown || !g_hash_table_contains(shown, name)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "by this file it is off before anything was done, so the file may have "
                    "another key than it, or another node has cut it off");
        return FALSE;
    }
    return TRUE;
}

/* is_due: asked again where something was run between the judgement and "off". */
static gboolean
try_level(const MigFenceLevel *level, const GPtrArray *own, GHashTable *shown, guint timeout_ms,
          MigFenceAsk is_due, gpointer data, GError **error)
{
    g_autoptr(GError) unclear = NULL;
    int code;

    if (level->is_unfencing &&
        (!is_in_force(level, own, shown, timeout_ms, error) || !is_due(data, error)))
        return FALSE;
    code = mig_fence_run(level->agent, level->input, level->action, timeout_ms, error);
    if (code != 0)
        return FALSE;
    if (g_str_equal(level->action, "reboot"))
        return TRUE;
    code = mig_fence_run(level->agent, level->input, "status", timeout_ms, &unclear);
    if (code == STATUS_OFF)
        return TRUE;
    if (code == 0)
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "%s says that it is still on after off",
                    level->agent);
    else
        g_propagate_error(error, g_steal_pointer(&unclear));
    return FALSE;
}

gboolean
mig_fence_node(GPtrArray *levels, const GPtrArray *own, GHashTable *shown, const char *node,
               guint timeout_ms, MigFenceAsk is_due, gpointer data, char **level, GError **error)
{
    g_autoptr(GString) failures = g_string_new(NULL);

    for (guint i = 0; i < levels->len; i++) {
        const MigFenceLevel *one = g_ptr_array_index(levels, i);
        g_autoptr(GError) failed = NULL, changed = NULL;

        if (i > 0 && !is_due(data, &changed)) {
            g_string_append_printf(failures, "; [%s] is not tried: %s", one->name,
                                   changed->message);
            break;
        }
        if (try_level(one, own, shown, timeout_ms, is_due, data, &failed)) {
            if (level)
                *level = g_strdup_printf("%s (%s)", one->name, one->agent);
            return TRUE;
        }
        g_string_append_printf(failures, "%s[%s] %s", failures->len ? "; " : "", one->name,
                               failed->message);
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "%s is not fenced: %s", node, failures->str);
    return FALSE;
}

gboolean
mig_fence_unfence(GPtrArray *levels, guint timeout_ms, GError **error)
{
    for (guint i = 0; i < levels->len; i++) {
        const MigFenceLevel *level = g_ptr_array_index(levels, i);

        if (level->is_unfencing &&
            mig_fence_run(level->agent, level->input, "on", timeout_ms, error) != 0) {
            g_prefix_error(error, "[%s] cannot let this node in: ", level->name);
            return FALSE;
        }
    }
    return TRUE;
}
