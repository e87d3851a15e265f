/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* relations.h - which VMs are to be together, apart, or started one after the other. Pure. */
#pragma once

#include "core/types.h"

/*
 * Relations are kept with the VM that names the other one, by name, within one volume. Being apart
 * holds whichever of the two says it. A name that is no VM any more means nothing.
 */

/* FALSE: no such relation. which: affinity, anti_affinity, start_after. Takes the names; NULL:
 * none. */
gboolean mig_relations_set(MigVm *vm, const char *which, char **names);

/* What is wrong with these relations of vm, whose other ones are in vms (MigVm; vm itself in there
 * is its past): with itself, at once with and apart, each waiting for the other. For people; NULL:
 * nothing. */
char *mig_relations_complaint(const MigVm *vm, GPtrArray *vms);
