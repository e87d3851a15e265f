/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* incoming.c - reservations of a target; incoming.h says how each ends. */
#include "incoming.h"

#include "base/error.h"
#include "core/checks.h"
#include "core/reservations.h"
#include "core/timeouts.h"
#include "drivers/hv-libvirt-local.h"
#include "facts.h"
#include "jobs.h"
#include "link.h"
#include "shares.h"
#include "trusted.h"
#include "turns.h"
#include "vms.h"

#include <string.h>

#define MOVED_TRIES   5
#define MOVED_WAIT_MS 20

typedef struct {
    char *job, *source, *vm, *uuid;
    char **images;
    gint64 since_ms;
    gboolean is_over; /* its job has given it up; libvirt's half may still be here */
} Reservation;

struct MigIncoming {
    MigDaemon *daemon;
    GMutex lock;
    GHashTable *by_job;      /* job -> Reservation */
    MigReservations *memory; /* ready: checked, images active */
};

static void
reservation_free(gpointer data)
{
    Reservation *reservation = data;

    g_free(reservation->job);
    g_free(reservation->source);
    g_free(reservation->vm);
    g_free(reservation->uuid);
    g_strfreev(reservation->images);
    g_free(reservation);
}

static gint64
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

MigIncoming *
mig_incoming_new(MigDaemon *daemon)
{
    MigIncoming *incoming = g_new0(MigIncoming, 1);

    incoming->daemon = daemon;
    g_mutex_init(&incoming->lock);
    incoming->by_job = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, reservation_free);
    incoming->memory = mig_reservations_new();
    return incoming;
}

void
mig_incoming_free(MigIncoming *incoming)
{
    if (!incoming)
        return;
    g_hash_table_unref(incoming->by_job);
    mig_reservations_free(incoming->memory);
    g_mutex_clear(&incoming->lock);
    g_free(incoming);
}

/* ---- prepare ---- */

guint64
mig_incoming_reserved(MigIncoming *incoming, const char *job, const char *vm, guint64 page_bytes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);

    return mig_reservations_before(incoming->memory, job, vm, page_bytes);
}

/* Of the kind it needs, as it is now: what came here a moment ago must count. */
static guint64
memory_free(MigDaemon *daemon, const MigPeerPrepareRequest *request)
{
    g_autoptr(MigHost) host = NULL;
    g_autoptr(MigNeeds) needs = mig_needs_new();
    g_autoptr(MigFit) fit = NULL;

    if (request->hugepage) {
        needs->hugepage_bytes = (guint64)request->hugepage;
        fit = daemon->hv->fit(daemon->hv->self, needs, request->vm, request->uuid, NULL);
        return fit ? fit->hugepages_free_bytes : 0;
    }
    host = daemon->hv->get_host(daemon->hv->self, NULL);
    if (host)
        mig_volumes_set_host(daemon->volumes, host);
    return mig_volumes_memory_free(daemon->volumes);
}

static GPtrArray *
check(MigIncoming *incoming, const MigPeerPrepareRequest *request)
{
    MigDaemon *daemon = incoming->daemon;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->volume, NULL);
    g_autofree char *missing =
        mig_facts_missing_image(daemon, (const char *const *)request->images);
    /* first: it also looks at this host anew */
    guint64 free_bytes = memory_free(daemon, request);
    g_autofree char *vendor = mig_volumes_cpu_vendor(daemon->volumes);
    GPtrArray *checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    g_autofree char *problem =
        request->certificate
            ? mig_trusted_problem(daemon->trusted, request->source, request->certificate)
            : NULL;
    MigTargetFacts facts = {
        .vm = request->vm,
        .node = daemon->node,
        .source = request->source,
        .is_draining = mig_volumes_is_draining(daemon->volumes),
        .volume = request->volume,
        .is_volume_attached = attached && !g_str_equal(mig_attached_state(attached), "lost"),
        .missing_image = missing,
        .domain = mig_facts_domain(daemon, request->vm, request->uuid),
        .hugepage_bytes = (guint64)request->hugepage,
        .memory_needed_bytes = (guint64)request->memory,
        .memory_free_bytes = free_bytes,
        .memory_reserved_bytes =
            mig_incoming_reserved(incoming, request->job, request->vm, (guint64)request->hugepage),
        .cpu_vendor = vendor,
        .source_cpu_vendor = request->cpu_vendor,
        .migration = mig_link_address(daemon->link),
        .source_migration = request->migration,
        .encrypts = daemon->config->encrypt != 0,
        .source_encrypts = request->certificate != NULL,
        .encryption_problem = problem};

    mig_checks_target(&facts, checks);
    return checks;
}

/* One that is ready already is left as it is: a call whose answer was lost comes again. */
static void
remember(MigIncoming *incoming, const MigPeerPrepareRequest *request)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);
    Reservation *reservation;

    if (!mig_reservations_add(incoming->memory, request->job, request->vm, (guint64)request->memory,
                              (guint64)request->hugepage))
        return;
    reservation = g_new0(Reservation, 1);
    reservation->job = g_strdup(request->job);
    reservation->source = g_strdup(request->source);
    reservation->vm = g_strdup(request->vm);
    reservation->uuid = g_strdup(request->uuid);
    reservation->images = request->images ? g_strdupv(request->images) : g_new0(char *, 1);
    reservation->since_ms = now_ms();
    g_hash_table_replace(incoming->by_job, reservation->job, reservation);
}

/* The turn stays: its source gives it up. only_unready: refused; what the same call has made ready
 * before is its source's to end, and who is at that still finds itself forgotten. */
static void
forget_memory(MigIncoming *incoming, const char *job, gboolean only_unready)
{
    gboolean stays;

    g_mutex_lock(&incoming->lock);
    stays = only_unready && mig_reservations_is_ready(incoming->memory, job);
    if (!stays) {
        g_hash_table_remove(incoming->by_job, job);
        mig_reservations_remove(incoming->memory, job);
    }
    g_mutex_unlock(&incoming->lock);
    if (!stays)
        mig_vms_drop(incoming->daemon->vms, job);
}

static void
give_up_turn(MigIncoming *incoming, const char *job)
{
    mig_turns_release(incoming->daemon->turns, job);
    mig_shares_tell(incoming->daemon->shares);
}

static void
forget(MigIncoming *incoming, const char *job)
{
    forget_memory(incoming, job, FALSE);
    give_up_turn(incoming, job);
}

/* The VM does not come. Forgotten first: if its images are being activated still, whoever does that
 * finds it so, and lets go of them. Those that the next job of that VM holds by now stay. */
static void
forget_all(MigIncoming *incoming, const char *job, const char *const *images)
{
    forget_memory(incoming, job, FALSE);
    mig_vms_deactivate(incoming->daemon, images);
    give_up_turn(incoming, job);
}

gboolean
mig_incoming_has(MigIncoming *incoming, const char *job)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);

    return g_hash_table_contains(incoming->by_job, job);
}

/* Lock held. Where this VM comes from, if any job has prepared this node for it; *is_one: all of
 * those say the same. Valid as long as the lock is held. */
static const char *
find_source(MigIncoming *incoming, const char *vm, const char *uuid, gboolean *is_one)
{
    GHashTableIter iter;
    const Reservation *one;
    const char *source = NULL;

    *is_one = TRUE;
    g_hash_table_iter_init(&iter, incoming->by_job);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&one)) {
        if (!mig_reservations_is_ready(incoming->memory, one->job) || !g_str_equal(one->vm, vm) ||
            g_ascii_strcasecmp(one->uuid, uuid) != 0)
            continue;
        *is_one &= !source || g_str_equal(source, one->source);
        source = one->source;
    }
    return source;
}

gboolean
mig_incoming_expects(MigIncoming *incoming, const char *vm, const char *uuid)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);
    gboolean is_one;

    return find_source(incoming, vm, uuid, &is_one) != NULL;
}

gboolean
mig_incoming_is_awaited(MigIncoming *incoming, const char *vm, const char *uuid)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);
    GHashTableIter iter;
    const Reservation *one;

    g_hash_table_iter_init(&iter, incoming->by_job);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&one)) {
        if (!one->is_over && mig_reservations_is_ready(incoming->memory, one->job) &&
            g_str_equal(one->vm, vm) && g_ascii_strcasecmp(one->uuid, uuid) == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean
mig_incoming_never_ran(MigIncoming *incoming, const char *vm, const char *uuid)
{
    const MigHv *hv = incoming->daemon->hv;
    MigSwitchSeen seen = {0};

    if (!mig_incoming_expects(incoming, vm, uuid))
        return FALSE;
    /* the event of a start may come a little later than the end of its QEMU is known */
    hv->get_switchover(hv->self, uuid, MIG_EVENT_LATE_MS, &seen);
    return seen.is_complete && !seen.has_run;
}

char *
mig_incoming_source(MigIncoming *incoming, const char *vm, const char *uuid)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);
    gboolean is_one;
    const char *source = find_source(incoming, vm, uuid, &is_one);

    return is_one ? g_strdup(source) : NULL;
}

/* FALSE: it was given up meanwhile. */
static gboolean
set_ready(MigIncoming *incoming, const char *job)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);

    return mig_reservations_set_ready(incoming->memory, job);
}

MigPeerPrepareReply *
mig_incoming_prepare(MigIncoming *incoming, const MigPeerPrepareRequest *request, GError **error)
{
    MigDaemon *daemon = incoming->daemon;
    const char *const none[] = {NULL};
    const char *const *images = request->images ? (const char *const *)request->images : none;
    g_autoptr(GPtrArray) checks = NULL;
    g_autoptr(MigPeerPrepareReply) reply = mig_PeerPrepareReply_new();

    if (!mig_turns_has(daemon->turns, request->job) || request->memory <= 0 ||
        request->hugepage < 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "job %s has not reserved its pair here, or names no memory", request->job);
        return NULL;
    }
    /* that one would take what arrives for what it has left here, and end it */
    mig_jobs_await_arrived(daemon->jobs, request->vm);
    if (mig_jobs_has_vm(daemon->jobs, request->vm)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                    "a move of %s from %s has not ended yet there: see 'migratectl job list', and "
                    "try again then",
                    request->vm, daemon->node);
        return NULL;
    }
    /* reserved first, checked then: of two that come at once, both see each other. Killed while
     * activating: the sweep finds it */
    remember(incoming, request);
    checks = check(incoming, request);
    reply->checks = mig_checks_to_message(checks);
    if (mig_checks_first_failure(checks)) {
        forget_memory(incoming, request->job, TRUE);
        return g_steal_pointer(&reply);
    }
    mig_vms_hold(daemon->vms, request->job, images);
    if (!mig_vms_activate(daemon, images, error)) {
        forget_all(incoming, request->job, images);
        return NULL;
    }
    if (!set_ready(incoming, request->job)) { /* the source has given up waiting, and cleaned up */
        mig_vms_drop(daemon->vms, request->job);
        mig_vms_deactivate(daemon, images);
        g_set_error(error, MIG_ERROR, MIG_ERROR_TIMEOUT, "job %s was given up by its source",
                    request->job);
        return NULL;
    }
    daemon->hv->watch_switchover(daemon->hv->self, request->uuid);
    g_auto(GStrv) address = g_strsplit(mig_link_address(daemon->link), "/", 2);

    reply->migration_address = g_strdup(address[0]);
    reply->certificate = request->certificate ? mig_identity_fingerprint(daemon->identity) : NULL;
    reply->bandwidth = (gint64)mig_shares_each(daemon->shares);
    mig_shares_tell(daemon->shares);
    reply->ready = TRUE;
    return g_steal_pointer(&reply);
}

/* ---- finish ---- */

/* g_strfreev() */
static char **
images_of(MigIncoming *incoming, const char *job)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);
    const Reservation *reservation = g_hash_table_lookup(incoming->by_job, job);

    return reservation ? g_strdupv(reservation->images) : g_new0(char *, 1);
}

/* It runs here. A guest that has ended since it came had its images held by the job. */
static void
forget_arrived(MigIncoming *incoming, const MigPeerFinishRequest *request)
{
    MigDaemon *daemon = incoming->daemon;
    g_auto(GStrv) images = images_of(incoming, request->job);
    MigDomainState state = MIG_DOMAIN_UNKNOWN;

    forget(incoming, request->job);
    if (daemon->hv->get_state(daemon->hv->self, request->vm, request->uuid, &state, NULL) &&
        state == MIG_DOMAIN_ABSENT)
        mig_vms_deactivate(daemon, (const char *const *)images);
}

/* 'virsh migrate --persistent' has libvirt write one here, and the hook is not told. The one on the
 * volume is the only one that counts; this would be left behind when the VM moves on. */
static void
leave_no_definition(MigDaemon *daemon, const MigPeerFinishRequest *request)
{
    g_autoptr(GError) error = NULL;

    if (!mig_libvirt_local_undefine(daemon->libvirt, request->vm, request->uuid, &error))
        g_warning("a definition of %s stays in libvirt here, of no use: %s", request->vm,
                  error->message);
}

/* Last of all: only what follows is not counted in how long ago something was. */
static void
tell_switchover(MigDaemon *daemon, const char *uuid, gint64 came_us, MigPeerFinishReply *reply)
{
    MigSwitchSeen seen;

    daemon->hv->get_switchover(daemon->hv->self, uuid, MIG_EVENT_LATE_MS, &seen);
    const MigSwitchTold told = mig_switchover_tell(&seen, came_us, g_get_monotonic_time());

    reply->arrived_ago_us = told.arrived_ago_us;
    reply->running_ago_us = told.running_ago_us;
    reply->took_us = told.took_us;
}

static gboolean
keep(MigIncoming *incoming, const MigPeerFinishRequest *request, MigPeerFinishReply *reply,
     GError **error)
{
    MigDaemon *daemon = incoming->daemon;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;
    gint64 came_us = g_get_monotonic_time();
    MigProgress moved;

    if (!daemon->hv->get_state(daemon->hv->self, request->vm, request->uuid, &state, error))
        return FALSE;
    /* it has the lease and nobody else can run it; the resume takes the lease again, or fails */
    if (state == MIG_DOMAIN_PAUSED &&
        !daemon->hv->resume(daemon->hv->self, request->vm, request->uuid, error))
        return FALSE;
    leave_no_definition(daemon, request);
    mig_vms_refresh(daemon->vms);
    /* the guest runs a moment before libvirt has written down how it came */
    for (guint i = 0; i < MOVED_TRIES; i++) {
        mig_libvirt_moved(daemon->libvirt, request->vm, &moved);
        if (moved.downtime_ms >= 0)
            break;
        g_usleep(MOVED_WAIT_MS * 1000);
    }
    reply->downtime_ms = moved.downtime_ms;
    reply->transferred = (gint64)moved.transferred_bytes;
    reply->rate = (gint64)moved.rate_bytes_s;
    reply->was_booted = daemon->hv->was_booted(daemon->hv->self, request->vm);
    forget_arrived(incoming, request);
    tell_switchover(daemon, request->uuid, came_us, reply);
    return TRUE;
}

/* Images and memory stay until libvirt's half is gone, for which is swept; but what comes now is
 * another move, with a job of its own. */
static void
mark_over(MigIncoming *incoming, const char *job)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&incoming->lock);
    Reservation *reservation = g_hash_table_lookup(incoming->by_job, job);

    if (reservation)
        reservation->is_over = TRUE;
}

gboolean
mig_incoming_finish(MigIncoming *incoming, const MigPeerFinishRequest *request,
                    MigPeerFinishReply *reply, GError **error)
{
    MigDaemon *daemon = incoming->daemon;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;
    g_auto(GStrv) images = NULL;

    reply->downtime_ms = -1;
    if (request->keep)
        return keep(incoming, request, reply, error);
    mark_over(incoming, request->job); /* whatever becomes of the rest */
    if (!daemon->hv->get_state(daemon->hv->self, request->vm, request->uuid, &state, error))
        return FALSE;
    if (state != MIG_DOMAIN_ABSENT) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_RUNNING, "%s is %s on %s; nothing was removed",
                    request->vm, mig_domain_state_name(state), daemon->node);
        return FALSE;
    }
    images = images_of(incoming, request->job);
    mig_vms_refresh(daemon->vms); /* what was here of it keeps its images no longer */
    forget_all(incoming, request->job, (const char *const *)images);
    return TRUE;
}

/* ---- sweep ---- */

static void
sweep_one(MigIncoming *incoming, const Reservation *reservation)
{
    MigDaemon *daemon = incoming->daemon;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;

    /* a source that cannot be asked may be in the middle of it: libvirt's half tells us */
    if (mig_turns_ask_fate(daemon, reservation->source, reservation->job) == MIG_JOB_GOES_ON ||
        !daemon->hv->get_state(daemon->hv->self, reservation->vm, reservation->uuid, &state, NULL))
        return;
    if (state == MIG_DOMAIN_INCOMING || state == MIG_DOMAIN_UNKNOWN ||
        state == MIG_DOMAIN_POSTCOPY || state == MIG_DOMAIN_POSTCOPY_FAILED)
        return;
    g_message("reservation of job %s from %s is dropped: its source knows it no more",
              reservation->job, reservation->source);
    mig_vms_refresh(daemon->vms);
    if (state == MIG_DOMAIN_ABSENT)
        forget_all(incoming, reservation->job, (const char *const *)reservation->images);
    else
        forget(incoming, reservation->job);
}

void
mig_incoming_sweep(MigIncoming *incoming)
{
    g_autoptr(GPtrArray) old = g_ptr_array_new_with_free_func(reservation_free);
    GHashTableIter iter;
    const Reservation *reservation;

    g_mutex_lock(&incoming->lock);
    g_hash_table_iter_init(&iter, incoming->by_job);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&reservation)) {
        if (now_ms() - reservation->since_ms < MIG_RESERVATION_MS && !reservation->is_over)
            continue;
        Reservation *copy = g_memdup2(reservation, sizeof *reservation);

        copy->job = g_strdup(reservation->job);
        copy->source = g_strdup(reservation->source);
        copy->vm = g_strdup(reservation->vm);
        copy->uuid = g_strdup(reservation->uuid);
        copy->images = g_strdupv(reservation->images);
        g_ptr_array_add(old, copy);
    }
    g_mutex_unlock(&incoming->lock);
    for (guint i = 0; i < old->len; i++)
        sweep_one(incoming, g_ptr_array_index(old, i));
    mig_turns_sweep(incoming->daemon->turns, mig_incoming_has);
    mig_shares_tell(incoming->daemon->shares);
}
