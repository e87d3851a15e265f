/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hook.h - what libvirt's hook is told about a VM of ours: yes, no, or ask where it runs. */
#pragma once

#include <glib.h>

/*
 * Rules are for whoever comes past us, with virsh: what this daemon does itself it knows, and lets
 * pass at once. A start by hand is always refused: the definition, the images that must be active
 * and the wish that the VM runs are the daemon's business, and 'migratectl vm start' does all that.
 * A move by hand is fine where a move of ours would be: so the node where the VM runs is asked to
 * check and prepare it like one of its own.
 */

typedef enum {
    MIG_HOOK_OP_MIGRATE, /* it is to come here */
    MIG_HOOK_OP_PREPARE, /* a QEMU is to be started for it here: a start, or a move's target */
    MIG_HOOK_OP_RELEASE, /* its QEMU is gone from here */
} MigHookOp;

/* FALSE: one that nobody has to ask about. */
gboolean mig_hook_op_from_name(const char *name, MigHookOp *op);

typedef struct {
    MigHookOp op;
    const char *domain, *uuid; /* as libvirt has it; uuid may be NULL */
    const char *lockspace;     /* of its lease on a volume; NULL: it has none */
    const char *lease;
    const char *node; /* this one */
    /* by this daemon's own doing */
    gboolean is_coming;   /* a job has prepared this node for it */
    gboolean is_starting; /* vm start, fail-over */
    /* what the volume says; only looked at where neither of these is so */
    gboolean is_attached, is_lost;
    const char *defined_uuid; /* of the VM with the name of the lease; NULL: there is none */
    const char *owner;        /* node that has its lease; NULL: nobody who lives */
    gboolean is_owner_known;  /* the lease could be read */
} MigHookFacts;

typedef enum {
    MIG_HOOK_ALLOW,
    MIG_HOOK_FOLLOW, /* the owner of its lease has to make a job of it */
    MIG_HOOK_REFUSE,
} MigHookVerdict;

/* Is the answer known without a look at the volume? */
gboolean mig_hook_is_own(const MigHookFacts *facts);
/* error is set for REFUSE only: CHECK_REFUSED, LEASE_HELD, VM_UNKNOWN or VOLUME_UNKNOWN. Not for
 * RELEASE. */
MigHookVerdict mig_hook_decide(const MigHookFacts *facts, GError **error);
