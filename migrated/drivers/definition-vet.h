/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-vet.h - what a VM definition may say; for the definition-* files only. */
#pragma once

#include <glib.h>

/*
 * A definition is given to libvirt, which runs as root: through it anybody who may define a VM
 * could have QEMU open any file, device or socket of the host, or another VM's disk. So there is a
 * list of what is allowed (definition-rules.c): each element with its attributes and, where it
 * matters, their values. All else is refused by its name, whatever a later libvirt makes of it.
 */

typedef struct {
    const char *path, *attributes, *text, *advice;
} MigVetRule;

extern const MigVetRule mig_vet_rules[]; /* ends with a NULL path */
/* Stands in a rule for this VM's NAME there: a console that is kept, by type='file' alone. NAME.log
 * is QEMU's own, that of another name another VM's. */
#define MIG_VET_CONSOLE "/var/log/libvirt/qemu/NAME.console"

struct _xmlDoc;

/* What there is to object to and why, with advice, up to a dozen; empty: nothing. g_strfreev(). No
 * value of an attribute that may be secret is quoted. */
char **mig_definition_vet(struct _xmlDoc *doc);
