/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-shape.h - the daemon's structs as messages. */
#pragma once

#include "daemon.h"
#include "rpc/api-types.h"
#include "rpc/server.h"
#include "vm-actions.h"

/* Each returns a new message. They block where they read the LUN. */
MigApiNode *mig_shape_node(MigDaemon *daemon, const MigNodeView *view);
MigApiVolume *mig_shape_volume(MigDaemon *daemon, MigAttached *attached, GError **error);
MigApiImage *mig_shape_image(const MigImage *image);
MigApiVm *mig_shape_vm(MigDaemon *daemon, const MigVmView *view);

/* Finishes a call with that VM, or with why it cannot be found. */
void mig_shape_vm_reply(MigDaemon *daemon, MigRpcCall *call, const char *name);

/* Arrays for replies. */
GPtrArray *mig_shape_nodes(MigDaemon *daemon);
GPtrArray *mig_shape_volumes(MigDaemon *daemon, GError **error);
GPtrArray *mig_shape_vms(MigDaemon *daemon, GError **error);
/* This node's jobs, and those of every node that is up and answers. */
GPtrArray *mig_shape_jobs(MigDaemon *daemon);
