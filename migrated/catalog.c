/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* catalog.c - taking turns as coordinator. */
#include "catalog.h"

#include "base/error.h"
#include "core/timeouts.h"

#define RETRY_MS 50

/* The lease belongs to the process: threads of it have to take turns by themselves. */
static GMutex turn;

static gboolean
acquire(MigCatalog *catalog, GError **error)
{
    MigSanlock *sanlock = catalog->daemon->sanlock;
    gint64 deadline = g_get_monotonic_time() + MIG_COORDINATOR_WAIT_MS * 1000;

    for (;;) {
        g_autoptr(GError) refused = NULL;
        g_autofree char *owner_name = NULL;
        MigLeaseOwner owner = {0};

        if (mig_sanlock_acquire(sanlock, catalog->lease, &refused))
            return TRUE;
        if (!g_error_matches(refused, MIG_ERROR, MIG_ERROR_LEASE_HELD)) {
            g_propagate_error(error, g_steal_pointer(&refused));
            return FALSE;
        }
        if (g_get_monotonic_time() < deadline) {
            /* not in step with the others that wait */
            g_usleep((gulong)(RETRY_MS + g_random_int_range(0, RETRY_MS)) * 1000);
            continue;
        }
        mig_csv_coordinator_owner(mig_attached_csv(catalog->attached), &owner, NULL);
        owner_name = mig_attached_owner_name(catalog->attached, &owner, NULL);
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY,
            "%s has been coordinating volume %s for %d s, and does not let go; try again, or "
            "look at that node",
            owner_name ? owner_name : "another node", mig_attached_name(catalog->attached),
            MIG_COORDINATOR_WAIT_MS / 1000);
        return FALSE;
    }
}

MigCatalog *
mig_catalog_begin(MigDaemon *daemon, MigAttached *attached, GError **error)
{
    MigCatalog *catalog = g_new0(MigCatalog, 1);
    MigLeaseOwner owner = {0};

    catalog->attached = mig_attached_ref(attached);
    catalog->daemon = daemon;
    catalog->lease = mig_csv_coordinator_lease(mig_attached_csv(attached));
    g_mutex_lock(&turn);
    if (acquire(catalog, error)) {
        if (mig_csv_coordinator_owner(mig_attached_csv(attached), &owner, error)) {
            catalog->epoch = (MigEpoch){.version = owner.version,
                                        .host_generation = owner.host_generation,
                                        .host_id = daemon->host_id};
            return catalog;
        }
        mig_sanlock_release(daemon->sanlock, catalog->lease, NULL);
    }
    g_mutex_unlock(&turn);
    mig_attached_unref(catalog->attached);
    mig_lease_free(catalog->lease);
    g_free(catalog);
    return NULL;
}

void
mig_catalog_end(MigCatalog *catalog)
{
    g_autoptr(GError) error = NULL;

    if (!catalog)
        return;
    if (!mig_sanlock_release(catalog->daemon->sanlock, catalog->lease, &error))
        g_warning("coordinator lease of %s: %s", mig_attached_name(catalog->attached),
                  error->message);
    g_mutex_unlock(&turn);
    mig_attached_unref(catalog->attached);
    mig_lease_free(catalog->lease);
    g_free(catalog);
}
