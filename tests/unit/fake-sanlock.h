/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-sanlock.h - a sanlock daemon of one client, which has each of its leases done by a test. */
#pragma once

#include <glib.h>

typedef struct FakeSanlock FakeSanlock;

typedef enum {
    FAKE_ACQUIRE,
    FAKE_RELEASE,
    FAKE_RENAME, /* released, under another name */
} FakeSanlockCall;

/* On a thread of the fake's, while the client waits. What sanlock says to it: 0, -errno or one of
 * sanlock_rv.h. */
typedef int (*FakeSanlockAct)(FakeSanlockCall call, const char *resource, const char *new_name,
                              gpointer user_data);

/* Clients of this process find it from then on. */
FakeSanlock *fake_sanlock_start(FakeSanlockAct act, gpointer user_data);
/* Its client has gone, or never came. */
void fake_sanlock_stop(FakeSanlock *fake);
