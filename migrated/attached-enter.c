/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attached-enter.c - may this node be one of a volume's, and its slot there. */
#include "attached-private.h"

#include "again.h"
#include "attached.h"
#include "base/error.h"
#include "base/io.h"
#include "signs.h"
#include "unfence.h"

#define READ_TRIES 3 /* a second apart */

/* Two nodes configured with one host id would take turns in one slot. sanlock refuses the second
 * one while the first lives; here the clearer message. */
static gboolean
is_slot_ours(MigAttached *attached, GError **error)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(attached->csv, error);

    if (!nodes)
        return FALSE;
    for (guint i = 0; i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);
        gboolean same_id = node->host_id == attached->daemon->host_id;
        gboolean same_name = g_str_equal(node->name, attached->daemon->node);

        if (same_id != same_name) {
            g_set_error(
                error, MIG_ERROR, MIG_ERROR_CONFIG,
                "volume %s knows node %s with host id %u, this is %s with host id %u; correct "
                "[node] in the configuration",
                mig_csv_name(attached->csv), node->name, node->host_id, attached->daemon->node,
                attached->daemon->host_id);
            return FALSE;
        }
        if (same_id) { /* count on from there: the others must see it move */
            attached->heartbeat = node->heartbeat;
            attached->kept_generation = node->host_generation;
            memcpy(attached->kept, node->running, sizeof attached->kept);
        }
    }
    return TRUE;
}

/* Remembers on this host's disk that it is a node of this very volume: should its slot be gone when
 * it comes back, it was removed meanwhile. In it: which start of this host that was. */
static char *
mark_path(MigAttached *attached)
{
    return g_build_filename(attached->daemon->config->state_dir, "member",
                            mig_csv_uuid(attached->csv), NULL);
}

/* Has the host not been started anew since it attached this volume the last time? */
static gboolean
is_same_boot(MigAttached *attached)
{
    g_autofree char *path = mark_path(attached);
    g_autofree char *then = mig_io_read_file(path, 256, NULL, NULL);
    g_autofree char *now = mig_io_boot_id();

    return then && *then && g_str_equal(then, now);
}

static gboolean
has_mark(MigAttached *attached)
{
    g_autofree char *path = mark_path(attached);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static gboolean
was_removed(MigAttached *attached, GError **error)
{
    return has_mark(attached) &&
           mig_csv_node_is_gone(attached->csv, attached->daemon->host_id, attached->daemon->node) &&
           !mig_attached_refuse_removed(attached, error);
}

static gboolean
ask_for_all_ended(MigAttached *attached, GError **error)
{
    MigDaemon *daemon = attached->daemon;
    g_autoptr(GPtrArray) vms = NULL;
    g_autoptr(GError) unread = NULL;
    gboolean has_any = FALSE;

    for (guint i = 0; i < G_N_ELEMENTS(attached->kept); i++)
        has_any = has_any || attached->kept[i];
    if (attached->is_same_boot || !has_any)
        return TRUE;
    vms = mig_csv_vms(attached->csv, &unread);
    for (guint i = 0; vms && i < vms->len; i++) {
        const MigVm *vm = g_ptr_array_index(vms, i);
        MigLeaseOwner owner = {0};

        if (unread || !vm->wants_running || !(attached->kept[vm->slot / 8] & 1 << vm->slot % 8) ||
            !mig_csv_vm_lease_owner(attached->csv, vm->slot, &owner, &unread) || owner.host_id ||
            owner.last_host_id != daemon->host_id)
            continue;
        g_message("%s ended with this host, and is to run again", vm->name);
        mig_again_left(daemon->again, mig_csv_name(attached->csv), vm->name, owner.version);
    }
    if (!unread)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&unread));
    return FALSE;
}

/* The host was started anew, and its slot still tells of VMs that gave their leases back: they were
 * ended with it, as it was shut down. Nobody else may have seen that, where all hosts were. With
 * the first write of the slot it is forgotten. A sector that is lost for good keeps nobody out. */
static void
ask_for_ended(MigAttached *attached)
{
    for (guint i = 1; i <= READ_TRIES; i++) {
        g_autoptr(GError) error = NULL;

        if (ask_for_all_ended(attached, &error))
            return;
        if (i < READ_TRIES)
            g_usleep(G_USEC_PER_SEC);
        else
            g_warning("volume %s: what ended with this host cannot be told in full, see which of "
                      "its VMs are down: %s",
                      mig_csv_name(attached->csv), error->message);
    }
}

/* What was asked before joining is asked again: that takes some renewals, and until the others'
 * sanlock has seen us we can be removed, and our host id be given away. A node of this volume
 * writes a slot that is its own only; one removed later than that finds it gone with its next
 * heartbeat. */
static gboolean
enter_slot(MigAttached *attached, GError **error)
{
    if (!is_slot_ours(attached, error))
        return FALSE;
    ask_for_ended(attached);
    return mig_attached_write(attached, has_mark(attached) ? mig_csv_node_beat : mig_csv_node_write,
                              FALSE, error);
}

/* On a copy of the LUN that another node has, as snapshots of the storage are, that node's slot
 * stands still: in the end sanlock would call it dead, and its VMs would be started a second time,
 * from the copy. Asked of those whose daemons this node knows from another volume (lives.c has the
 * others). */
static gboolean
is_no_copy(MigAttached *attached, GError **error)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(attached->csv, error);

    for (guint i = 0; nodes && i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);

        if (node->has_left || node->host_id == attached->daemon->host_id ||
            !mig_signs_is_elsewhere(attached->daemon->signs, node->name,
                                    mig_csv_uuid(attached->csv), node->heartbeat))
            continue;
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "%s is a copy of volume %s (a snapshot of the storage?): %s has that "
                    "attached, and its heartbeat does not come here; take the copy away from this "
                    "host, or attach the LUN that %s has",
                    mig_csv_device(attached->csv), mig_csv_name(attached->csv), node->name,
                    node->name);
        return FALSE;
    }
    return nodes != NULL;
}

static gboolean
leave_mark(MigAttached *attached, GError **error)
{
    g_autofree char *path = mark_path(attached);
    g_autofree char *folder = g_path_get_dirname(path);

    g_autofree char *boot = mig_io_boot_id();

    return mig_unfence_note_attached(attached->daemon->config, error) &&
           mig_io_make_dir(folder, 0700, error) &&
           mig_io_write_file(path, boot, strlen(boot), 0600, error);
}

void
mig_attached_forget(MigAttached *attached)
{
    g_autofree char *path = mark_path(attached);

    mig_io_remove_file(path, NULL);
}

gboolean
mig_attached_may_enter(MigAttached *attached, GError **error)
{
    if (!is_slot_ours(attached, error) || was_removed(attached, error) ||
        !is_no_copy(attached, error))
        return FALSE;
    attached->is_same_boot = is_same_boot(attached);
    return TRUE;
}

gboolean
mig_attached_enter(MigAttached *attached, GError **error)
{
    return enter_slot(attached, error) && leave_mark(attached, error);
}
