/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-forward.c - streams of another node: they end with their client, and keep nobody waiting. */
#include "forward.h"

#include "base/error.h"
#include "rpc-fixture.h"

#include <string.h>
#include <unistd.h>

#define HOLD "{\"method\":\"io.migrated.Hold\",\"more\":true}"
#define BUSY "io.migrated.Busy"
#define MORE "\"continues\":true"

static MigPeerRpc *peer;
static GPtrArray *held;  /* calls that the other node never answers; the server's thread */
static gboolean is_dumb; /* it does not say a word */
static guint held_count, gone_count;

/* The fixture is both nodes: what comes from here goes on, what comes from there is held. */
static void
hold(MigRpcCall *call, gpointer data)
{
    static const MigEmpty nothing;
    const MigForward what = {.node = "nodeB",
                             .method = "Hold",
                             .request_type = &mig_type_Empty,
                             .request = &nothing,
                             .reply_type = &mig_type_JobReply};
    g_autoptr(MigJobReply) reply = NULL;
    MigApiJob *job;

    if (mig_rpc_call_get_origin(call) == MIG_RPC_ORIGIN_LOCAL) {
        mig_forward(peer, call, &what);
        return;
    }
    reply = mig_JobReply_new();
    job = mig_ApiJob_new();
    job->id = g_strdup("nodeB-1");
    job->vm = g_strdup("web");
    job->source = g_strdup("nodeB");
    job->target = g_strdup("nodeA");
    job->state = g_strdup("waiting");
    reply->job = job;
    if (!is_dumb)
        mig_rpc_call_progress(call, reply);
    g_ptr_array_add(held, call);
}

static void
count(Fixture *f)
{
    held_count = held->len;
    gone_count = 0;
    for (guint i = 0; i < held->len; i++)
        gone_count += mig_rpc_call_is_gone(g_ptr_array_index(held, i));
}

static void
let_go(Fixture *f)
{
    for (guint i = 0; i < held->len; i++)
        mig_rpc_call_fail(g_ptr_array_index(held, i), NULL);
    g_ptr_array_set_size(held, 0);
}

static gboolean
locate(gpointer self, const char *node, char **address, guint16 *port, GError **error)
{
    *address = g_strdup("127.0.0.1");
    *port = ((Fixture *)self)->port;
    return TRUE;
}

static void
set_up(Fixture *f, gconstpointer data)
{
    const MigPeerRpcHooks hooks = {.locate = locate, .self = f};

    fixture_set_up(f, data);
    mig_rpc_server_set_limits(f->server, 512, 5000);
    f->hold = hold;
    is_dumb = FALSE;
    held = g_ptr_array_new();
    peer = mig_peer_rpc_new("nodeA", &hooks);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    fixture_invoke(f, let_go);
    fixture_wait_connections(f, 0);
    fixture_tear_down(f, data);
    mig_peer_rpc_free(peer);
    g_ptr_array_unref(held);
}

static int
begin_stream(Fixture *f, const char *answer)
{
    int fd = raw_connect(f);
    g_autofree char *frame = NULL;

    raw_send_frame(fd, HOLD);
    if (answer) {
        frame = raw_read_frame(fd);
        g_assert_nonnull(frame);
        g_assert_nonnull(strstr(frame, answer));
    }
    return fd;
}

/* Waits up to 5 s until the other node has that many, all of them given up. */
static void
wait_all_gone(Fixture *f, guint wanted)
{
    for (guint i = 0; i < 500; i++) {
        fixture_invoke(f, count);
        if (held_count == wanted && gone_count == wanted)
            return;
        g_usleep(10000);
    }
    g_assert_cmpuint(held_count, ==, wanted);
    g_assert_cmpuint(gone_count, ==, wanted);
}

/* Many times as many as there are places; each hangs up. */
static void
test_gone(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < 3; i++) {
        int fds[MIG_FORWARD_STREAMS];

        for (guint n = 0; n < MIG_FORWARD_STREAMS; n++)
            fds[n] = begin_stream(f, MORE);
        for (guint n = 0; n < MIG_FORWARD_STREAMS; n++)
            close(fds[n]);
        wait_all_gone(f, MIG_FORWARD_STREAMS);
        fixture_invoke(f, let_go);
        fixture_wait_connections(f, 0);
    }
}

/* Before the other node has said anything: nothing was begun, as this only looks. */
static void
test_gone_at_once(Fixture *f, gconstpointer data)
{
    int fd;

    is_dumb = TRUE;
    fd = begin_stream(f, NULL);
    for (guint i = 0; i < 500 && held_count != 1; i++) {
        g_usleep(10000);
        fixture_invoke(f, count);
    }
    close(fd);
    wait_all_gone(f, 1);
}

/* All places are taken, and stay so: one more is told, and everything else is answered. */
static void
test_busy(Fixture *f, gconstpointer data)
{
    int fds[MIG_FORWARD_STREAMS], other;
    g_autofree char *frame = NULL;

    for (guint i = 0; i < MIG_FORWARD_STREAMS; i++)
        fds[i] = begin_stream(f, MORE);
    other = begin_stream(f, BUSY);
    raw_send_frame(other, "{\"method\":\"io.migrated.Who\"}");
    frame = raw_read_frame(other);
    g_assert_nonnull(strstr(frame, "local"));
    close(fds[0]);
    for (guint i = 0; i < 500 && gone_count != 1; i++) {
        g_usleep(10000);
        fixture_invoke(f, count);
    }
    close(other);
    g_usleep(100000);
    fds[0] = begin_stream(f, MORE);
    for (guint i = 0; i < MIG_FORWARD_STREAMS; i++)
        close(fds[i]);
}

static void
echo(MigPeerRpc *from, const char *method, const char *name)
{
    MigNameRequest request = {.name = (char *)name};
    g_autoptr(GError) error = NULL;
    g_autoptr(MigErrorReply) reply = mig_peer_rpc_call_kept(
        from, "nodeB", method, &mig_type_NameRequest, &request, &mig_type_ErrorReply, 5000, &error);

    if (g_str_equal(method, "Fail")) {
        g_assert_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY);
        return;
    }
    g_assert_no_error(error);
    g_assert_cmpstr(reply->message, ==, name);
}

/* The other node's side of security: nothing but that it can change its mind. */
static gint refusals; /* atomic: so many calls are not looked at, and their connections closed */

static void
let_in(GSocket *socket, guint timeout_ms, MigRpcSecured secured, gpointer secured_data,
       gpointer user_data)
{
    secured(G_IO_STREAM(g_socket_connection_factory_create_connection(socket)), "nodeA",
            secured_data);
}

static gboolean
is_welcome(GIOStream *stream)
{
    return refusals == 0 || g_atomic_int_add(&refusals, -1) == 0;
}

static void
make_choosy(Fixture *f)
{
    mig_rpc_server_set_peer_security(f->server, let_in, is_welcome, NULL);
}

static gboolean stands;

static gboolean
does_stand(GIOStream *stream)
{
    return stands;
}

/* One connection for all calls that follow one another, also where one is refused; a new one where
 * that one is gone, is not trusted any more, or is old. */
static void
test_kept(Fixture *f, gconstpointer data)
{
    const MigPeerRpcHooks hooks = {.locate = locate, .stands = does_stand, .self = f};
    MigPeerRpc *keeping = mig_peer_rpc_new("nodeA", &hooks);

    stands = TRUE;
    fixture_invoke(f, make_choosy);
    echo(keeping, "Echo", "one");
    echo(keeping, "Fail", "VmBusy");
    echo(keeping, "Echo", "two");
    g_assert_cmpuint(fixture_connections(f), ==, 1);
    g_atomic_int_set(&refusals, 1); /* closed as the next call comes: that one is made again */
    echo(keeping, "Echo", "three");
    fixture_wait_connections(f, 1);
    stands = FALSE;
    echo(keeping, "Echo", "four");
    fixture_wait_connections(f, 1); /* the one that had lost its trust was closed */
    stands = TRUE;
    mig_peer_rpc_sweep(keeping);
    g_assert_cmpuint(fixture_connections(f), ==, 1);
    g_usleep((MIG_PEER_KEEP_MS + 200) * 1000);
    mig_peer_rpc_sweep(keeping);
    fixture_wait_connections(f, 0);
    echo(keeping, "Echo", "five");
    mig_peer_rpc_free(keeping);
    fixture_wait_connections(f, 0);
}

#define ADD(name, test) g_test_add("/forward/" name, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("gone", test_gone);
    ADD("gone-at-once", test_gone_at_once);
    ADD("busy", test_busy);
    ADD("kept", test_kept);
    return g_test_run();
}
