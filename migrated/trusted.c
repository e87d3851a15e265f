/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trusted.c - from the slots to who is accepted. */
#include "trusted.h"

#include "base/error.h"
#include "base/log.h"
#include "core/timeouts.h"
#include "core/trust.h"
#include "drivers/tls-channel.h"
#include "drivers/tls-ram.h"
#include "volumes.h"

#define TEND_MS     5000 /* and at once where roots have changed */
#define QEMU_CONFIG "/etc/libvirt/qemu.conf"

struct MigTrusted {
    MigDaemon *daemon;
    MigTls *tls;
    GMutex
        lock; /* guards roots; held over telling the channel, so that the latest word is the last */
    GPtrArray *roots;    /* MigTrustRoot */
    MigTlsRam *ram;      /* NULL: nothing is encrypted */
    GMutex rotate_lock;  /* one step of a change of key at a time; guards the next two */
    gint64 published_us; /* since when all slots have the new root; 0: not yet */
    gint64 switched_us;  /* since when it signs, and is used; 0: not yet */
    GMutex wake_lock;    /* guards the next two; the innermost one */
    GCond woken;
    gboolean is_awake;       /* the thread that tends has something to do */
    char *said_left_out;     /* of the thread that tends, as the next one */
    char *said;              /* of the thread that tends: the problem that the log knows of */
    gboolean has_said_stuck; /* of that thread, too */
};

MigTrusted *
mig_trusted_new(MigDaemon *daemon, GError **error)
{
    MigTls *tls = mig_tls_new(daemon->identity, error);
    MigTrusted *trusted;

    if (!tls)
        return NULL;
    trusted = g_new0(MigTrusted, 1);
    trusted->daemon = daemon;
    trusted->tls = tls;
    g_mutex_init(&trusted->lock);
    g_mutex_init(&trusted->rotate_lock);
    g_mutex_init(&trusted->wake_lock);
    g_cond_init(&trusted->woken);
    trusted->roots = g_ptr_array_new_with_free_func((GDestroyNotify)mig_trust_root_free);
    if (daemon->config->encrypt)
        trusted->ram = mig_tls_ram_new(daemon->config->qemu_tls_dir, daemon->identity);
    else
        mig_tls_ram_remove(daemon->config->qemu_tls_dir);
    return trusted;
}

static void
wake(MigTrusted *trusted)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&trusted->wake_lock);

    trusted->is_awake = TRUE;
    g_cond_signal(&trusted->woken);
}

void
mig_trusted_seen(MigTrusted *trusted)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&trusted->lock);
    g_autoptr(GPtrArray) volumes = mig_volumes_list(trusted->daemon->volumes);
    g_autoptr(GPtrArray) roots =
        g_ptr_array_new_with_free_func((GDestroyNotify)mig_trust_root_free);

    for (guint i = 0; i < volumes->len; i++) {
        g_autoptr(GPtrArray) nodes = mig_attached_nodes(g_ptr_array_index(volumes, i));

        for (guint k = 0; k < nodes->len; k++) {
            const MigNodeView *view = g_ptr_array_index(nodes, k);

            mig_trust_add_node(roots, view->node);
        }
    }
    if (mig_trust_same(roots, trusted->roots))
        return;
    mig_tls_set_roots(trusted->tls, roots);
    g_ptr_array_unref(trusted->roots);
    trusted->roots = g_steal_pointer(&roots);
    wake(trusted);
}

static gint64
now(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

static gboolean
knows(MigTrusted *trusted, const char *node, const char *certificate)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&trusted->lock);

    return mig_trust_has(trusted->roots, node, certificate);
}

/* NULL: QEMU has what it needs; else what is wrong. */
static char *
write_ram(MigTrusted *trusted)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) roots = NULL;

    g_mutex_lock(&trusted->lock);
    roots = g_ptr_array_ref(trusted->roots); /* replaced, never changed */
    g_mutex_unlock(&trusted->lock);
    if (mig_tls_ram_write(trusted->ram, roots, now(), FALSE, &error) &&
        mig_tls_ram_is_configured(trusted->ram, QEMU_CONFIG, &error))
        return NULL;
    return g_strdup(error->message);
}

void
mig_trusted_end(MigTrusted *trusted)
{
    /* the slots that went have just woken the thread that writes */
    if (trusted->ram)
        mig_tls_ram_end(trusted->ram);
    else
        mig_tls_ram_remove(trusted->daemon->config->qemu_tls_dir);
}

/* ---- a change of key ---- */

/*
 * One step at a time, each from what tls-identity.h keeps on disk, so that a process that ends
 * between two is no case of its own: the next one goes on there.
 *
 *   begun      the new root stands in this node's slots beside the old one, which still signs;
 *              MIG_KEY_SEEN_MS later every other node knows it
 *   switched   the new one signs: new connections and moves show it. What began before goes on with
 *              the old one, since that stands in the slots for as long as such a connection is
 *              open, and each move has one: its tunnel to libvirt
 *   dropped    the old one leaves the slots, and is refused from then on
 */
static gboolean
publish(MigTrusted *trusted, GError **error)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(trusted->daemon->volumes);

    for (guint i = 0; i < volumes->len; i++) {
        if (!mig_attached_publish(g_ptr_array_index(volumes, i), error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
is_past(gint64 since_us)
{
    return g_get_monotonic_time() - since_us >= (gint64)MIG_KEY_SEEN_MS * 1000;
}

static gboolean
step_begun(MigTrusted *trusted, GError **error)
{
    if (!trusted->published_us) {
        if (!publish(trusted, error))
            return FALSE;
        trusted->published_us = g_get_monotonic_time();
    }
    return !is_past(trusted->published_us) || mig_identity_switch(trusted->daemon->identity, error);
}

static gboolean
step_switched(MigTrusted *trusted, GError **error)
{
    MigIdentity *identity = trusted->daemon->identity;

    if (!trusted->switched_us) {
        /* QEMU's first: a move whose tunnel shows the new one has a QEMU that does. Where it cannot
         * be written, no move begins before it could */
        g_autofree char *problem = trusted->ram ? write_ram(trusted) : NULL;

        if (!mig_tls_renew(trusted->tls, now(), TRUE, error))
            return FALSE;
        trusted->switched_us = g_get_monotonic_time();
    }
    if (!is_past(trusted->switched_us) || mig_tls_count_old(trusted->tls) > 0)
        return TRUE;
    if (!mig_identity_drop(identity, error))
        return FALSE;
    trusted->published_us = trusted->switched_us = 0;
    g_message("the old key of this node is gone");
    publish(trusted, NULL); /* the heartbeat does it, too */
    return TRUE;
}

/* With the rotate lock held. Does what can be done now. */
static gboolean
rotate_step(MigTrusted *trusted, GError **error)
{
    MigIdentity *identity = trusted->daemon->identity;

    if (mig_identity_phase(identity) == MIG_IDENTITY_BEGUN && !step_begun(trusted, error))
        return FALSE;
    return mig_identity_phase(identity) != MIG_IDENTITY_SWITCHED || step_switched(trusted, error);
}

gboolean
mig_trusted_rotate(MigTrusted *trusted, char **certificate, GError **error)
{
    MigIdentity *identity = trusted->daemon->identity;
    gint64 deadline = g_get_monotonic_time() + (gint64)MIG_KEY_CHANGE_MS * 1000;
    gboolean ok, is_used;

    g_mutex_lock(&trusted->rotate_lock);
    ok = mig_identity_begin(identity, error);
    g_mutex_unlock(&trusted->rotate_lock);
    if (!ok)
        return FALSE;
    g_message("this node makes itself a new key");
    do {
        g_autoptr(GError) bad = NULL;

        g_mutex_lock(&trusted->rotate_lock);
        ok = rotate_step(trusted, &bad);
        is_used = mig_identity_phase(identity) == MIG_IDENTITY_AT_REST || trusted->switched_us;
        g_mutex_unlock(&trusted->rotate_lock);
        if (!is_used && g_get_monotonic_time() > deadline) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_TIMEOUT,
                        "the new key is made, but not used yet%s%s; that goes on by itself",
                        ok ? "" : ": ", ok ? "" : bad->message);
            return FALSE;
        }
        if (!is_used)
            g_usleep(200 * 1000);
    } while (!is_used);
    *certificate = mig_identity_fingerprint(identity);
    return TRUE;
}

gboolean
mig_trusted_is_rotating(MigTrusted *trusted, guint *connections)
{
    *connections = mig_tls_count_old(trusted->tls);
    return mig_identity_phase(trusted->daemon->identity) != MIG_IDENTITY_AT_REST;
}

/* ---- now and then ---- */

/* One bad certificate keeps its own node from moves, and no other. */
static void
tell_left_out(MigTrusted *trusted)
{
    static MigLogLimit limit;
    g_autofree char *left_out = mig_tls_ram_left_out(trusted->ram, NULL);
    guint skipped = 0;

    if (g_strcmp0(left_out, trusted->said_left_out) == 0)
        return;
    if (left_out && !mig_log_allow(&limit, &skipped))
        return; /* next time */
    if (left_out)
        g_warning("no VM moves to or from a node whose certificate QEMU cannot use: %s", left_out);
    g_free(trusted->said_left_out);
    trusted->said_left_out = g_steal_pointer(&left_out);
}

/* First, for it waits for no disk but the local one: who was removed is a stranger to QEMU at once.
 */
static void
tend_ram(MigTrusted *trusted)
{
    g_autofree char *problem = trusted->ram ? write_ram(trusted) : NULL;

    if (!trusted->ram)
        return;
    if (g_strcmp0(problem, trusted->said) != 0) {
        if (problem)
            g_warning("no VM moves from or to this node, since that cannot be encrypted: %s",
                      problem);
        else
            g_message("moves can be encrypted");
        g_free(trusted->said);
        trusted->said = g_steal_pointer(&problem);
    }
    tell_left_out(trusted);
}

static void
tend_identity(MigTrusted *trusted)
{
    MigIdentity *identity = trusted->daemon->identity;
    MigIdentityPhase before;
    g_autoptr(GError) error = NULL, bad = NULL;

    if (!mig_tls_renew(trusted->tls, now(), FALSE, &error))
        g_warning("this node's certificate could not be renewed, and is tried again: %s",
                  error->message);
    g_mutex_lock(&trusted->rotate_lock);
    before = mig_identity_phase(identity);
    rotate_step(trusted, &bad);
    if (mig_identity_phase(identity) != before)
        wake(trusted); /* QEMU gets to know it */
    g_mutex_unlock(&trusted->rotate_lock);
    if (bad && !trusted->has_said_stuck)
        g_warning("the key of this node is being changed, and that does not go on: %s",
                  bad->message);
    trusted->has_said_stuck = bad != NULL;
}

static gpointer
tend_thread(gpointer data)
{
    MigTrusted *trusted = data;

    for (;;) {
        gint64 until_us = g_get_monotonic_time() + (gint64)TEND_MS * 1000;

        tend_ram(trusted);
        tend_identity(trusted);
        g_mutex_lock(&trusted->wake_lock);
        while (!trusted->is_awake &&
               g_cond_wait_until(&trusted->woken, &trusted->wake_lock, until_us))
            ;
        trusted->is_awake = FALSE;
        g_mutex_unlock(&trusted->wake_lock);
    }
    return NULL;
}

void
mig_trusted_start(MigTrusted *trusted)
{
    g_thread_unref(g_thread_new("trusted", tend_thread, trusted));
}

/* ---- for QEMU ---- */

void
mig_trusted_set_qemu(MigTrusted *trusted, gint64 user, gint64 group)
{
    if (trusted->ram)
        mig_tls_ram_set_reader(trusted->ram, user, group);
}

char *
mig_trusted_problem(MigTrusted *trusted, const char *node, const char *certificate)
{
    if (!trusted->ram)
        return g_strdup("[moves] encrypt=no");
    if (!knows(trusted, node, certificate)) {
        mig_trusted_look(trusted->daemon);
        if (!knows(trusted, node, certificate))
            return g_strdup_printf("the certificate of %s stands in no slot", node);
    }
    g_autofree char *problem = write_ram(trusted);

    return problem ? g_steal_pointer(&problem) : mig_tls_ram_left_out(trusted->ram, node);
}

void
mig_trusted_accept(GSocket *socket, guint timeout_ms, MigRpcSecured secured, gpointer secured_data,
                   gpointer user_data)
{
    MigDaemon *daemon = user_data;

    mig_tls_accept(daemon->trusted->tls, socket, timeout_ms, secured, secured_data);
}

GIOStream *
mig_trusted_connect(gpointer self, GSocket *socket, const char *node, GError **error)
{
    MigDaemon *daemon = self;

    return mig_tls_connect(daemon->trusted->tls, socket, node, MIG_PEER_HANDSHAKE_MS, error);
}

void
mig_trusted_look(gpointer self)
{
    MigDaemon *daemon = self;
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);

    for (guint i = 0; i < volumes->len; i++)
        mig_attached_look(g_ptr_array_index(volumes, i));
}
