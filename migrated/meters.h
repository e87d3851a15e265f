/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* meters.h - what is known of the memory of the VMs that run here. */
#pragma once

#include "daemon.h"

/*
 * A thread counts the dirty pages of each VM for a second, now and then, so that a move can be told
 * beforehand without waiting for that. Not while the VM moves: libvirt would make it wait.
 */
MigMeters *mig_meters_new(MigDaemon *daemon);
void mig_meters_free(MigMeters *meters);
void mig_meters_start(MigMeters *meters);
/* FALSE: nothing is known that is not older than that. With is_patient it is counted then, which
 * blocks for a second or two. */
gboolean mig_meters_get(MigMeters *meters, const char *vm, const char *uuid, gint64 max_age_ms,
                        gboolean is_patient, MigMeter *meter);
