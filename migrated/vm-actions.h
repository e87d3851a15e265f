/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm-actions.h - define, start, stop and undefine a VM; where is it? */
#pragma once

#include "vms.h"

/* What is known of a VM from here. */
typedef struct {
    MigVm *vm;
    MigAttached *attached;
    const char *state; /* running, paused, io-error, stopped, moving, unknown */
    char *node;        /* where, by its lease; NULL where it is free */
    gboolean is_here;
    MigLeaseOwner owner;
} MigVmView;

void mig_vm_view_free(MigVmView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigVmView, mig_vm_view_free)

/* All of them block. */

/* MIG_ERROR_VM_UNKNOWN */
MigVmView *mig_vm_find(MigDaemon *daemon, const char *name, GError **error);
/* The one of that volume, whatever is called so elsewhere. */
MigVmView *
mig_vm_find_on(MigDaemon *daemon, MigAttached *attached, const char *name, GError **error);
/* GPtrArray of MigVmView over all volumes; without definitions. */
GPtrArray *mig_vm_list(MigDaemon *daemon, GError **error);

/* The name of the new VM; g_free(). request: of the client's own, or NULL (change.h). */
char *mig_vm_define(MigDaemon *daemon, const char *volume, const char *xml, const char *request,
                    GError **error);
gboolean
mig_vm_undefine(MigDaemon *daemon, const char *name, gboolean delete_images, GError **error);
/* On this node. MIG_ERROR_VM_STOPPED: it was stopped while it was being started. */
gboolean mig_vm_start(MigDaemon *daemon, const char *name, GError **error);
/* The same for a VM that is wanted and has lost its node, asked for by the volume's recovery: only
 * the lease says whether it may; runs here already is success. MIG_ERROR_VM_STOPPED: not wanted any
 * more. */
gboolean mig_vm_recover(MigDaemon *daemon, const char *name, GError **error);
/* One that runs on this node, or is down and wanted: that is not wanted any more then. timeout_ms
 * 0: default. force: pulls its plug. */
gboolean
mig_vm_stop(MigDaemon *daemon, const char *name, gboolean force, guint timeout_ms, GError **error);
