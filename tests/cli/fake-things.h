/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-things.h - the canned nodes, volumes, VMs, images and jobs that fake-daemon answers with. */
#pragma once

#include "rpc/api-types.h"

#define MIB     (1024 * 1024)
#define STEPS   5 /* of a move */
#define STEP_MS 60

/* What is returned is the caller's to free. */
MigApiNode *fake_new_node(const char *name, int id);
MigApiVolume *fake_new_volume(const char *name);
MigApiVm *fake_new_vm(const char *name, const char *state, const char *node);
MigApiImage *fake_new_image(const char *volume, const char *name, gint64 size);
MigJobReply *fake_new_job(const MigMoveVmRequest *request, int step, const char *state);
void fake_end_job(MigJobReply *reply, const char *outcome);
MigApiForecast *fake_new_forecast(void);
MigApiVerdict *
fake_new_verdict(const char *vm, const char *target, MigApiVerdict *verdict, const char *worst);
