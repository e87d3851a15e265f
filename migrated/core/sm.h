/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sm.h - a state machine as a constant table. */
#pragma once

#include <glib.h>

/*
 * A machine is a table: for each state its name, which states may follow, and whether it is an end.
 * Moving through anything else is a programming error and aborts: restart and journal are the
 * tested way out of that.
 */

typedef struct {
    const char *name;
    guint32 allowed; /* bit per next state */
    gboolean is_initial;
    gboolean is_final;
} MigSmState;

#define MIG_SM_BIT(state) (1u << (state))

typedef struct {
    const char *name;
    const MigSmState *states;
    guint count;
} MigSm;

gboolean mig_sm_is_allowed(const MigSm *sm, guint from, guint to);
/* Aborts where the table forbids the step; logs it. id and why are for the log. */
void mig_sm_move(const MigSm *sm, const char *id, guint *state, guint to, const char *why);
/* By name; count where there is none. */
guint mig_sm_find(const MigSm *sm, const char *name);
