/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - migrated: options, wiring, main loop. */
#include "adopt.h"
#include "again.h"
#include "api.h"
#include "copies.h"
#include "drain.h"
#include "events.h"
#include "failover.h"
#include "hooked.h"
#include "images.h"
#include "incoming.h"
#include "jobs.h"
#include "link.h"
#include "meters.h"
#include "recovery.h"
#include "role.h"
#include "shares.h"
#include "signs.h"
#include "times.h"
#include "turns.h"
#include "trusted.h"
#include "vms.h"
#include "volumes.h"

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "core/timeouts.h"
#include "drivers/tls-channel.h"
#include "net.h"
#include "privileges.h"
#include "setup.h"

#include <errno.h>
#include <glib-unix.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* every how many rounds of facts volumes that could not be attached are tried again */
#define ATTACH_ROUNDS 6
#define FACTS_MS      5000
#define JOBS_KEPT     100

/* ---- hooks of the peer channel ---- */

static gboolean
locate(gpointer self, const char *node, char **address, guint16 *port, GError **error)
{
    MigDaemon *daemon = self;
    g_autoptr(MigNodeView) view = mig_volumes_node(daemon->volumes, node, error);

    if (!view)
        return FALSE;
    *address = g_strdup(view->node->management);
    *port = view->node->port;
    return TRUE;
}

static void
running_bits(gpointer self, const char *volume, guint8 bits[MIG_MAX_VM_SLOTS / 8])
{
    MigDaemon *daemon = self;

    mig_vms_running_bits(daemon->vms, volume, bits);
}

static char *
first_running(gpointer self, const char *volume)
{
    MigDaemon *daemon = self;

    char *first = mig_vms_first_on(daemon->vms, volume);

    return first ? first : mig_images_first_copy_on(volume);
}

static gboolean
ask_here(gpointer self, const MigWish *wish, MigTurn *turn, GError **error)
{
    MigDaemon *daemon = self;

    return mig_turns_ask(daemon->turns, wish, turn, error);
}

static void
release_here(gpointer self, const char *job)
{
    MigDaemon *daemon = self;

    mig_turns_release(daemon->turns, job);
}

static void
nodes_seen(gpointer self)
{
    MigDaemon *daemon = self;

    mig_trusted_seen(daemon->trusted);
}

static char *
libvirt_socket(gpointer self, const char *node, GError **error)
{
    MigDaemon *daemon = self;

    return mig_tunnels_socket(daemon->tunnels, node, error);
}

static gboolean
hears_callers(gpointer self, const char *node)
{
    MigDaemon *daemon = self;
    g_autoptr(MigNodeView) view = mig_volumes_node(daemon->volumes, node, NULL);

    return view && mig_node_hears_callers(view->node);
}

static GIOStream *
open_tunnel(const char *node, gpointer user_data, GError **error)
{
    MigDaemon *daemon = user_data;

    return mig_peer_rpc_upgrade(daemon->peer, node, "OpenLibvirt", error);
}

/* ---- facts of this host, apart from the heartbeat: libvirt may hang, a heartbeat must not ---- */

static void
take_host(MigDaemon *daemon, const MigHost *host)
{
    mig_volumes_set_host(daemon->volumes, host);
    mig_trusted_set_qemu(daemon->trusted, host->qemu_user, host->qemu_group);
    mig_csv_set_qemu(host->qemu_user, host->qemu_group);
}

/* A sanlock that has died cannot be asked, and its watchdog fires for that very reason: what was
 * published of it before has to stand when it does. */
static void
look_at_watchdog(MigDaemon *daemon)
{
    gboolean is_armed;

    if (mig_sanlock_is_armed(daemon->sanlock, &is_armed))
        mig_volumes_set_armed(daemon->volumes, is_armed);
}

static gpointer
facts_thread(gpointer data)
{
    MigDaemon *daemon = data;

    for (guint round = 1;; round++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigHost) host = daemon->hv->get_host(daemon->hv->self, &error);

        if (host)
            take_host(daemon, host);
        else
            g_warning("%s", error->message);
        mig_vms_refresh_soon(daemon->vms);
        mig_incoming_sweep(daemon->incoming);
        look_at_watchdog(daemon);
        mig_link_look_anew(daemon->link);
        if (round % ATTACH_ROUNDS == 0 && mig_volumes_attach_missing(daemon->volumes) > 0) {
            mig_vms_adopt(daemon->vms);
            mig_vm_adopt_rest(daemon);
        }
        g_usleep(FACTS_MS * 1000);
    }
    return NULL;
}

/* Whether what is on this node is known, as far as it can be. */
static GMutex known_lock;
static GCond known_changed;
static gboolean is_known;

static void
tell_known(void)
{
    g_mutex_lock(&known_lock);
    is_known = TRUE;
    g_cond_signal(&known_changed);
    g_mutex_unlock(&known_lock);
}

static void
wait_until_known(void)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&known_lock);
    gint64 until = g_get_monotonic_time() + MIG_KNOWN_MS * 1000;

    while (!is_known && g_cond_wait_until(&known_changed, &known_lock, until))
        ;
}

static gpointer
start_thread(gpointer data)
{
    MigDaemon *daemon = data;
    g_autoptr(MigHost) host = daemon->hv->get_host(daemon->hv->self, NULL);

    if (host)
        take_host(daemon, host);
    look_at_watchdog(daemon);
    mig_drain_load(daemon);
    /* recover first: what is on this node must be known before anything is asked of it */
    mig_volumes_attach_configured(daemon->volumes);
    mig_trusted_start(daemon->trusted);
    mig_vms_adopt(daemon->vms);
    tell_known();
    mig_again_go_on(daemon->again); /* before a job makes a note of its own */
    mig_jobs_recover(daemon->jobs);
    g_thread_unref(g_thread_new("facts", facts_thread, daemon));
    mig_meters_start(daemon->meters);
    mig_signs_start(daemon->signs);
    mig_failover_start(daemon->failover);
    if (daemon->config->failover_enabled)
        mig_recovery_start(daemon->recovery);
    mig_vm_adopt_rest(daemon);
    return NULL;
}

static void
on_domain_changed(const char *vm, const char *uuid, gboolean has_stopped, gpointer user_data)
{
    MigDaemon *daemon = user_data;

    mig_vms_refresh_soon(daemon->vms);
    mig_jobs_wake_vm(daemon->jobs, vm);
}

/* ---- life ---- */

static gboolean
wire(MigDaemon *daemon, GError **error)
{
    const MigConfig *config = daemon->config;
    g_autofree char *jobs_dir = g_build_filename(config->state_dir, "jobs", NULL);
    g_autofree char *pki_dir = g_build_filename(config->state_dir, "pki", NULL);
    g_autofree char *peer_dir = g_build_filename(config->run_dir, "peer", NULL);
    const MigPeerRpcHooks hooks = {.locate = locate,
                                   .ask = ask_here,
                                   .release = release_here,
                                   .libvirt_socket = libvirt_socket,
                                   .secure = mig_trusted_connect,
                                   .stands = mig_tls_stands,
                                   .hears_callers = hears_callers,
                                   .look = mig_trusted_look,
                                   .self = daemon};
    const MigVolumesHooks volumes_hooks = {.running_bits = running_bits,
                                           .first_running = first_running,
                                           .nodes_seen = nodes_seen,
                                           .self = daemon};

    daemon->node = config->node_name;
    daemon->host_id = (guint32)config->host_id;
    daemon->link = mig_link_new(daemon);
    if (!mig_io_make_dir(config->run_dir, 0755, error) || !mig_io_make_dir(peer_dir, 0700, error))
        return FALSE;
    daemon->store = mig_store_file_new(jobs_dir, JOBS_KEPT, error);
    if (!daemon->store)
        return FALSE;
    daemon->identity = mig_identity_open(pki_dir, daemon->node, error);
    if (!daemon->identity)
        return FALSE;
    daemon->trusted = mig_trusted_new(daemon, error);
    if (!daemon->trusted)
        return FALSE;
    daemon->volumes = mig_volumes_new(daemon, &volumes_hooks);
    daemon->turns = mig_turns_new(daemon, error);
    if (!daemon->turns)
        return FALSE;
    daemon->vms = mig_vms_new(daemon);
    daemon->incoming = mig_incoming_new(daemon);
    daemon->shares = mig_shares_new(daemon);
    daemon->jobs = mig_jobs_new(daemon);
    daemon->meters = mig_meters_new(daemon);
    daemon->sanlock = mig_sanlock_new();
    daemon->tunnels = mig_tunnels_new(peer_dir, open_tunnel, daemon);
    daemon->peer = mig_peer_rpc_new(daemon->node, &hooks);
    daemon->libvirt = mig_libvirt_new(config->libvirt_uri, on_domain_changed, daemon);
    daemon->hv = mig_libvirt_port(daemon->libvirt);
    daemon->events = mig_events_new(daemon);
    daemon->signs = mig_signs_new(daemon);
    daemon->again = mig_again_new(daemon);
    daemon->failover = mig_failover_new(daemon);
    daemon->recovery = mig_recovery_new(daemon);
    daemon->hooked = mig_hooked_new(daemon);
    return TRUE;
}

static gboolean
on_signal(gpointer user_data)
{
    g_main_loop_quit(user_data);
    return G_SOURCE_REMOVE;
}

/* A first look, for nothing: only addresses that nodes have published on the LUN, and our own. */
static gboolean
is_node_address(const char *address, gpointer user_data)
{
    MigDaemon *daemon = user_data;
    g_autoptr(GPtrArray) nodes = mig_volumes_nodes(daemon->volumes);

    for (guint i = 0; i < nodes->len; i++) {
        const MigNodeView *view = g_ptr_array_index(nodes, i);

        if (mig_net_is_same(view->node->management, address))
            return TRUE;
    }
    return FALSE;
}

static gboolean
serve(MigDaemon *daemon, GError **error)
{
    const MigConfig *config = daemon->config;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    MigRpcServer *server = mig_rpc_server_new("migrated", "migrated", MIG_VERSION);

    mig_api_install(server, daemon);
    mig_rpc_server_set_peer_filter(server, is_node_address, daemon);
    mig_rpc_server_set_peer_security(server, mig_trusted_accept, mig_tls_stands, daemon);
    mig_rpc_server_set_limits(server, (guint)config->max_connections, MIG_FRAME_MS);
    if (!mig_rpc_server_listen_peer(server, config->management, (guint16)config->port,
                                    MIG_PEER_INTERFACE, error))
        return FALSE;
    mig_restart_set_loop(loop);
    g_unix_signal_add(SIGTERM, on_signal, loop);
    g_unix_signal_add(SIGINT, on_signal, loop);
    g_thread_unref(g_thread_new("start", start_thread, daemon));
    wait_until_known();
    /* everybody may connect: what they may do is decided by who they are (root, groups) */
    if (!mig_rpc_server_listen_unix(server, config->socket_path, 0666, error)) {
        /* at once, as when it is killed: what threads have begun by now is found by the next life
         */
        g_printerr("migrated: %s\n", (*error)->message);
        _Exit(mig_error_exit_code(*error));
    }
    mig_log_event(MIG_ID_STARTED, NULL, "migrated %s on %s, host id %u", MIG_VERSION, daemon->node,
                  daemon->host_id);
    g_main_loop_run(loop);
    mig_volumes_set_ending(daemon->volumes);
    mig_role_end_all(daemon);
    mig_copies_end_all();
    mig_log_event(MIG_ID_STOPPED, NULL, "migrated stops; VMs run on");
    return TRUE;
}

/* In no cluster yet: nobody is served but who wants to change that. */
static gboolean
serve_setup(const MigConfig *config, const char *config_path, GError **error)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(MigRpcServer) server = mig_rpc_server_new("migrated", "migrated", MIG_VERSION);

    mig_setup_install(server, config, config_path);
    if (!mig_io_make_dir(config->run_dir, 0755, error) ||
        !mig_rpc_server_listen_unix(server, config->socket_path, 0666, error))
        return FALSE;
    mig_restart_set_loop(loop);
    g_unix_signal_add(SIGTERM, on_signal, loop);
    g_unix_signal_add(SIGINT, on_signal, loop);
    mig_log_event(MIG_ID_STARTED, NULL, "migrated %s, in no cluster yet", MIG_VERSION);
    g_main_loop_run(loop);
    mig_log_event(MIG_ID_STOPPED, NULL, "migrated stops");
    return TRUE;
}

/* The same process, from its beginning: threads, sockets and leases of this life end here. */
static void
start_anew(char **argv)
{
    fflush(NULL);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* libraries have descriptors of their own */
    execv("/proc/self/exe", argv); /* and main() gives it its name back, which is 'exe' now */
    g_printerr("migrated: cannot start anew: %s\n", g_strerror(errno));
    _Exit(1);
}

int
main(int argc, char **argv)
{
    g_auto(GStrv) arguments = g_strdupv(argv);
    g_autofree char *path = NULL;
    gboolean is_debug = FALSE, is_version = FALSE, is_check = FALSE, is_blank;
    GOptionEntry options[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &path, "Configuration file", "FILE"},
        {"check-config", 0, 0, G_OPTION_ARG_NONE, &is_check, "Read the configuration and exit",
         NULL},
        {"debug", 'd', 0, G_OPTION_ARG_NONE, &is_debug, "Log debug lines too", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &is_version, "Print the version and exit", NULL},
        {NULL}};
    g_autoptr(GOptionContext) context = g_option_context_new("- one LUN, many hosts, one cluster");
    g_autoptr(MigConfig) config = NULL;
    g_autoptr(GError) error = NULL;
    static MigDaemon daemon;

    setlocale(LC_ALL, "C.UTF-8");
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        g_printerr("migrated: %s\n", error->message);
        return 2;
    }
    if (argc > 1) {
        g_printerr("migrated: what is '%s'? a configuration is named with --config FILE\n",
                   argv[1]);
        return 2;
    }
    if (is_version) {
        g_print("migrated %s\n", MIG_VERSION);
        return 0;
    }
    if (!path)
        path = g_strdup(MIG_CONFIG_FILE);
    is_blank = mig_config_is_blank(path);
    config =
        is_blank && !is_check ? mig_config_load_blank(path, &error) : mig_config_load(path, &error);
    if (!config) {
        g_printerr("migrated: %s\n", error->message);
        return mig_error_exit_code(error);
    }
    if (!is_blank && !mig_times_check(config, &error)) {
        g_printerr("migrated: %s: %s\n", path, error->message);
        return mig_error_exit_code(error);
    }
    if (is_check)
        return 0;
    prctl(PR_SET_NAME, "migrated"); /* what ps, pgrep and the journal show */
    mig_log_init(is_debug);
    mig_privileges_drop();
    daemon.config = config;
    daemon.config_path = path;
    if (is_blank ? !serve_setup(config, path, &error)
                 : !wire(&daemon, &error) || !serve(&daemon, &error)) {
        g_printerr("migrated: %s\n", error->message);
        return mig_error_exit_code(error);
    }
    if (mig_restart_is_wanted())
        start_anew(arguments);
    /* The process ends here with its threads: whatever they were doing, the journal, the slots and
     * sanlock know how to go on. Tearing down in order would only add a second way to end. */
    fflush(NULL);
    _Exit(0);
}
