/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tries.c - the book-keeping of tries.h. */
#include "core/tries.h"

#include "core/timeouts.h"

void
mig_try_ask(MigTry *one, guint64 lease_version, gint64 now_ms)
{
    one->asked_version = lease_version;
    one->asked_ms = now_ms;
}

void
mig_try_down(MigTry *one, guint64 lease_version, guint limit, gint64 now_ms, MigPlaceVm *vm)
{
    if (!one->down_ms || one->down_version != lease_version) {
        /* it has run since, and another node may have restarted it meanwhile */
        if (one->done_ms && now_ms - one->done_ms > MIG_RECOVERY_FORGET_MS) {
            one->attempts = one->passing = one->not_host_id = 0;
            one->next_ms = one->passing_ms = 0;
            one->has_failed = one->is_passing = one->is_locked = FALSE;
        }
        one->down_ms = now_ms;
        one->down_version = lease_version;
    }
    if (vm->down == MIG_DOWN_CRASH && one->asked_ms &&
        now_ms - one->asked_ms <= MIG_AGAIN_VALID_MS &&
        (!one->asked_version || one->asked_version == lease_version))
        vm->down = MIG_DOWN_DISK;
    if (vm->down == MIG_DOWN_CRASH && one->has_failed)
        vm->down = one->failed_after;
    vm->is_held = vm->down == MIG_DOWN_CRASH && now_ms - one->down_ms < MIG_RECOVERY_CRASH_MS;
    vm->attempts = one->attempts;
    vm->wait_ms = MAX(one->next_ms - now_ms, 0);
    vm->not_host_id = one->not_host_id;
    vm->is_locked = one->is_locked;
    one->is_given_up = one->attempts >= limit;
}

void
mig_try_done(MigTry *one, MigDown down, gboolean has_started, guint32 host_id, gint64 now_ms)
{
    one->done_ms = now_ms;
    one->is_locked = one->is_passing = FALSE;
    one->not_host_id = has_started ? 0 : host_id;
    one->has_failed = !has_started;
    one->failed_after = down;
    if (has_started) {
        one->asked_ms = one->passing_ms = 0;
        one->passing = 0;
    }
    if (has_started && down == MIG_DOWN_NODE)
        return;
    one->attempts++;
    one->next_ms = now_ms + mig_place_backoff_ms(one->attempts);
}

gboolean
mig_try_passing(MigTry *one, MigDown down, gboolean is_locked, guint32 host_id, gint64 now_ms)
{
    gboolean is_new = !one->is_passing || one->is_locked != is_locked;

    if (!one->passing_ms)
        one->passing_ms = now_ms;
    if (now_ms - one->passing_ms > MIG_RECOVERY_PASSING_MS) {
        mig_try_done(one, down, FALSE, host_id, now_ms);
        is_new = TRUE;
    } else {
        one->is_passing = TRUE;
        one->done_ms = now_ms;
        one->has_failed = TRUE;
        one->failed_after = down;
        one->passing++;
        one->next_ms =
            now_ms + MIN(mig_place_backoff_ms(one->passing), MIG_RECOVERY_PASSING_AGAIN_MS);
    }
    one->is_locked = is_locked;
    return is_new;
}

gboolean
mig_try_up(MigTry *one, gint64 now_ms)
{
    one->down_ms = one->asked_ms = one->passing_ms = 0;
    one->passing = 0;
    one->is_locked = one->is_passing = FALSE;
    /* the lease of a start that has just failed may still be seen */
    if (now_ms - one->done_ms > MIG_RECOVERY_SETTLE_MS)
        one->has_failed = FALSE;
    return one->is_given_up || !one->done_ms || now_ms - one->done_ms > MIG_RECOVERY_FORGET_MS;
}
