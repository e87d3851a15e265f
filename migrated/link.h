/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.h - this node's place in the migration network. */
#pragma once

#include "core/link.h"
#include "daemon.h"

/*
 * Which address is this node's in the network that [network] migration names is looked at again now
 * and then, and before each move: a node whose address has moved goes on with the new one, and says
 * so. What was measured of a path is kept for MIG_PROBE_KEEP_MS.
 */
MigLink *mig_link_new(MigDaemon *daemon);
void mig_link_free(MigLink *link);

/* With prefix length, or NULL. Stays valid for good. Any thread, quick. */
const char *mig_link_address(MigLink *link);
/* What is so on this node now, never NULL; logs what has changed for the worse. Who is connected is
 * told as it was up to MIG_CLIENTS_KEEP_MS ago. */
MigLinkFacts *mig_link_look(MigLink *link);
/* Once every few seconds: so that nobody else has to look who is connected, which takes its time.
 */
void mig_link_look_anew(MigLink *link);
/* Each problem of this node's end, a line for people. g_strfreev(). */
char **mig_link_warnings(MigLink *link);

/* On the target: one measurement by a connection from that address is awaited for a few seconds.
 * The port, and a word that only who is to measure knows; 0: it cannot be. */
guint16 mig_link_await(MigLink *link, const char *from, char **word);
/* Is what was measured to that node too old to be told again? for_forecast: to whoever wants to
 * know what a move will take, which nobody waits for. Not 0: the caller measures now, and nobody
 * else does till it has, or for some seconds; it is the caller's turn. */
guint64 mig_link_begin_probe(MigLink *link, const char *node, gboolean for_forecast);
/* By whoever has a turn, once, when it has measured or will not. */
void mig_link_end_probe(MigLink *link, guint64 turn);
/* Bytes a second, as last measured to that node, however long ago; 0: never. */
guint64 mig_link_speed(MigLink *link, const char *node);
/* On the source: sends to the target's end. port 0, or a turn that is lost by now: speed is not
 * measured, or as it was. Blocks. */
void
mig_link_measure(MigLink *link, const char *node, guint64 turn, const MigLinkFacts *here,
                 const MigLinkFacts *there, guint16 port, const char *word, MigPathFacts *path);
