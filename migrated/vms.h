/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vms.h - the VMs that run on this node, as libvirt says. */
#pragma once

#include "daemon.h"
#include "volumes.h"

/*
 * A table made from libvirt's list of domains: read again after every lifecycle event, after our
 * own actions, and now and then. It feeds the running bitmap of this node's slot. A domain is ours
 * if it has a lease in the lockspace of an attached volume. When a VM of ours is gone, its image
 * devices are let go of here, and the slots are written.
 */

typedef struct {
    char *name, *uuid, *volume;
    guint32 slot;
    char **images;
    MigDomainState state;
    gboolean is_leaving; /* INCOMING: the half of a move that sends */
    gboolean is_half;    /* RUNNING, IO_ERROR: a part of its memory is still where it came from */
    gboolean is_broken;  /* is_half: and the link to there is lost */
    gboolean is_unsure;  /* is_half, IO_ERROR: or it is whole, and nobody can tell for now */
} MigRunning;

void mig_running_free(MigRunning *running);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRunning, mig_running_free)

MigVms *mig_vms_new(MigDaemon *daemon);
void mig_vms_free(MigVms *vms);
/* Blocks: asks libvirt. */
void mig_vms_refresh(MigVms *vms);
/* After a start or an attach: takes hold of the image devices of what runs here already, so that
 * they are let go of when it stops. Blocks. */
void mig_vms_adopt(MigVms *vms);
/* From any thread, libvirt's too: refresh soon, on a worker. */
void mig_vms_refresh_soon(MigVms *vms);
/* libvirt's hook says that its QEMU is gone. Asks libvirt nothing: it holds that domain's lock. */
void mig_vms_ended(MigVms *vms, const char *name, const char *uuid);
/* A copy, or NULL. */
MigRunning *mig_vms_get(MigVms *vms, const char *name);
/* GPtrArray of MigRunning: copies of all. */
GPtrArray *mig_vms_list(MigVms *vms);
/* Name of one that runs from this volume, or NULL. g_free(). */
char *mig_vms_first_on(MigVms *vms, const char *volume);
void mig_vms_running_bits(MigVms *vms, const char *volume, guint8 bits[MIG_MAX_VM_SLOTS / 8]);

/* "volume/image" each: all or none. */
gboolean mig_vms_activate(MigDaemon *daemon, const char *const *images, GError **error);
/* But those that one who runs here has, or a job that comes here holds. */
void mig_vms_deactivate(MigDaemon *daemon, const char *const *images);
/* A job that comes here is about to activate these: holds.h. Waits for who is letting go of them.
 */
void mig_vms_hold(MigVms *vms, const char *job, const char *const *images);
void mig_vms_drop(MigVms *vms, const char *job);
