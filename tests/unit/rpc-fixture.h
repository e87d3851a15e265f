/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rpc-fixture.h - a server in a thread of its own, and raw clients to annoy it. */
#pragma once

#include <gio/gio.h>

#include "rpc/client.h"
#include "rpc/server.h"

typedef struct {
    char *dir, *path;
    guint16 port; /* of the peer listener */
    MigRpcServer *server;
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    /* what handlers did; atomics */
    int calls, gone_seen, upgraded;
    MigRpcCall *parked; /* the call of Test.Park, until released */
    /* takes the call of Test.Hold; the server's thread */
    void (*hold)(MigRpcCall *call, gpointer data);
    gpointer hold_data;
} Fixture;

#define TEST_MAX_CONNECTIONS  8
#define TEST_FRAME_TIMEOUT_MS 300

void fixture_set_up(Fixture *f, gconstpointer data);
void fixture_tear_down(Fixture *f, gconstpointer data);

/* Runs on the server's thread, and waits for it. */
void fixture_invoke(Fixture *f, void (*run)(Fixture *f));
guint fixture_connections(Fixture *f);
/* Waits up to 5 s for that many. */
void fixture_wait_connections(Fixture *f, guint count);

MigRpcClient *fixture_client(Fixture *f);

/* A connected socket. */
int raw_connect(Fixture *f);
int raw_connect_peer(Fixture *f);
void raw_send(int fd, const void *data, gsize length);
/* With its closing NUL. */
void raw_send_frame(int fd, const char *json);
/* The next frame; NULL at the end of the stream (also a reset); aborts after 5 s. */
char *raw_read_frame(int fd);
