/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-client.c - the client: answers, errors, deadlines, servers that misbehave. */

#include "rpc-fixture.h"

#include "base/error.h"
#include "rpc/api-types.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static gpointer
echo(MigRpcClient *client, const char *name, GError **error)
{
    MigNameRequest request = {.name = (char *)name};

    return mig_rpc_client_call(client, "io.migrated.Echo", &mig_type_NameRequest, &request,
                               &mig_type_ErrorReply, 5000, NULL, error);
}

static void
test_call(Fixture *f, gconstpointer data)
{
    g_autoptr(MigRpcClient) client = fixture_client(f);

    for (int i = 0; i < 100; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigErrorReply) reply = echo(client, "\xc3\xa4\"\n", &error);

        g_assert_no_error(error);
        g_assert_cmpstr(reply->message, ==, "\xc3\xa4\"\n");
    }
}

/* Every error of the table arrives as itself, with its text; the connection can go on. */
#define ERROR_NAME(enumerator, name, exit_code) name,
static const char *const error_names[] = {MIG_ERROR_LIST(ERROR_NAME)};

static void
test_errors(Fixture *f, gconstpointer data)
{
    g_autoptr(MigRpcClient) client = fixture_client(f);

    for (gsize i = 0; i < G_N_ELEMENTS(error_names); i++) {
        MigNameRequest request = {.name = (char *)error_names[i]};
        g_autoptr(GError) error = NULL;
        g_autofree char *text = g_strdup_printf("text of %s", error_names[i]);

        g_assert_null(mig_rpc_client_call(client, "io.migrated.Fail", &mig_type_NameRequest,
                                          &request, &mig_type_Empty, 5000, NULL, &error));
        g_assert_error(error, MIG_ERROR, (int)i);
        g_assert_cmpstr(error->message, ==, text);
    }
    {
        MigNameRequest request = {.name = (char *)"foreign"};
        g_autoptr(GError) error = NULL;

        g_assert_null(mig_rpc_client_call(client, "io.migrated.Fail", &mig_type_NameRequest,
                                          &request, &mig_type_Empty, 5000, NULL, &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_FAILED);
        g_assert_cmpstr(error->message, ==, "no such file");
    }
    {
        g_autoptr(GError) error = NULL;

        g_assert_null(mig_rpc_client_call(client, "io.migrated.Nope", &mig_type_Empty, NULL,
                                          &mig_type_Empty, 5000, NULL, &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL);
        g_assert_nonnull(strstr(error->message, "io.migrated.Nope"));
    }
}

static void
count_progress(gconstpointer reply, gpointer user_data)
{
    g_assert_cmpint(((const MigImageReply *)reply)->done, ==, *(int *)user_data);
    ++*(int *)user_data;
}

static void
test_more(Fixture *f, gconstpointer data)
{
    g_autoptr(MigRpcClient) client = fixture_client(f);
    g_autoptr(GError) error = NULL;
    int count = 0;
    g_autoptr(MigImageReply) reply =
        mig_rpc_client_call_more(client, "io.migrated.Stream", &mig_type_Empty, NULL,
                                 &mig_type_ImageReply, count_progress, &count, 5000, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpint(count, ==, 3);
    g_assert_cmpint(reply->done, ==, 3);
    {
        g_autoptr(MigErrorReply) again = echo(client, "x", &error);

        g_assert_no_error(error);
        g_assert_nonnull(again);
    }
}

static void
test_timeout(Fixture *f, gconstpointer data)
{
    g_autoptr(MigRpcClient) client = fixture_client(f);
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();

    g_assert_null(mig_rpc_client_call(client, "io.migrated.Park", &mig_type_Empty, NULL,
                                      &mig_type_Empty, 100, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_TIMEOUT);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 95000);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 2000000);
    g_clear_error(&error);
    /* an answer may still come: this connection is not to be used again */
    g_assert_null(echo(client, "x", &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_NO_DAEMON);
}

static gpointer
cancel_soon(gpointer data)
{
    g_usleep(100000);
    g_cancellable_cancel(data);
    return NULL;
}

static void
test_cancel(Fixture *f, gconstpointer data)
{
    g_autoptr(MigRpcClient) client = fixture_client(f);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);

    g_assert_null(mig_rpc_client_call(client, "io.migrated.Park", &mig_type_Empty, NULL,
                                      &mig_type_Empty, 0, cancellable, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_CANCELLED);
    g_thread_join(thread);
}

static void
test_upgrade(Fixture *f, gconstpointer data)
{
    g_autoptr(MigRpcClient) client = fixture_client(f);
    g_autoptr(GError) error = NULL;
    g_autoptr(GIOStream) stream = mig_rpc_client_upgrade(
        client, "io.migrated.Upgrade", &mig_type_Empty, NULL, &mig_type_Empty, NULL, 5000, &error);
    char text[10] = "";

    g_assert_no_error(error);
    g_assert_true(g_output_stream_write_all(g_io_stream_get_output_stream(stream), "ping", 4, NULL,
                                            NULL, &error));
    g_assert_true(
        g_input_stream_read_all(g_io_stream_get_input_stream(stream), text, 9, NULL, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(text, ==, "helloping");
    g_assert_null(echo(client, "x", &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_NO_DAEMON);
}

static void
test_tcp(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRpcClient) client =
        mig_rpc_client_new_tcp("127.0.0.1", f->port, 5000, NULL, NULL, &error);
    g_autoptr(MigErrorReply) reply = NULL;

    g_assert_no_error(error);
    reply = mig_rpc_client_call(client, "io.migrated.Peer.Who", &mig_type_Empty, NULL,
                                &mig_type_ErrorReply, 5000, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(g_str_has_prefix(reply->message, "peer"));
}

static void
test_nobody_there(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *long_path = g_strnfill(200, 'x');

    g_assert_null(mig_rpc_client_new_unix("/no/such/socket", &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_NO_DAEMON);
    g_clear_error(&error);
    long_path[0] = '/';
    g_assert_null(mig_rpc_client_new_unix(long_path, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE);
    g_clear_error(&error);
    g_assert_null(mig_rpc_client_new_tcp("127.0.0.1", 1, 1000, NULL, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE);
    g_clear_error(&error);
    g_assert_null(mig_rpc_client_new_tcp("example.org", 1, 1000, NULL, NULL, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE);
}

/* ---- a server that answers nonsense ---- */

typedef struct {
    int fd;
    const char *answer;
    gsize length;
} Nonsense;

static gpointer
nonsense_thread(gpointer data)
{
    Nonsense *n = data;
    char buffer[4096];
    int fd = accept(n->fd, NULL, NULL);

    g_assert_cmpint(recv(fd, buffer, sizeof(buffer), 0), >, 0);
    send(fd, n->answer, n->length, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (recv(fd, buffer, sizeof(buffer), 0) > 0)
        ;
    close(fd);
    return NULL;
}

static void
test_nonsense(void)
{
    static const struct {
        const char *answer;
        gsize length; /* 0: with its NUL */
        MigErrorCode code;
    } cases[] = {
        {"", 0, MIG_ERROR_PROTOCOL},
        {"x", 0, MIG_ERROR_PROTOCOL},
        {"{\"parameters\":{\"message\":1,\"y\":1}}", 0, MIG_ERROR_PROTOCOL},
        {"{\"parameters\":{}}", 0, MIG_ERROR_PROTOCOL},
        {"{}", 0, MIG_ERROR_PROTOCOL},
        {"{\"parameters\":{\"message\":\"x\"},\"continues\":true}", 0, MIG_ERROR_PROTOCOL},
        {"{\"error\":1}", 0, MIG_ERROR_PROTOCOL},
        {"{\"error\":\"io.migrated.VmUnknown\"}", 0, MIG_ERROR_PROTOCOL},
        {"{\"error\":\"io.migrated.New\",\"parameters\":{\"message\":\"x\"}}", 0, MIG_ERROR_FAILED},
        {"{\"error\":\"com.example.Odd\",\"parameters\":{}}", 0, MIG_ERROR_PROTOCOL},
        {"{\"error\":\"org.varlink.service.MethodNotFound\"}", 0, MIG_ERROR_PROTOCOL},
        {"{\"param", 7, MIG_ERROR_NO_DAEMON},
    };
    g_autofree char *dir = g_dir_make_tmp("mig-rpc-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "socket", NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Nonsense n = {fd, cases[i].answer,
                      cases[i].length ? cases[i].length : strlen(cases[i].answer) + 1};
        GThread *thread = g_thread_new("nonsense", nonsense_thread, &n);
        g_autoptr(GError) error = NULL;
        MigRpcClient *client = mig_rpc_client_new_unix(path, &error);

        g_test_message("%s", cases[i].answer);
        g_assert_no_error(error);
        g_assert_null(echo(client, "x", &error));
        g_assert_error(error, MIG_ERROR, (int)cases[i].code);
        mig_rpc_client_free(client);
        g_thread_join(thread);
    }
    close(fd);
    unlink(path);
    rmdir(dir);
}

#define ADD(name, function) \
    g_test_add("/client/" name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("call", test_call);
    ADD("errors", test_errors);
    ADD("more", test_more);
    ADD("timeout", test_timeout);
    ADD("cancel", test_cancel);
    ADD("upgrade", test_upgrade);
    ADD("tcp", test_tcp);
    g_test_add_func("/client/nobody-there", test_nobody_there);
    g_test_add_func("/client/nonsense", test_nonsense);
    return g_test_run();
}
