/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* self.c - looking after the leases of the VMs here, once a second. */
#include "self.h"

#include "again.h"
#include "base/error.h"
#include "core/io-pause.h"
#include "core/timeouts.h"
#include "events.h"
#include "failover.h"
#include "half-notes.h"
#include "halves.h"
#include "incoming.h"
#include "jobs.h"
#include "left-leases.h"
#include "vms.h"

/* In a row. One look may fall into the hand-over of a move. */
#define LOOKS_LOST 3

/* Of a disk that fails again and again: more lines would push out what was before. */
#define RESUMES_TOLD 4

struct MigSelf {
    MigDaemon *daemon;
    GHashTable *lost; /* VM -> looks in a row that found its lease elsewhere */
    GHashTable *held; /* VM -> Held */
    MigHalfNotes *notes;
    MigLeftLeases *left;
};

/* What is remembered of a VM here: for the case that its disk fails, or that it has no lease. */
typedef struct {
    guint64 version; /* of its lease when it was last seen held here; 0: never */
    guint failed;    /* times that it could not go on */
    guint resumed;   /* times that it did, and had failed again before it was quiet for long */
    gint64 resumed_us;
    gboolean is_told;
    guint bare;      /* looks in a row at which it ran and nobody had its lease */
    gint64 asked_us; /* for its other half; 0: not yet */
    guint alone;     /* times in a row that there was none */
    guint behind;    /* looks in a row at which it was what another node has left behind */
} Held;

/* So many of these are no late answer any more. */
#define LOOKS_BARE 3

/* A half is given up when it was found to be alone so often, MIG_POSTCOPY_LOOK_MS apart. */
#define LOOKS_ALONE 2

/* Has another node, in the start that it has now, the lease? *owner: its name. */
static gboolean
is_lost(MigSelf *self, const MigRunning *running, MigAttached *attached, char **owner)
{
    MigLeaseOwner lease = {0};
    g_autoptr(MigNodeView) view = NULL;

    if (running->state == MIG_DOMAIN_INCOMING || running->state == MIG_DOMAIN_UNKNOWN ||
        mig_jobs_has_vm(self->daemon->jobs, running->name))
        return FALSE;
    if (!mig_csv_vm_lease_owner(mig_attached_csv(attached), running->slot, &lease, NULL) ||
        lease.host_id == 0 || lease.host_id == self->daemon->host_id)
        return FALSE;
    *owner = mig_attached_owner_name(attached, &lease, &view);
    return *owner && view && view->node->host_generation == lease.host_generation;
}

static void
end_lost(MigSelf *self, const MigRunning *running, const char *owner)
{
    guint looks = GPOINTER_TO_UINT(g_hash_table_lookup(self->lost, running->name)) + 1;
    g_autoptr(GError) error = NULL;
    gboolean ok;

    g_hash_table_replace(self->lost, g_strdup(running->name), GUINT_TO_POINTER(looks));
    if (looks < LOOKS_LOST)
        return;
    ok = self->daemon->hv->destroy(self->daemon->hv->self, running->name, running->uuid, &error);
    mig_events_add(self->daemon->events, running->name, self->daemon->node, "ended-here",
                   "%s has its lease: what was left of it on %s %s%s", owner, self->daemon->node,
                   ok ? "is ended" : "cannot be ended: ", ok ? "" : error->message);
    mig_vms_refresh_soon(self->daemon->vms);
}

/* ---- what is older than its disk, and what is cut off ---- */

static Held *
held_of(MigSelf *self, const char *vm)
{
    Held *held = g_hash_table_lookup(self->held, vm);

    if (!held) {
        held = g_new0(Held, 1);
        g_hash_table_insert(self->held, g_strdup(vm), held);
    }
    return held;
}

/* A move that failed has found that nobody else's taking of the lease, up to that version, was more
 * than that: the guest here is as new as its disk. */
static void
take_over_accepted(MigSelf *self, const MigRunning *running, Held *held)
{
    if (held->version)
        held->version =
            MAX(held->version, mig_jobs_lease_version(self->daemon->jobs, running->uuid));
}

/*
 * It stands still, another node has had its lease after this one, and nobody has it any more, or
 * whoever has it is dead: half of a move that went wrong, and that its job could not see to. Its
 * memory is older than its disk. Published as it is, it keeps the VM from being started anywhere.
 */
static gboolean
is_behind(MigSelf *self, const MigRunning *running, MigAttached *attached)
{
    MigDaemon *daemon = self->daemon;
    Held *held = held_of(self, running->name);
    MigLeaseOwner lease = {0};
    g_autofree char *owner = NULL;

    if (running->state != MIG_DOMAIN_PAUSED || running->is_half ||
        mig_jobs_has_vm(daemon->jobs, running->name) ||
        mig_jobs_is_held(daemon->jobs, running->name) || /* it is being started here */
        mig_incoming_expects(daemon->incoming, running->name, running->uuid))
        return FALSE;
    if (!mig_csv_vm_lease_owner(mig_attached_csv(attached), running->slot, &lease, NULL) ||
        lease.last_host_id == 0 || lease.last_host_id == daemon->host_id)
        return FALSE;
    take_over_accepted(self, running, held);
    /* what has not run here, as one that was suspended on its way, is no older than the lease */
    if (!held->version || lease.version <= held->version)
        return FALSE;
    owner = mig_attached_owner_name(attached, &lease, NULL);
    return !owner || mig_halves_is_dead(daemon, owner, running->volume);
}

static void
end_isolated(MigSelf *self, const MigRunning *running, MigAttached *attached)
{
    g_autoptr(MigVm) vm = mig_csv_vm(mig_attached_csv(attached), running->name, NULL);
    g_autoptr(GError) error = NULL;
    MigLeaseOwner lease = {0};
    gboolean ok;

    if (!vm || running->state == MIG_DOMAIN_INCOMING ||
        mig_jobs_has_vm(self->daemon->jobs, vm->name) ||
        !mig_failover_ends_for_cut_now(self->daemon->failover, vm)) /* a look can take long */
        return;
    mig_csv_vm_lease_owner(mig_attached_csv(attached), running->slot, &lease, NULL);
    mig_again_note(self->daemon->again, running->volume, running->name, lease.version);
    ok = self->daemon->hv->destroy(self->daemon->hv->self, running->name, running->uuid, &error);
    mig_events_add(self->daemon->events, running->name, self->daemon->node, "ended-here",
                   "%s is cut off, and its policy is on_isolation=restart%s%s", self->daemon->node,
                   ok ? "" : ", but it cannot be ended: ", ok ? "" : error->message);
    mig_vms_refresh_soon(self->daemon->vms);
    /* the others start it where they see the cut as one; where all were cut off from all, nobody
     * does, and once the network is back it is a VM that has ended by itself */
    mig_again_start(self->daemon->again, running->volume, running->name, lease.version, ok);
}

/* ---- its disk has failed ---- */

/* A move that is cancelled while the guest stands still at its end: QEMU lets it go on by itself,
 * and libvirt (9.0), which has given its lease back by then, sees it run and takes none. sanlock
 * gives it to the running QEMU as it would on libvirt's word; or another node has been faster, and
 * it is lost. */
static void
take_lease_again(MigSelf *self, const MigRunning *running, MigAttached *attached)
{
    MigDaemon *daemon = self->daemon;
    g_autoptr(MigLease) lease =
        mig_csv_vm_lease(mig_attached_csv(attached), running->slot, running->name);
    MigDomainState state = MIG_DOMAIN_UNKNOWN;
    g_autoptr(GError) error = NULL;
    int pid;

    /* what is listed can be a moment old: one that stands still gets its lease from libvirt */
    if (!daemon->hv->get_state(daemon->hv->self, running->name, running->uuid, &state, &error) ||
        state != MIG_DOMAIN_RUNNING)
        return;
    pid = daemon->hv->get_pid(daemon->hv->self, running->name, &error);
    if (pid && mig_sanlock_acquire_for(daemon->sanlock, lease, pid, &error)) {
        /* stopped meanwhile: libvirt takes the lease itself when it goes on, and must not find it
         * taken */
        if (daemon->hv->get_state(daemon->hv->self, running->name, running->uuid, &state, NULL) &&
            state != MIG_DOMAIN_RUNNING) {
            mig_sanlock_release_for(daemon->sanlock, lease, pid, NULL);
            return;
        }
        mig_events_add(daemon->events, running->name, daemon->node, "lease-again",
                       "it ran on %s, and nobody had its lease; it has it again", daemon->node);
    } else {
        g_warning("%s runs without its lease, and cannot get it yet: %s", running->name,
                  error->message);
    }
}

static gboolean
is_standing_or_running(const MigRunning *running)
{
    return running->state == MIG_DOMAIN_RUNNING || running->state == MIG_DOMAIN_PAUSED;
}

/* By its policy. Where the catalogue cannot be read just now, too: whoever is asked to start it,
 * and again.c before that, look again. */
static gboolean
is_to_run_again(const MigRunning *running, MigAttached *attached)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigVm) vm = mig_csv_vm(mig_attached_csv(attached), running->name, &error);

    return vm ? vm->wants_running && vm->restart != MIG_RESTART_NEVER
              : !g_error_matches(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN);
}

/* Ended for good first; it runs again by its policy, as if its node had died. */
static void
end_failed(MigSelf *self, const MigRunning *running, MigAttached *attached, const char *why)
{
    g_autoptr(GError) error = NULL;
    MigLeaseOwner lease = {0};
    gboolean is_again, is_urgent;

    /* asked before: the run that ends is meant, and none that another node begins */
    if (!mig_csv_vm_lease_owner(mig_attached_csv(attached), running->slot, &lease, NULL))
        lease.version = held_of(self, running->name)->version;
    /* on a host that was fenced the lease may be that of another run already */
    is_again =
        is_to_run_again(running, attached) &&
        (!mig_attached_was_fenced(attached) ||
         (running->state != MIG_DOMAIN_INCOMING && lease.last_host_id == self->daemon->host_id));
    /* others may start it: a disk of this host that hangs must not keep it alive */
    is_urgent = mig_attached_was_fenced(attached) ||
                (running->state == MIG_DOMAIN_RUNNING && !mig_attached_owns(attached, &lease));
    if (is_again && !is_urgent)
        mig_again_note(self->daemon->again, running->volume, running->name, lease.version);
    if (!self->daemon->hv->destroy(self->daemon->hv->self, running->name, running->uuid, &error)) {
        g_warning("%s cannot be ended: %s", running->name, error->message);
        if (is_again) /* one that hangs in its disk can end by that later */
            mig_again_start(self->daemon->again, running->volume, running->name, lease.version,
                            FALSE);
        return;
    }
    mig_events_add(self->daemon->events, running->name, self->daemon->node, "ended-here", "%s",
                   why);
    g_hash_table_remove(self->held, running->name);
    mig_vms_refresh_soon(self->daemon->vms);
    mig_left_leases_give_back(self->daemon, attached, running->name, running->slot,
                              MIG_LEFT_LEASES_TRIES, &lease.version);
    if (is_again)
        mig_again_start(self->daemon->again, running->volume, running->name, lease.version, TRUE);
}

/* What is listed may be older than a link that was taken up again, or the rest of its memory. */
static gboolean
is_half_still(MigSelf *self, const MigRunning *running)
{
    const MigHv *hv = self->daemon->hv;
    g_autoptr(GPtrArray) domains = hv->list(hv->self, NULL);

    for (guint i = 0; domains && i < domains->len; i++) {
        const MigDomain *domain = g_ptr_array_index(domains, i);

        if (g_strcmp0(domain->name, running->name) == 0 &&
            g_strcmp0(domain->uuid, running->uuid) == 0)
            return domain->is_half && !domain->is_unsure && domain->state == running->state &&
                   domain->is_broken == running->is_broken;
    }
    return FALSE;
}

/*
 * A half of a move in its post-copy phase. TRUE: it is ended.
 *
 * Where its link is known to be lost, the other one is asked for. A link to a node that has no
 * power any more is just silent, and its kernel gives it up after a quarter of an hour; and libvirt
 * tells of one thing at a time: a half whose disk fails may have lost its link, too. These are
 * ended only where nothing runs on their source's node any more for sure, its half, which has no
 * lease, included. Anything less can be a move that is through, or one whose memory still comes.
 */
static gboolean
look_at_half(MigSelf *self, const MigRunning *running, MigAttached *attached)
{
    Held *held = held_of(self, running->name);
    gint64 now_us = g_get_monotonic_time();
    gboolean is_alone;

    if (held->asked_us && now_us - held->asked_us < MIG_POSTCOPY_LOOK_MS * 1000)
        return FALSE;
    held->asked_us = now_us;
    is_alone = running->is_broken ? mig_halves_is_alone(self->daemon, running)
                                  : mig_halves_is_source_dead(self->daemon, running);
    held->alone = is_alone ? held->alone + 1 : 0;
    if (held->alone < LOOKS_ALONE)
        return FALSE;
    if (!is_half_still(self, running)) {
        held->alone = 0;
        mig_vms_refresh_soon(self->daemon->vms);
        return FALSE;
    }
    end_failed(self, running, attached,
               "the other half of it is gone, with a part of its memory; it starts again");
    return TRUE;
}

/* Was its lease, which this node was seen to have, another one's since? What is listed can be a
 * moment old. */
static gboolean
is_outrun(MigSelf *self, const MigRunning *running, const Held *held, const MigLeaseOwner *lease)
{
    const MigHv *hv = self->daemon->hv;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;

    return held->version && lease->version > held->version && lease->last_host_id &&
           lease->last_host_id != self->daemon->host_id &&
           hv->get_state(hv->self, running->name, running->uuid, &state, NULL) &&
           state == MIG_DOMAIN_RUNNING;
}

static void
note_lease(MigSelf *self, const MigRunning *running, MigAttached *attached)
{
    Held *held = held_of(self, running->name);
    MigLeaseOwner lease = {0};

    held->failed = 0;
    if (g_get_monotonic_time() - held->resumed_us > MIG_IO_PAUSE_QUIET_MS * 1000)
        held->resumed = 0;
    held->is_told = held->resumed >= RESUMES_TOLD;
    if (!mig_csv_vm_lease_owner(mig_attached_csv(attached), running->slot, &lease, NULL))
        return;
    if (mig_attached_owns(attached, &lease)) {
        held->version = lease.version;
        held->bare = 0;
    } else if (lease.host_id == 0 && !mig_jobs_has_vm(self->daemon->jobs, running->name)) {
        if (++held->bare < LOOKS_BARE)
            return;
        if (is_outrun(self, running, held, &lease))
            end_failed(self, running, attached,
                       "it had no lease, and another node has had it since: its memory is older "
                       "than its disk");
        else
            take_lease_again(self, running, attached);
    } else {
        held->bare = 0;
    }
}

/* What it went on with, where it can still be told: its disk may have failed again by now, and only
 * libvirt's resume can have made the next version of a lease that was free. */
static void
note_resumed(MigSelf *self, const MigRunning *running, MigAttached *attached,
             const MigLeaseOwner *before)
{
    Held *held = held_of(self, running->name);
    MigLeaseOwner lease = {0};

    if (mig_csv_vm_lease_owner(mig_attached_csv(attached), running->slot, &lease, NULL) &&
        (mig_attached_owns(attached, &lease) ||
         (lease.host_id == 0 && lease.version == before->version + 1 &&
          lease.last_host_id == self->daemon->host_id)))
        held->version = lease.version;
}

static void
look_at_failed(MigSelf *self, const MigRunning *running, MigAttached *attached, gboolean is_lost)
{
    Held *held = held_of(self, running->name);
    MigIoPause pause = {.is_volume_here = !is_lost,
                        .is_half = running->is_half,
                        .is_lockspace_gone = mig_attached_is_outside(attached),
                        .failed = held->failed,
                        .resumed = held->resumed,
                        .since_ms = (g_get_monotonic_time() - held->resumed_us) / 1000};
    MigLeaseOwner lease = {0};
    g_autoptr(GError) error = NULL;

    if (!held->is_told)
        mig_events_add(self->daemon->events, running->name, self->daemon->node, "io-error",
                       "its disk fails; it stands still on %s until that is over",
                       self->daemon->node);
    held->is_told = TRUE;
    if (!is_lost &&
        mig_csv_vm_lease_owner(mig_attached_csv(attached), running->slot, &lease, NULL)) {
        pause.is_lease_known = TRUE;
        pause.is_free = lease.host_id == 0;
        pause.is_ours = mig_attached_owns(attached, &lease);
        take_over_accepted(self, running, held);
        pause.is_as_held = mig_io_pause_is_as_held(held->version, lease.version,
                                                   lease.last_host_id == self->daemon->host_id);
    }
    switch (mig_io_pause_decide(&pause)) {
    case MIG_IO_PAUSE_WAIT:
        break;
    case MIG_IO_PAUSE_RESUME:
        if (self->daemon->hv->resume(self->daemon->hv->self, running->name, running->uuid,
                                     &error)) {
            note_resumed(self, running, attached, &lease);
            held->resumed_us = g_get_monotonic_time();
            if (held->resumed++ < RESUMES_TOLD)
                mig_events_add(self->daemon->events, running->name, self->daemon->node, "resumed",
                               "its disk answers again, and nobody else has had its lease");
        } else {
            note_resumed(self, running, attached, &lease); /* it may have failed after that */
            held->failed++;
        }
        mig_vms_refresh_soon(self->daemon->vms);
        break;
    case MIG_IO_PAUSE_END:
        end_failed(self, running, attached,
                   "its disk had failed, and its lease has lapsed, or it could not go on");
        break;
    }
}

/* For half-notes.h, and from there what an earlier life of the daemon knew. */
static void
note_half(MigSelf *self, const MigRunning *running)
{
    const MigHv *hv = self->daemon->hv;
    gboolean is_coming = running->state == MIG_DOMAIN_INCOMING && !running->is_leaving;
    gboolean is_half = running->is_half && !running->is_unsure;
    guint64 version = 0;

    if (running->state == MIG_DOMAIN_RUNNING && !running->is_half) {
        mig_half_notes_drop(self->notes, running->uuid);
    } else if (is_coming || is_half) {
        int pid = hv->get_pid(hv->self, running->name, NULL);
        Held *held = held_of(self, running->name);

        if (!held->version && mig_half_notes_find(self->notes, running->uuid, pid, &version))
            held->version = version;
        mig_half_notes_keep(self->notes, running->uuid, pid, held->version);
    }
}

/* libvirt (9.0) calls a VM suspended by its user where a post-copy is over and it stands still,
 * whatever the reason was. */
static gboolean
was_failed_half(MigSelf *self, const MigRunning *running)
{
    const MigHv *hv = self->daemon->hv;
    Held *held = held_of(self, running->name);
    guint64 version = 0;

    if (running->state != MIG_DOMAIN_PAUSED ||
        !mig_half_notes_find(self->notes, running->uuid, hv->get_pid(hv->self, running->name, NULL),
                             &version) ||
        !hv->has_disk_error(hv->self, running->name, running->uuid))
        return FALSE;
    if (!held->version)
        held->version = version;
    return TRUE;
}

static gboolean
is_gone(gpointer name, gpointer held, gpointer all)
{
    const GPtrArray *list = all;

    for (guint i = 0; i < list->len; i++) {
        if (g_str_equal(((const MigRunning *)g_ptr_array_index(list, i))->name, name))
            return FALSE;
    }
    return TRUE;
}

void
mig_self_look(MigSelf *self)
{
    g_autoptr(GPtrArray) all = mig_vms_list(self->daemon->vms);

    g_hash_table_foreach_remove(self->held, is_gone, all);
    mig_half_notes_sweep(self->notes);
    for (guint i = 0; i < all->len; i++) {
        const MigRunning *running = g_ptr_array_index(all, i);
        g_autoptr(MigAttached) attached =
            mig_volumes_get(self->daemon->volumes, running->volume, NULL);
        g_autofree char *owner = NULL;
        gboolean is_away = attached && g_str_equal(mig_attached_state(attached), "lost");

        /* with its power off all would be gone, whatever its state */
        if (attached && mig_attached_was_fenced(attached)) {
            end_failed(self, running, attached, "this host was fenced, and is still on");
            continue;
        }
        note_half(self, running);
        if (attached && (running->state == MIG_DOMAIN_IO_ERROR || was_failed_half(self, running)) &&
            !mig_jobs_has_vm(self->daemon->jobs, running->name)) {
            if (!running->is_half || running->is_unsure || !look_at_half(self, running, attached))
                look_at_failed(self, running, attached, is_away);
            continue;
        }
        /* sanlock has ended all that held leases before it gave the lockspace up: what is left has
         * none, others may start it, and this node joins again only without it */
        if (attached && mig_attached_is_outside(attached) && is_standing_or_running(running) &&
            !mig_jobs_has_vm(self->daemon->jobs, running->name)) {
            end_failed(self, running, attached, "it had no lease, and its lockspace is given up");
            continue;
        }
        if (attached && running->is_half && look_at_half(self, running, attached))
            continue;
        if (!attached || is_away)
            continue; /* a LUN that does not answer is sanlock's case */
        if (running->state == MIG_DOMAIN_RUNNING)
            note_lease(self, running, attached);
        else
            held_of(self, running->name)->bare = 0;
        held_of(self, running->name)->behind =
            is_behind(self, running, attached) ? held_of(self, running->name)->behind + 1 : 0;
        if (held_of(self, running->name)->behind >= LOOKS_LOST) {
            end_failed(self, running, attached,
                       "another node has had its lease since, and has it no more: what stood still "
                       "here was older than its disk; it starts again");
            continue;
        }
        if (is_lost(self, running, attached, &owner))
            end_lost(self, running, owner);
        else
            g_hash_table_remove(self->lost, running->name);
        if (!owner && mig_failover_is_isolated(self->daemon->failover))
            end_isolated(self, running, attached);
    }
    mig_left_leases_look(self->left, all);
}

MigSelf *
mig_self_new(MigDaemon *daemon)
{
    MigSelf *self = g_new0(MigSelf, 1);

    self->daemon = daemon;
    self->notes = mig_half_notes_new(daemon->config->run_dir);
    self->left = mig_left_leases_new(daemon);
    self->lost = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    self->held = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return self;
}
