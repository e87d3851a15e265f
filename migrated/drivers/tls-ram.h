/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-ram.h - the files by which QEMU encrypts the memory of VMs on the move. */
#pragma once

#include <glib.h>

#include "core/trust.h"
#include "drivers/tls-identity.h"

/*
 * QEMU reads a folder (libvirt's migrate_tls_x509_cert_dir) when a move begins: ca-cert.pem holds
 * the roots of all nodes that stand in a slot right now, server-*.pem and client-*.pem are links to
 * the one file with a certificate for this purpose and its key, dh-params.pem saves QEMU the search
 * for a prime. So whoever connects to a port on which a VM is awaited is the QEMU of a member, and
 * the source goes on only where that port is its target's.
 *
 * The folder is root's (0750), for the group that QEMU runs with, as are the files that are no
 * secret (0640). The key is for the user alone that QEMU runs as (0400): that group may be "kvm",
 * which people are in. Each is replaced as a whole; a QEMU that has begun knows what it has read,
 * so nothing here disturbs a move that runs.
 *
 * Any thread; all of it blocks on the local disk.
 */
typedef struct MigTlsRam MigTlsRam;

/* Writes nothing yet. identity outlives it. */
MigTlsRam *mig_tls_ram_new(const char *directory, MigIdentity *identity);
void mig_tls_ram_free(MigTlsRam *ram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigTlsRam, mig_tls_ram_free)

/* Who QEMU runs as. group -1: not known (nothing is written then); user -1: not known (the group
 * may read the key). */
void mig_tls_ram_set_reader(MigTlsRam *ram, gint64 user, gint64 group);

/* Brings the folder up to date: roots (GPtrArray of MigTrustRoot) as they are now, and a
 * certificate that is not about to expire, was signed by the root in use, and which nobody has
 * touched. now_s: seconds since 1970. anew: a new one in any case. */
gboolean mig_tls_ram_write(MigTlsRam *ram, const GPtrArray *roots, gint64 now_s, gboolean anew,
                           GError **error);

/* QEMU uses nothing of a file with one bad root in it, so a root that cannot be read, is none, or
 * is not valid now stays out, until it is. What is wrong with those of that node, if none of them
 * is in; with a NULL node, of all nodes, whatever else they have. g_free(); NULL: nothing. */
char *mig_tls_ram_left_out(MigTlsRam *ram, const char *node);

/* Does this configuration file of libvirt's name the folder, and leave on that QEMU looks at who
 * connects? */
gboolean mig_tls_ram_is_configured(MigTlsRam *ram, const char *config, GError **error);

/* tls-ram-roots.c: one of these roots as PEM; or NULL, and *left_out is what is wrong with it.
 * g_free() */
char *mig_tls_ram_root(GBytes *der, gint64 now_s, char **left_out);

/* Takes it all away, as far as it is there. */
void mig_tls_ram_remove(const char *directory);
/* The same, and nothing is written from then on, whoever is about to. */
void mig_tls_ram_end(MigTlsRam *ram);
