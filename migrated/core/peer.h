/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peer.h - port: the other nodes' migrated. */
#pragma once

#include "core/job.h"
#include "core/queue.h"
#include "core/switchover.h"

/* What a target says that is ready. */
typedef struct {
    char *ram_address;       /* where it wants the RAM */
    char *certificate;       /* as above, of its QEMU; NULL: clear text */
    guint64 granted_bytes_s; /* what it takes of it for now; 0: no limit */
} MigReady;

void mig_ready_clear(MigReady *ready);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigReady, mig_ready_clear)

/* What a target says of a move that has come in. */
typedef struct {
    guint64 transferred_bytes, rate_bytes_s; /* of the whole move; 0: not known */
    gint64 downtime_ms;   /* QEMU's figure as the target's libvirt has it, or -1 */
    MigSwitchThere there; /* in this node's monotonic clock */
    gboolean was_booted;  /* that QEMU began with no guest: no move's. FALSE also of older nodes */
} MigOutcome;

/* All calls block, have a deadline of their own, and may be made from any worker thread.
 * MIG_ERROR_NODE_UNREACHABLE: the peer may or may not have done it. */
typedef struct {
    gpointer self;
    /* Its turn at one end; node may be this one. Idempotent for the same job. TRUE: *turn is the
     * answer; not granted, the job has a place there (core/queue.h). */
    gboolean (*reserve)(gpointer self, const char *node, const MigJob *job, gint64 waited_ms,
                        MigTurn *turn, GError **error);
    /* Gives up turn or place. */
    gboolean (*release)(gpointer self, const char *node, const MigJob *job, GError **error);
    /* The target's checks are appended to checks; TRUE: no check failed, memory is reserved, images
     * are active. certificate: fingerprint of the root that this node's QEMU is known by; NULL: the
     * memory goes in clear text. */
    gboolean (*prepare)(gpointer self, const MigJob *job, const char *cpu_vendor,
                        const char *migration, const char *certificate, GPtrArray *checks,
                        MigReady *ready, GError **error);
    /* keep: the VM shall run there now: publish it, and let it run if it stands still with its
     * lease. Else: drop images and reservation; the target refuses to drop what runs. Idempotent.
     * outcome may be NULL. */
    gboolean (*finish)(gpointer self, const MigJob *job, gboolean keep, MigOutcome *outcome,
                       GError **error);
    gboolean (*get_domain)(gpointer self, const char *node, const char *vm, const char *uuid,
                           MigDomainState *state, GError **error);
    /* Not there any more, and it was its guest that powered it off, there. FALSE also where nobody
     * can tell. */
    gboolean (*was_shut_down)(gpointer self, const char *node, const char *vm, const char *uuid);
    /* *never: not there any more, and its QEMU, for which that node was prepared, never let it run:
     * as that node has watched from first to last. FALSE also where it is not sure. */
    gboolean (*never_ran)(gpointer self, const char *node, const char *vm, const char *uuid,
                          gboolean *never, GError **error);
    /* As MigHv has it, there; FALSE also where nobody can tell. */
    gboolean (*is_stuck)(gpointer self, const char *node, const char *vm, const char *uuid);
    /* URI for this node's libvirtd to reach the target's. g_free(). */
    char *(*libvirt_uri)(gpointer self, const char *node, GError **error);
} MigPeer;
