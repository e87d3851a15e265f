/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volumes.c - the table of attached volumes; one of them is in attached.c. */
#include "volumes.h"

#include "attached.h"
#include "base/error.h"

#include <string.h>

#define LIST_FILE "volumes"

struct MigVolumes {
    MigDaemon *daemon;
    MigVolumesHooks hooks;
    GMutex lock;
    GPtrArray *attached; /* MigAttached */
    gint64 changed_us;   /* when one came or went last */
    gboolean is_attaching;
    GMutex attach_lock; /* one attach or detach at a time: each takes seconds; guards wanted */
    GPtrArray *wanted;  /* devices that are to be attached, also after a restart */
    MigHost host;
    gboolean is_armed; /* sanlock's watchdog */
    gboolean is_draining;
};

MigVolumes *
mig_volumes_new(MigDaemon *daemon, const MigVolumesHooks *hooks)
{
    MigVolumes *volumes = g_new0(MigVolumes, 1);

    volumes->daemon = daemon;
    volumes->hooks = *hooks;
    g_mutex_init(&volumes->lock);
    g_mutex_init(&volumes->attach_lock);
    volumes->attached = g_ptr_array_new_with_free_func((GDestroyNotify)mig_attached_unref);
    volumes->wanted = g_ptr_array_new_with_free_func(g_free);
    return volumes;
}

void
mig_volumes_free(MigVolumes *volumes)
{
    if (!volumes)
        return;
    for (guint i = 0; i < volumes->attached->len; i++)
        mig_attached_stop(g_ptr_array_index(volumes->attached, i), FALSE);
    g_ptr_array_unref(volumes->attached);
    g_ptr_array_unref(volumes->wanted);
    g_free(volumes->host.cpu_vendor);
    g_mutex_clear(&volumes->attach_lock);
    g_mutex_clear(&volumes->lock);
    g_free(volumes);
}

GPtrArray *
mig_volumes_list(MigVolumes *volumes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)mig_attached_unref);

    for (guint i = 0; i < volumes->attached->len; i++)
        g_ptr_array_add(list, mig_attached_ref(g_ptr_array_index(volumes->attached, i)));
    return list;
}

static MigAttached *
find(MigVolumes *volumes, const char *name)
{
    g_autoptr(GPtrArray) list = mig_volumes_list(volumes);

    for (guint i = 0; i < list->len; i++) {
        MigAttached *attached = g_ptr_array_index(list, i);

        if (g_strcmp0(mig_attached_name(attached), name) == 0)
            return mig_attached_ref(attached);
    }
    return NULL;
}

MigAttached *
mig_volumes_get(MigVolumes *volumes, const char *name, GError **error)
{
    MigAttached *attached = find(volumes, name);

    if (!attached) {
        g_autofree char *shown = g_strescape(name ? name : "", NULL);

        g_set_error(error, MIG_ERROR, MIG_ERROR_VOLUME_UNKNOWN,
                    "no volume '%s' is attached on %s; see 'migratectl volume list', or attach it: "
                    "'migratectl volume attach DEVICE'",
                    shown, volumes->daemon->node);
    }
    return attached;
}

/* ---- attach and detach ---- */

/* attach_lock held. A device that is not there today is still wanted tomorrow. */
static void
remember(MigVolumes *volumes)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autofree char *path = g_build_filename(volumes->daemon->config->state_dir, LIST_FILE, NULL);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < volumes->wanted->len; i++)
        g_strv_builder_add(builder, g_ptr_array_index(volumes->wanted, i));
    g_auto(GStrv) lines = g_strv_builder_end(builder);

    if (!mig_store_write_lines(path, (const char *const *)lines, &error))
        g_warning("attached volumes will not be attached after a restart: %s", error->message);
}

/* attach_lock held. */
static gboolean
want(MigVolumes *volumes, const char *device)
{
    if (g_ptr_array_find_with_equal_func(volumes->wanted, device, g_str_equal, NULL))
        return FALSE;
    g_ptr_array_add(volumes->wanted, g_strdup(device));
    return TRUE;
}

static guint64
heartbeat_of(MigCsv *csv, guint32 host_id)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(csv, NULL);

    for (guint i = 0; nodes && i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);

        if (node->host_id == host_id)
            return node->heartbeat;
    }
    return 0;
}

/* A snapshot or a clone made by the storage has the uuid, too. Only on the LUN itself does our
 * heartbeat move when we write it, whatever path leads there; and it comes to what we wrote: on the
 * LUN of which a copy is attached another node may write our slot. */
static gboolean
is_same_lun(MigVolumes *volumes, MigAttached *attached, MigCsv *csv, GError **error)
{
    guint32 host_id = volumes->daemon->host_id;
    guint64 before = heartbeat_of(csv, host_id), low, after;

    if (!mig_attached_publish(attached, error))
        return FALSE;
    low = mig_attached_heartbeat(attached);
    after = heartbeat_of(csv, host_id);
    /* a further beat may have been written in between */
    if (before < low && low <= after && after <= mig_attached_heartbeat(attached))
        return TRUE;
    g_set_error(
        error, MIG_ERROR, MIG_ERROR_EXISTS,
        "%s is a copy of volume %s (a snapshot of the storage?), which is attached from %s; "
        "take the copy away from this host, or detach the volume first",
        mig_csv_device(csv), mig_csv_name(csv), mig_csv_device(mig_attached_csv(attached)));
    return FALSE;
}

MigAttached *
mig_volumes_attach(MigVolumes *volumes, const char *device, GError **error)
{
    g_autoptr(GMutexLocker) one = g_mutex_locker_new(&volumes->attach_lock);
    g_autoptr(MigCsv) csv = mig_csv_open(device, error);
    g_autoptr(MigAttached) attached = NULL;

    if (!csv)
        return NULL;
    g_autoptr(MigAttached) same = find(volumes, mig_csv_name(csv));

    if (same && g_str_equal(mig_csv_uuid(mig_attached_csv(same)), mig_csv_uuid(csv))) {
        if (!is_same_lun(volumes, same, csv, error))
            return NULL;
        return g_steal_pointer(&same); /* attached already, by this path or by another */
    }
    if (same) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "another volume %s is attached already, from %s; detach that one first",
                    mig_csv_name(csv), mig_csv_device(mig_attached_csv(same)));
        return NULL;
    }
    attached = mig_attached_start(volumes->daemon, &volumes->hooks, g_steal_pointer(&csv), error);
    if (!attached)
        return NULL;
    g_mutex_lock(&volumes->lock);
    g_ptr_array_add(volumes->attached, mig_attached_ref(attached));
    volumes->changed_us = g_get_monotonic_time();
    g_mutex_unlock(&volumes->lock);
    volumes->hooks.nodes_seen(volumes->hooks.self);
    if (want(volumes, device))
        remember(volumes);
    return g_steal_pointer(&attached);
}

gboolean
mig_volumes_detach(MigVolumes *volumes, const char *name, GError **error)
{
    g_autoptr(GMutexLocker) one = g_mutex_locker_new(&volumes->attach_lock);
    g_autoptr(MigAttached) attached = mig_volumes_get(volumes, name, error);
    guint index = 0;

    if (!attached || !mig_attached_leave(attached, error))
        return FALSE;
    g_mutex_lock(&volumes->lock);
    g_ptr_array_remove(volumes->attached, attached);
    volumes->changed_us = g_get_monotonic_time();
    g_mutex_unlock(&volumes->lock);
    volumes->hooks.nodes_seen(volumes->hooks.self);
    if (g_ptr_array_find_with_equal_func(
            volumes->wanted, mig_csv_device(mig_attached_csv(attached)), g_str_equal, &index))
        g_ptr_array_remove_index(volumes->wanted, index);
    remember(volumes);
    return TRUE;
}

static gboolean
is_attached(MigVolumes *volumes, const char *device)
{
    g_autoptr(GPtrArray) list = mig_volumes_list(volumes);

    for (guint i = 0; i < list->len; i++) {
        if (g_str_equal(mig_csv_device(mig_attached_csv(g_ptr_array_index(list, i))), device))
            return TRUE;
    }
    return FALSE;
}

/* Copies what is missing: attaching takes the lock for itself. */
static char **
missing_devices(MigVolumes *volumes)
{
    g_autoptr(GMutexLocker) one = g_mutex_locker_new(&volumes->attach_lock);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (guint i = 0; i < volumes->wanted->len; i++) {
        if (!is_attached(volumes, g_ptr_array_index(volumes->wanted, i)))
            g_strv_builder_add(builder, g_ptr_array_index(volumes->wanted, i));
    }
    return g_strv_builder_end(builder);
}

static void
set_attaching(MigVolumes *volumes, gboolean is_attaching)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);

    volumes->is_attaching = is_attaching;
}

guint
mig_volumes_attach_missing(MigVolumes *volumes)
{
    g_auto(GStrv) devices = missing_devices(volumes);
    guint count = 0;

    set_attaching(volumes, devices[0] != NULL);
    for (guint i = 0; devices[i]; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigAttached) attached = mig_volumes_attach(volumes, devices[i], &error);

        if (attached)
            count++;
        else
            g_warning("volume on %s is not attached, and is tried again: %s", devices[i],
                      error->message);
    }
    set_attaching(volumes, FALSE);
    return count;
}

void
mig_volumes_attach_configured(MigVolumes *volumes)
{
    g_autofree char *path = g_build_filename(volumes->daemon->config->state_dir, LIST_FILE, NULL);
    g_auto(GStrv) remembered = mig_store_read_lines(path);
    char **configured = volumes->daemon->config->volume_devices;

    g_mutex_lock(&volumes->attach_lock);
    for (guint i = 0; configured && configured[i]; i++)
        want(volumes, configured[i]);
    for (guint i = 0; remembered[i]; i++)
        want(volumes, remembered[i]);
    g_mutex_unlock(&volumes->attach_lock);
    mig_volumes_attach_missing(volumes);
}

gint64
mig_volumes_changed_us(MigVolumes *volumes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);

    return volumes->is_attaching ? g_get_monotonic_time() : volumes->changed_us;
}

/* ---- nodes ---- */

static gint
by_host_id(gconstpointer a, gconstpointer b)
{
    const MigNodeView *left = *(MigNodeView *const *)a, *right = *(MigNodeView *const *)b;

    return (gint)left->node->host_id - (gint)right->node->host_id;
}

GPtrArray *
mig_volumes_nodes(MigVolumes *volumes)
{
    g_autoptr(GPtrArray) list = mig_volumes_list(volumes);
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_view_free);

    for (guint i = 0; i < list->len; i++) {
        g_autoptr(GPtrArray) seen = mig_attached_nodes(g_ptr_array_index(list, i));

        g_ptr_array_set_free_func(seen, NULL);
        for (guint k = 0; k < seen->len; k++) {
            MigNodeView *view = g_ptr_array_index(seen, k);
            gboolean is_known = FALSE;

            for (guint n = 0; n < nodes->len && !is_known; n++) {
                MigNodeView *known = g_ptr_array_index(nodes, n);

                is_known = g_str_equal(known->node->name, view->node->name);
                /* the best sign of life on any volume counts */
                if (is_known && view->state < known->state) {
                    g_ptr_array_index(nodes, n) = view;
                    view = known;
                }
            }
            if (is_known)
                mig_node_view_free(view);
            else
                g_ptr_array_add(nodes, view);
        }
    }
    g_ptr_array_sort(nodes, by_host_id);
    return nodes;
}

MigNodeView *
mig_volumes_node(MigVolumes *volumes, const char *name, GError **error)
{
    g_autoptr(GPtrArray) nodes = mig_volumes_nodes(volumes);
    g_autofree char *shown = g_strescape(name ? name : "", NULL);

    for (guint i = 0; i < nodes->len; i++) {
        MigNodeView *view = g_ptr_array_index(nodes, i);

        if (g_str_equal(view->node->name, name)) {
            g_ptr_array_set_free_func(nodes, NULL);
            g_ptr_array_remove_index(nodes, i);
            g_ptr_array_set_free_func(nodes, (GDestroyNotify)mig_node_view_free);
            return view;
        }
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_UNKNOWN,
                "no node '%s' is known here; see 'migratectl node list'", shown);
    return NULL;
}

/* ---- this host ---- */

void
mig_volumes_set_host(MigVolumes *volumes, const MigHost *host)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);

    g_free(volumes->host.cpu_vendor);
    volumes->host = *host;
    volumes->host.cpu_vendor = g_strdup(host->cpu_vendor);
}

void
mig_volumes_set_armed(MigVolumes *volumes, gboolean is_armed)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);

    volumes->is_armed = is_armed;
}

void
mig_volumes_set_ending(MigVolumes *volumes)
{
    g_autoptr(GPtrArray) all = mig_volumes_list(volumes);

    for (guint i = 0; i < all->len; i++)
        mig_attached_set_ending(g_ptr_array_index(all, i));
}

char **
mig_volumes_beats(MigVolumes *volumes)
{
    g_autoptr(GPtrArray) all = mig_volumes_list(volumes);
    g_autoptr(GStrvBuilder) beats = g_strv_builder_new();

    for (guint i = 0; i < all->len; i++) {
        MigAttached *attached = g_ptr_array_index(all, i);
        g_autofree char *beat =
            g_strdup_printf("%s %" G_GUINT64_FORMAT, mig_csv_uuid(mig_attached_csv(attached)),
                            mig_attached_heartbeat(attached));

        if (!mig_attached_is_gone(attached))
            g_strv_builder_add(beats, beat);
    }
    return g_strv_builder_end(beats);
}

guint
mig_volumes_count_alive(MigVolumes *volumes)
{
    g_autoptr(GPtrArray) all = mig_volumes_list(volumes);
    guint alive = 0;

    for (guint i = 0; i < all->len; i++) {
        if (!mig_attached_is_gone(g_ptr_array_index(all, i)))
            alive++;
    }
    return alive;
}

gboolean
mig_volumes_is_draining(MigVolumes *volumes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);

    return volumes->is_draining;
}

void
mig_volumes_set_draining(MigVolumes *volumes, gboolean is_draining)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);

    volumes->is_draining = is_draining;
}

void
mig_volumes_fill_host(MigVolumes *volumes, MigNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);

    node->cpu_vendor = g_strdup(volumes->host.cpu_vendor);
    node->memory_bytes = volumes->host.memory_bytes;
    node->memory_free_bytes = volumes->host.memory_free_bytes;
    node->cpus = volumes->host.cpus;
    node->has_watchdog = volumes->is_armed;
    node->is_draining = volumes->is_draining;
    node->is_passive = !volumes->daemon->config->failover_enabled;
}

guint64
mig_volumes_memory_free(MigVolumes *volumes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);
    guint64 kept = (guint64)volumes->daemon->config->memory_reserve_mib << 20;

    return volumes->host.memory_free_bytes > kept ? volumes->host.memory_free_bytes - kept : 0;
}

char *
mig_volumes_cpu_vendor(MigVolumes *volumes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&volumes->lock);

    return g_strdup(volumes->host.cpu_vendor);
}
