/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs.h - the moves that start on this node: table, threads, watchers. */
#pragma once

#include "daemon.h"
#include "rpc/server.h"
#include "vms.h"

/*
 * Each running move is one thread in core/job-source.c. What others see of a job is read and
 * changed under this table's lock only; watchers get a copy after each change.
 */
MigJobs *mig_jobs_new(MigDaemon *daemon);
void mig_jobs_free(MigJobs *jobs);
/* Takes up what the journal says was under way; call once, when volumes and libvirt are there. */
void mig_jobs_recover(MigJobs *jobs);

/* Begins a move of a VM that runs here, or puts it into the queue. MIG_ERROR_QUEUE_FULL. The id,
 * g_free(). */
char *mig_jobs_move(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
                    const MigVm *vm, GError **error);
/* One that somebody does past us, with virsh: a job that never waits, with all checks and
 * preparations; it is libvirt that performs it, once this has returned. The id, g_free(). Blocks.
 */
char *mig_jobs_follow(MigJobs *jobs, const char *target, const MigRunning *running, const MigVm *vm,
                      GError **error);
/* What mig_jobs_move() would find, and no move; and what that would take. is_patient: as of
 * mig_job_forecast(). GPtrArray of MigCheck, or
 * NULL where the request makes no sense. Blocks. */
GPtrArray *
mig_jobs_check(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
               const MigVm *vm, gboolean is_patient, MigForecast *forecast, GError **error);
/* The latter alone, by what is known; quick. */
void mig_jobs_forecast(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
                       const MigVm *vm, MigForecast *forecast);
/* Of a job that has ended: without the time in line. */
gint64 mig_job_moving_ms(const MigApiJob *job);
/* Of its lease, up to which moves of that VM from here have found that nobody else let it run; 0:
 * no move of it is known. */
guint64 mig_jobs_lease_version(MigJobs *jobs, const char *uuid);
/* Is it being moved from here? One that waits for its turn is not. */
gboolean mig_jobs_has_vm(MigJobs *jobs, const char *vm);
/* Waits while a move of it from here has arrived and is not yet cleaned up behind, for two seconds
 * at most: whoever was told that it has arrived may ask for the next thing at once. */
void mig_jobs_await_arrived(MigJobs *jobs, const char *vm);
/* Start, stop and move of one VM exclude each other on a node: MIG_ERROR_VM_BUSY. */
gboolean mig_jobs_hold_vm(MigJobs *jobs, const char *vm, GError **error);
void mig_jobs_let_vm_go(MigJobs *jobs, const char *vm);
/* MIG_ERROR_JOB_UNKNOWN */
MigApiJob *mig_jobs_get(MigJobs *jobs, const char *id, GError **error);
/* GPtrArray of MigApiJob, newest last, without their checks. */
GPtrArray *mig_jobs_list(MigJobs *jobs, gboolean only_running);
/* MIG_ERROR_JOB_ENDED where there is nothing to cancel any more. */
gboolean mig_jobs_cancel(MigJobs *jobs, const char *id, GError **error);
/* One whose link was lost in its post-copy phase takes it up again, soon. */
gboolean mig_jobs_resume(MigJobs *jobs, const char *id, GError **error);
/* What the target takes of that job from now on; 0: no limit. FALSE: its target is another node, or
 * it is not known. */
gboolean mig_jobs_grant(MigJobs *jobs, const char *id, const char *target, guint64 bytes_s);
/* Another bandwidth or downtime for a job that has not ended; what is 0 stays. MIG_ERROR_JOB_ENDED,
 * MIG_ERROR_BAD_VALUE. Told to QEMU by the job's own thread, journal first. */
gboolean mig_jobs_set(MigJobs *jobs, const MigSetJobRequest *request, GError **error);
/* It may be this waiting job's turn now. Unknown is fine. */
void mig_jobs_wake(MigJobs *jobs, const char *id);
/* libvirt may be through with this VM's move. */
void mig_jobs_wake_vm(MigJobs *jobs, const char *vm);
/* Is it being started or stopped here? */
gboolean mig_jobs_is_held(MigJobs *jobs, const char *vm);
/* Takes the call: streams the job to it until it has ended, or the client has gone (watchers.h).
 * is_move: a failed job fails the call. */
void mig_jobs_watch(MigJobs *jobs, const char *id, MigRpcCall *call, gboolean is_move);
/* Node part of "nodeA-17"; NULL where the id has none. g_free(). */
char *mig_jobs_node_of(const char *id);
