/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt.c - connection and domains; events: hv-libvirt-events.c, moves: hv-libvirt-migrate.c,
 * checks: hv-libvirt-host.c. */
#include "drivers/hv-libvirt.h"

#include "drivers/hv-libvirt-private.h"

#include "base/error.h"
#include "drivers/definition-disks.h"
#include "drivers/definition-xml.h"
#include "drivers/hv-libvirt-log.h"
#include "drivers/hv-libvirt-origin.h"
#include "drivers/hv-libvirt-stuck.h"

#include <string.h>

#define PID_DIR "/run/libvirt/qemu"
#define LOG_DIR "/var/log/libvirt/qemu"

gboolean
mig_libvirt_is_locked(const char *text)
{
    const char *lock = strstr(text, "Failed to get \"");

    if (!lock)
        lock = strstr(text, "Failed to get shared \"");
    return lock && strstr(lock, "\" lock");
}

/* libvirt's text as it is, with a code of ours where a caller branches on it. */
void
mig_libvirt_set_error(GError **error, const char *doing)
{
    const virError *reason = virGetLastError();
    const char *text = reason && reason->message ? reason->message : "unknown error";
    MigErrorCode code = MIG_ERROR_FAILED;
    const char *advice = "";

    if (mig_libvirt_is_locked(text)) {
        code = MIG_ERROR_IMAGE_LOCKED;
        advice = "; see which process that is, on all nodes; a server of NFS keeps the locks of a "
                 "host that died for up to 90 s: try again then";
    } else if (reason && (reason->domain == VIR_FROM_LOCKING || strstr(text, "acquire lock")))
        code = MIG_ERROR_LEASE_HELD;
    else if (reason && reason->code == VIR_ERR_OPERATION_ABORTED)
        code = MIG_ERROR_CANCELLED;
    g_autofree char *line = g_strstrip(g_strdelimit(g_strdup(text), "\r\n", ' '));

    g_set_error(error, MIG_ERROR, code, "libvirt, %s: %s%s", doing, line, advice);
}

/* ---- connection ---- */

virConnectPtr
mig_libvirt_connect_alone(MigLibvirt *libvirt, GError **error)
{
    virConnectPtr connection = virConnectOpen(libvirt->uri);

    if (!connection) {
        mig_libvirt_set_error(error, "connecting");
        return NULL;
    }
    virConnectSetKeepAlive(connection, 5, 3);
    return connection;
}

static virConnectPtr
open_connection(MigLibvirt *libvirt, GError **error)
{
    virConnectPtr connection = mig_libvirt_connect_alone(libvirt, error);

    if (connection && !mig_libvirt_register(libvirt, connection, error))
        g_clear_pointer(&connection, virConnectClose);
    return connection;
}

virConnectPtr
mig_libvirt_connect(MigLibvirt *libvirt, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&libvirt->lock);

    if (libvirt->connection && virConnectIsAlive(libvirt->connection) != 1) {
        mig_libvirt_unregister(libvirt, libvirt->connection);
        g_clear_pointer(&libvirt->connection, virConnectClose);
        g_clear_pointer(&libvirt->capabilities, free);
    }
    if (!libvirt->connection)
        libvirt->connection = open_connection(libvirt, error);
    if (!libvirt->connection)
        return NULL;
    virConnectRef(libvirt->connection);
    return libvirt->connection;
}

/* ---- domains ---- */

virDomainPtr
mig_libvirt_lookup(virConnectPtr connection, const char *vm, const char *uuid, GError **error)
{
    virDomainPtr domain = virDomainLookupByName(connection, vm);
    char found[VIR_UUID_STRING_BUFLEN] = "";

    if (!domain) {
        const virError *reason = virGetLastError();

        if (!reason || reason->code != VIR_ERR_NO_DOMAIN)
            mig_libvirt_set_error(error, "looking a domain up");
        return NULL;
    }
    if (uuid &&
        (virDomainGetUUIDString(domain, found) < 0 || g_ascii_strcasecmp(found, uuid) != 0)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "libvirt here has another domain %s (uuid %s); rename or remove that one", vm,
                    found);
        virDomainFree(domain);
        return NULL;
    }
    return domain;
}

typedef enum { HALF_NONE, HALF_IN, HALF_OUT, HALF_UNKNOWN } Half;

/* Is this half of a move that libvirt is not through with, and which one? Only asked of a domain
 * that stands still. The source's half has a job to ask about; the target's libvirt refuses that
 * question, and its half stands still for the reason "migration". */
static Half
half_of(virDomainPtr domain, int reason)
{
    virTypedParameterPtr params = NULL;
    int type = VIR_DOMAIN_JOB_NONE, count = 0, operation = 0;
    Half result = HALF_NONE;

    if (reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
        return HALF_OUT;
    if (virDomainGetJobStats(domain, &type, &params, &count, 0) < 0) {
        if (reason != VIR_DOMAIN_PAUSED_MIGRATION && reason != VIR_DOMAIN_PAUSED_STARTING_UP &&
            reason != VIR_DOMAIN_PAUSED_IOERROR)
            return HALF_NONE;
        int code = virGetLastErrorCode();

        /* anything but a refusal says nothing: a monitor that is busy, a connection that broke.
         * libvirt 9.0 calls it unsupported, later ones may call it invalid */
        return code == VIR_ERR_OPERATION_UNSUPPORTED || code == VIR_ERR_OPERATION_INVALID
                   ? HALF_IN
                   : HALF_UNKNOWN;
    }
    if (type != VIR_DOMAIN_JOB_NONE &&
        virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_OPERATION, &operation) == 1)
        result = operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN    ? HALF_IN
                 : operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT ? HALF_OUT
                                                                       : HALF_NONE;
    virTypedParamsFree(params, count);
    return result;
}

/* In its post-copy phase the source's half is one that leaves, as before; the target's runs. */
static MigDomainState
state_of_running(int reason)
{
    switch (reason) {
    case VIR_DOMAIN_RUNNING_POSTCOPY:
        return MIG_DOMAIN_POSTCOPY;
    case VIR_DOMAIN_RUNNING_POSTCOPY_FAILED:
        return MIG_DOMAIN_POSTCOPY_FAILED;
    default:
        return MIG_DOMAIN_RUNNING;
    }
}

/* half: may be NULL */
static MigDomainState
domain_state(virDomainPtr domain, Half *half_out)
{
    int state = 0, reason = 0;
    Half half;

    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return MIG_DOMAIN_UNKNOWN;
    switch (state) {
    case VIR_DOMAIN_RUNNING:
        return state_of_running(reason);
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_SHUTDOWN: /* still running, on its way out */
        return MIG_DOMAIN_RUNNING;
    case VIR_DOMAIN_SHUTOFF:
        return MIG_DOMAIN_ABSENT; /* a stopped persistent one holds nothing */
    case VIR_DOMAIN_PAUSED:
        half = half_of(domain, reason);
        if (half_out)
            *half_out = half;
        if (reason == VIR_DOMAIN_PAUSED_IOERROR)
            return MIG_DOMAIN_IO_ERROR;
        return half == HALF_NONE      ? MIG_DOMAIN_PAUSED
               : half == HALF_UNKNOWN ? MIG_DOMAIN_UNKNOWN
                                      : MIG_DOMAIN_INCOMING;
    default: /* crashed, suspended to RAM: exists and stands still */
        return MIG_DOMAIN_PAUSED;
    }
}

static gboolean
is_gone(virDomainPtr domain)
{
    int is_active = virDomainIsActive(domain);

    return is_active == 0 || (is_active < 0 && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN);
}

/* Runs act() on the domain; an absent one is absent_ok or an error. So is one that went away under
 * act(): of a half in its post-copy phase libvirt's own call that waits for the end of the move
 * sees QEMU die, too, and is often the faster one to remove it; virDomainDestroy, which has killed
 * it, fails then for want of a domain. */
static gboolean
with_domain(MigLibvirt *libvirt, const char *vm, const char *uuid, const char *doing,
            int (*act)(virDomainPtr domain), gboolean absent_ok, GError **error)
{
    g_autoptr(GError) local = NULL;
    virConnectPtr connection = mig_libvirt_connect(libvirt, error);
    virDomainPtr domain;
    gboolean ok = FALSE;

    if (!connection)
        return FALSE;
    domain = mig_libvirt_lookup(connection, vm, uuid, &local);
    if (local) {
        g_propagate_error(error, g_steal_pointer(&local));
    } else if (!domain) {
        ok = absent_ok;
        if (!ok)
            g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED, "%s does not run here", vm);
    } else {
        ok = act(domain) == 0;
        if (!ok)
            mig_libvirt_set_error(&local, doing);
        ok = ok || (absent_ok && is_gone(domain));
        if (!ok)
            g_propagate_error(error, g_steal_pointer(&local));
        virDomainFree(domain);
    }
    virConnectClose(connection);
    return ok;
}

static gboolean
hv_start(gpointer self, const char *xml, GError **error)
{
    g_autofree char *fitted = mig_definition_fit_disks(xml, error);
    virConnectPtr connection = fitted ? mig_libvirt_connect_alone(self, error) : NULL;
    virDomainPtr domain;

    if (!connection)
        return FALSE;
    domain = virDomainCreateXML(connection, fitted, 0);
    if (domain)
        virDomainFree(domain);
    else
        mig_libvirt_set_error(error, "starting");
    virConnectClose(connection);
    return domain != NULL;
}

static gboolean
hv_shutdown(gpointer self, const char *vm, const char *uuid, GError **error)
{
    return with_domain(self, vm, uuid, "shutting down", virDomainShutdown, TRUE, error);
}

static gboolean
hv_destroy(gpointer self, const char *vm, const char *uuid, GError **error)
{
    return with_domain(self, vm, uuid, "destroying", virDomainDestroy, TRUE, error);
}

/* libvirt's API does not tell it, the file that it has for itself does. */
static int
hv_get_pid(gpointer self, const char *vm, GError **error)
{
    g_autofree char *path = g_strdup_printf(PID_DIR "/%s.pid", vm);
    g_autofree char *text = NULL;
    gint64 pid = 0;

    if (!g_file_get_contents(path, &text, NULL, error))
        return 0;
    if (!g_ascii_string_to_signed(g_strstrip(text), 10, 2, G_MAXINT32, &pid, error))
        g_prefix_error(error, "%s: ", path);
    return (int)pid;
}

/* Its events are past for a daemon that was restarted; what libvirt writes into its log is not. */
static gboolean
hv_was_shut_down(gpointer self, const char *vm)
{
    g_autofree char *path = g_strdup_printf(LOG_DIR "/%s.log", vm);
    /* the name is what a peer says */
    g_autofree char *text = strchr(vm, '/') ? NULL : mig_libvirt_log_read_end(path);

    return text && mig_libvirt_log_is_shut_down(text);
}

static gboolean
hv_was_booted(gpointer self, const char *vm)
{
    int pid = hv_get_pid(self, vm, NULL);

    return pid && mig_libvirt_was_booted("/proc", pid);
}

static gboolean
hv_has_disk_error(gpointer self, const char *vm, const char *uuid)
{
    virConnectPtr connection = mig_libvirt_connect(self, NULL);
    virDomainPtr domain = connection ? mig_libvirt_lookup(connection, vm, uuid, NULL) : NULL;
    virDomainDiskError first = {0};
    gboolean has = domain && virDomainGetDiskErrors(domain, &first, 1, 0) > 0;

    free(first.disk);
    if (domain)
        virDomainFree(domain);
    if (connection)
        virConnectClose(connection);
    return has;
}

static gboolean
hv_is_stuck(gpointer self, const char *vm)
{
    int pid = hv_get_pid(self, vm, NULL);

    return pid && mig_libvirt_is_stuck("/proc", pid);
}

static gboolean
hv_resume(gpointer self, const char *vm, const char *uuid, GError **error)
{
    return with_domain(self, vm, uuid, "resuming", virDomainResume, FALSE, error);
}

static gboolean
hv_get_state(gpointer self, const char *vm, const char *uuid, MigDomainState *state, GError **error)
{
    g_autoptr(GError) local = NULL;
    virConnectPtr connection = mig_libvirt_connect(self, error);
    virDomainPtr domain;

    if (!connection)
        return FALSE;
    domain = mig_libvirt_lookup(connection, vm, uuid, &local);
    if (local) {
        g_propagate_error(error, g_steal_pointer(&local));
    } else {
        *state = domain ? domain_state(domain, NULL) : MIG_DOMAIN_ABSENT;
        if (domain)
            virDomainFree(domain);
        virConnectClose(connection);
        return TRUE;
    }
    virConnectClose(connection);
    return FALSE;
}

/* Free is what VMs could have: free memory and what the page cache would give back. Not from
 * virNodeGetInfo(): that counts the memory of NUMA cells, which not every kernel shows in full. */
static gboolean
read_memory(virConnectPtr connection, MigHost *host)
{
    int count = 0;
    g_autofree virNodeMemoryStats *stats = NULL;

    if (virNodeGetMemoryStats(connection, VIR_NODE_MEMORY_STATS_ALL_CELLS, NULL, &count, 0) < 0)
        return FALSE;
    stats = g_new0(virNodeMemoryStats, (gsize)count);
    if (virNodeGetMemoryStats(connection, VIR_NODE_MEMORY_STATS_ALL_CELLS, stats, &count, 0) < 0)
        return FALSE;
    for (int i = 0; i < count; i++) {
        guint64 bytes = stats[i].value * 1024;

        if (g_str_equal(stats[i].field, VIR_NODE_MEMORY_STATS_TOTAL))
            host->memory_bytes = bytes;
        else if (g_str_equal(stats[i].field, VIR_NODE_MEMORY_STATS_FREE) ||
                 g_str_equal(stats[i].field, VIR_NODE_MEMORY_STATS_BUFFERS) ||
                 g_str_equal(stats[i].field, VIR_NODE_MEMORY_STATS_CACHED))
            host->memory_free_bytes += bytes;
    }
    return TRUE;
}

static MigHost *
hv_get_host(gpointer self, GError **error)
{
    virConnectPtr connection = mig_libvirt_connect(self, error);
    g_autoptr(MigHost) host = g_new0(MigHost, 1);
    char *capabilities = NULL;
    virNodeInfo info;

    if (!connection)
        return NULL;
    capabilities = virConnectGetCapabilities(connection);
    if (!capabilities || virNodeGetInfo(connection, &info) < 0 || !read_memory(connection, host)) {
        mig_libvirt_set_error(error, "asking for the host's facts");
        g_clear_pointer(&host, mig_host_free);
    } else {
        host->cpu_vendor = mig_capabilities_cpu_vendor(capabilities);
        mig_capabilities_qemu(capabilities, &host->qemu_user, &host->qemu_group);
        host->cpus = info.cpus;
    }
    free(capabilities);
    virConnectClose(connection);
    return g_steal_pointer(&host);
}

/* FALSE: libvirt does not say. *described NULL: gone meanwhile. */
static gboolean
describe(virDomainPtr domain, MigDomain **described, GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, 0);
    g_autoptr(MigDefinition) definition = xml ? mig_definition_parse(xml, NULL) : NULL;
    MigDomain *result = NULL;
    Half half = HALF_NONE;

    *described = NULL;
    if (!xml) {
        const virError *reason = virGetLastError();

        if (reason && reason->code == VIR_ERR_NO_DOMAIN)
            return TRUE;
        mig_libvirt_set_error(error, "asking for a domain");
        return FALSE;
    }
    if (definition && definition->name) {
        result = g_new0(MigDomain, 1);
        result->name = g_steal_pointer(&definition->name);
        result->uuid = g_steal_pointer(&definition->uuid);
        result->volume = g_steal_pointer(&definition->lockspace);
        result->images = g_steal_pointer(&definition->images);
        result->state = domain_state(domain, &half);
        result->is_leaving = half == HALF_OUT;
        result->is_broken = result->state == MIG_DOMAIN_POSTCOPY_FAILED;
        result->is_half = result->is_broken || result->state == MIG_DOMAIN_POSTCOPY;
        /* one that cannot be told for now is not acted upon */
        result->is_unsure = result->state == MIG_DOMAIN_IO_ERROR && half == HALF_UNKNOWN;
        if (result->is_unsure || (result->state == MIG_DOMAIN_IO_ERROR && half == HALF_IN))
            result->is_half = TRUE;
        else if (result->is_half) /* the guest does, and that is what most want to know */
            result->state = MIG_DOMAIN_RUNNING;
    }
    free(xml);
    *described = result;
    return TRUE;
}

static GPtrArray *
hv_list(gpointer self, GError **error)
{
    virConnectPtr connection = mig_libvirt_connect(self, error);
    virDomainPtr *domains = NULL;
    GPtrArray *list = NULL;
    int count;

    if (!connection)
        return NULL;
    count = virConnectListAllDomains(connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    if (count < 0)
        mig_libvirt_set_error(error, "listing domains");
    else
        list = g_ptr_array_new_with_free_func((GDestroyNotify)mig_domain_free);
    for (int i = 0; i < count; i++) {
        MigDomain *domain = NULL;

        /* a libvirtd that goes away in the middle has not said that the rest is gone */
        if (list && !describe(domains[i], &domain, error))
            g_clear_pointer(&list, g_ptr_array_unref);
        if (domain)
            g_ptr_array_add(list, domain);
        virDomainFree(domains[i]);
    }
    free(domains);
    virConnectClose(connection);
    return list;
}

/* ---- life ---- */

static void
ignore_errors(void *data, virErrorPtr error)
{
    /* libvirt prints every error to stderr by default; ours come back as GError */
}

MigLibvirt *
mig_libvirt_new(const char *uri, MigLibvirtChanged changed, gpointer user_data)
{
    MigLibvirt *libvirt = g_new0(MigLibvirt, 1);

    g_mutex_init(&libvirt->lock);
    g_mutex_init(&libvirt->watch_lock);
    g_cond_init(&libvirt->watch_changed);
    libvirt->watches = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    libvirt->uri = g_strdup(uri);
    libvirt->changed = changed;
    libvirt->user_data = user_data;
    libvirt->port = (MigHv){.self = libvirt,
                            .start = hv_start,
                            .shutdown = hv_shutdown,
                            .destroy = hv_destroy,
                            .get_pid = hv_get_pid,
                            .resume = hv_resume,
                            .get_state = hv_get_state,
                            .migrate = mig_libvirt_migrate,
                            .get_progress = mig_libvirt_get_progress,
                            .set_max_downtime = mig_libvirt_set_max_downtime,
                            .set_bandwidth = mig_libvirt_set_bandwidth,
                            .was_shut_down = hv_was_shut_down,
                            .was_booted = hv_was_booted,
                            .has_disk_error = hv_has_disk_error,
                            .is_stuck = hv_is_stuck,
                            .set_postcopy_bandwidth = mig_libvirt_set_postcopy_bandwidth,
                            .abort = mig_libvirt_abort,
                            .start_postcopy = mig_libvirt_start_postcopy,
                            .pause_postcopy = mig_libvirt_pause_postcopy,
                            .start_meter = mig_libvirt_start_meter,
                            .read_meter = mig_libvirt_read_meter,
                            .watch_switchover = mig_libvirt_watch_switchover,
                            .get_switchover = mig_libvirt_get_switchover,
                            .get_host = hv_get_host,
                            .get_cpu = mig_libvirt_get_cpu,
                            .get_definition = mig_libvirt_get_definition,
                            .fit = mig_libvirt_fit,
                            .baseline = mig_libvirt_baseline,
                            .list = hv_list};
    virInitialize();
    virSetErrorFunc(NULL, ignore_errors);
    virEventRegisterDefaultImpl();
    libvirt->thread = g_thread_new("libvirt-events", mig_libvirt_event_thread, libvirt);
    return libvirt;
}

void
mig_libvirt_free(MigLibvirt *libvirt)
{
    if (!libvirt)
        return;
    g_atomic_int_set(&libvirt->should_stop, 1);
    g_thread_join(libvirt->thread);
    if (libvirt->connection)
        virConnectClose(libvirt->connection);
    g_mutex_clear(&libvirt->lock);
    g_mutex_clear(&libvirt->watch_lock);
    g_cond_clear(&libvirt->watch_changed);
    g_hash_table_unref(libvirt->watches);
    free(libvirt->capabilities);
    g_free(libvirt->uri);
    g_free(libvirt);
}

const MigHv *
mig_libvirt_port(MigLibvirt *libvirt)
{
    return &libvirt->port;
}
