/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt.h - this node's libvirt behind the port core/hv.h. */
#pragma once

#include "core/hv.h"

typedef struct MigLibvirt MigLibvirt;

/* Something about a domain changed (started, stopped, suspended, resumed, migrated). Runs on
 * libvirt's event thread: hand over, do not call libvirt. */
typedef void (*MigLibvirtChanged)(const char *vm, const char *uuid, gboolean has_stopped,
                                  gpointer user_data);

/* Starts the event thread; connects when first needed, and again whenever libvirtd was restarted.
 */
MigLibvirt *mig_libvirt_new(const char *uri, MigLibvirtChanged changed, gpointer user_data);
/* Stops the event thread. No call may be under way. */
void mig_libvirt_free(MigLibvirt *libvirt);
const MigHv *mig_libvirt_port(MigLibvirt *libvirt);
/* Of a move that ended here: QEMU's own downtime figure, or -1; what was sent, and how fast in the
 * mean, or 0. */
void mig_libvirt_moved(MigLibvirt *libvirt, const char *vm, MigProgress *progress);
