/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-source.h - runs one move, on the node where the VM runs. */
#pragma once

#include "core/hv.h"
#include "core/peer.h"
#include "core/store.h"
#include "core/volume.h"

/* What the job looks like to others changes only inside update(), which the owner of the job
 * table locks; watchers are told afterwards. */
typedef struct {
    const MigHv *hv;
    const MigPeer *peer;
    const MigVolumePort *volume;
    const MigStore *store;
    const MigClock *clock;

    const char *node; /* this one */
    guint32 host_id;
    const char *cpu_vendor;
    const char *migration; /* this node's migration address/prefix */

    /* What the target must be asked for: appends to checks. FALSE: it could not be found out. */
    gboolean (*check_target)(gpointer self, MigJob *job, GPtrArray *checks, GError **error);
    /* What this move may send now, bytes a second; 0: no limit. See core/bandwidth.h. */
    guint64 (*bandwidth)(gpointer self);
    /* As the volumes show it now; 0: not seen, as in the first moments of a daemon. */
    guint32 (*target_host_id)(gpointer self);
    void (*look_at_target)(gpointer self, gboolean *is_known, gboolean *is_up);
    /* Fills encrypts and target_encrypts; what it returns is encryption_problem. g_free(). */
    char *(*look_at_encryption)(gpointer self, MigSourceFacts *facts);
    /* The fingerprint that the target has to know of this node. g_free(). */
    char *(*certificate)(gpointer self);
    /* Makes sure that this node's QEMU accepts that certificate of the target's. */
    gboolean (*trust_target)(gpointer self, const char *certificate, GError **error);
    /* Fills job->forecast, with what is known at once. */
    void (*forecast)(gpointer self, MigJob *job);
    guint channels; /* connections of a move that cannot use post-copy; 0: one */
    /* Is it proven that nothing of the target's runs any more? */
    gboolean (*is_target_dead)(gpointer self);
    /* Its memory is lost: whoever restarts for its volume shall start it, as its policy says.
     * FALSE: what that policy is cannot be read now; ask again. */
    gboolean (*restart)(gpointer self, const MigJob *job);
    /* FALSE: another waiting job of this node goes first on that pair; *turn says which. */
    gboolean (*may_ask)(gpointer self, MigTurn *turn);
    void (*lock)(gpointer self);
    void (*unlock_and_tell)(gpointer self);
    gboolean (*is_cancelled)(gpointer self);
    gpointer self;
} MigJobEnv;

/*
 * Runs job from its state to its end; blocks; one thread per job. At return the job has ended, and
 * what it says is true: see core/recover.h. The state table in job-states.h says what happens to a
 * job whose process dies anywhere in here.
 */
void mig_job_run(MigJob *job, const MigJobEnv *env);

/* What a restarted daemon calls for a job of its journal that has not ended. */
void mig_job_resume(MigJob *job, const MigJobEnv *env);
