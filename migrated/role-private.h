/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* role-private.h - what role.c and role-watch.c share. */
#pragma once

#include "role.h"

struct MigRole {
    MigDaemon *daemon;
    MigAttached *attached;
    MigLease *lease;
    GMutex lock;                /* guards what follows */
    GCond wake;                 /* of the thread, and of those that wait for their turn */
    gboolean is_entered;        /* a change, a take or a give is under way */
    gint is_held, is_leaving;   /* atomic too: the guard reads them */
    gint is_dropped;            /* atomic: not held any more, but the lease is not given back */
    gint64 valid_us;            /* under valid_lock: the guard's clock */
    GMutex valid_lock;          /* never with another one */
    MigEpoch epoch;             /* while held */
    char *owner;                /* name as last read, NULL: free */
    char *given_to;             /* whom we gave it to */
    gint64 given_us, free_us;   /* when; since when nobody has it, 0: somebody has */
    gint64 hung_us;             /* when we last asked that it be killed */
    gint64 looked_us, still_us; /* of the thread: when it last looked, and since when the owner's */
    guint64 still_version, still_heartbeat; /* heartbeat has not moved */
    gint64 still_renewed_us;                /* by the owner's host, as last seen since then */
    guint still_renewals;                   /* how often it has moved since then */
    gint has_stopped;                       /* atomic: as the daemon stops, with its hand-over */
    gint has_failed;                        /* atomic: to take it, and that was told */
    gboolean is_ending, is_asked;           /* is_asked: look now */
    GThread *thread;
};

/* The guard of the volume, asked before each write of its catalogue, of any thread: only while the
 * lease is held, is not being handed on, and no other host can have it by the clock. */
bool mig_role_may_write(gpointer role);
/* Waits for the turn: no change is under way. FALSE: not within wait_ms. */
gboolean mig_role_lock_turn(MigRole *role, guint wait_ms);
void mig_role_unlock_turn(MigRole *role);
/* Turn held. Does the LUN still say that it is ours? Renews the guard's clock, or drops the role.
 */
gboolean mig_role_verify(MigRole *role);
/* The same without the turn, while a change is under way: it goes on only as long as this says so.
 */
void mig_role_look_on(MigRole *role);
/* Turn held: takes the lease if it is free. FALSE without an error: another one has it. */
gboolean mig_role_acquire(MigRole *role, GError **error);
/* The role was taken: a little later what its last holder has left half written is made whole. */
void mig_role_settle(MigRole *role);
/* Turn held. */
void mig_role_release(MigRole *role);
/* Not ours any more, turn or not: a change under way begins no further write. The lease goes back
 * with the turn, for the write that is under way may still land. */
void mig_role_drop(MigRole *role, const char *why);
/* role-watch.c: looks after the role until is_ending. */
gpointer mig_role_watch(gpointer role);
/* To whom an orderly end gives it; NULL: nobody there. g_free(). */
char *mig_role_heir(MigRole *role);
