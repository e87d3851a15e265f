/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* catalog.c - changing a catalogue here and now: this node becomes coordinator. */
#include "catalog.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "role.h"

#define TURN_MS 1000

/* Whoever has it hands it over; nobody does: it is taken in turn. */
static void
fetch(MigDaemon *daemon, MigRole *role, const char *volume)
{
    g_autofree char *name = mig_role_coordinator(role);
    MigCoordinatorRequest request = {.name = (char *)volume, .node = (char *)daemon->node};
    g_autoptr(MigEmpty) reply = NULL;

    if (name && !g_str_equal(name, daemon->node))
        reply =
            mig_peer_rpc_call(daemon->peer, name, "GiveCoordinator", &mig_type_CoordinatorRequest,
                              &request, &mig_type_Empty, MIG_PEER_CALL_MS, NULL);
    else
        mig_role_need(role);
}

static gboolean
enter(MigDaemon *daemon, MigAttached *attached, MigEpoch *epoch, GError **error)
{
    MigRole *role = mig_attached_role(attached);
    gint64 deadline = g_get_monotonic_time() + MIG_COORDINATOR_WAIT_MS * 1000;
    g_autofree char *name = NULL;

    do {
        gboolean is_alone = !mig_role_may_stand(role);
        g_autoptr(GError) failed = NULL;

        if (mig_role_enter(role, is_alone ? MIG_COORDINATOR_WAIT_MS : TURN_MS, is_alone, epoch,
                           &failed))
            return TRUE;
        if (failed) {
            g_propagate_error(error, g_steal_pointer(&failed));
            return FALSE;
        }
        if (!is_alone)
            fetch(daemon, role, mig_attached_name(attached));
        g_usleep((gulong)g_random_int_range(10, 50) * 1000);
    } while (g_get_monotonic_time() < deadline);
    name = mig_role_coordinator(role);
    g_set_error(error, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY,
                "%s has been coordinating volume %s for %d s, and does not let go; try again, or "
                "look at that node",
                name ? name : "another node", mig_attached_name(attached),
                MIG_COORDINATOR_WAIT_MS / 1000);
    return FALSE;
}

MigCatalog *
mig_catalog_begin(MigDaemon *daemon, MigAttached *attached, GError **error)
{
    MigCatalog *catalog;
    MigEpoch epoch;

    if (!enter(daemon, attached, &epoch, error))
        return NULL;
    catalog = g_new0(MigCatalog, 1);
    catalog->attached = mig_attached_ref(attached);
    catalog->daemon = daemon;
    catalog->epoch = epoch;
    return catalog;
}

void
mig_catalog_end(MigCatalog *catalog)
{
    if (!catalog)
        return;
    mig_role_leave(mig_attached_role(catalog->attached));
    mig_attached_unref(catalog->attached);
    g_free(catalog);
}
