/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-timeouts.c - the times that are told are those that count, and what contradicts is named. */
#include "core/timeouts.h"

static const MigTimeSettings usual = {
    .suspect_ms = 3000, .isolated_ms = 10000, .fence_delay_s = 0, .fence_timeout_s = 60};

static gint64
value(GPtrArray *lines, const char *name)
{
    for (guint i = 0; i < lines->len; i++) {
        const MigTimeLine *line = g_ptr_array_index(lines, i);

        g_assert_true(*line->because);
        if (g_str_equal(line->name, name))
            return line->ms;
    }
    g_error("no line %s", name);
}

static void
test_lines(void)
{
    MigTimeSettings settings = usual;
    g_autoptr(GPtrArray) node = mig_timeouts_of_node(&settings);
    g_autoptr(GPtrArray) fast = mig_timeouts_of_volume(&settings, 1);
    g_autoptr(GPtrArray) slow = mig_timeouts_of_volume(&settings, 10);
    g_autoptr(GPtrArray) delayed = NULL;

    g_assert_cmpint(value(node, "suspected"), >, 3000);
    g_assert_cmpint(value(node, "suspected"), <, 5000);
    g_assert_cmpint(value(fast, "renewal"), ==, 2000);
    g_assert_cmpint(value(fast, "renewal-fails"), ==, 8000);
    g_assert_cmpint(value(fast, "host-dead"), ==, 68000);
    g_assert_cmpint(value(slow, "host-dead"), ==, 140000);
    g_assert_cmpint(value(fast, "worst-with-agent"), ==, value(node, "suspected"));
    g_assert_cmpint(value(slow, "worst-with-agent"), ==, value(fast, "worst-with-agent"));
    g_assert_cmpint(value(fast, "worst-without-agent"), >=, 70000);
    settings.fence_delay_s = 30;
    delayed = mig_timeouts_of_volume(&settings, 1);
    g_assert_cmpint(value(delayed, "worst-with-agent"), ==,
                    value(fast, "worst-with-agent") + 30000);
    g_assert_cmpint(value(delayed, "worst-without-agent"), ==, value(fast, "worst-without-agent"));
}

static void
expect(char *complaint_, const char *about)
{
    g_autofree char *complaint = complaint_;

    g_test_message("%s", complaint ? complaint : "fine");
    if (about)
        g_assert_true(complaint && strstr(complaint, about) && !strchr(complaint, '\n'));
    else
        g_assert_null(complaint);
}

static void
test_complaints(void)
{
    MigTimeSettings settings = usual;

    expect(mig_timeouts_complaint(&settings), NULL);
    settings.isolated_ms = 3000;
    expect(mig_timeouts_complaint(&settings), NULL);
    settings.suspect_ms = 3001;
    expect(mig_timeouts_complaint(&settings), "isolated_after_ms=3000");

    settings = usual;
    for (guint io = 1; io <= 30; io++)
        expect(mig_timeouts_complaint_volume(&settings, io, MIG_QUEUES_NOT), NULL);
    settings.fence_delay_s = 64;
    expect(mig_timeouts_complaint_volume(&settings, 1, MIG_QUEUES_NOT), NULL);
    settings.fence_delay_s = 65;
    expect(mig_timeouts_complaint_volume(&settings, 1, MIG_QUEUES_NOT), "delay_s=65");
    expect(mig_timeouts_complaint_volume(&settings, 2, MIG_QUEUES_NOT), NULL);

    settings = usual;
    expect(mig_timeouts_complaint_volume(&settings, 10, MIG_QUEUES_FOR_EVER), "for ever");
    expect(mig_timeouts_complaint_volume(&settings, 10, MIG_QUEUES_UNKNOWN), NULL);
    expect(mig_timeouts_complaint_volume(&settings, 10, 79), NULL);
    expect(mig_timeouts_complaint_volume(&settings, 10, 80), "for 80 s");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/timeouts/lines", test_lines);
    g_test_add_func("/timeouts/complaints", test_complaints);
    return g_test_run();
}
