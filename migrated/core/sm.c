/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sm.c - moving through a table state machine. */
#include "core/sm.h"

gboolean
mig_sm_is_allowed(const MigSm *sm, guint from, guint to)
{
    return from < sm->count && to < sm->count && (sm->states[from].allowed & MIG_SM_BIT(to)) != 0;
}

void
mig_sm_move(const MigSm *sm, const char *id, guint *state, guint to, const char *why)
{
    if (!mig_sm_is_allowed(sm, *state, to))
        g_error("%s %s: no way from state %u to %u (%s)", sm->name, id, *state, to, why);
    g_debug("%s %s: %s -> %s: %s", sm->name, id, sm->states[*state].name, sm->states[to].name, why);
    *state = to;
}

guint
mig_sm_find(const MigSm *sm, const char *name)
{
    guint i = 0;

    while (i < sm->count && g_strcmp0(sm->states[i].name, name) != 0)
        i++;
    return i;
}
