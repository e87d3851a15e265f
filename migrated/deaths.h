/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* deaths.h - how often each node has died lately, as this node has seen it. */
#pragma once

#include "daemon.h"

/*
 * A node that comes back and dies again takes VMs down with it each time. What it takes to tell is
 * in the time line (events.h) anyway: from there it is known again after a restart of the daemon.
 * Any thread.
 */

typedef struct MigDeaths MigDeaths;

/* Reads what the time line has: events come first. */
MigDeaths *mig_deaths_new(MigDaemon *daemon);
/* It has just died. */
void mig_deaths_add(MigDeaths *deaths, const char *node);
/* Nothing is held against it any more; told in the time line. */
void mig_deaths_pardon(MigDeaths *deaths, const char *node);
gboolean mig_deaths_is_flapping(MigDeaths *deaths, const char *node);
