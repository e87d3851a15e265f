/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rounds.c - what rounds.h says. */
#include "rounds.h"

RoundsOutcome
rounds_run(MigPolicyKind kind, double memory, double working_set, double dirty_s, double link_s)
{
    const MigPolicyRule *rule = mig_policy_rule(kind);
    MigPolicy policy;
    MigProgress progress = {.is_active = TRUE, .iteration = 1, .rate_bytes_s = (guint64)link_s};
    double left = memory, sent_at_ms = 0;
    guint high = 0;
    gint64 now_ms = 0;

    mig_policy_init(&policy, kind, 0, 0);
    for (;; now_ms += MIG_POLICY_POLL_MS) {
        double round_ms = left / link_s * 1000;

        progress.remaining_bytes =
            (guint64)MAX(left - ((double)now_ms - sent_at_ms) * link_s / 1000, 0);
        if ((double)now_ms - sent_at_ms >= round_ms) {
            double dirtied = MIN(
                dirty_s * (100 - progress.throttle_percent) / 100 * round_ms / 1000, working_set);

            if (dirtied > left / 2 && ++high >= 2 && rule->throttle_first) {
                high = 0;
                progress.throttle_percent =
                    progress.throttle_percent
                        ? MIN(progress.throttle_percent + rule->throttle_step, 99)
                        : rule->throttle_first;
            }
            sent_at_ms = (double)now_ms;
            left = dirtied;
            progress.remaining_bytes = (guint64)left;
            progress.iteration++;
            if (left / link_s * 1000 <= policy.limit_ms)
                return (RoundsOutcome){TRUE, now_ms, (gint64)(left / link_s * 1000),
                                       policy.first_round_ms, progress.throttle_percent};
        }
        if (mig_policy_feed(&policy, &progress, now_ms) == MIG_POLICY_GIVE_UP)
            return (RoundsOutcome){FALSE, now_ms, 0, policy.first_round_ms,
                                   progress.throttle_percent};
        g_assert_cmpint(now_ms, <, 86400000);
    }
}
