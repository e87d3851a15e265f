/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-identity.h - this node's key and certificate, and what it issues to itself. */
#pragma once

#include <glib.h>

/*
 * A node makes itself a private key and a self-signed root certificate (EC P-256) at its first
 * start. That certificate is the node: it stands in its slot on the LUN, and peers believe what it
 * has signed. It signs nothing but short-lived leaves for the node itself, one for each purpose:
 *
 *   peer   the peer channel; the key never leaves this process
 *   ram    QEMU's migration; the key is in a file that QEMU can read, so whoever breaks out into a
 *          QEMU could take it: it must not open the peer channel, and does not
 *
 * All is in one file, DIRECTORY/identity.pem (0600, replaced as a whole): key and root in use, and,
 * while the key is being changed, either key and root that come next or the root that was before.
 *
 *   [key A, root A]                     at rest: A is published
 *   [key A, root A, key B, root B]      begun: both are published, A signs
 *   [key B, root B, root A]             switched: both are published, B signs
 *   [key B, root B]                     dropped: B is published
 *
 * Each arrow is one write, so a node that dies between two goes on where it was.
 *
 * Any thread. Calls that write block on the local disk.
 */
typedef struct MigIdentity MigIdentity;

typedef enum {
    MIG_IDENTITY_AT_REST,
    MIG_IDENTITY_BEGUN,
    MIG_IDENTITY_SWITCHED,
} MigIdentityPhase;

typedef enum { MIG_LEAF_PEER, MIG_LEAF_RAM } MigLeafPurpose;

typedef struct {
    char *certificate; /* PEM */
    char *key;         /* PEM; wiped when freed */
    char *root;        /* PEM of all own roots, the one that signed first */
    gint64 to_s;       /* valid until */
} MigLeaf;

void mig_leaf_free(MigLeaf *leaf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigLeaf, mig_leaf_free)

/* Reads the identity, or makes it where there is none. MIG_ERROR_DAMAGED where it cannot be used,
 * MIG_ERROR_CONFIG where it is of a node with another name; a new one is never made in its place.
 */
MigIdentity *mig_identity_open(const char *directory, const char *node, GError **error);
void mig_identity_free(MigIdentity *identity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigIdentity, mig_identity_free)

/* What belongs into this node's slot: roots in DER, one after the other. */
GBytes *mig_identity_published(MigIdentity *identity);
/* SHA-256 of the root in use, as hex. g_free() */
char *mig_identity_fingerprint(MigIdentity *identity);
MigIdentityPhase mig_identity_phase(MigIdentity *identity);

/* Makes a key and a certificate for it, valid from a day ago (clocks differ) for a week. */
MigLeaf *mig_identity_issue(MigIdentity *identity, MigLeafPurpose purpose, GError **error);

/* The three steps of a change of key; each is refused (MIG_ERROR_EXISTS) in another phase, and
 * leaves everything as it was on failure. */
gboolean mig_identity_begin(MigIdentity *identity, GError **error);
gboolean mig_identity_switch(MigIdentity *identity, GError **error);
gboolean mig_identity_drop(MigIdentity *identity, GError **error);

/* What a peer's leaf has as the one URI in it: this and the node's name. */
#define MIG_IDENTITY_PEER_URI "urn:migrated:peer:"
