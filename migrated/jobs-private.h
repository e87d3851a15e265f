/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs-private.h - one entry of the table of jobs; for jobs*.c. */
#pragma once

#include "core/job-source.h"
#include "jobs.h"
#include "watchers.h"

typedef struct {
    MigJobs *jobs;
    MigJob *job;
    MigWatchers *watchers;
    gboolean is_cancelled;
    gboolean is_woken;        /* a sleep that begins now is over at once */
    gboolean has_left_line;   /* those behind it know */
    gboolean is_running;      /* its thread still uses it, whatever the job's state */
    gboolean is_slow;         /* its clean-up behind the VM's arrival was waited for in vain */
    gboolean is_from_journal; /* of an earlier life: to be taken up */
    gint64 told_ms;
    guint told_state;
    gboolean told_arrival;
    GCond wake;
    /* for the environment of core/job-source.h */
    char *cpu_vendor;
    gboolean is_resumed;
} MigJobEntry;

struct MigJobs {
    MigDaemon *daemon;
    GMutex lock;
    GPtrArray *entries; /* MigJobEntry, oldest first */
    GCond changed;      /* a job has another state */
    GHashTable *held;   /* names of VMs that are being started or stopped */
    guint64 next;       /* number of the next id */
    MigVolumePort volume_port;
    gint running; /* atomic: threads */
};

/* Wall clock. */
gint64 mig_jobs_now_ms(void);
/* Of an entry that is in no table: all checks of such a move. Blocks. */
void mig_job_entry_check(MigJobEntry *entry, GPtrArray *checks);
/* Lock held. Its thread begins. */
void mig_job_entry_run(MigJobEntry *entry);
/* Lock held. Ends its sleep, or the next one. */
void mig_job_entry_wake(MigJobEntry *entry);
/* Lock held. Has it not begun to touch anything? */
gboolean mig_job_entry_is_waiting(const MigJobEntry *entry);
/* What that move will take. is_patient: what is not known is measured, which blocks for a second or
 * two; else what is known has to do. The job is in no table, or the caller is its thread. */
void mig_job_forecast(MigJobs *jobs, const MigJob *job, gboolean is_patient, MigForecast *forecast);
/* What core asks of volumes. */
MigVolumePort mig_jobs_volume_port(MigDaemon *daemon);
