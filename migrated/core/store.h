/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store.h - ports: the journal of jobs, and the clock. */
#pragma once

#include "core/job.h"

typedef struct {
    gpointer self;
    /* On disk, synced, before it returns. */
    gboolean (*save)(gpointer self, const MigJob *job, GError **error);
} MigStore;

typedef struct {
    gpointer self;
    gint64 (*wall_ms)(gpointer self);      /* since 1970, for people */
    gint64 (*monotonic_ms)(gpointer self); /* for decisions */
    /* Sleeps, or returns early when something about the job changed (cancel), or by wake(). */
    void (*sleep_ms)(gpointer self, guint ms);
    /* Ends the sleep of another thread of the same job. */
    void (*wake)(gpointer self);
} MigClock;
