/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-server.c - the server against clients that do not play by the rules. */

#include "rpc-fixture.h"

#include "base/error.h"
#include "base/log.h"
#include "rpc/api-types.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ECHO "{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":\"x\"}}"
#define PARK "{\"method\":\"io.migrated.Park\"}"

static void
assert_frame(int fd, const char *fragment)
{
    g_autofree char *frame = raw_read_frame(fd);

    g_assert_nonnull(frame);
    if (!strstr(frame, fragment))
        g_test_message("got %.200s", frame);
    g_assert_nonnull(strstr(frame, fragment));
}

static void
assert_closed(int fd)
{
    g_autofree char *frame = raw_read_frame(fd);

    g_assert_null(frame);
    close(fd);
}

static void
wait_for_int(int *value, int wanted)
{
    for (int i = 0; i < 1000 && g_atomic_int_get(value) != wanted; i++)
        g_usleep(5000);
    g_assert_cmpint(g_atomic_int_get(value), ==, wanted);
}

/* ---- refused, but the connection lives ---- */

static void
test_unknown(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *frame, *answer;
    } cases[] = {
        {"{\"method\":\"io.migrated.Nope\"}", "\"org.varlink.service.MethodNotFound\""},
        {"{\"method\":\"io.other.Echo\"}", "\"org.varlink.service.InterfaceNotFound\""},
        {"{\"method\":\"Echo\"}", "\"org.varlink.service.InterfaceNotFound\""},
        {"{\"method\":\"\"}", "\"org.varlink.service.InterfaceNotFound\""},
        {"{\"method\":\"io.migrated.\"}", "\"org.varlink.service.MethodNotFound\""},
        {"{\"method\":\"io.migrated.Echo\"}", "\\\"name\\\" is missing"},
        {"{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":\"x\",\"y\":1}}",
         "\\\"y\\\" is not a key"},
        {"{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":1}}", "must be a string"},
        {"{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":\"x\"},\"upgrade\":true}",
         "knows no \\\"upgrade\\\""},
        {"{\"method\":\"io.migrated.Upgrade\"}", "needs \\\"upgrade\\\""},
    };
    int fd = raw_connect(f);

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        raw_send_frame(fd, cases[i].frame);
        assert_frame(fd, cases[i].answer);
    }
    raw_send_frame(fd, ECHO);
    assert_frame(fd, "{\"parameters\":{\"message\":\"x\"}}");
    g_assert_cmpint(g_atomic_int_get(&f->calls), ==, 1);
    close(fd);
}

/* ---- refused, and the connection ends ---- */

static void
test_broken_envelope(Fixture *f, gconstpointer data)
{
    static const char *const frames[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"method\":1}",
        "{\"method\":\"io.migrated.Echo\",\"methods\":1}",
        "{\"method\":\"io.migrated.Echo\",\"parameters\":[]}",
        "{\"method\":\"io.migrated.Echo\",\"more\":1}",
        "{\"method\":\"io.migrated.Echo\",\"more\":true,\"oneway\":true}",
        "{\"method\":\"io.migrated.Echo\",\"method\":\"io.migrated.Fail\"}",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(frames); i++) {
        int fd = raw_connect(f);

        raw_send_frame(fd, frames[i]);
        assert_frame(fd, "\"io.migrated.Protocol\"");
        assert_closed(fd);
    }
    fixture_wait_connections(f, 0);
    g_assert_cmpint(g_atomic_int_get(&f->calls), ==, 0);
}

/* A frame of exactly the limit is read; one byte more ends the connection. */
static void
test_frame_size(Fixture *f, gconstpointer data)
{
    for (int over = 0; over < 2; over++) {
        gsize length = MIG_MESSAGE_MAX_BYTES + (gsize)over;
        g_autofree char *frame = g_strnfill(length, ' ');
        int fd = raw_connect(f);

        memcpy(frame, ECHO, strlen(ECHO));
        raw_send(fd, frame, length + 1);
        if (over) {
            assert_frame(fd, "message too long");
            assert_closed(fd);
        } else {
            assert_frame(fd, "\"message\":\"x\"");
            close(fd);
        }
    }
    g_assert_cmpint(g_atomic_int_get(&f->calls), ==, 1);
}

/* Without ever sending a NUL: the server neither waits nor stores for ever. */
static void
test_endless_frame(Fixture *f, gconstpointer data)
{
    g_autofree char *chunk = g_strnfill(1 << 20, 'x');
    int fd = raw_connect(f);

    for (int i = 0; i < 3; i++)
        raw_send(fd, chunk, 1 << 20);
    fixture_wait_connections(f, 0);
    close(fd);
}

static void
test_slow_loris(Fixture *f, gconstpointer data)
{
    gint64 start = g_get_monotonic_time();
    int silent = raw_connect(f);
    int slow = raw_connect(f);
    int later = raw_connect(f);

    raw_send_frame(later, ECHO);
    assert_frame(later, "\"message\"");
    raw_send(later, "{", 1); /* a good first frame buys no time for the second */
    for (int i = 0; i < 20 && fixture_connections(f) > 0; i++) {
        raw_send(slow, " ", 1);
        g_usleep(TEST_FRAME_TIMEOUT_MS * 1000 / 10);
    }
    fixture_wait_connections(f, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 3 * TEST_FRAME_TIMEOUT_MS * 1000);
    assert_closed(silent);
    assert_closed(slow);
    assert_closed(later);
}

/* Between two calls a client may rest as long as it likes. */
static void
test_idle_client(Fixture *f, gconstpointer data)
{
    int fd = raw_connect(f);

    raw_send_frame(fd, ECHO);
    assert_frame(fd, "\"message\"");
    g_usleep(2 * TEST_FRAME_TIMEOUT_MS * 1000);
    raw_send_frame(fd, ECHO);
    assert_frame(fd, "\"message\"");
    close(fd);
}

static void
test_too_many(Fixture *f, gconstpointer data)
{
    int fds[TEST_MAX_CONNECTIONS];
    int extra;

    for (int i = 0; i < TEST_MAX_CONNECTIONS; i++) {
        fds[i] = raw_connect(f);
        raw_send_frame(fds[i], ECHO);
        assert_frame(fds[i], "\"message\"");
    }
    extra = raw_connect(f);
    assert_closed(extra);
    close(fds[0]);
    fixture_wait_connections(f, TEST_MAX_CONNECTIONS - 1);
    fds[0] = raw_connect(f);
    raw_send_frame(fds[0], ECHO);
    assert_frame(fds[0], "\"message\"");
    for (int i = 0; i < TEST_MAX_CONNECTIONS; i++)
        close(fds[i]);
}

/* ---- calls ---- */

/* Requests sent at once are answered one after the other, in order; a running call holds them. */
static void
test_pipelining(Fixture *f, gconstpointer data)
{
    g_autoptr(GString) frames = g_string_new(NULL);
    int fd = raw_connect(f);
    int other = raw_connect(f);

    g_string_append_len(frames, PARK, sizeof(PARK));
    for (int i = 0; i < 100; i++) {
        g_string_append_printf(
            frames, "{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":\"n%d\"}}", i);
        g_string_append_c(frames, '\0');
    }
    raw_send(fd, frames->str, frames->len);
    wait_for_int(&f->calls, 1);
    g_usleep(50000);
    g_assert_cmpint(g_atomic_int_get(&f->calls), ==, 1); /* none has overtaken it */
    raw_send_frame(other, "{\"method\":\"io.migrated.Release\"}");
    assert_frame(other, "{\"parameters\":{}}");
    assert_frame(fd, "{\"parameters\":{}}");
    for (int i = 0; i < 100; i++) {
        g_autofree char *wanted = g_strdup_printf("\"n%d\"", i);

        assert_frame(fd, wanted);
    }
    close(fd);
    close(other);
}

static void
test_oneway(Fixture *f, gconstpointer data)
{
    int fd = raw_connect(f);

    raw_send_frame(fd, "{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":\"x\"},"
                       "\"oneway\":true}");
    raw_send_frame(fd, "{\"method\":\"io.migrated.Nope\",\"oneway\":true}");
    raw_send_frame(fd, "{\"method\":\"io.migrated.Who\"}");
    assert_frame(fd, "io.migrated.Who");
    g_assert_cmpint(g_atomic_int_get(&f->calls), ==, 1);
    close(fd);
}

/* A client that leaves during its call: the handler can see it, and nothing breaks. */
static void
test_client_gone(Fixture *f, gconstpointer data)
{
    int fd = raw_connect(f);
    int other = raw_connect(f);

    raw_send_frame(fd, PARK);
    wait_for_int(&f->calls, 1);
    close(fd);
    g_usleep(50000);
    raw_send_frame(other, "{\"method\":\"io.migrated.Release\"}");
    assert_frame(other, "{\"parameters\":{}}");
    g_assert_cmpint(g_atomic_int_get(&f->gone_seen), ==, 1);
    close(other);
    fixture_wait_connections(f, 0);
}

/* "printf ... | nc": the sending half is closed at once, the answer is still wanted. */
static void
test_half_close(Fixture *f, gconstpointer data)
{
    int fd = raw_connect(f);

    raw_send_frame(fd, ECHO);
    raw_send_frame(fd, ECHO);
    shutdown(fd, SHUT_WR);
    assert_frame(fd, "\"message\"");
    assert_frame(fd, "\"message\"");
    assert_closed(fd);
}

static void
test_stream(Fixture *f, gconstpointer data)
{
    int fd = raw_connect(f);

    raw_send_frame(fd, "{\"method\":\"io.migrated.Stream\",\"more\":true}");
    for (int i = 0; i < 3; i++) {
        g_autofree char *wanted = g_strdup_printf("\"done\":%d", i);
        g_autofree char *frame = raw_read_frame(fd);

        g_assert_nonnull(strstr(frame, wanted));
        g_assert_nonnull(strstr(frame, "\"continues\":true"));
    }
    assert_frame(fd, "{\"parameters\":{\"done\":3,\"total\":3}}");
    /* without "more" there is but one answer */
    raw_send_frame(fd, "{\"method\":\"io.migrated.Stream\"}");
    assert_frame(fd, "{\"parameters\":{\"done\":3,\"total\":3}}");
    close(fd);
}

static gsize
resident_bytes(void)
{
    g_autofree char *text = NULL;
    gsize pages = 0;

    g_file_get_contents("/proc/self/statm", &text, NULL, NULL);
    g_assert_cmpint(sscanf(text, "%*u %zu", &pages), ==, 1);
    return pages * (gsize)sysconf(_SC_PAGESIZE);
}

/* 200 MB of progress for a client that does not read: memory stays, the last answer comes. */
static void
test_slow_reader(Fixture *f, gconstpointer data)
{
    G_GNUC_UNUSED gsize before = resident_bytes();
    int fd = raw_connect(f);
    guint count = 0;

    raw_send_frame(fd, "{\"method\":\"io.migrated.Flood\",\"more\":true}");
    g_usleep(1500000);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed for a while */
    g_assert_cmpint((gint64)resident_bytes() - (gint64)before, <, 60 << 20);
#endif
    for (;; count++) {
        g_autofree char *frame = raw_read_frame(fd);

        g_assert_nonnull(frame);
        if (!strstr(frame, "\"continues\""))
            break;
    }
    g_assert_cmpint(count, <, 1000); /* what fits into the socket and the queue, no more */
    close(fd);
}

static void
test_big_answer(Fixture *f, gconstpointer data)
{
    int fd = raw_connect(f);

    raw_send_frame(fd, "{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":\"big\"}}");
    assert_frame(fd, "xxx");
    raw_send_frame(fd, "{\"method\":\"io.migrated.Echo\",\"parameters\":{\"name\":\"too-big\"}}");
    assert_frame(fd, "the answer is too long");
    close(fd);
}

/* ---- upgrade ---- */

static void
test_upgrade(Fixture *f, gconstpointer data)
{
    char text[10] = "";
    int fd = raw_connect(f);

    raw_send_frame(fd, ECHO); /* so that a read is under way when the upgrade comes */
    assert_frame(fd, "\"message\"");
    raw_send_frame(fd, "{\"method\":\"io.migrated.Upgrade\",\"upgrade\":true}");
    assert_frame(fd, "{\"parameters\":{}}");
    raw_send(fd, "ping", 4);
    g_assert_cmpint(recv(fd, text, 9, MSG_WAITALL), ==, 9);
    g_assert_cmpstr(text, ==, "helloping");
    assert_closed(fd);
    fixture_wait_connections(f, 0);
    g_assert_cmpint(g_atomic_int_get(&f->upgraded), ==, 1);
}

/* Bytes sent before the answer to an upgrade: whose are they? Nobody's: closed. */
static void
test_upgrade_early_bytes(Fixture *f, gconstpointer data)
{
    static const char frames[] = "{\"method\":\"io.migrated.Upgrade\",\"upgrade\":true}\0early";
    int fd = raw_connect(f);

    raw_send(fd, frames, sizeof(frames) - 1);
    wait_for_int(&f->upgraded, -1);
    fixture_wait_connections(f, 0);
    close(fd);
}

/* ---- peers, permissions, introspection ---- */

static void
test_peer(Fixture *f, gconstpointer data)
{
    int fd = raw_connect_peer(f);

    raw_send_frame(fd, ECHO);
    assert_frame(fd, "InterfaceNotFound");
    raw_send_frame(fd, "{\"method\":\"io.migrated.Peer.Who\"}");
    assert_frame(fd, "peer -1 io.migrated.Peer.Who");
    raw_send_frame(fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
    assert_frame(fd, "[\"org.varlink.service\",\"io.migrated.Peer\"]");
    raw_send_frame(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                       "\"parameters\":{\"interface\":\"io.migrated\"}}");
    assert_frame(fd, "InterfaceNotFound");
    close(fd);
}

/* ---- handshakes ---- */

typedef struct {
    MigRpcSecured secured;
    gpointer data;
    GSocket *socket;
} Handshake;

static GArray *handshakes; /* none of them ends by itself; the server's thread */

static void
begin_handshake(GSocket *socket, guint timeout_ms, MigRpcSecured secured, gpointer secured_data,
                gpointer user_data)
{
    Handshake one = {secured, secured_data, g_object_ref(socket)};

    g_array_append_val(handshakes, one);
    g_atomic_int_inc(&((Fixture *)user_data)->calls);
}

static void
use_handshakes(Fixture *f)
{
    mig_rpc_server_set_peer_security(f->server, begin_handshake, NULL, f);
    mig_rpc_server_set_limits(f->server, 256, 5000);
}

/* All fail but the last one. */
static void
end_handshakes(Fixture *f)
{
    for (guint i = 0; i < handshakes->len; i++) {
        const Handshake *one = &g_array_index(handshakes, Handshake, i);
        GIOStream *stream = NULL;

        if (i + 1 == handshakes->len)
            stream = G_IO_STREAM(g_socket_connection_factory_create_connection(one->socket));
        one->secured(stream, stream ? "nodeB" : NULL, one->data);
        g_object_unref(one->socket);
    }
}

/* Somebody begins handshakes without end at the address of a node: that one still gets in. */
static void
test_handshake_crowd(Fixture *f, gconstpointer data)
{
    enum { MORE = 5, ALL = MIG_RPC_PEERS_UNSAFE_EACH + MORE };
    int fds[ALL];

    handshakes = g_array_new(FALSE, FALSE, sizeof(Handshake));
    fixture_invoke(f, use_handshakes);
    for (int i = 0; i < ALL; i++) {
        fds[i] = raw_connect_peer(f);
        wait_for_int(&f->calls, i + 1);
    }
    for (int i = 0; i < ALL; i++) {
        char byte;
        gboolean is_open = recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0;

        g_assert_cmpint(is_open, ==, i >= MORE); /* the oldest have made room */
    }
    fixture_invoke(f, end_handshakes);
    raw_send_frame(fds[ALL - 1], "{\"method\":\"io.migrated.Peer.Who\"}");
    assert_frame(fds[ALL - 1], "peer -1");
    for (int i = 0; i < ALL; i++)
        close(fds[i]);
    fixture_wait_connections(f, 0);
    g_array_unref(handshakes);
}

static void
test_service(Fixture *f, gconstpointer data)
{
    int fd = raw_connect(f);

    raw_send_frame(fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}");
    assert_frame(fd, "{\"parameters\":{\"vendor\":\"vendor\",\"product\":\"product\",\"version\":"
                     "\"1\",\"url\":\"\",\"interfaces\":[");
    raw_send_frame(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                       "\"parameters\":{\"interface\":\"io.migrated\"}}");
    assert_frame(fd, "{\"description\":\"interface io.migrated\\n\"}");
    raw_send_frame(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                       "\"parameters\":{\"interface\":\"nope\"}}");
    assert_frame(fd, "InterfaceNotFound");
    close(fd);
}

/* ---- listening ---- */

static void
test_live_socket_is_kept(Fixture *f, gconstpointer data)
{
    g_autoptr(MigRpcServer) second = mig_rpc_server_new("v", "p", "1");
    g_autoptr(GError) error = NULL;
    int fd;

    g_assert_false(mig_rpc_server_listen_unix(second, f->path, 0666, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    g_clear_error(&error);
    g_assert_false(mig_rpc_server_listen_peer(second, "127.0.0.1", f->port, "x", &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    fd = raw_connect(f);
    raw_send_frame(fd, ECHO);
    assert_frame(fd, "\"message\"");
    close(fd);
}

static void
test_stale_socket_is_replaced(void)
{
    g_autofree char *dir = g_dir_make_tmp("mig-rpc-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "socket", NULL);
    g_autofree char *file = g_build_filename(dir, "file", NULL);
    g_autoptr(GError) error = NULL;
    MigRpcServer *server;
    struct stat st;
    pid_t pid = fork();

    if (pid == 0) {
        server = mig_rpc_server_new("v", "p", "1");
        _exit(mig_rpc_server_listen_unix(server, path, 0600, NULL) ? 0 : 1); /* and leaves it */
    }
    waitpid(pid, NULL, 0);
    g_assert_cmpint(stat(path, &st), ==, 0);

    server = mig_rpc_server_new("v", "p", "1");
    g_assert_true(mig_rpc_server_listen_unix(server, path, 0640, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0640);
    g_assert_true(g_file_set_contents(file, "precious", -1, NULL));
    g_assert_false(mig_rpc_server_listen_unix(server, file, 0600, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS);
    mig_rpc_server_free(server);
    g_assert_cmpint(unlink(file), ==, 0);
    g_assert_cmpint(rmdir(dir), ==, 0);
}

#define ADD(name, function) \
    g_test_add("/server/" name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mig_log_init(FALSE); /* our warnings are part of what is tested, and not fatal */
    ADD("unknown", test_unknown);
    ADD("broken-envelope", test_broken_envelope);
    ADD("frame-size", test_frame_size);
    ADD("endless-frame", test_endless_frame);
    ADD("slow-loris", test_slow_loris);
    ADD("idle-client", test_idle_client);
    ADD("too-many", test_too_many);
    ADD("pipelining", test_pipelining);
    ADD("oneway", test_oneway);
    ADD("client-gone", test_client_gone);
    ADD("half-close", test_half_close);
    ADD("stream", test_stream);
    ADD("slow-reader", test_slow_reader);
    ADD("big-answer", test_big_answer);
    ADD("upgrade", test_upgrade);
    ADD("upgrade-early-bytes", test_upgrade_early_bytes);
    ADD("peer", test_peer);
    ADD("handshake-crowd", test_handshake_crowd);
    ADD("service", test_service);
    ADD("live-socket-is-kept", test_live_socket_is_kept);
    g_test_add_func("/server/stale-socket-is-replaced", test_stale_socket_is_replaced);
    return g_test_run();
}
