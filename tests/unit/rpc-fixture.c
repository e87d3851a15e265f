/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rpc-fixture.c - the test server and its methods. */

#include "rpc-fixture.h"

#include "base/error.h"
#include "rpc/api-types.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- methods ---- */

/* Echo: the name comes back as a message. "big": as long an answer as can be. */
static void
on_echo(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigNameRequest *request = data;
    Fixture *f = user_data;
    g_autoptr(MigErrorReply) reply = mig_ErrorReply_new();

    g_atomic_int_inc(&f->calls);
    if (g_str_equal(request->name, "big"))
        reply->message = g_strnfill(MIG_MESSAGE_MAX_BYTES - 40, 'x');
    else if (g_str_equal(request->name, "too-big"))
        reply->message = g_strnfill(MIG_MESSAGE_MAX_BYTES, 'x');
    else
        reply->message = g_strdup(request->name);
    mig_rpc_call_reply(call, reply);
}

static void
on_fail(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigNameRequest *request = data;

    if (g_str_equal(request->name, "foreign"))
        mig_rpc_call_fail(call, g_error_new(G_FILE_ERROR, G_FILE_ERROR_NOENT, "no such file"));
    else
        mig_rpc_call_fail(call, g_error_new(MIG_ERROR, (int)mig_error_from_name(request->name),
                                            "text of %s", request->name));
}

static gpointer
stream_thread(gpointer data)
{
    MigRpcCall *call = data;
    g_autoptr(MigImageReply) reply = mig_ImageReply_new();

    for (reply->total = 3; reply->done < 3; reply->done++)
        mig_rpc_call_progress(call, reply);
    mig_rpc_call_reply(call, reply);
    return NULL;
}

/* Three interim answers from another thread, then the last. */
static void
on_stream(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    g_thread_unref(g_thread_new("stream", stream_thread, call));
}

static gpointer
flood_thread(gpointer data)
{
    MigRpcCall *call = data;
    g_autoptr(MigErrorReply) reply = mig_ErrorReply_new();

    reply->message = g_strnfill(10000, 'f');
    for (int i = 0; i < 20000; i++)
        mig_rpc_call_progress(call, reply);
    mig_rpc_call_reply(call, reply);
    return NULL;
}

/* 200 MB of interim answers at once. */
static void
on_flood(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    g_thread_unref(g_thread_new("flood", flood_thread, call));
}

/* Is answered only by "Release" of another connection. */
static void
on_park(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    Fixture *f = user_data;

    g_assert_null(f->parked);
    f->parked = call;
    g_atomic_int_inc(&f->calls);
}

static void
on_release(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    Fixture *f = user_data;
    MigRpcCall *parked = g_steal_pointer(&f->parked);

    g_assert_nonnull(parked);
    g_atomic_int_set(&f->gone_seen, mig_rpc_call_is_gone(parked));
    mig_rpc_call_reply(parked, NULL);
    mig_rpc_call_reply(call, NULL);
}

/* Whatever the test does with it. */
static void
on_hold(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    Fixture *f = user_data;

    f->hold(call, f->hold_data);
}

static void
on_upgraded(GIOStream *stream, gpointer user_data)
{
    Fixture *f = user_data;

    g_atomic_int_set(&f->upgraded, stream ? 1 : -1);
    if (!stream)
        return;
    /* speaks first, then echoes four bytes */
    {
        char data[4];

        g_output_stream_write_all(g_io_stream_get_output_stream(stream), "hello", 5, NULL, NULL,
                                  NULL);
        g_input_stream_read_all(g_io_stream_get_input_stream(stream), data, 4, NULL, NULL, NULL);
        g_output_stream_write_all(g_io_stream_get_output_stream(stream), data, 4, NULL, NULL, NULL);
    }
    g_io_stream_close(stream, NULL, NULL);
    g_object_unref(stream);
}

static void
on_upgrade(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    mig_rpc_call_upgrade(call, NULL, on_upgraded, user_data);
}

/* Takes it all. */
static void
on_define(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    mig_rpc_call_reply(call, NULL);
}

/* Who is calling? */
static void
on_who(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    g_autoptr(MigErrorReply) reply = mig_ErrorReply_new();

    reply->message = g_strdup_printf(
        "%s %d %s", mig_rpc_call_get_origin(call) == MIG_RPC_ORIGIN_PEER ? "peer" : "local",
        (int)mig_rpc_call_get_uid(call), mig_rpc_call_get_method(call));
    mig_rpc_call_reply(call, reply);
}

static const MigRpcMethod test_methods[] = {
    {"Echo", &mig_type_NameRequest, &mig_type_ErrorReply, MIG_RPC_METHOD_READ, on_echo},
    {"Fail", &mig_type_NameRequest, &mig_type_Empty, 0, on_fail},
    {"Roots", &mig_type_NameRequest, &mig_type_ErrorReply, MIG_RPC_METHOD_ROOT, on_echo},
    {"Define", &mig_type_DefineVmRequest, &mig_type_Empty, 0, on_define},
    {"Stream", &mig_type_Empty, &mig_type_ImageReply, MIG_RPC_METHOD_MORE, on_stream},
    {"Flood", &mig_type_Empty, &mig_type_ErrorReply, MIG_RPC_METHOD_MORE, on_flood},
    {"Park", &mig_type_Empty, &mig_type_Empty, 0, on_park},
    {"Release", &mig_type_Empty, &mig_type_Empty, 0, on_release},
    {"Hold", &mig_type_Empty, &mig_type_JobReply, MIG_RPC_METHOD_MORE | MIG_RPC_METHOD_READ,
     on_hold},
    {"Upgrade", &mig_type_Empty, &mig_type_Empty, MIG_RPC_METHOD_UPGRADE, on_upgrade},
    {"Who", &mig_type_Empty, &mig_type_ErrorReply, MIG_RPC_METHOD_READ, on_who},
    {NULL},
};

/* ---- life ---- */

static gpointer
server_thread(gpointer data)
{
    Fixture *f = data;

    g_main_context_push_thread_default(f->context);
    g_main_loop_run(f->loop);
    g_main_context_pop_thread_default(f->context);
    return NULL;
}

static guint16
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    close(fd);
    return ntohs(address.sin_port);
}

void
fixture_set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->dir = g_dir_make_tmp("mig-rpc-XXXXXX", NULL);
    g_chmod(f->dir, 0755); /* the test of permissions comes as somebody else */
    f->path = g_build_filename(f->dir, "socket", NULL);
    f->context = g_main_context_new();
    f->loop = g_main_loop_new(f->context, FALSE);
    g_main_context_push_thread_default(f->context);
    f->server = mig_rpc_server_new("vendor", "product", "1");
    mig_rpc_server_set_limits(f->server, TEST_MAX_CONNECTIONS, TEST_FRAME_TIMEOUT_MS);
    mig_rpc_server_add_interface(f->server, "io.migrated", "interface io.migrated\n", test_methods,
                                 f);
    mig_rpc_server_add_interface(f->server, "io.migrated.Peer", "interface io.migrated.Peer\n",
                                 test_methods, f);
    g_assert_true(mig_rpc_server_listen_unix(f->server, f->path, 0666, &error));
    g_assert_no_error(error);
    f->port = free_port();
    g_assert_true(
        mig_rpc_server_listen_peer(f->server, "127.0.0.1", f->port, "io.migrated.Peer", &error));
    g_assert_no_error(error);
    g_main_context_pop_thread_default(f->context);
    f->thread = g_thread_new("server", server_thread, f);
}

static void
quit(Fixture *f)
{
    g_clear_pointer(&f->server, mig_rpc_server_free);
    if (f->parked)
        mig_rpc_call_reply(g_steal_pointer(&f->parked), NULL);
}

static gboolean
quit_loop(gpointer data)
{
    g_main_loop_quit(((Fixture *)data)->loop);
    return G_SOURCE_REMOVE;
}

void
fixture_tear_down(Fixture *f, gconstpointer data)
{
    g_autoptr(GSource) source = g_idle_source_new();

    fixture_invoke(f, quit);
    g_source_set_callback(source, quit_loop, f, NULL);
    g_source_attach(source, f->context);
    g_thread_join(f->thread);
    while (g_main_context_iteration(f->context, FALSE))
        ;
    g_main_loop_unref(f->loop);
    g_main_context_unref(f->context);
    g_assert_cmpint(g_access(f->path, F_OK), ==, -1); /* the server removes its socket */
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->path);
    g_free(f->dir);
}

typedef struct {
    Fixture *f;
    void (*run)(Fixture *f);
    int done; /* atomic */
} Invocation;

static gboolean
on_invoke(gpointer data)
{
    Invocation *invocation = data;

    invocation->run(invocation->f);
    g_atomic_int_set(&invocation->done, 1);
    return G_SOURCE_REMOVE;
}

void
fixture_invoke(Fixture *f, void (*run)(Fixture *f))
{
    Invocation invocation = {f, run, 0};
    g_autoptr(GSource) source = g_idle_source_new();

    g_source_set_callback(source, on_invoke, &invocation, NULL);
    g_source_attach(source, f->context);
    while (!g_atomic_int_get(&invocation.done))
        g_usleep(200);
}

static guint connection_count;

static void
count_connections(Fixture *f)
{
    connection_count = mig_rpc_server_get_connections(f->server);
}

guint
fixture_connections(Fixture *f)
{
    fixture_invoke(f, count_connections);
    return connection_count;
}

void
fixture_wait_connections(Fixture *f, guint count)
{
    for (int i = 0; i < 1000 && fixture_connections(f) != count; i++)
        g_usleep(5000);
    g_assert_cmpint(fixture_connections(f), ==, count);
}

MigRpcClient *
fixture_client(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    MigRpcClient *client = mig_rpc_client_new_unix(f->path, &error);

    g_assert_no_error(error);
    return client;
}

/* ---- raw clients ---- */

int
raw_connect(Fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    return fd;
}

int
raw_connect_peer(Fixture *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    return fd;
}

void
raw_send(int fd, const void *data, gsize length)
{
    const char *from = data;

    while (length > 0) {
        ssize_t n = send(fd, from, length, MSG_NOSIGNAL);

        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* the server has hung up; the reader will see */
        g_assert_cmpint(n, >, 0);
        from += n;
        length -= (gsize)n;
    }
}

void
raw_send_frame(int fd, const char *json)
{
    raw_send(fd, json, strlen(json) + 1);
}

char *
raw_read_frame(int fd)
{
    g_autoptr(GString) frame = g_string_new(NULL);

    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        char c;

        g_assert_cmpint(poll(&p, 1, 5000), ==, 1);
        if (read(fd, &c, 1) <= 0)
            return NULL;
        if (c == '\0')
            return g_string_free(g_steal_pointer(&frame), FALSE);
        g_string_append_c(frame, c);
    }
}
