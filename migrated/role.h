/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* role.h - being coordinator of a volume: taking the role, holding it, giving it on. */
#pragma once

#include "volumes.h"

/*
 * The coordinator of a volume holds its coordinator lease, and it alone changes the catalogue. The
 * lease is the whole truth: who has it is read from the LUN, nobody announces it.
 *
 * Held means: sanlock gave the lease to this process; the LUN says still that this start of this
 * host has it, in the version that was taken; and this host's own lease was renewed so lately that
 * no sanlock may have called it dead. The last is a clock that is looked at before each single
 * write: a node that was frozen, and wakes when another one coordinates, writes nothing.
 *
 * With [volumes] standing_coordinator=no, and while a node is up whose version knows of none,
 * nobody stays coordinator: the lease is taken for one change by whoever makes it, and given back.
 * So does a node that reaches no other one: it gives the role to those that reach one another.
 * mig_role_may_stand() says which of the two it is; mig_role_need() does nothing then.
 *
 * Any thread. What takes, verifies, gives or ends the role blocks on the LUN.
 */
/* The role of one volume begins with its attachment; its thread looks after it. */
MigRole *mig_role_start(MigDaemon *daemon, MigAttached *attached);
/* Is this node coordinator, as far as it knows? */
gboolean mig_role_is_held(MigRole *role);
/* Version of the lease that it holds; 0: none. */
guint64 mig_role_version(MigRole *role);
/* Ends it in an orderly way: another node gets the role, if this one has it.
 * MIG_ERROR_COORDINATOR_BUSY: a change does not end, the role stays; mig_role_resume(). */
gboolean mig_role_end(MigRole *role, GError **error);
/* An end that did not come to anything, for the volume stays attached. */
void mig_role_resume(MigRole *role);
/* With its volume, when nobody has a reference to that any more. */
void mig_role_free(MigRole *role);
/* The same for all volumes, as the daemon stops. At most some seconds, whatever hangs. */
void mig_role_end_all(MigDaemon *daemon);

/* For one change: waits for its turn, then for wait_ms at most. TRUE: this node is coordinator, no
 * other change is under way, and *epoch is what it writes as; mig_role_leave() ends that.
 * for_the_moment: takes the role where it is free. FALSE without an error: another node has it. */
gboolean mig_role_enter(MigRole *role, guint wait_ms, gboolean for_the_moment, MigEpoch *epoch,
                        GError **error);
void mig_role_leave(MigRole *role);
/* A write was refused, for somebody else has written: this node has the role no more. */
void mig_role_lost(MigRole *role);

/* Whom to ask: the coordinator's name by the LUN, or whom this node has just given it to; NULL:
 * nobody. g_free(). */
char *mig_role_coordinator(MigRole *role);
/* May a coordinator stay? FALSE: see above. */
gboolean mig_role_may_stand(MigRole *role);
/* Has this node had no answer from any other for [failover] isolated_after_ms, whosever cut that is
 * (core/failover.h)? Where one of two stayed coordinator the other one could change nothing. Any
 * thread. */
gboolean mig_role_is_cut_off(MigRole *role);
/* A change waits and nobody coordinates: takes the role unless another node is to have it first. */
void mig_role_need(MigRole *role);
/* Takes it as soon as it is free, within wait_ms. MIG_ERROR_COORDINATOR_BUSY: it is not. */
gboolean mig_role_take(MigRole *role, guint wait_ms, GError **error);
/* Gives it to that node: a change under way gets a moment to end, or is broken off before its next
 * write. FALSE without an error: this node does not have it. */
gboolean mig_role_give(MigRole *role, const char *node, GError **error);
