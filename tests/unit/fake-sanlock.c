/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-sanlock.c - a sanlock daemon of one client, which has each of its leases done by a test. */
#include "fake-sanlock.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <stdint.h> /* sanlock's headers do not include what they use */
#include <sanlock.h>
#include <sanlock_resource.h>

/* As libsanlock_client sends it, and wants the answer: then what the call is about. */
typedef struct {
    guint32 magic, version, command, flags;
    guint32 length; /* with this header */
    guint32 sequence, data, data2;
} Header;
#define REGISTER 1 /* is not answered */

struct FakeSanlock {
    FakeSanlockAct act;
    gpointer user_data;
    char *path;
    GSocket *listener;
    GCancellable *stop;
    GThread *thread;
};

static gboolean
receive(FakeSanlock *fake, GSocket *client, gpointer to, gsize bytes)
{
    gsize done = 0;

    while (done < bytes) {
        gssize got = g_socket_receive(client, (char *)to + done, bytes - done, fake->stop, NULL);

        if (got <= 0)
            return FALSE;
        done += (gsize)got;
    }
    return TRUE;
}

/* A release under another name has two resources, one behind the other and nothing else; to acquire
 * has one, its disk and options. */
static int
answer(FakeSanlock *fake, const Header *header, const char *body)
{
    const struct sanlk_resource *resource = (gconstpointer)body;
    gboolean is_renamed = header->flags & SANLK_REL_RENAME;
    gsize bytes = header->length - sizeof *header;
    FakeSanlockCall call = is_renamed                  ? FAKE_RENAME
                           : bytes == sizeof *resource ? FAKE_RELEASE
                                                       : FAKE_ACQUIRE;

    g_assert_cmpuint(bytes, >=, (is_renamed ? 2 : 1) * sizeof *resource);
    return fake->act(call, resource[0].name, is_renamed ? resource[1].name : NULL, fake->user_data);
}

static gpointer
serve(gpointer data)
{
    FakeSanlock *fake = data;
    g_autoptr(GSocket) client = g_socket_accept(fake->listener, fake->stop, NULL);
    Header header;

    while (client && receive(fake, client, &header, sizeof header)) {
        gsize bytes = header.length - sizeof header;
        g_autofree char *body = NULL;

        g_assert_cmpuint(header.length, >=, sizeof header);
        g_assert_cmpuint(bytes, <, 1 << 20);
        body = g_malloc0(bytes + 1);
        if (!receive(fake, client, body, bytes))
            break;
        if (header.command == REGISTER)
            continue;
        header.data = (guint32)answer(fake, &header, body);
        header.length = sizeof header;
        g_assert_cmpint(g_socket_send(client, (char *)&header, sizeof header, NULL, NULL), ==,
                        sizeof header);
    }
    return NULL;
}

/* The library asks the environment once: each fake of a process is in the same place. */
static const char *
make_dir(void)
{
    static char *dir;
    g_autoptr(GError) error = NULL;

    if (dir) {
        g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
        return dir;
    }
    dir = g_dir_make_tmp("mig-sanlock-XXXXXX", &error);
    g_assert_no_error(error);
    g_setenv("SANLOCK_RUN_DIR", dir, TRUE);
    return dir;
}

FakeSanlock *
fake_sanlock_start(FakeSanlockAct act, gpointer user_data)
{
    FakeSanlock *fake = g_new0(FakeSanlock, 1);
    g_autoptr(GSocketAddress) address = NULL;
    g_autoptr(GError) error = NULL;

    fake->act = act;
    fake->user_data = user_data;
    fake->stop = g_cancellable_new();
    fake->path = g_build_filename(make_dir(), "sanlock.sock", NULL);
    address = g_unix_socket_address_new(fake->path);
    fake->listener =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, &error);
    g_assert_no_error(error);
    g_assert_true(g_socket_bind(fake->listener, address, FALSE, &error));
    g_assert_true(g_socket_listen(fake->listener, &error));
    fake->thread = g_thread_new("sanlock", serve, fake);
    return fake;
}

void
fake_sanlock_stop(FakeSanlock *fake)
{
    g_autofree char *dir = g_path_get_dirname(fake->path);

    g_cancellable_cancel(fake->stop);
    g_thread_join(fake->thread);
    g_unlink(fake->path);
    g_rmdir(dir);
    g_object_unref(fake->listener);
    g_object_unref(fake->stop);
    g_free(fake->path);
    g_free(fake);
}
