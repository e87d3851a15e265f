/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* events.h - what was decided about nodes and VMs, and why: the time line of "migratectl why". */
#pragma once

#include "daemon.h"

/*
 * Each node keeps what it has seen and done itself, the last some hundred lines, in memory and in
 * state_dir/events, so that they outlive its daemon. Whoever is asked asks the others, too; the
 * newest lines are in the node's slots as well, for when it is the node that is dead.
 */

MigEvents *mig_events_new(MigDaemon *daemon);

/* Into the time line and the log. subject: the VM or node it is about; about: a second one that it
 * concerns, or NULL. Any thread. */
void mig_events_add(MigEvents *events, const char *subject, const char *about, const char *what,
                    const char *format, ...) G_GNUC_PRINTF(5, 6);

/* GPtrArray of MigApiEvent, oldest first; name NULL: all. Of this node alone. */
GPtrArray *mig_events_list(MigEvents *events, const char *name);

/* The newest lines, as many as fit into a node's slot (MIG_NODE_NOTES_MAX). g_free(). */
char *mig_events_notes(MigEvents *events);
/* The same as mig_events_list(), of what stands in the slot of another node; notes NULL: nothing.
 * What is no line of a time line is left out. */
GPtrArray *mig_events_from_notes(const char *node, const char *notes, const char *name);
