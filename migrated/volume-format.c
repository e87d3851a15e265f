/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume-format.c - formatting a volume, with all that can be refused before. */
#include "volume-format.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "drivers/volume-csv.h"

/* An INT of the wire within what the format can say. */
static gboolean
in_range(const char *what, gint64 value, gint64 most, GError **error)
{
    if (value >= 0 && value <= most)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                "%s is %" G_GINT64_FORMAT "; 0 (default) to %" G_GINT64_FORMAT " are possible",
                what, value, most);
    return FALSE;
}

static guint64
sum_of_heartbeats(MigCsv *csv, char **names)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(csv, NULL);
    g_autoptr(GString) list = g_string_new(NULL);
    guint64 sum = 0;

    for (guint i = 0; nodes && i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);

        sum += node->heartbeat;
        if (!node->has_left)
            g_string_append_printf(list, "%s%s", list->len ? ", " : "", node->name);
    }
    if (names)
        *names = g_strdup(list->str);
    return sum;
}

/* VMs run on where migrated does not: a node whose heartbeat stands still may have some. */
static gboolean
may_have_vms(MigCsv *csv, GError **error)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(csv, NULL);

    for (guint i = 0; nodes && i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);
        gboolean has_vms = FALSE;

        for (guint k = 0; k < sizeof node->running; k++)
            has_vms = has_vms || node->running[k];
        if (!has_vms || node->has_left)
            continue;
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_VOLUME_IN_USE,
            "VMs ran on %s when it was last heard of, and may still; stop them there and detach "
            "volume %s, or, if that host is gone for good, zero the first MiB of the LUN by "
            "hand",
            node->name, mig_csv_name(csv));
        return TRUE;
    }
    return FALSE;
}

/* Nor heartbeats nor VMs: sanlock of a host may be in the lockspace without them, and is the one
 * that resets its host when somebody writes over it. */
static gboolean
has_host(MigCsv *csv, GError **error)
{
    guint32 host_id = 0;

    if (!mig_csv_host_any(csv, &host_id, error))
        return TRUE;
    if (host_id == 0)
        return FALSE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_VOLUME_IN_USE,
                "the host with id %u has volume %s attached, or has died with it; 'migratectl "
                "volume detach %s' there, or, if that host is gone for good, zero the first MiB of "
                "the LUN by hand",
                host_id, mig_csv_name(csv), mig_csv_name(csv));
    return TRUE;
}

/* It is a volume, as far as can be seen, and cannot be opened here: another node may have it
 * attached, where its LUN is longer, its sectors are others or its migrated is newer; and of a
 * damaged one nobody knows. */
static gboolean
is_closed_volume(const GError *refused)
{
    return g_error_matches(refused, MIG_ERROR, MIG_ERROR_LUN_TRUNCATED) ||
           g_error_matches(refused, MIG_ERROR, MIG_ERROR_SECTOR_SIZE) ||
           g_error_matches(refused, MIG_ERROR, MIG_ERROR_FORMAT_FUTURE) ||
           g_error_matches(refused, MIG_ERROR, MIG_ERROR_DAMAGED);
}

/* A volume in use is not formatted from under anybody, with force or without: whoever writes
 * heartbeats has it attached, here or on any other node. */
static gboolean
is_not_attached(const char *device, GError **error)
{
    g_autoptr(GError) refused = NULL;
    g_autoptr(MigCsv) csv = mig_csv_open(device, &refused);
    g_autofree char *names = NULL;
    guint64 before;

    if (g_error_matches(refused, MIG_ERROR, MIG_ERROR_NOT_A_VOLUME))
        return TRUE;
    if (!csv) {
        if (is_closed_volume(refused))
            g_prefix_error(&refused,
                           "nobody can tell from here whether a node uses what is on %s; where "
                           "none does, 'csvtool format --force' takes it all the same: ",
                           device);
        g_propagate_error(error, g_steal_pointer(&refused));
        return FALSE;
    }
    before = sum_of_heartbeats(csv, &names);
    g_usleep(MIG_SUSPECT_MS * 1000);
    if (before == sum_of_heartbeats(csv, NULL))
        return !may_have_vms(csv, error) && !has_host(csv, error);
    g_set_error(
        error, MIG_ERROR, MIG_ERROR_VOLUME_IN_USE,
        "volume %s on %s is attached (%s); 'migratectl volume detach %s' on every node first",
        mig_csv_name(csv), device, names, mig_csv_name(csv));
    return FALSE;
}

gboolean
mig_format(const MigFormatVolumeRequest *request, GError **error)
{
    const MigFormat format = {.name = request->name,
                              .io_timeout_s = (guint32)request->io_timeout,
                              .max_nodes = (guint32)request->max_nodes,
                              .max_vms = (guint32)request->max_vms,
                              .max_images = (guint32)request->max_images,
                              .extent_bytes = (guint64)request->extent,
                              .force = request->force};

    return in_range("io_timeout", request->io_timeout, 60, error) &&
           in_range("max_nodes", request->max_nodes, 250, error) &&
           in_range("max_vms", request->max_vms, 4096, error) &&
           in_range("max_images", request->max_images, 16384, error) &&
           in_range("extent", request->extent, 1 << 30, error) &&
           (!request->force || is_not_attached(request->device, error)) &&
           mig_csv_format(request->device, &format, error);
}
