/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ping.h - does a machine's kernel answer? ICMP echo to many addresses at once. */
#pragma once

#include <glib.h>

typedef struct MigPinger MigPinger;

/* Uses the kernel's ping sockets where this process may, else raw ones. Never fails: where it may
 * have neither, mig_pinger_works() says so, and nobody answers. */
MigPinger *mig_pinger_new(void);
void mig_pinger_free(MigPinger *pinger);
gboolean mig_pinger_works(const MigPinger *pinger);

/* Asks all addresses (text; NULL: none) once and waits up to wait_ms; answered has room for count.
 * One thread at a time. */
void mig_pinger_ask(MigPinger *pinger, const char *const *addresses, guint count, guint wait_ms,
                    gboolean *answered);
