/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fence-agent.h - making sure that a node is off, by ClusterLabs' fence agents. */
#pragma once

#include <glib.h>

/*
 * How a node is fenced is said in DIRECTORY/NODE.conf: one group for each level, tried in the order
 * of the file, each with the agent's name and its options. An agent gets them on its standard
 * input, one "key=value" a line, and answers by its exit code.
 *
 * Only a confirmed fence is one: "off" is followed by "status", which has to say that it is off
 * (exit code 2); "reboot" by its own success. An agent that fails, hangs or cannot be run leaves
 * the node unfenced, and the next level is tried.
 *
 * A level that cuts a node off from its LUN instead of its power (reservations) leaves it cut off:
 * the node itself undoes that with the same agent's "on", after its next start (unfence=yes).
 *
 * All calls block; any worker thread.
 */

typedef struct {
    char *name;            /* of the group */
    char *agent;           /* a program in PATH, or an absolute path */
    char *action;          /* off or reboot */
    char *input;           /* the options as the agent reads them, without action */
    gboolean is_unfencing; /* unfence=yes */
} MigFenceLevel;

/* GPtrArray of MigFenceLevel. MIG_ERROR_CONFIG for a file that says nonsense, or that others than
 * its owner may write: it names programs that root runs. *is_missing: there is no such file. */
GPtrArray *
mig_fence_levels(const char *directory, const char *node, gboolean *is_missing, GError **error);

/* Shall the node still be off? FALSE: error says why not. */
typedef gboolean (*MigFenceAsk)(gpointer data, GError **error);

/* own: levels by which this node itself was let in (unfence.h), or NULL. A level that is unfencing
 * counts only where this node has one of that name, and what it takes away was seen to be there:
 * "status" has to say "on" before "off" is run. Else a file with a key that nobody has, by a slip
 * of the pen, would confirm that a node is cut off that writes on.
 *
 * shown (may be NULL): a set of strings, the caller's, of this life of the node alone. It gets the
 * levels that were seen so; one that is in it may be "off" already, as behind a try that was cut
 * short. Then this node's own has to say "on": on a LUN that has lost its reservation nobody has a
 * key, and nobody is cut off.
 *
 * TRUE: confirmed. *level (may be NULL): which one, g_free(). Each agent has timeout_ms, so is_due
 * is asked before each level but the first, and behind that "status": one that is back meanwhile is
 * left alone. */
gboolean
mig_fence_node(GPtrArray *levels, const GPtrArray *own, GHashTable *shown, const char *node,
               guint timeout_ms, MigFenceAsk is_due, gpointer data, char **level, GError **error);

/* Is there a level that can count, as far as files tell? */
gboolean mig_fence_can(GPtrArray *levels, const GPtrArray *own);

/* Runs "on" of each level that is unfencing, with timeout_ms each. FALSE where one fails. */
gboolean mig_fence_unfence(GPtrArray *levels, guint timeout_ms, GError **error);

/* One run of an agent: its exit code, or -1 and error where it could not be run, was killed, or
 * has not ended in time and was killed for it with all that it had started. */
int mig_fence_run(const char *agent, const char *input, const char *action, guint timeout_ms,
                  GError **error);
