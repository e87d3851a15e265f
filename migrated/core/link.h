/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.h - one node's end of the migration network, and what passes between two ends. */
#pragma once

#include <glib.h>

/* Found on the node itself. */
typedef struct {
    char *address;   /* with prefix length; NULL: none in the migration network */
    char *interface; /* that has it */
    gboolean is_up;  /* with its cable in */
    guint mtu;
    gboolean has_default_route;
    char **guests;  /* what ties guests to it, in words */
    char **clients; /* addresses that are no node's, and talk to it */
} MigLinkFacts;

MigLinkFacts *mig_link_facts_new(void); /* lists are empty, not NULL */
void mig_link_facts_free(MigLinkFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigLinkFacts, mig_link_facts_free)

/* Found by sending. Full-size packets may not be fragmented on their way. */
typedef struct {
    guint packet_bytes; /* full size */
    guint sent, answered;
    guint small_answered; /* of a few small ones, sent where no full one was answered */
    guint64 bytes_s;      /* 0: not measured */
    char *not_measured;   /* why */
} MigPathFacts;

void mig_path_facts_clear(MigPathFacts *facts);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigPathFacts, mig_path_facts_clear)

/* Slower than this is told, or hopeless: a VM of some GiB would be on its way for minutes, and one
 * that writes would never arrive. */
#define MIG_LINK_SLOW_BYTES_S     (50u << 20)
#define MIG_LINK_HOPELESS_BYTES_S (5u << 20)
/* Lost packets in a hundred with which TCP crawls. Fewer are told. */
#define MIG_LINK_LOSS_PERCENT 20

/* Source and target the same node: its own end alone. path NULL: nothing was sent. */
void mig_checks_link(const char *source, const MigLinkFacts *here, const char *target,
                     const MigLinkFacts *there, const MigPathFacts *path, GPtrArray *checks);
/* Is it worth sending anything? */
gboolean mig_link_can_send(const MigLinkFacts *here, const MigLinkFacts *there);

/* Who measures: one at a time, by a number that is nobody else's. A turn that is not used for
 * MIG_PROBE_TURN_MS may be given to the next one, and is lost then. Not locked. */
typedef struct {
    guint64 last;    /* number that was given out */
    gint64 until_ms; /* 0: nobody measures */
} MigProbeTurn;

/* 0: somebody else measures. */
guint64 mig_probe_begin(MigProbeTurn *turn, gint64 now_ms);
/* FALSE: it is lost. TRUE: it is good for another MIG_PROBE_TURN_MS. */
gboolean mig_probe_go_on(MigProbeTurn *turn, guint64 number, gint64 now_ms);
/* Nothing where it is another one's by now. */
void mig_probe_end(MigProbeTurn *turn, guint64 number);
