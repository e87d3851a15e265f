/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt-stopped.c - the disks of a domain that does not run are copied, and it must not start. */
#include "adopt-private.h"

#include "base/error.h"
#include "copies.h"

#include <sys/stat.h>

typedef struct {
    gint64 size, changed_ns;
} Stamp;

/* Of a file that nobody writes it does not change; of a device it says little, but QEMU's own locks
 * keep a second one away from both. */
static Stamp
stamp_of(const char *path)
{
    struct stat st = {0};

    if (stat(path, &st) < 0)
        return (Stamp){-1, 0};
    return (Stamp){st.st_size, (gint64)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
}

static gboolean
is_still_stopped(MigAdopt *adopt, GError **error)
{
    MigDomainState state = MIG_DOMAIN_UNKNOWN;

    if (!adopt->daemon->hv->get_state(adopt->daemon->hv->self, adopt->plan->name, adopt->plan->uuid,
                                      &state, error))
        return FALSE;
    if (state == MIG_DOMAIN_ABSENT)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                "%s was started while its disks were copied; nothing has changed: stop it and try "
                "again, or adopt it as it runs",
                adopt->plan->name);
    return FALSE;
}

static gboolean
is_cancelled(gpointer user_data)
{
    return mig_adopt_is_cancelled(user_data, NULL);
}

static gboolean
copy_disk(MigAdopt *adopt, guint i, GError **error)
{
    MigCopyHooks hooks = {
        .progress = mig_adopt_progress, .is_cancelled = is_cancelled, .user_data = adopt};
    const MigAdoptDisk *disk = mig_adopt_disk(adopt, i);
    Stamp before = stamp_of(disk->path), after;
    MigCsv *csv = mig_attached_csv(adopt->attached);
    g_autofree char *device = NULL;

    if (!mig_csv_activate(csv, mig_adopt_image(disk), TRUE, &device, error))
        return FALSE;
    gboolean ok = mig_copies_into_image(adopt->daemon, mig_csv_name(csv), disk->path, disk->format,
                                        device, MIG_COPY_FILES, &hooks, error);

    if (!mig_csv_deactivate(csv, mig_adopt_image(disk), NULL, ok ? error : NULL) || !ok)
        return FALSE;
    after = stamp_of(disk->path);
    if (before.size == after.size && before.changed_ns == after.changed_ns)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                "%s was written to while it was copied; nothing has changed: find out who uses it, "
                "and try again",
                disk->path);
    return FALSE;
}

/* The lease is ours meanwhile: nobody takes the images away. */
static gboolean
copy_stopped(MigAdopt *adopt, GError **error)
{
    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        if (!copy_disk(adopt, i, error))
            return FALSE;
        adopt->base_bytes += adopt->sizes[i];
    }
    return is_still_stopped(adopt, error);
}

/* Their devices are there before the local definition names them: killed behind the turn, the
 * domain can be started still. They go when libvirt has let go of it. */
static gboolean
activate(MigAdopt *adopt, GError **error)
{
    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        if (!mig_csv_activate(mig_attached_csv(adopt->attached),
                              mig_adopt_image(mig_adopt_disk(adopt, i)), TRUE, NULL, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
mig_adopt_stopped(MigAdopt *adopt, gboolean *is_past, GError **error)
{
    gboolean ok;

    if (!mig_sanlock_acquire(adopt->daemon->sanlock, adopt->lease, error))
        return FALSE;
    ok = copy_stopped(adopt, error) && activate(adopt, error) && mig_adopt_turn(adopt, error);
    if (ok) {
        /* started after the last look and before the turn, it runs from its old disks */
        ok = is_still_stopped(adopt, error) &&
             mig_adopt_commit(adopt, adopt->plan->xml, FALSE, 0, error);
        *is_past = !ok && !mig_adopt_turn_back(adopt);
    }
    mig_sanlock_release(adopt->daemon->sanlock, adopt->lease, NULL);
    return ok;
}
