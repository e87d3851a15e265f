/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume-csv.h - an attached volume: libcsv in the daemon's words. */
#pragma once

#include "core/types.h"

#include <stdbool.h>

/*
 * A thin skin: turns csv's structs into core/types.h and csv's results into GError. All calls
 * block, and may be made from any worker thread. Writers of the catalogue pass the epoch under
 * which they hold the coordinator lease (catalog.h does that for them).
 */
typedef struct MigCsv MigCsv;

/* Everything but name may be 0 for a default. */
typedef struct {
    const char *name;
    guint32 io_timeout_s, max_nodes, max_vms, max_images;
    guint64 extent_bytes;
    gboolean force;
} MigFormat;

gboolean mig_csv_format(const char *device, const MigFormat *format, GError **error);
MigCsv *mig_csv_open(const char *device, GError **error);
void mig_csv_close(MigCsv *csv);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigCsv, mig_csv_close)

const char *mig_csv_name(MigCsv *csv);
const char *mig_csv_uuid(MigCsv *csv);
const char *mig_csv_device(MigCsv *csv);
guint32 mig_csv_io_timeout_s(MigCsv *csv);
MigVolumeInfo *mig_csv_info(MigCsv *csv, GError **error);
/* Takes over what the LUN has grown by; nothing is success. */
gboolean mig_csv_grow(MigCsv *csv, const MigEpoch *epoch, GError **error);
/* Writes the metadata to a file. */
gboolean mig_csv_backup(MigCsv *csv, int fd, GError **error);

/* leases; resource of a VM's is its name */
MigLease *mig_csv_lockspace(MigCsv *csv);
MigLease *mig_csv_coordinator_lease(MigCsv *csv);
MigLease *mig_csv_registry_lease(MigCsv *csv); /* for changes of the list of nodes */
MigLease *mig_csv_vm_lease(MigCsv *csv, guint32 slot, const char *vm);
gboolean mig_csv_vm_lease_owner(MigCsv *csv, guint32 slot, MigLeaseOwner *owner, GError **error);
/* Does the lease on the LUN carry this resource name? FALSE where it cannot be read. */
gboolean mig_csv_vm_lease_is_named(MigCsv *csv, guint32 slot, const char *resource);
gboolean mig_csv_coordinator_owner(MigCsv *csv, MigLeaseOwner *owner, GError **error);

/* Host leases (sanlock's delta leases). Has this very start of a host given its lease back, or was
 * it freed after a fence? No QEMU of it has been left then. FALSE where it cannot be read. */
gboolean mig_csv_host_is_free(MigCsv *csv, guint32 host_id, guint64 generation);
/* The same, and a later start counts as yes: sanlock gives what the earlier one held to who asks.
 * That says nothing of QEMUs: those of a sanlock that was killed run on beside the next one. */
gboolean mig_csv_host_has_ended(MigCsv *csv, guint32 host_id, guint64 generation);
/* Has nobody this host's lease right now, whatever its start? */
gboolean mig_csv_host_is_away(MigCsv *csv, guint32 host_id);
/* A host that has its lease by the LUN, or has died with it; *host_id 0: none has. FALSE: one
 * cannot be read. */
gboolean mig_csv_host_any(MigCsv *csv, guint32 *host_id, GError **error);
/* Which start of a host has its lease, and when it was renewed last, by that host's own monotonic
 * clock: only that host can compare it. FALSE: free, or cannot be read. */
gboolean
mig_csv_host_renewed(MigCsv *csv, guint32 host_id, guint64 *generation, gint64 *renewed_us);
/* Asked right before each write of the catalogue, on the writer's thread; FALSE stops it
 * (MIG_ERROR_COORDINATOR_BUSY). To be set before the first one. */
typedef bool (*MigCsvGuard)(gpointer user_data);
void mig_csv_set_guard(MigCsv *csv, MigCsvGuard guard, gpointer user_data);
/* Has this request (a uuid) changed a VM or an image? *name: what is in that slot now, or NULL;
 * g_free(). FALSE: cannot be read. */
gboolean mig_csv_request_find(MigCsv *csv, const char *request, gboolean *is_found, char **name,
                              GError **error);
/* Has it made a VM, and undone that itself? FALSE where it cannot be read. */
gboolean mig_csv_request_is_undone(MigCsv *csv, const char *request);
/* After a confirmed fence only: MIG_ERROR_NODE_UNKNOWN where that host is back. */
gboolean mig_csv_host_release(MigCsv *csv, guint32 host_id, guint64 generation, GError **error);

/* nodes */
/* This node takes its slot, whoever's it is. */
gboolean mig_csv_node_write(MigCsv *csv, MigNode *node, GError **error);
/* Its next heartbeat. MIG_ERROR_NO_CLUSTER: the slot is not this node's any more. */
gboolean mig_csv_node_beat(MigCsv *csv, MigNode *node, GError **error);
/* Frees this node's own slot, in the lockspace or not; one that is not its own any more is left
 * alone, which is success, too. */
gboolean mig_csv_node_leave(MigCsv *csv, guint32 host_id, const char *name, GError **error);
/* Frees a dead node's slot, under the registry lease. */
gboolean mig_csv_node_clear(MigCsv *csv, guint32 host_id, GError **error);
/* Is the slot of this host id free, or another node's? FALSE too where it is damaged or cannot be
 * read. */
gboolean mig_csv_node_is_gone(MigCsv *csv, guint32 host_id, const char *name);
/* GPtrArray of MigNode */
GPtrArray *mig_csv_nodes(MigCsv *csv, GError **error);

/* VMs */
GPtrArray *mig_csv_vms(MigCsv *csv, GError **error);
MigVm *mig_csv_vm(MigCsv *csv, const char *name, GError **error);
gboolean mig_csv_vm_create(MigCsv *csv, const MigEpoch *epoch, MigVm *vm, GError **error);
gboolean mig_csv_vm_update(MigCsv *csv, const MigEpoch *epoch, const MigVm *vm, GError **error);
/* Its lease is free, and nobody can take it. */
gboolean mig_csv_vm_delete(MigCsv *csv, const MigEpoch *epoch, const char *name, GError **error);
/* This process holds its lease, which is left as it is. */
gboolean
mig_csv_vm_delete_held(MigCsv *csv, const MigEpoch *epoch, const char *name, GError **error);

/* What a coordinator that died has left half written is made whole. */
gboolean mig_csv_settle(MigCsv *csv, const MigEpoch *epoch, GError **error);

/* images */
GPtrArray *mig_csv_images(MigCsv *csv, GError **error);
MigImage *mig_csv_image(MigCsv *csv, const char *name, GError **error);
MigImage *mig_csv_image_create(MigCsv *csv, const MigEpoch *epoch, const char *name,
                               guint64 size_bytes, GError **error);
gboolean mig_csv_image_delete(MigCsv *csv, const MigEpoch *epoch, const char *name, GError **error);
gboolean mig_csv_image_rename(MigCsv *csv, const MigEpoch *epoch, const char *name,
                              const char *new_name, GError **error);
MigImage *mig_csv_image_grow(MigCsv *csv, const MigEpoch *epoch, const char *name,
                             guint64 size_bytes, GError **error);
gboolean mig_csv_image_assign(MigCsv *csv, const MigEpoch *epoch, const char *name,
                              const char *owner, GError **error);

/* Names of the images that have to go elsewhere so that so many bytes are free in one piece, in the
 * order to do it. MIG_ERROR_VOLUME_FULL: it can't be had so. */
GPtrArray *mig_csv_space_plan(MigCsv *csv, guint64 bytes, GError **error);

/* image devices of this node */
gboolean mig_csv_devices_attach(MigCsv *csv, GError **error);
gboolean mig_csv_devices_detach(MigCsv *csv, GError **error);
/* Whom QEMU runs as on this host, -1: nobody knows. From then on whatever is activated to be
 * written is a file of that user where it is a file. */
void mig_csv_set_qemu(gint64 user, gint64 group);
/* path may be NULL; g_free() it */
gboolean
mig_csv_activate(MigCsv *csv, const char *image, gboolean writable, char **path, GError **error);
/* Not active is success. */
/* uuid: only if it is that image's device, NULL: whichever has the name. */
gboolean mig_csv_deactivate(MigCsv *csv, const char *image, const char *uuid, GError **error);
/* A process of this node has its device open; FALSE where there is no such image. */
gboolean mig_csv_is_open(MigCsv *csv, const char *image);
/* Names, NULL-terminated; g_strfreev(). */
char **mig_csv_active_images(MigCsv *csv);
