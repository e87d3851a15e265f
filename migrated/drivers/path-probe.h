/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* path-probe.h - what passes between two addresses: packets of a size, and bytes in a second. */
#pragma once

#include <glib.h>

/* Sends count pings of so many bytes each, IP header and all, that nobody may fragment; how many
 * were answered. Blocks for wait_ms after the last at most. */
guint
mig_path_ping(const char *from, const char *to, guint packet_bytes, guint count, guint wait_ms);

#define MIG_PATH_WORD_BYTES 32

/* Listens on that address, for one connection from the other one that says word first, and counts
 * what comes, in a thread of its own that ends after some seconds. The port; 0: it cannot be. */
guint16 mig_path_await(const char *address, const char *from, const char *word);
/* Sends there for so long; while it is slower than good_bytes_s, four times as long. Bytes a
 * second; 0: error says why. Blocks. */
guint64 mig_path_speed(const char *from, const char *to, guint16 port, const char *word, guint ms,
                       guint64 good_bytes_s, GError **error);
