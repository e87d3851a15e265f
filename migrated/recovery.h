/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recovery.h - starting again what is wanted and does not run. */
#pragma once

#include "core/placement.h"
#include "failover.h"
#include "volumes.h"

/*
 * One node does it for each volume (mig_recovery_is_mine). It keeps nothing that another one would
 * need: what is wanted and what runs is on the LUN, so whoever takes over goes on. Two that believe
 * that it is theirs do no harm: a VM's lease is taken by one QEMU only.
 */

MigRecovery *mig_recovery_new(MigDaemon *daemon);
void mig_recovery_start(MigRecovery *recovery);
/* Its last look does not end, or the first one does not come: another node had better do it. Any
 * thread, waits for nothing. */
gboolean mig_recovery_hangs(MigRecovery *recovery);
/* Looks at once. Any thread. */
void mig_recovery_wake(MigRecovery *recovery);

/* A node has ended this VM, which had its lease in that version (0: not known), because its disk
 * failed there: as if that node had died, so long as it is said again. Looks at once. Any thread.
 */
void mig_recovery_ask(MigRecovery *recovery, const char *vm, guint64 lease_version);

/* Whose volume is it? */
gboolean mig_recovery_is_mine(MigDaemon *daemon, MigAttached *attached, GPtrArray *lives);

/* One line of a plan. */
typedef struct {
    char *vm;
    guint32 priority;
    guint64 memory_bytes;
    char *node;         /* NULL: nowhere */
    gboolean is_wanted; /* its policy lets it be started */
    const char *why;
} MigPlanLine;
void mig_plan_line_free(MigPlanLine *line);

/* What would be done if this node died now: its VMs only. Blocks. GPtrArray of MigPlanLine. */
GPtrArray *mig_recovery_whatif(MigRecovery *recovery, const char *node, GError **error);
