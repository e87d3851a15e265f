/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ports.h - what the files of the fake ports share. */
#pragma once

#include "world-physics.h"

#include <pthread.h>

/*
 * What a real process has of its own: threads and locks. Only one thread is awake at a time: the
 * job's in migrate() hands the turn to the monitor when that one's sleep is over, and waits until
 * it sleeps again. So a run depends on its plan alone.
 */
typedef struct {
    World *world;
    pthread_mutex_t lock; /* not GMutex: the thread sanitizer does not know that */
    pthread_cond_t turn;
    GThread *job_thread;
    gboolean is_monitor_asleep, is_monitor_turn, is_monitor_woken;
    gint64 monitor_until_ms;
    gboolean has_told_arrival;
    pthread_mutex_t job_lock; /* as the owner of the job table would have */
    MigJob *job;
} Process;

typedef struct {
    guint number;
    gboolean fails;
    FailKind kind;
} Call;

/* Each call of a port begins and ends with these: it may fail, be the last one, or take long. */
Call port_call_begin(Process *process, const char *name);
/* TRUE: the caller is told that it went well. */
gboolean port_call_end(Process *process, const Call *call, GError *why, GError **error);
gboolean port_has_effect(const Call *call);
GError *port_stopped(void);
GError *port_unreachable(void);
gboolean port_is_target_there(const World *world);

MigHv world_hv(Process *process);
