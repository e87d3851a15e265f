/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* again.c - what again.h says. */
#include "again.h"

#include "again-notes.h"
#include "base/error.h"
#include "core/timeouts.h"
#include "failover.h"
#include "left-leases.h"
#include "recovery.h"
#include "vm-actions.h"

/* A start can take the lease and fail behind that: it runs where it is seen so often in a row. */
#define LOOKS_RUNNING 3

/* A look at one works with a copy, and counts where it was not changed meanwhile. */
typedef struct {
    MigDaemon *daemon;
    char *volume, *vm;
    guint64 version; /* of its lease, as it ended; 0: not known */
    gboolean is_over;
    gboolean is_left; /* an earlier life's */
    guint running;    /* looks in a row */
    guint serial;     /* of what others say of it */
} Ended;

struct MigAgain {
    MigDaemon *daemon;
    MigAgainNotes *notes;
    gint64 begun_us;
    GMutex lock;       /* inside it no other module is called but the notes */
    GHashTable *ended; /* VM -> Ended, with a thread each */
};

/* As long as the LUN fails it cannot be given back, either. */
static void
give_back_again(Ended *ended)
{
    const MigHv *hv = ended->daemon->hv;
    g_autoptr(MigVmView) view = mig_vm_find(ended->daemon, ended->vm, NULL);
    MigDomainState state = MIG_DOMAIN_UNKNOWN;
    MigLeaseOwner owner = {0};
    guint64 unknown = 0;

    if (!view ||
        !mig_csv_vm_lease_owner(mig_attached_csv(view->attached), view->vm->slot, &owner, NULL))
        return;
    if (!ended->version && owner.last_host_id == ended->daemon->host_id)
        ended->version = owner.version;
    /* the other one that looks after such leases may have been faster */
    if (owner.host_id == 0 && owner.last_host_id == ended->daemon->host_id && ended->version &&
        owner.version == ended->version + 1)
        ended->version++;
    if (!view->is_here || !hv->get_state(hv->self, view->vm->name, view->vm->uuid, &state, NULL) ||
        state != MIG_DOMAIN_ABSENT)
        return;
    /* one that was taken and could not be given back is a version later */
    if (ended->version && mig_attached_owns(view->attached, &owner))
        ended->version = owner.version;
    mig_left_leases_give_back(ended->daemon, view->attached, view->vm->name, view->vm->slot,
                              MIG_LEFT_LEASES_TRIES, ended->version ? &ended->version : &unknown);
}

/* Who restarts for its volume may be another one by the next time: all are told. */
static void
ask_all(const Ended *ended)
{
    MigDaemon *daemon = ended->daemon;
    g_autoptr(GPtrArray) nodes = mig_volumes_nodes(daemon->volumes);
    MigPeerRestartRequest request = {.name = ended->vm, .version = (gint64)ended->version};

    mig_recovery_ask(daemon->recovery, ended->vm, ended->version);
    for (guint i = 0; i < nodes->len; i++) {
        const MigNodeView *view = g_ptr_array_index(nodes, i);
        g_autoptr(MigEmpty) reply = NULL;

        if (view->is_local || view->state != MIG_NODE_UP)
            continue;
        reply = mig_peer_rpc_call(daemon->peer, view->node->name, "AskRestart",
                                  &mig_type_PeerRestartRequest, &request, &mig_type_Empty,
                                  MIG_PEER_CONNECT_MS, NULL);
    }
}

/* Runs it already, or shall it not any more? What nobody can tell is no reason to give up. */
static gboolean
is_settled(Ended *ended)
{
    MigDaemon *daemon = ended->daemon;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, ended->volume, NULL);
    g_autoptr(MigVmView) view = mig_vm_find(daemon, ended->vm, NULL);
    g_autoptr(GError) error = NULL;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;
    gboolean runs;

    if (!view) {
        g_autoptr(MigVm) vm =
            attached ? mig_csv_vm(mig_attached_csv(attached), ended->vm, &error) : NULL;

        return attached && !vm && g_error_matches(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN);
    }
    if (!view->vm->wants_running || view->vm->restart == MIG_RESTART_NEVER)
        return TRUE;
    /* a lease that could not be given back yet looks like that, too */
    runs = g_str_equal(view->state, "running") &&
           (!view->is_here ||
            (daemon->hv->get_state(daemon->hv->self, ended->vm, view->vm->uuid, &state, NULL) &&
             state != MIG_DOMAIN_ABSENT));
    ended->running = runs ? ended->running + 1 : 0;
    return ended->running >= LOOKS_RUNNING;
}

/* Until libvirt says that it is not there it may go on. */
static gboolean
is_over(Ended *ended)
{
    const MigHv *hv = ended->daemon->hv;
    g_autoptr(MigVmView) view = NULL;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;

    if (!ended->is_over) {
        view = mig_vm_find(ended->daemon, ended->vm, NULL);
        ended->is_over = view &&
                         hv->get_state(hv->self, view->vm->name, view->vm->uuid, &state, NULL) &&
                         state == MIG_DOMAIN_ABSENT;
    }
    return ended->is_over;
}

/* A version that is not known would be that of any run since, which may have ended by itself: the
 * LUN has to tell it first. And an earlier life can have ended days ago, while this one does not
 * know yet whether it is cut off. */
static gboolean
may_ask(const Ended *ended)
{
    const MigDaemon *daemon = ended->daemon;

    return ended->version &&
           (!ended->is_left || g_get_monotonic_time() - daemon->again->begun_us >
                                   daemon->config->isolated_after_ms * G_GINT64_CONSTANT(1000));
}

/* TRUE: there is no more to do. */
static gboolean
look(Ended *ended)
{
    give_back_again(ended);
    if (is_settled(ended))
        return TRUE;
    if (!ended->running && is_over(ended) && may_ask(ended) &&
        !mig_failover_is_isolated(ended->daemon->failover)) /* there is nobody to be asked */
        ask_all(ended);
    return FALSE;
}

static void
ended_free(gpointer data)
{
    Ended *ended = data;

    g_free(ended->volume);
    g_free(ended->vm);
    g_free(ended);
}

static void
note(MigAgain *again, const Ended *ended)
{
    mig_again_notes_keep(again->notes, ended->vm, ended->volume, ended->version);
}

/* The others may not know yet that it has ended here, and the LUN may come and go. */
static gpointer
start_again(gpointer data)
{
    Ended *ended = data;
    MigAgain *again = ended->daemon->again;
    gboolean is_done = FALSE;

    while (!is_done) {
        Ended copy;

        g_usleep(MIG_AGAIN_MS * 1000);
        g_mutex_lock(&again->lock);
        copy = *ended; /* its strings stay */
        g_mutex_unlock(&again->lock);
        is_done = look(&copy);
        g_mutex_lock(&again->lock);
        if (copy.serial != ended->serial) {
            is_done = FALSE; /* ended once more */
        } else if (is_done) {
            mig_again_notes_drop(again->notes, ended->vm);
            g_hash_table_remove(again->ended, ended->vm);
        } else {
            gboolean is_new = copy.version != ended->version;

            *ended = copy;
            if (is_new) /* its lease was given back meanwhile */
                note(again, ended);
        }
        g_mutex_unlock(&again->lock);
    }
    return NULL;
}

/* Caller holds the lock. */
static Ended *
find(MigAgain *again, const char *volume, const char *vm, guint64 lease_version, gboolean begins)
{
    Ended *ended = g_hash_table_lookup(again->ended, vm);
    gboolean is_new = !ended && begins;

    if (is_new) {
        ended = g_new0(Ended, 1);
        ended->daemon = again->daemon;
        ended->volume = g_strdup(volume);
        ended->vm = g_strdup(vm);
        g_hash_table_insert(again->ended, ended->vm, ended);
    }
    if (ended) {
        if (lease_version) /* else what is known of it still holds */
            ended->version = lease_version;
        ended->is_over = ended->is_left = FALSE;
        ended->running = 0;
        ended->serial++;
    }
    if (is_new)
        g_thread_unref(g_thread_new("again", start_again, ended));
    return ended;
}

/* ---- public ---- */

void
mig_again_note(MigAgain *again, const char *volume, const char *vm, guint64 lease_version)
{
    Ended *ended;

    g_mutex_lock(&again->lock);
    ended = find(again, volume, vm, lease_version, FALSE);
    mig_again_notes_keep(again->notes, vm, volume, ended ? ended->version : lease_version);
    g_mutex_unlock(&again->lock);
}

static void
begin(MigAgain *again, const char *volume, const char *vm, guint64 lease_version, gboolean is_over,
      gboolean is_left)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&again->lock);
    Ended *ended = find(again, volume, vm, lease_version, TRUE);

    ended->is_over = is_over;
    ended->is_left = is_left;
    note(again, ended);
}

void
mig_again_start(MigAgain *again, const char *volume, const char *vm, guint64 lease_version,
                gboolean is_over)
{
    begin(again, volume, vm, lease_version, is_over, FALSE);
}

void
mig_again_left(MigAgain *again, const char *volume, const char *vm, guint64 lease_version)
{
    begin(again, volume, vm, lease_version, FALSE, TRUE);
}

void
mig_again_go_on(MigAgain *again)
{
    g_autoptr(GPtrArray) left = mig_again_notes_load(again->notes);

    g_mutex_lock(&again->lock);
    for (guint i = 0; i < left->len; i++) {
        const MigAgainNote *one = g_ptr_array_index(left, i);

        g_message("%s was ended here, or was to be, before migrated was restarted: it is to run "
                  "again",
                  one->vm);
        find(again, one->volume, one->vm, one->lease_version, TRUE)->is_left = TRUE;
    }
    g_mutex_unlock(&again->lock);
}

MigAgain *
mig_again_new(MigDaemon *daemon)
{
    MigAgain *again = g_new0(MigAgain, 1);

    again->daemon = daemon;
    again->notes = mig_again_notes_new(daemon->config->state_dir);
    again->begun_us = g_get_monotonic_time();
    g_mutex_init(&again->lock);
    again->ended = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, ended_free);
    return again;
}
