/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* setup.c - a migrated that is in no cluster yet; and starting anew. */
#include "setup.h"

#include "base/error.h"
#include "drivers/volume-csv.h"
#include "volume-format.h"
#include "join.h"
#include "rpc/api-methods.h"

#define ANSWER_MS 300 /* for the last answer to get out */

typedef struct {
    const MigConfig *config;
    const char *config_path;
    GMutex lock; /* one at a time */
} Setup;

static Setup setup;

/* ---- starting anew ---- */

static GMainLoop *main_loop;
static int is_wanted; /* atomic */

static gboolean
on_time(gpointer user_data)
{
    g_main_loop_quit(main_loop);
    return G_SOURCE_REMOVE;
}

void
mig_restart_set_loop(GMainLoop *loop)
{
    main_loop = loop;
}

void
mig_restart_soon(void)
{
    g_atomic_int_set(&is_wanted, TRUE);
    g_timeout_add(ANSWER_MS, on_time, NULL);
}

gboolean
mig_restart_is_wanted(void)
{
    return g_atomic_int_get(&is_wanted);
}

/* ---- the methods ---- */

static void
join(MigRpcCall *call, const MigJoinWish *wish)
{
    MigSanlock *sanlock = mig_sanlock_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigJoined) joined = mig_join(setup.config, setup.config_path, sanlock, wish, &error);

    mig_sanlock_free(sanlock);
    if (!joined) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    g_message("this node is %s, host id %u, of volume %s now; starting anew", joined->node,
              joined->host_id, joined->volume);
    mig_rpc_call_reply(call, &(MigClusterReply){.node = joined->node,
                                                .host_id = joined->host_id,
                                                .volume = joined->volume,
                                                .management = joined->management,
                                                .migration = joined->migration});
    mig_restart_soon();
}

typedef struct {
    MigRpcCall *call;
    gconstpointer request;
    void (*run)(MigRpcCall *call, gconstpointer request);
} Work;

static void
create_cluster(MigRpcCall *call, gconstpointer request_)
{
    const MigCreateClusterRequest *request = request_;
    const MigJoinWish wish = {.device = request->device,
                              .node = request->node,
                              .management = request->management,
                              .migration = request->migration};
    g_autoptr(GError) error = NULL;

    if (mig_join_is_sound(setup.config, &wish, &error) &&
        mig_format(&(MigFormatVolumeRequest){.device = request->device,
                                             .name = request->name,
                                             .io_timeout = request->io_timeout,
                                             .max_nodes = request->max_nodes,
                                             .max_vms = request->max_vms,
                                             .max_images = request->max_images,
                                             .extent = request->extent,
                                             .force = request->force},
                   &error)) {
        join(call, &wish);
        return;
    }
    mig_rpc_call_fail(call, g_steal_pointer(&error));
}

static void
join_cluster(MigRpcCall *call, gconstpointer request_)
{
    const MigJoinClusterRequest *request = request_;

    join(call, &(MigJoinWish){.device = request->device,
                              .node = request->node,
                              .management = request->management,
                              .migration = request->migration});
}

static gpointer
work(gpointer data)
{
    Work *one = data;

    g_mutex_lock(&setup.lock);
    if (mig_restart_is_wanted())
        mig_rpc_call_fail(one->call,
                          g_error_new(MIG_ERROR, MIG_ERROR_EXISTS,
                                      "this node has just come into a cluster, and starts anew"));
    else
        one->run(one->call, one->request);
    g_mutex_unlock(&setup.lock);
    g_free(one);
    return NULL;
}

static void
push(MigRpcCall *call, gconstpointer request, void (*run)(MigRpcCall *, gconstpointer))
{
    Work *one = g_new0(Work, 1);

    one->call = call;
    one->request = request;
    one->run = run;
    g_thread_unref(g_thread_new("setup", work, one));
}

static void
on_create_cluster(MigRpcCall *call, gconstpointer request, gpointer user_data)
{
    push(call, request, create_cluster);
}

static void
on_join_cluster(MigRpcCall *call, gconstpointer request, gpointer user_data)
{
    push(call, request, join_cluster);
}

static void
on_other(MigRpcCall *call, gconstpointer request, gpointer user_data)
{
    mig_rpc_call_fail(call, g_error_new(MIG_ERROR, MIG_ERROR_NO_CLUSTER,
                                        "this node is in no cluster yet; 'migratectl cluster "
                                        "create DEVICE' or 'cluster join DEVICE'"));
}

#define ROW(name, request, reply, flags) \
    {#name, &mig_type_##request, &mig_type_##reply, flags, on_other},
static MigRpcMethod methods[] = {MIG_API_METHODS(ROW){NULL, NULL, NULL, 0, NULL}};

void
mig_setup_install(MigRpcServer *server, const MigConfig *config, const char *config_path)
{
    setup.config = config;
    setup.config_path = config_path;
    for (MigRpcMethod *method = methods; method->name; method++) {
        if (g_str_equal(method->name, "CreateCluster"))
            method->handler = on_create_cluster;
        if (g_str_equal(method->name, "JoinCluster"))
            method->handler = on_join_cluster;
    }
    mig_rpc_server_add_interface(server, MIG_API_INTERFACE, mig_api_varlink, methods, NULL);
}
