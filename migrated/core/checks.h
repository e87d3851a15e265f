/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checks.h - may this VM move there? Pure rules on collected facts. */
#pragma once

#include "core/needs.h"
#include "core/types.h"

typedef enum { MIG_VERDICT_PASS, MIG_VERDICT_WARN, MIG_VERDICT_FAIL } MigVerdict;

typedef struct {
    char *name; /* stable, documented in migratectl(1): "lease-held-here" */
    MigVerdict verdict;
    char *text;   /* what was found on both sides */
    char *advice; /* what to do about it; NULL where it passes */
} MigCheck;

MigCheck *mig_check_new(const char *name, MigVerdict verdict, char *text_take, const char *advice);
void mig_check_free(MigCheck *check);
const char *mig_verdict_name(MigVerdict verdict);
MigVerdict mig_verdict_from_name(const char *name);
/* The first one that fails, or NULL. */
const MigCheck *mig_checks_first_failure(const GPtrArray *checks);

/* Facts of the source node. */
typedef struct {
    const char *vm;
    const char *node; /* this one */
    MigDomainState domain;
    const char *lease_owner; /* node name or NULL */
    const char *target;
    gboolean is_target_known;
    gboolean is_target_up;
    gboolean encrypts, target_encrypts; /* as configured at either end */
    const char *encryption_problem;     /* why it cannot be done here; NULL: it can */
} MigSourceFacts;
/* Before the target is asked anything. */
void mig_checks_source(const MigSourceFacts *facts, GPtrArray *checks);

/* Facts of the target node, and what the source said of itself. */
typedef struct {
    const char *vm;
    const char *node;   /* that one */
    const char *source; /* NULL: it has looked at the encryption itself */
    gboolean is_draining;
    const char *volume;
    gboolean is_volume_attached;
    const char *missing_image; /* first one not found here, or NULL */
    MigDomainState domain;     /* of that name here */
    const char *uuid_owner;    /* another domain with that uuid here, or NULL */
    guint64 hugepage_bytes;    /* the kind of memory that is meant; 0: the usual one */
    guint64 memory_needed_bytes, memory_free_bytes, memory_reserved_bytes;
    const char *cpu_vendor, *source_cpu_vendor;
    const char *migration, *source_migration; /* address/prefix, or NULL */
    gboolean encrypts, source_encrypts;
    const char *encryption_problem; /* why it cannot be done here; NULL: it can */
} MigTargetFacts;
/* Asked twice: before the move waits for its turn, and by the target itself as it reserves. */
void mig_checks_target(const MigTargetFacts *facts, GPtrArray *checks);

/* What the VM needs, and how far the target has it. */
typedef struct {
    const char *vm, *node, *target;
    const MigNeeds *needs;
    const MigFit *fit;
    const MigHostCpu *source_cpu, *target_cpu;
    const char *const *missing_networks; /* on the target, bridges and cards; NULL: none */
    const char *const *missing_media;
} MigGuestFacts;
void mig_checks_guest(const MigGuestFacts *facts, GPtrArray *checks);

/* What a move to that node would wait for: NULL for nothing. Only ever a warning. */
void
mig_checks_pair(const char *waits_for, const char *source, const char *target, GPtrArray *checks);
/* Can and may it go on by post-copy (core/policy.h)? problem: why the target cannot; NULL: it can.
 * Only ever a warning: moves that converge never need it. */
gboolean mig_checks_postcopy(const char *vm, const char *target, MigPolicyKind policy,
                             const char *problem, GPtrArray *checks);
/* The target cannot be asked. */
void mig_checks_no_answer(const char *target, const char *why, GPtrArray *checks);
/* Another action has the VM; why: as it is told to who asks for a move. NULL: none. */
void mig_checks_idle(const char *vm, const char *why, GPtrArray *checks);

/* Are two "address/prefix" texts in one IPv4 subnet, with the same prefix? */
gboolean mig_same_subnet(const char *a, const char *b);
