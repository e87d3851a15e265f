/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-starts.c - a start that does not end keeps no other one waiting, and is told of once. */
#include "starts.h"

#include "base/error.h"
#include "core/timeouts.h"

#define SLOW 8 /* as many as run side by side */

typedef struct {
    MigStarts *starts;
    GMutex lock;
    GCond changed;
    gboolean is_open; /* slow ones may end */
    guint begun, over;
    GPtrArray *told; /* "VM: how" */
} Fixture;

static gboolean
run(const MigStart *start, gpointer data, GError **error)
{
    Fixture *f = data;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&f->lock);

    f->begun++;
    g_cond_broadcast(&f->changed);
    while (g_str_has_prefix(start->vm, "slow") && !f->is_open)
        g_cond_wait(&f->changed, &f->lock);
    f->over++;
    g_cond_broadcast(&f->changed);
    if (!g_str_equal(start->vm, "bad"))
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_LEASE_HELD, "no");
    return FALSE;
}

static void
ended(const MigStart *start, const GError *error, gpointer data)
{
    Fixture *f = data;

    g_mutex_lock(&f->lock);
    g_ptr_array_add(f->told, g_strdup_printf("%s on %s: %s", start->vm, start->node,
                                             error ? mig_error_name(error->code) : "runs"));
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    g_mutex_init(&f->lock);
    g_cond_init(&f->changed);
    f->told = g_ptr_array_new_with_free_func(g_free);
    f->starts = mig_starts_new(run, ended, f);
}

/* A daemon has one as long as it lives: none is freed, so threads that end late find it. */
static void
tear_down(Fixture *f, gconstpointer data)
{
    g_ptr_array_unref(f->told);
}

static void
begin(Fixture *f, const char *vm, guint64 serial)
{
    MigStart *start = g_new0(MigStart, 1);

    start->vm = g_strdup(vm);
    start->node = g_strdup("nodeA");
    start->serial = serial;
    mig_starts_begin(f->starts, start);
}

static void
begin_slow(Fixture *f)
{
    for (guint i = 0; i < SLOW; i++)
        begin(f, "slow", i + 1);
}

/* Until that many have begun, are over, and were told of; 10 s. */
static gboolean
waits(Fixture *f, guint begun, guint over, guint told)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&f->lock);
    gint64 until = g_get_monotonic_time() + 10 * G_TIME_SPAN_SECOND;

    while (f->begun != begun || f->over != over || f->told->len != told)
        if (!g_cond_wait_until(&f->changed, &f->lock, until)) {
            g_test_message("begun %u, over %u, told %u", f->begun, f->over, f->told->len);
            return FALSE;
        }
    return TRUE;
}

/* Nothing else has its turn from then on. */
static void
fill(Fixture *f)
{
    begin_slow(f);
    g_assert_true(waits(f, SLOW, 0, 0));
}

static void
open_all(Fixture *f)
{
    g_mutex_lock(&f->lock);
    f->is_open = TRUE;
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
}

static gint64
late(void)
{
    return g_get_monotonic_time() + (MIG_START_LATE_MS + 1000) * (gint64)1000;
}

static const char *
told(Fixture *f, guint i)
{
    return g_ptr_array_index(f->told, i);
}

static void
test_ends(Fixture *f, gconstpointer data)
{
    begin(f, "good", 1);
    g_assert_true(waits(f, 1, 1, 1));
    begin(f, "bad", 2);
    g_assert_true(waits(f, 2, 2, 2));
    g_assert_cmpstr(told(f, 0), ==, "good on nodeA: runs");
    g_assert_cmpstr(told(f, 1), ==, "bad on nodeA: LeaseHeld");
    mig_starts_expire(f->starts, late());
    g_assert_cmpuint(f->told->len, ==, 2);
}

static void
test_late(Fixture *f, gconstpointer data)
{
    fill(f);
    begin(f, "good", 100);
    mig_starts_expire(f->starts, g_get_monotonic_time());
    g_assert_true(waits(f, SLOW, 0, 0)); /* it waits, and so far none is late */
    mig_starts_expire(f->starts, late());
    g_assert_true(waits(f, SLOW + 1, 1, SLOW + 1));
    for (guint i = 0, slow = 0, good = 0; i < f->told->len; i++) {
        slow += g_str_equal(told(f, i), "slow on nodeA: Timeout");
        good += g_str_equal(told(f, i), "good on nodeA: runs");
        g_assert_true(i + 1 < f->told->len || (slow == SLOW && good == 1));
    }
    mig_starts_expire(f->starts, late());
    open_all(f);
    g_assert_true(waits(f, SLOW + 1, SLOW + 1, SLOW + 1)); /* nobody is told twice */
}

/* What has its turn only later counts from then. */
static void
test_not_begun_is_not_late(Fixture *f, gconstpointer data)
{
    fill(f);
    begin(f, "slow next", 100);
    mig_starts_expire(f->starts, late());
    g_assert_true(waits(f, SLOW + 1, 0, SLOW));
    open_all(f);
    g_assert_true(waits(f, SLOW + 1, SLOW + 1, SLOW + 1));
    g_assert_cmpstr(told(f, SLOW), ==, "slow next on nodeA: runs");
}

static void
test_abandoned(Fixture *f, gconstpointer data)
{
    fill(f);
    begin(f, "good", 100);
    begin(f, "good", 101);
    mig_starts_abandon(f->starts, 100); /* before its turn */
    mig_starts_abandon(f->starts, 1);
    mig_starts_abandon(f->starts, 1); /* is no second place */
    g_assert_true(waits(f, SLOW + 1, 1, 1));
    begin_slow(f);
    g_assert_true(waits(f, SLOW + 2, 1, 1));
    open_all(f);
    g_assert_true(waits(f, 2 * SLOW + 1, 2 * SLOW + 1, 2 * SLOW));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, test) g_test_add("/starts/" path, Fixture, NULL, set_up, test, tear_down)
    ADD("ends", test_ends);
    ADD("late", test_late);
    ADD("not-begun-is-not-late", test_not_begun_is_not_late);
    ADD("abandoned", test_abandoned);
    return g_test_run();
}
