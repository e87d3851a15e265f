/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hooked.h - what libvirt's hook asks and tells. */
#pragma once

#include "daemon.h"
#include "rpc/api-types.h"

/*
 * libvirt waits for the hook, and but for an incoming move it holds the domain's lock: so nothing
 * here asks libvirt about that domain before it has answered. The rules are in core/hook.h.
 */
MigHooked *mig_hooked_new(MigDaemon *daemon);

/* Starts a domain through libvirt; the hook knows that it is our own doing. Blocks. */
gboolean mig_hooked_start(MigHooked *hooked, const char *vm, const char *xml, GError **error);

/* The hook's question. FALSE: refused, error is for whoever typed virsh. Blocks for as long as a
 * move's target has to be prepared; our own moves and starts are let pass at once. */
gboolean mig_hooked_ask(MigHooked *hooked, const MigHookDomainRequest *request, GError **error);

/* On the node where a VM runs: target says that it is coming. Blocks until it is prepared. The
 * job's id; g_free(). */
char *mig_hooked_follow(MigHooked *hooked, const char *vm, const char *uuid, const char *target,
                        GError **error);
