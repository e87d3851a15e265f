/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trust.h - which peers are accepted, and why the others are not. */
#pragma once

#include "core/types.h"

/*
 * Trust is the LUN: each node publishes its root certificates in its slot (one, or two while it
 * changes its key), and a peer is accepted if what it shows was signed by a root that stands in a
 * slot right now, and if it is the node of that very slot. Whoever can write the LUN is a member
 * anyway; nothing else is administered.
 *
 * Here is the decision alone. What a certificate says, and who signed it, the driver finds out.
 */

/* One certificate in one slot. */
typedef struct {
    char *node;
    GBytes *certificate; /* DER */
} MigTrustRoot;

void mig_trust_root_free(MigTrustRoot *root);

/* Cuts certificates that stand one after the other (DER) into GBytes; FALSE where they are not cut
 * cleanly: nothing is added then. Only lengths are looked at, not what is inside. */
gboolean mig_trust_split(GBytes *certificates, GPtrArray *into);
/* Appends a MigTrustRoot for each certificate in this node's slot; none where that is damaged. */
void mig_trust_add_node(GPtrArray *roots, const MigNode *node);
/* The same nodes with the same certificates in the same order? */
gboolean mig_trust_same(const GPtrArray *a, const GPtrArray *b);

/* SHA-256 of each of them, hex; NULL: there is none. g_strfreev(). */
char **mig_trust_fingerprints(const MigNode *node);
/* Is a root of that node among them, that one (SHA-256, hex) or any (NULL)? */
gboolean mig_trust_has(const GPtrArray *roots, const char *node, const char *fingerprint);

typedef enum {
    MIG_TRUST_OK,
    MIG_TRUST_NO_CERTIFICATE,
    MIG_TRUST_UNKNOWN,    /* signed by no root in any slot */
    MIG_TRUST_OTHER_NODE, /* of a member, but not of the one that it says to be or should be */
    MIG_TRUST_PURPOSE,    /* of a member, made for something else: for RAM, or to sign others */
    MIG_TRUST_NOT_YET,
    MIG_TRUST_EXPIRED,
    MIG_TRUST_PLAIN_TEXT,
    MIG_TRUST_OLD_TLS,   /* offers nothing newer than TLS 1.2 */
    MIG_TRUST_HANDSHAKE, /* something else is wrong with its handshake */
    MIG_TRUST_LATE,      /* did not finish its handshake in time */
    MIG_TRUST_VERDICTS,
} MigTrustVerdict;

/* "unknown-certificate": for logs and tests. Static. */
const char *mig_trust_verdict_name(MigTrustVerdict verdict);

typedef struct {
    gboolean has_certificate;
    const char *signer;    /* node in whose slot the signing root stands; NULL: in none */
    const char *name;      /* whose certificate it says to be; NULL: none that could be read */
    gboolean is_for_peers; /* made for the peer channel, and not to sign others */
    gint64 from_s, to_s;   /* valid, as seconds since 1970 */
} MigTrustFacts;

/* wanted: the node that was meant to be reached; NULL where any member will do. */
MigTrustVerdict mig_trust_judge(const MigTrustFacts *facts, const char *wanted, gint64 now_s);
