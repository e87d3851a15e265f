/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coordinator.c - the rules of coordinator.h. */
#include "core/coordinator.h"

static const MigCoordinatorNode *
find(const MigCoordinatorNode *nodes, guint count, const char *name)
{
    for (guint i = 0; i < count; i++) {
        if (g_str_equal(nodes[i].name, name))
            return &nodes[i];
    }
    return NULL;
}

static gboolean
comes_before(const MigCoordinatorNode *a, const MigCoordinatorNode *b)
{
    return a->volumes < b->volumes || (a->volumes == b->volumes && a->host_id < b->host_id);
}

gint
mig_coordinator_rank(const MigCoordinatorNode *nodes, guint count, const char *name)
{
    const MigCoordinatorNode *self = find(nodes, count, name);
    gint rank = 0;

    if (!self || (!self->is_usable && !self->is_draining))
        return -1;
    for (guint i = 0; i < count; i++) {
        const MigCoordinatorNode *node = &nodes[i];

        if (self->is_usable)
            rank += node->is_usable && comes_before(node, self);
        else
            rank += node->is_usable || (node->is_draining && comes_before(node, self));
    }
    return rank;
}

const char *
mig_coordinator_surplus(const MigCoordinatorNode *nodes, guint count, const char *coordinator)
{
    const MigCoordinatorNode *self = find(nodes, count, coordinator), *least = NULL;
    gboolean is_first = TRUE;

    for (guint i = 0; i < count; i++) {
        const MigCoordinatorNode *node = &nodes[i];

        if (!node->is_usable || node == self)
            continue;
        if (!least || comes_before(node, least))
            least = node;
        if (self && (node->volumes > self->volumes ||
                     (node->volumes == self->volumes && node->host_id < self->host_id)))
            is_first = FALSE;
    }
    if (!self || !least)
        return NULL;
    if (!self->is_usable)
        return least->name;
    return is_first && self->volumes >= least->volumes + 2 ? least->name : NULL;
}

gboolean
mig_coordinator_gives_up(const MigCoordinatorBeat *beat)
{
    if (beat->has_failed)
        return TRUE;
    return beat->is_late && (!beat->is_changing || beat->left_ms < beat->lease_ms / 4);
}
