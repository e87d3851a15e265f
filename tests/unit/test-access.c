/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-access.c - who may call what, as real users with real groups; and what is written down. */

#include "rpc-fixture.h"

#include "base/error.h"
#include "base/log.h"
#include "rpc/api-types.h"
#include "rpc/server-private.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define ADMINS 65001 /* group migrated, in a file of this test's own */
#define READER 65002 /* group libvirt */

#define ECHO      "{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":\"x\"}}"
#define FAIL      "{\"method\":\"io.migrated.Fail\",\"parameters\":{\"name\":\"VmUnknown\"}}"
#define ROOTS     "{\"method\":\"io.migrated.Roots\",\"parameters\":{\"name\":\"x\"}}"
#define PEERS     "{\"method\":\"io.migrated.Peer.Echo\",\"parameters\":{\"name\":\"x\"}}"
#define OK        "\"message\":\"x\""
#define DENIED    "io.migrated.Denied"
#define ROOT_ONLY "for root alone"

static gboolean has_groups; /* /etc/group is ours */

/* ---- the log ---- */

static GMutex log_lock;
static GPtrArray *log_lines; /* "MESSAGE_ID|FROM|METHOD|RESULT|MESSAGE" */

static char *
field(const GLogField *fields, gsize count, const char *name)
{
    for (gsize i = 0; i < count; i++) {
        if (g_str_equal(fields[i].key, name))
            return fields[i].length < 0 ? g_strdup(fields[i].value)
                                        : g_strndup(fields[i].value, (gsize)fields[i].length);
    }
    return g_strdup("");
}

static GLogWriterOutput
keep_line(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user_data)
{
    g_autofree char *id = field(fields, count, "MESSAGE_ID");
    g_autofree char *from = field(fields, count, MIG_NAME_FROM);
    g_autofree char *method = field(fields, count, MIG_NAME_METHOD);
    g_autofree char *result = field(fields, count, MIG_NAME_RESULT);
    g_autofree char *text = field(fields, count, "MESSAGE");

    g_mutex_lock(&log_lock);
    g_ptr_array_add(log_lines, g_strjoin("|", id, from, method, result, text, NULL));
    g_mutex_unlock(&log_lock);
    return G_LOG_WRITER_HANDLED;
}

/* How many lines have this id and this fragment. */
static guint
count_lines(const char *id, const char *fragment)
{
    guint count = 0;

    g_mutex_lock(&log_lock);
    for (guint i = 0; i < log_lines->len; i++) {
        const char *line = log_lines->pdata[i];

        count += g_str_has_prefix(line, id) && strstr(line, fragment) != NULL;
    }
    g_mutex_unlock(&log_lock);
    return count;
}

static void
forget_lines(void)
{
    g_mutex_lock(&log_lock);
    g_ptr_array_set_size(log_lines, 0);
    g_mutex_unlock(&log_lock);
}

/* ---- asking ---- */

/* The answer to this call, on a connection of its own. */
static char *
ask(Fixture *f, const char *call)
{
    int fd = raw_connect(f);
    char *frame;

    raw_send_frame(fd, call);
    frame = raw_read_frame(fd);
    close(fd);
    return frame;
}

static gboolean
answers(Fixture *f, const char *call, const char *fragment)
{
    g_autofree char *frame = ask(f, call);

    return frame && strstr(frame, fragment);
}

typedef struct {
    const char *echo, *fail, *roots, *peers; /* what each call must be answered with */
} Rights;

static const Rights nothing = {DENIED, DENIED, ROOT_ONLY, ROOT_ONLY};
static const Rights reading = {OK, DENIED, ROOT_ONLY, ROOT_ONLY};
static const Rights changing = {OK, "VmUnknown", ROOT_ONLY, ROOT_ONLY};
static const Rights everything = {OK, "VmUnknown", OK, OK};

static int
try_rights(Fixture *f, const Rights *rights)
{
    return !answers(f, ECHO, rights->echo) << 0 | !answers(f, FAIL, rights->fail) << 1 |
           !answers(f, ROOTS, rights->roots) << 2 | !answers(f, PEERS, rights->peers) << 3;
}

/* In a child with these ids. */
static void
expect_rights(Fixture *f, gid_t primary, const gid_t *groups, gsize count, const Rights *rights)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        if (setgroups(count, groups) < 0 || setgid(primary) < 0 || setuid(NOBODY) < 0)
            _exit(99);
        _exit(try_rights(f, rights));
    }
    waitpid(pid, &status, 0);
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static void
test_rights(Fixture *f, gconstpointer data)
{
    gid_t many[400];

    if (!has_groups) {
        g_test_skip("needs root, to become somebody else with groups of the test's own");
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(many); i++)
        many[i] = (gid_t)(70000 + i);
    g_assert_cmpint(try_rights(f, &everything), ==, 0);
    expect_rights(f, NOBODY, NULL, 0, &nothing);
    expect_rights(f, NOBODY, many, G_N_ELEMENTS(many), &nothing);
    expect_rights(f, READER, NULL, 0, &reading);
    expect_rights(f, NOBODY, (gid_t[]){READER}, 1, &reading);
    expect_rights(f, ADMINS, NULL, 0, &changing);
    expect_rights(f, NOBODY, (gid_t[]){ADMINS}, 1, &changing);
    expect_rights(f, READER, (gid_t[]){5, ADMINS}, 2, &changing);
    /* more groups than a first look has room for, ours the last of them */
    many[G_N_ELEMENTS(many) - 1] = ADMINS;
    expect_rights(f, NOBODY, many, G_N_ELEMENTS(many), &changing);
}

/* ---- how many ---- */

/* In a child with this group: how many of sixty connections stay, after a call or none on each. */
static int
count_places(Fixture *f, uid_t uid, gid_t group, const char *call)
{
    pid_t pid = fork();
    int status = 0, fds[60], open = 0;

    if (pid != 0) {
        waitpid(pid, &status, 0);
        return WEXITSTATUS(status);
    }
    if (setgroups(0, NULL) < 0 || setgid(group) < 0 || setuid(uid) < 0)
        _exit(99);
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = raw_connect(f);
        if (call)
            raw_send_frame(fds[i], call);
    }
    g_usleep(500000);
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++) {
        char bytes[4096];
        ssize_t n;

        while ((n = recv(fds[i], bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
            ;
        open += n < 0 && errno == EAGAIN;
    }
    _exit(open);
}

static void
test_places(Fixture *f, gconstpointer data)
{
    if (!has_groups) {
        g_test_skip("needs root, to become somebody else with groups of the test's own");
        return;
    }
    mig_rpc_server_set_limits(f->server, 80, 20000);
    g_assert_cmpint(count_places(f, NOBODY, NOBODY, NULL), ==, 5);
    fixture_wait_connections(f, 0);
    g_assert_cmpint(count_places(f, NOBODY, NOBODY, ECHO), ==, 0);
    fixture_wait_connections(f, 0);
    g_assert_cmpint(count_places(f, NOBODY, READER, ECHO), ==, 20);
    fixture_wait_connections(f, 0);
    g_assert_cmpint(count_places(f, 0, 0, ECHO), ==, 60);
    fixture_wait_connections(f, 0);
}

/* ---- what is written down ---- */

static void
test_denied_is_logged(Fixture *f, gconstpointer data)
{
    int fd = raw_connect_peer(f);
    g_autofree char *frame = NULL;

    forget_lines();
    raw_send_frame(fd, FAIL); /* a peer, and a method that is not for peers */
    frame = raw_read_frame(fd);
    g_assert_nonnull(strstr(frame, "InterfaceNotFound"));
    close(fd);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|peer 127.0.0.1|io.migrated.Fail|"), ==, 1);
    if (!has_groups)
        return;
    expect_rights(f, NOBODY, NULL, 0, &nothing);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|uid 65534 pid "), ==, 4);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|io.migrated.Roots|"), ==, 1);
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, "65534"), ==, 0);
}

static int
ask_only(Fixture *f, uid_t uid, const char *call, guint times)
{
    pid_t pid = fork();
    int status = 0;

    if (pid != 0) {
        waitpid(pid, &status, 0);
        return WEXITSTATUS(status);
    }
    if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(uid) < 0)
        _exit(99);
    while (times-- > 0)
        g_free(ask(f, call));
    _exit(0);
}

/* A flood of refusals is no flood of lines, and hides nothing: not what another user does, and not
 * what the same one tries besides. In the end it is said how many there were. */
static void
test_denied_flood(Fixture *f, gconstpointer data)
{
    g_autofree char *frame = NULL;
    int fd;

    if (!has_groups) {
        g_test_skip("needs root, to become somebody else");
        return;
    }
    mig_rpc_denials_set_window(f->server->denials, 3000);
    forget_lines();
    g_assert_cmpint(ask_only(f, NOBODY, ECHO, 100), ==, 0);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|uid 65534 pid "), ==, 5);
    g_assert_cmpint(ask_only(f, NOBODY, ROOTS, 1), ==, 0);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|io.migrated.Roots|"), ==, 1);
    g_assert_cmpint(ask_only(f, NOBODY - 1, ECHO, 1), ==, 0);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|uid 65533 pid "), ==, 1);
    fd = raw_connect_peer(f);
    for (guint i = 0; i < 50; i++) { /* of methods that it makes up, too */
        g_autofree char *call = g_strdup_printf("{\"method\":\"io.migrated.Made%u\"}", i);
        g_autofree char *answer = NULL;

        raw_send_frame(fd, call);
        answer = raw_read_frame(fd);
        g_assert_nonnull(strstr(answer, "InterfaceNotFound"));
    }
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|peer 127.0.0.1|io.migrated.Made"), ==, 5);
    raw_send_frame(fd, FAIL);
    frame = raw_read_frame(fd);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|peer 127.0.0.1|io.migrated.Fail|"), ==, 1);
    close(fd);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, " more calls"), ==, 0);
    for (guint i = 0; i < 500 && count_lines(MIG_ID_DENIED, " more calls") < 2; i++)
        g_usleep(10000);
    g_assert_cmpuint(
        count_lines(MIG_ID_DENIED, "refused uid 65534: 95 more calls of io.migrated.Echo"), ==, 1);
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "refused peer 127.0.0.1: 45 more calls"), ==, 1);
    g_assert_cmpint(ask_only(f, NOBODY, ECHO, 1), ==, 0); /* a new window */
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|uid 65534 pid "), ==, 7);
}

static void
test_audit(Fixture *f, gconstpointer data)
{
    g_autofree char *from = g_strdup_printf("|uid %u pid %d|", geteuid(), (int)getpid());
    int fd = raw_connect_peer(f);
    g_autofree char *frame = NULL;

    forget_lines();
    g_assert_true(answers(f, ECHO, OK)); /* changes nothing: no line */
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, ""), ==, 0);
    g_assert_true(answers(f, FAIL, "VmUnknown"));
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, "|io.migrated.Fail|VmUnknown|"), ==, 1);
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, from), ==, 1);
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, "Fail name=VmUnknown: VmUnknown"), ==, 1);
    g_assert_true(answers(f, ROOTS, OK));
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, "|io.migrated.Roots|ok|"), ==, 1);
    g_assert_true(answers(f, "{\"method\":\"io.migrated.Stream\",\"more\":true}", "continues"));
    for (guint i = 0; i < 500 && count_lines(MIG_ID_AUDIT, "|io.migrated.Stream|ok|") < 1; i++)
        g_usleep(10000);
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, "|io.migrated.Stream|ok|"), ==, 1);
    raw_send_frame(fd, "{\"method\":\"io.migrated.Peer.Fail\",\"parameters\":{\"name\":\"Exists\"},"
                       "\"oneway\":true}"); /* nobody waits for the answer */
    raw_send_frame(fd, "{\"method\":\"io.migrated.Peer.Who\"}");
    frame = raw_read_frame(fd);
    g_assert_cmpuint(
        count_lines(MIG_ID_AUDIT, "|peer 127.0.0.1|io.migrated.Peer.Fail|Exists|audit: peer"), ==,
        1);
    close(fd);
}

/* A node says for whom it asks: that is written down, and nothing else comes of it. */
static void
test_audit_of_a_caller(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRpcClient) client =
        mig_rpc_client_new_tcp("127.0.0.1", f->port, 1000, NULL, NULL, &error);
    MigNameRequest request = {.name = (char *)"Exists"};
    int fd = raw_connect_peer(f);
    g_autofree char *root = NULL;
    g_autofree char *wrong = NULL;

    g_assert_no_error(error);
    forget_lines();
    mig_rpc_client_set_caller(client, 1000);
    g_assert_null(mig_rpc_client_call(client, "io.migrated.Peer.Fail", &mig_type_NameRequest,
                                      &request, &mig_type_Empty, 1000, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_EXISTS);
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT,
                                 "|peer 127.0.0.1|io.migrated.Peer.Fail|Exists|audit: peer "
                                 "127.0.0.1 (for its uid 1000): io.migrated.Peer.Fail "),
                     ==, 1);
    /* it does not make an administrator of a node */
    raw_send_frame(fd, "{\"method\":\"io.migrated.Roots\",\"parameters\":{\"name\":\"x\"},"
                       "\"caller_uid\":0}");
    root = raw_read_frame(fd);
    g_assert_nonnull(strstr(root, "InterfaceNotFound"));
    g_assert_cmpuint(count_lines(MIG_ID_DENIED, "|peer 127.0.0.1|io.migrated.Roots|"), ==, 1);
    raw_send_frame(fd, "{\"method\":\"io.migrated.Peer.Who\",\"caller_uid\":\"root\"}");
    wrong = raw_read_frame(fd);
    g_assert_nonnull(strstr(wrong, "wrong type"));
    close(fd);
    /* who is asked here is known: nobody can say to be somebody else */
    g_assert_true(answers(f,
                          "{\"method\":\"io.migrated.Fail\",\"parameters\":{\"name\":\"x\"},"
                          "\"caller_uid\":1}",
                          "only nodes say for whom"));
    g_assert_true(answers(f,
                          "{\"method\":\"io.migrated.Peer.Fail\",\"parameters\":{\"name\":\"x\"},"
                          "\"caller_uid\":4294967295}",
                          "wrong type"));
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, ""), ==, 1);
}

/* What is not a name is not told: a definition, a password; and a name cannot make a second line.
 */
static void
test_audit_is_discreet(Fixture *f, gconstpointer data)
{
    forget_lines();
    g_assert_true(answers(f,
                          "{\"method\":\"io.migrated.Define\",\"parameters\":{\"volume\":"
                          "\"v\\nuid 0\",\"xml\":\"passwd='s3cret'\"}}",
                          "{}"));
    g_assert_cmpuint(count_lines(MIG_ID_AUDIT, "Define volume=v\\x0auid 0: ok"), ==, 1);
    g_assert_cmpuint(count_lines("", "s3cret"), ==, 0);
    g_assert_cmpuint(count_lines("", "\n"), ==, 0);
}

/* ---- main ---- */

/* Groups of our own, seen by this process only. Before there are threads. */
static void
replace_groups(void)
{
    g_autofree char *path = NULL;
    int fd = geteuid() == 0 ? g_file_open_tmp("mig-group-XXXXXX", &path, NULL) : -1;
    g_autofree char *text =
        g_strdup_printf("root:x:0:\nlibvirt:x:%d:\nmigrated:x:%d:\n", READER, ADMINS);

    if (fd < 0)
        return;
    has_groups = write(fd, text, strlen(text)) > 0 && fchmod(fd, 0644) == 0 &&
                 unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0 &&
                 mount(path, "/etc/group", "", MS_BIND, "") == 0;
    close(fd);
    unlink(path);
}

#define ADD(name, test) \
    g_test_add("/access/" name, Fixture, NULL, fixture_set_up, test, fixture_tear_down)

int
main(int argc, char **argv)
{
    replace_groups();
    log_lines = g_ptr_array_new_with_free_func(g_free);
    g_log_set_writer_func(keep_line, NULL, NULL);
    g_test_init(&argc, &argv, NULL);
    ADD("rights", test_rights);
    ADD("places", test_places);
    ADD("denied-is-logged", test_denied_is_logged);
    ADD("denied-flood", test_denied_flood);
    ADD("audit", test_audit);
    ADD("audit-of-a-caller", test_audit_of_a_caller);
    ADD("audit-is-discreet", test_audit_is_discreet);
    return g_test_run();
}
