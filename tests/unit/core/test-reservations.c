/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-reservations.c - of moves that fit alone, but not together, exactly those come that fit. */
#include "core/reservations.h"

#include "core/checks.h"

#define FREE 1000

static void
test_order(void)
{
    MigReservations *r = mig_reservations_new();

    mig_reservations_add(r, "A-1", "web", 10, 0);
    mig_reservations_add(r, "B-1", "db", 20, 0);
    mig_reservations_add(r, "C-1", "big", 40, 2 << 20);
    g_assert_cmpuint(mig_reservations_before(r, "A-1", "web", 0), ==, 0);
    g_assert_cmpuint(mig_reservations_before(r, "B-1", "db", 0), ==, 10);
    g_assert_cmpuint(mig_reservations_before(r, NULL, "new", 0), ==, 30);
    g_assert_cmpuint(mig_reservations_before(r, "unknown", "new", 0), ==, 30);
    /* an older try of its own, and other pages */
    g_assert_cmpuint(mig_reservations_before(r, NULL, "web", 0), ==, 20);
    g_assert_cmpuint(mig_reservations_before(r, "C-1", "big", 2 << 20), ==, 0);
    g_assert_cmpuint(mig_reservations_before(r, NULL, "new", 2 << 20), ==, 40);
    g_assert_cmpuint(mig_reservations_before(r, NULL, "new", 1 << 30), ==, 0);
    /* once more: it keeps its place */
    mig_reservations_add(r, "A-1", "web", 15, 0);
    g_assert_cmpuint(mig_reservations_before(r, "B-1", "db", 0), ==, 15);
    mig_reservations_remove(r, "A-1");
    mig_reservations_remove(r, "A-1");
    g_assert_cmpuint(mig_reservations_before(r, "B-1", "db", 0), ==, 0);
    mig_reservations_add(r, "D-1", "x", G_MAXUINT64, 0);
    g_assert_cmpuint(mig_reservations_before(r, NULL, "new", 0), ==, G_MAXUINT64);
    mig_reservations_free(r);
    mig_reservations_free(NULL);
}

/* Asked once more, one that is ready stays what it is, until it ends. */
static void
test_ready(void)
{
    MigReservations *r = mig_reservations_new();

    g_assert_false(mig_reservations_set_ready(r, "A-1"));
    g_assert_true(mig_reservations_add(r, "A-1", "web", 10, 0));
    g_assert_false(mig_reservations_is_ready(r, "A-1"));
    g_assert_true(mig_reservations_add(r, "A-1", "web", 15, 0));
    g_assert_true(mig_reservations_set_ready(r, "A-1"));
    g_assert_true(mig_reservations_is_ready(r, "A-1"));
    g_assert_false(mig_reservations_add(r, "A-1", "web", 20, 0));
    g_assert_true(mig_reservations_is_ready(r, "A-1"));
    g_assert_cmpuint(mig_reservations_before(r, NULL, "new", 0), ==, 15);
    mig_reservations_remove(r, "A-1");
    g_assert_false(mig_reservations_is_ready(r, "A-1"));
    g_assert_true(mig_reservations_add(r, "A-1", "web", 20, 0));
    g_assert_false(mig_reservations_is_ready(r, "A-1"));
    mig_reservations_free(r);
}

typedef struct {
    char *job;
    guint64 bytes;
    enum { ASKS, RESERVED, ACCEPTED, REFUSED } state;
} Move;

static gboolean
fits(const MigReservations *r, const Move *move)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    MigTargetFacts facts = {.vm = move->job,
                            .node = "B",
                            .volume = "vol",
                            .is_volume_attached = TRUE,
                            .domain = MIG_DOMAIN_ABSENT,
                            .memory_needed_bytes = move->bytes,
                            .memory_free_bytes = FREE,
                            .memory_reserved_bytes =
                                mig_reservations_before(r, move->job, move->job, 0),
                            .cpu_vendor = "AMD",
                            .source_cpu_vendor = "AMD",
                            .migration = "10.0.1.2/24",
                            .source_migration = "10.0.1.1/24"};

    mig_checks_target(&facts, checks);
    return mig_checks_first_failure(checks) == NULL;
}

/* Reserve, then check, as threads of a target do it, in any interleaving. */
static void
test_interleaved(void)
{
    for (guint32 seed = 1; seed <= 3000; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        MigReservations *r = mig_reservations_new();
        Move moves[5] = {0};
        guint count = (guint)g_rand_int_range(rand, 2, 6), open = count;
        guint64 accepted = 0;

        for (guint i = 0; i < count; i++) {
            moves[i].job = g_strdup_printf("N-%u", i);
            moves[i].bytes = (guint64)g_rand_int_range(rand, 1, FREE + 1);
        }
        while (open) {
            Move *move = &moves[g_rand_int_range(rand, 0, (gint)count)];

            if (move->state == ASKS) {
                mig_reservations_add(r, move->job, move->job, move->bytes, 0);
                move->state = RESERVED;
            } else if (move->state == RESERVED) {
                move->state = fits(r, move) ? ACCEPTED : REFUSED;
                if (move->state == REFUSED)
                    mig_reservations_remove(r, move->job);
                open--;
            }
        }
        for (guint i = 0; i < count; i++) {
            if (moves[i].state == ACCEPTED)
                accepted += moves[i].bytes;
            g_free(moves[i].job);
        }
        if (accepted > FREE || accepted == 0)
            g_error("seed %u: %" G_GUINT64_FORMAT " of %d bytes are taken", seed, accepted, FREE);
        mig_reservations_free(r);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/reservations/order", test_order);
    g_test_add_func("/reservations/ready", test_ready);
    g_test_add_func("/reservations/interleaved", test_interleaved);
    return g_test_run();
}
