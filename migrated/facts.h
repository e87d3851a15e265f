/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* facts.h - what is found on both nodes for the checks of a move. */
#pragma once

#include "core/checks.h"
#include "core/job.h"
#include "daemon.h"

/* On the target: what a move would find here. Nothing is changed. Blocks. */
MigPeerFactsReply *
mig_facts_gather(MigDaemon *daemon, const MigPeerFactsRequest *request, GError **error);
/* On the source, for a VM that is here: asks the target, and appends what follows from its answer.
 * FALSE: it could not be asked. Keeps in job what kind of memory it needs. *images: those that the
 * VM has now, or NULL. Blocks. */
gboolean mig_facts_check_target(MigDaemon *daemon, MigJob *job, const char *cpu_vendor,
                                char ***images, GPtrArray *checks, GError **error);
/* The first of these ("volume/image") that is not to be seen on this node, or NULL. g_free(). */
char *mig_facts_missing_image(MigDaemon *daemon, const char *const *images);
/* Same name with another uuid counts as there, too. */
MigDomainState mig_facts_domain(MigDaemon *daemon, const char *vm, const char *uuid);
