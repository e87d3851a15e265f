/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-tls-channel.c - two nodes over a socket: who gets in, and when that ends. */
#include "drivers/tls-channel.h"
#include "drivers/tls-private.h"

#include "base/error.h"
#include "rpc/api-types.h"
#include "rpc/server.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>

typedef struct {
    char *dirs[3];
    MigIdentity *ids[3]; /* nodeA, nodeB, nodeC */
    MigTls *a, *b;
    GPtrArray *roots;
    /* of the last accept */
    GIOStream *accepted;
    char *node;
    gboolean is_done;
} Fixture;

static const char *const names[] = {"nodeA", "nodeB", "nodeC"};

static void
add_roots(Fixture *f, guint n, const char *name)
{
    MigNode node = {.name = (char *)name, .certificates = mig_identity_published(f->ids[n])};

    mig_trust_add_node(f->roots, &node);
    g_bytes_unref(node.certificates);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->roots = g_ptr_array_new_with_free_func((GDestroyNotify)mig_trust_root_free);
    for (guint i = 0; i < 3; i++) {
        f->dirs[i] = g_dir_make_tmp("migrated-tls.XXXXXX", NULL);
        f->ids[i] = mig_identity_open(f->dirs[i], names[i], &error);
        g_assert_no_error(error);
        if (i < 2)
            add_roots(f, i, names[i]);
    }
    f->a = mig_tls_new(f->ids[0], &error);
    f->b = mig_tls_new(f->ids[1], &error);
    g_assert_no_error(error);
    mig_tls_set_roots(f->a, f->roots);
    mig_tls_set_roots(f->b, f->roots);
}

static void
forget_accepted(Fixture *f)
{
    g_clear_object(&f->accepted);
    g_clear_pointer(&f->node, g_free);
    f->is_done = FALSE;
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    forget_accepted(f);
    mig_tls_free(f->a);
    mig_tls_free(f->b);
    for (guint i = 0; i < 3; i++) {
        g_autofree char *file = g_build_filename(f->dirs[i], "identity.pem", NULL);

        mig_identity_free(f->ids[i]);
        g_unlink(file);
        g_rmdir(f->dirs[i]);
        g_free(f->dirs[i]);
    }
    g_ptr_array_unref(f->roots);
}

/* ---- both ends ---- */

static void
make_pair(GSocket **left, GSocket **right)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    *left = g_socket_new_from_fd(fds[0], NULL);
    *right = g_socket_new_from_fd(fds[1], NULL);
}

static void
on_accepted(GIOStream *stream, const char *node, gpointer user_data)
{
    Fixture *f = user_data;

    f->accepted = stream;
    f->node = g_strdup(node);
    f->is_done = TRUE;
}

typedef struct {
    MigTls *tls;
    GSocket *socket;
    const char *node;
    GIOStream *stream;
    GError *error;
    gboolean reads; /* waits for a byte: that tells whether it was let in */
} Client;

static gpointer
client_thread(gpointer data)
{
    Client *client = data;
    char byte;

    client->stream =
        mig_tls_connect(client->tls, client->socket, client->node, 5000, &client->error);
    if (client->stream && client->reads &&
        g_input_stream_read(g_io_stream_get_input_stream(client->stream), &byte, 1, NULL,
                            &client->error) < 0)
        g_clear_object(&client->stream);
    return NULL;
}

static gboolean
on_tick(gpointer user_data)
{
    return G_SOURCE_CONTINUE;
}

static void
wait_accept(Fixture *f)
{
    guint tick = g_timeout_add(10, on_tick, NULL);

    while (!f->is_done)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(tick);
}

/* node B (or whoever client is) connects to node A, and means wanted */
static void
meet(Fixture *f, MigTls *from, const char *wanted, Client *client)
{
    g_autoptr(GSocket) left = NULL, right = NULL;
    GThread *thread;

    forget_accepted(f);
    make_pair(&left, &right);
    *client = (Client){.tls = from, .socket = right, .node = wanted, .reads = TRUE};
    mig_tls_accept(f->a, left, 5000, on_accepted, f);
    thread = g_thread_new("client", client_thread, client);
    wait_accept(f);
    if (f->accepted)
        g_assert_true(g_output_stream_write_all(g_io_stream_get_output_stream(f->accepted), "x", 1,
                                                NULL, NULL, NULL));
    g_clear_object(&left);
    g_thread_join(thread);
}

static void
test_accepted(Fixture *f, gconstpointer data)
{
    Client client;
    char buffer[8];

    meet(f, f->b, "nodeA", &client);
    g_assert_no_error(client.error);
    g_assert_cmpstr(f->node, ==, "nodeB");
    g_assert_nonnull(f->accepted);
    /* the other way, and the end of it */
    g_assert_cmpint(
        g_output_stream_write(g_io_stream_get_output_stream(client.stream), "abc", 3, NULL, NULL),
        ==, 3);
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(f->accepted), buffer, 8, NULL, NULL), ==,
        3);
    g_io_stream_close(client.stream, NULL, NULL);
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(f->accepted), buffer, 8, NULL, NULL), ==,
        0);
    g_object_unref(client.stream);
}

static void
refused(Fixture *f, MigTls *from, const char *wanted)
{
    Client client;

    meet(f, from, wanted, &client);
    g_assert_null(f->accepted);
    g_assert_null(client.stream);
    g_assert_error(client.error, MIG_ERROR, MIG_ERROR_PEER_REFUSED);
    g_assert_null(strchr(client.error->message, '\n'));
    g_clear_error(&client.error);
}

/* In no slot; in a slot under another's name; and what B thinks of that. */
static void
test_refused(Fixture *f, gconstpointer data)
{
    g_autoptr(MigTls) c = mig_tls_new(f->ids[2], NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new();

    mig_tls_set_roots(c, f->roots);
    refused(f, c, "nodeA");
    /* the client means another node than the one that answers */
    refused(f, f->b, "nodeC");
    /* C's certificate stands in B's slot: then it may not call itself C */
    add_roots(f, 2, "nodeB");
    mig_tls_set_roots(f->a, f->roots);
    refused(f, c, "nodeA");
    mig_tls_set_roots(f->a, none);
    refused(f, f->b, "nodeA");
}

/* Removed from the slots: the open connection ends, and wakes who reads it. */
static void
test_cut(Fixture *f, gconstpointer data)
{
    Client client;
    char byte;

    meet(f, f->b, "nodeA", &client);
    g_assert_nonnull(f->accepted);
    mig_tls_set_roots(f->a, f->roots); /* nothing new: it stands */
    g_assert_cmpint(
        g_output_stream_write(g_io_stream_get_output_stream(client.stream), "a", 1, NULL, NULL), ==,
        1);
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(f->accepted), &byte, 1, NULL, NULL), ==,
        1);
    g_ptr_array_remove_index(f->roots, 1);
    mig_tls_set_roots(f->a, f->roots);
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(f->accepted), &byte, 1, NULL, NULL), <=,
        0);
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(client.stream), &byte, 1, NULL, NULL), <=,
        0);
    g_object_unref(client.stream);
}

/* What it sent before that, and nobody has read yet, is not read any more. */
static void
test_cut_in_time(Fixture *f, gconstpointer data)
{
    Client client;
    char bytes[8];

    meet(f, f->b, "nodeA", &client);
    g_assert_cmpint(
        g_output_stream_write(g_io_stream_get_output_stream(client.stream), "abc", 3, NULL, NULL),
        ==, 3);
    g_assert_cmpint(
        g_output_stream_write(g_io_stream_get_output_stream(client.stream), "def", 3, NULL, NULL),
        ==, 3);
    /* the rest of a record is decrypted already, the next one in the kernel's queue */
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(f->accepted), bytes, 1, NULL, NULL), ==,
        1);
    g_assert_true(mig_tls_stands(f->accepted));
    g_ptr_array_remove_index(f->roots, 1);
    mig_tls_set_roots(f->a, f->roots);
    g_assert_false(mig_tls_stands(f->accepted));
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(f->accepted), bytes, 8, NULL, NULL), ==,
        -1);
    g_assert_cmpint(
        g_output_stream_write(g_io_stream_get_output_stream(f->accepted), "a", 1, NULL, NULL), ==,
        -1);
    g_object_unref(client.stream);
}

/* ---- calls in a queue ---- */

typedef struct {
    Fixture *f;
    MigRpcServer *server;
    MigRpcCall *slow;
    guint quick;
} Queue;

static void
on_slow(MigRpcCall *call, gconstpointer request, gpointer user_data)
{
    ((Queue *)user_data)->slow = call;
}

static void
on_quick(MigRpcCall *call, gconstpointer request, gpointer user_data)
{
    ((Queue *)user_data)->quick++;
    mig_rpc_call_reply(call, NULL);
}

static const MigRpcMethod queue_methods[] = {
    {"Slow", &mig_type_Empty, &mig_type_Empty, 0, on_slow},
    {"Quick", &mig_type_NameRequest, &mig_type_Empty, 0, on_quick},
    {NULL},
};

static void
secure_peer(GSocket *socket, guint timeout_ms, MigRpcSecured secured, gpointer secured_data,
            gpointer user_data)
{
    mig_tls_accept(((Queue *)user_data)->f->a, socket, timeout_ms, secured, secured_data);
}

static GIOStream *
connect_peer(GSocket *socket, gpointer user_data, GError **error)
{
    return mig_tls_connect(((Fixture *)user_data)->b, socket, "nodeA", 5000, error);
}

typedef struct {
    Fixture *f;
    guint16 port;
    GIOStream *stream;
} Caller;

/* A slow call, and behind it more than the server reads ahead of it. */
static gpointer
caller_thread(gpointer data)
{
    Caller *caller = data;
    g_autoptr(GSocketAddress) address =
        g_inet_socket_address_new_from_string("127.0.0.1", caller->port);
    g_autoptr(GSocket) socket =
        g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);
    g_autofree char *name = g_strnfill(20000, 'n');
    g_autofree char *quick =
        g_strdup_printf("{\"method\":\"test.q.Quick\",\"parameters\":{\"name\":\"%s\"}}", name);
    /* no answer, whose writing would fail, stands between it and the others */
    static const char slow[] = "{\"method\":\"test.q.Slow\",\"oneway\":true}";
    GOutputStream *out;

    g_assert_true(g_socket_connect(socket, address, NULL, NULL));
    caller->stream = connect_peer(socket, caller->f, NULL);
    g_assert_nonnull(caller->stream);
    out = g_io_stream_get_output_stream(caller->stream);
    g_assert_true(g_output_stream_write_all(out, slow, sizeof slow, NULL, NULL, NULL));
    for (guint i = 0; i < 5; i++)
        g_assert_true(g_output_stream_write_all(out, quick, strlen(quick) + 1, NULL, NULL, NULL));
    return NULL;
}

static void
run_for(guint ms)
{
    gint64 until = g_get_monotonic_time() + (gint64)ms * 1000;
    guint tick = g_timeout_add(10, on_tick, NULL);

    while (g_get_monotonic_time() < until)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(tick);
}

/* Behind a slow call others wait, read already: none of them is carried out after the cut. */
static void
test_cut_queue(Fixture *f, gconstpointer data)
{
    for (guint is_cut = 0; is_cut < 2; is_cut++) {
        Queue queue = {.f = f};
        Caller caller = {.f = f, .port = (guint16)g_random_int_range(20000, 32000)};
        GThread *thread;

        queue.server = mig_rpc_server_new("v", "p", "1");
        mig_rpc_server_add_interface(queue.server, "test.q", "interface test.q\n", queue_methods,
                                     &queue);
        mig_rpc_server_set_peer_security(queue.server, secure_peer, mig_tls_stands, &queue);
        while (!mig_rpc_server_listen_peer(queue.server, "127.0.0.1", caller.port, "test.q", NULL))
            caller.port++;
        thread = g_thread_new("caller", caller_thread, &caller);
        while (!queue.slow)
            run_for(10);
        run_for(100); /* the rest comes in */
        if (is_cut) {
            g_ptr_array_remove_index(f->roots, 1);
            mig_tls_set_roots(f->a, f->roots);
        }
        mig_rpc_call_reply(queue.slow, NULL);
        run_for(200);
        g_assert_cmpuint(queue.quick, ==, is_cut ? 0 : 5);
        g_assert_cmpuint(mig_rpc_server_get_connections(queue.server), ==, is_cut ? 0 : 1);
        g_thread_join(thread);
        g_io_stream_close(caller.stream, NULL, NULL);
        g_object_unref(caller.stream);
        mig_rpc_server_free(queue.server);
        run_for(50);
    }
}

static gint64
now(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

/* A leaf that has aged: a new one takes its place by itself, and nobody's connection ends. */
static void
test_age(Fixture *f, gconstpointer data)
{
    const gint64 day_s = 86400, hour_s = 3600;
    const MigTlsLeaf *first = f->b->leaf, *second;
    Client before, after;
    char byte;

    meet(f, f->b, "nodeA", &before);
    g_autoptr(GIOStream) before_a = g_steal_pointer(&f->accepted);

    g_assert_true(mig_tls_renew(f->b, now(), FALSE, NULL));
    g_assert_true(mig_tls_renew(f->b, now() + 4 * day_s + 15 * hour_s, FALSE, NULL));
    g_assert_true(f->b->leaf == first);
    g_assert_true(mig_tls_renew(f->b, now() + 4 * day_s + 17 * hour_s, FALSE, NULL));
    second = f->b->leaf;
    g_assert_true(second != first);
    g_assert_true(mig_tls_renew(f->b, now(), FALSE, NULL));
    g_assert_true(f->b->leaf == second);
    /* a clock that was wrong when it was made */
    g_assert_true(mig_tls_renew(f->b, now() - 3 * day_s, FALSE, NULL));
    g_assert_true(f->b->leaf != second);

    g_assert_cmpuint(mig_tls_count_old(f->b), ==, 0); /* the key is the same */
    meet(f, f->b, "nodeA", &after);
    g_assert_cmpstr(f->node, ==, "nodeB");
    g_assert_cmpint(
        g_output_stream_write(g_io_stream_get_output_stream(before.stream), "a", 1, NULL, NULL), ==,
        1);
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(before_a), &byte, 1, NULL, NULL), ==, 1);
    g_object_unref(before.stream);
    g_object_unref(after.stream);
}

/* Old and new key side by side: connections from before the change stand until the old is dropped.
 */
static void
test_change(Fixture *f, gconstpointer data)
{
    Client before, after;
    char byte;

    g_assert_true(mig_identity_begin(f->ids[1], NULL));
    g_ptr_array_set_size(f->roots, 0);
    add_roots(f, 0, "nodeA");
    add_roots(f, 1, "nodeB");
    mig_tls_set_roots(f->a, f->roots);
    meet(f, f->b, "nodeA", &before);
    g_assert_cmpstr(f->node, ==, "nodeB");
    g_autoptr(GIOStream) before_a = g_steal_pointer(&f->accepted);

    g_assert_true(mig_identity_switch(f->ids[1], NULL));
    g_assert_cmpuint(mig_tls_count_old(f->b), ==, 0);
    g_assert_true(mig_tls_renew(f->b, now(), TRUE, NULL));
    g_assert_cmpuint(mig_tls_count_old(f->b), ==, 1);
    meet(f, f->b, "nodeA", &after);
    g_assert_cmpstr(f->node, ==, "nodeB");
    g_assert_cmpuint(mig_tls_count_old(f->b), ==, 1);

    g_assert_true(mig_identity_drop(f->ids[1], NULL));
    g_ptr_array_set_size(f->roots, 0);
    add_roots(f, 0, "nodeA");
    add_roots(f, 1, "nodeB");
    mig_tls_set_roots(f->a, f->roots);
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(before_a), &byte, 1, NULL, NULL), <=, 0);
    g_assert_cmpint(
        g_output_stream_write(g_io_stream_get_output_stream(after.stream), "a", 1, NULL, NULL), ==,
        1);
    g_assert_cmpint(
        g_input_stream_read(g_io_stream_get_input_stream(f->accepted), &byte, 1, NULL, NULL), ==,
        1);
    g_object_unref(before.stream);
    g_assert_cmpuint(mig_tls_count_old(f->b), ==, 0);
    g_object_unref(after.stream);
}

static void
accept_raw(Fixture *f, const char *sent, gsize length, guint timeout_ms)
{
    g_autoptr(GSocket) left = NULL, right = NULL;

    forget_accepted(f);
    make_pair(&left, &right);
    mig_tls_accept(f->a, left, timeout_ms, on_accepted, f);
    if (length)
        g_assert_cmpint(g_socket_send(right, sent, length, NULL, NULL), ==, length);
    wait_accept(f);
    g_assert_null(f->accepted);
}

static void
test_nonsense(Fixture *f, gconstpointer data)
{
    static const guint8 half[] = {22, 3, 1, 1, 0, 1};
    static const guint8 garbage[] = {22, 3, 3, 0xff, 0xff, 9, 9, 9, 9};
    gint64 start = g_get_monotonic_time();

    accept_raw(f, "{\"method\":\"x\"}", 15, 5000);
    accept_raw(f, (const char *)garbage, sizeof garbage, 5000);
    accept_raw(f, "", 0, 100);
    accept_raw(f, (const char *)half, sizeof half, 100);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
}

/* ---- much data, both ways at once, one thread each ---- */

#define MUCH (4 << 20)

typedef struct {
    GIOStream *stream;
    gsize count;
} Flow;

static gpointer
write_much(gpointer data)
{
    Flow *flow = data;
    g_autofree char *block = g_malloc0(100000);

    for (gsize sent = 0; sent < MUCH;) {
        gsize n = MIN((gsize)100000, MUCH - sent);

        g_assert_true(g_output_stream_write_all(g_io_stream_get_output_stream(flow->stream), block,
                                                n, NULL, NULL, NULL));
        sent += n;
    }
    return NULL;
}

static gpointer
read_much(gpointer data)
{
    Flow *flow = data;
    char block[30000];
    gssize n;

    while (flow->count < MUCH &&
           (n = g_input_stream_read(g_io_stream_get_input_stream(flow->stream), block, sizeof block,
                                    NULL, NULL)) > 0)
        flow->count += (gsize)n;
    return NULL;
}

static void
test_much(Fixture *f, gconstpointer data)
{
    Client client;
    Flow flows[2];
    GThread *threads[4];

    meet(f, f->b, "nodeA", &client);
    flows[0] = (Flow){f->accepted, 0};
    flows[1] = (Flow){client.stream, 0};
    for (guint i = 0; i < 2; i++) {
        threads[i] = g_thread_new("write", write_much, &flows[i]);
        threads[2 + i] = g_thread_new("read", read_much, &flows[i]);
    }
    for (guint i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(flows[0].count, ==, MUCH);
    g_assert_cmpuint(flows[1].count, ==, MUCH);
    /* closing wakes a reader in another thread */
    flows[0].count = 0;
    threads[0] = g_thread_new("read", read_much, &flows[0]);
    g_usleep(20000);
    g_io_stream_close(f->accepted, NULL, NULL);
    g_thread_join(threads[0]);
    g_object_unref(client.stream);
}

#define TEST(name, function) g_test_add("/tls/" name, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("accepted", test_accepted);
    TEST("refused", test_refused);
    TEST("cut", test_cut);
    TEST("cut-in-time", test_cut_in_time);
    TEST("cut-queue", test_cut_queue);
    TEST("age", test_age);
    TEST("change", test_change);
    TEST("nonsense", test_nonsense);
    TEST("much", test_much);
    return g_test_run();
}
