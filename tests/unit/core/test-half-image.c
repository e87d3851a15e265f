/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-half-image.c - a half image is deleted only when the host that fills it is done for sure. */
#include "core/half-image.h"

/* every host that there can be */
typedef gboolean (*Expected)(const MigHalfHost *host);

static void
for_all(gboolean is_covered, gboolean is_unsafe, MigHalfImage verdict, Expected expected)
{
    guint seen = 0;

    for (guint bits = 0; bits < 32; bits++) {
        for (MigWord word = MIG_WORD_UNKNOWN; word <= MIG_WORD_FREE; word++) {
            const MigHalfHost host = {.is_known = bits & 1,
                                      .has_left = (bits & 2) != 0,
                                      .is_beating = (bits & 4) != 0,
                                      .is_fenced = (bits & 8) != 0,
                                      .is_armed = (bits & 16) != 0,
                                      .word = word};

            g_assert_cmpint(mig_half_image_judge(&host, is_covered, is_unsafe) == verdict, ==,
                            expected(&host));
            seen += expected(&host);
        }
    }
    g_assert_cmpuint(seen, >, 0);
}

static gboolean
is_over(const MigHalfHost *host)
{
    return !host->is_known || host->has_left;
}

static gboolean
is_free_uncovered(const MigHalfHost *host)
{
    return is_over(host) || (!host->is_beating && host->is_fenced);
}

static gboolean
is_free(const MigHalfHost *host)
{
    return is_free_uncovered(host) ||
           (!host->is_beating &&
            (host->word == MIG_WORD_FREE || (host->word == MIG_WORD_DEAD && host->is_armed)));
}

static gboolean
is_free_unsafe(const MigHalfHost *host)
{
    return is_free(host) || (!host->is_beating && host->word == MIG_WORD_DEAD);
}

static gboolean
is_alive(const MigHalfHost *host)
{
    return !is_over(host) && host->is_beating;
}

/* sanlock's word proves nothing of a copy that it did not know of, whatever the settings say. */
static void
test_uncovered(void)
{
    for_all(FALSE, FALSE, MIG_HALF_IMAGE_FREE, is_free_uncovered);
    for_all(FALSE, TRUE, MIG_HALF_IMAGE_FREE, is_free_uncovered);
    for_all(FALSE, FALSE, MIG_HALF_IMAGE_ALIVE, is_alive);
}

static void
test_covered(void)
{
    for_all(TRUE, FALSE, MIG_HALF_IMAGE_FREE, is_free);
    for_all(TRUE, TRUE, MIG_HALF_IMAGE_FREE, is_free_unsafe);
    for_all(TRUE, FALSE, MIG_HALF_IMAGE_ALIVE, is_alive);
}

/* The one that it is about: its path stalls, the network stays up, and sanlock has given the
 * lockspace up with no process to wait for. */
static void
test_stalled(void)
{
    MigHalfHost host = {.is_known = TRUE, .word = MIG_WORD_DEAD};

    g_assert_cmpint(mig_half_image_judge(&host, TRUE, FALSE), ==, MIG_HALF_IMAGE_UNPROVEN);
    host.is_armed = TRUE;
    g_assert_cmpint(mig_half_image_judge(&host, FALSE, FALSE), ==, MIG_HALF_IMAGE_UNPROVEN);
    g_assert_cmpint(mig_half_image_judge(&host, TRUE, FALSE), ==, MIG_HALF_IMAGE_FREE);
}

static void
test_names(void)
{
    static const struct {
        const char *name;
        gboolean is_half;
        guint32 host_id;
        gboolean is_covered;
    } cases[] = {{"import-3-0badcafe", TRUE, 3, FALSE},
                 {"import-250-w0badcafe", TRUE, 250, TRUE},
                 {"import-3-", TRUE, 3, FALSE},
                 {"import-3", FALSE, 0, FALSE},
                 {"import-w-3", FALSE, 0, FALSE},
                 {"web-disk", FALSE, 0, FALSE},
                 {"", FALSE, 0, FALSE}};
    g_autofree char *made = mig_half_image_name(250, 0xffffffff);
    gboolean is_covered = FALSE;
    guint32 host_id = 0;

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(mig_half_image_parse(cases[i].name, &host_id, &is_covered), ==,
                        cases[i].is_half);
        if (!cases[i].is_half)
            continue;
        g_assert_cmpuint(host_id, ==, cases[i].host_id);
        g_assert_cmpint(is_covered, ==, cases[i].is_covered);
    }
    g_assert_true(mig_half_image_parse(made, &host_id, &is_covered));
    g_assert_cmpuint(host_id, ==, 250);
    g_assert_true(is_covered);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/half-image/uncovered", test_uncovered);
    g_test_add_func("/half-image/covered", test_covered);
    g_test_add_func("/half-image/stalled", test_stalled);
    g_test_add_func("/half-image/names", test_names);
    return g_test_run();
}
