#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 140
# What a move will take is said beforehand, and is near what it takes.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

LINK_MIB_S=24
SET_MIB=48
RATE_MIB_S=8
here=nodeA

other() {
    [[ $here == nodeA ]] && echo nodeB || echo nodeA
}

slow_links() {
    local node
    for node in nodeA nodeB; do
        on "$node" tc qdisc replace dev mig0 root tbf rate $((LINK_MIB_S * 8388608)) burst 256k latency 400ms || return 1
    done
}

# asked OPTIONS: $TMP/forecast has the answer
asked() {
    ctl nodeB move $VM "$(other)" --dry-run --json "$@" >"$TMP/verdicts" || return 1
    jq -ce '.verdicts[0].forecast' "$TMP/verdicts" | tee "$TMP/forecast"
}

forecast_has() {
    jq -e "$1" "$TMP/forecast"
}

dirties() {
    "$LAB" http $IP /stats | jq -e ".load.achieved_mib_s > $((RATE_MIB_S / 2))"
}

# moved: forecast, then move; $TMP/job has what came of it
moved() {
    local to
    to=$(other)
    asked >/dev/null || return 1
    ctl nodeB move $VM "$to" || return 1
    ctl $here job list --json | jq '.jobs[-1]' >"$TMP/job"
    here=$to
    jq -c '{took: .elapsed_ms, blackout_ms, transferred, first_round, rate, forecast}' "$TMP/job" | tee -a "$TMP/moves"
}

cluster_run 2
ok "the links carry $LINK_MIB_S MiB/s" slow_links
ok "an idle guest" asked
is_calm() { # one that has just booted is not yet
    asked && forecast_has '.dirty_rate >= 0 and .dirty_rate < 8388608'
}
ok "its dirty rate was measured, and is low" retry 60 is_calm
ok "so was its memory" forecast_has '.used > 16777216'
link_is() {
    asked && forecast_has "$@"
}
ok "and the link, within a quarter" retry 60 link_is ".link_rate > $((LINK_MIB_S * 786432)) and .link_rate < $((LINK_MIB_S * 1310720))"
ok "ranges are in order" forecast_has '[.duration_ms, .downtime_ms, .bytes] | all(.least <= .likely and .likely <= .most)'
ok "with a limit" asked --bandwidth 4
ok "it is the limit that counts" forecast_has '.link_rate == 4194304 and .duration_ms.likely > 10000'
ok "nothing was moved" runs_once nodeA
is "nor did it make a job" "$(ctl nodeA job list --json | jq '.jobs | length')" 0
like "in words" "$(ctl nodeA move $VM nodeB --dry-run)" 'takes .* \(.* to .*\), stands still for'
all_checked() {
    ctl nodeB check --all --json | tee "$TMP/all" | jq -e '[.verdicts[] | select(.forecast.dirty_rate >= 0)] | length == 1'
}
ok "with the checks of all VMs" all_checked
like "of a drain" "$(ctl nodeB drain nodeA --dry-run)" "^$VM .* nodeB .* \(.* to .*\)"
for i in 1 2 3; do
    ok "idle: move $i" moved
done
ok "the guest writes to $SET_MIB MiB" retry "$WAIT_S" "$LAB" http $IP "/load?rate=$RATE_MIB_S&set=$SET_MIB"
ok "at $RATE_MIB_S MiB/s" retry "$WAIT_S" dirties
sleep 5 # a guest that has filled a new set catches up with what it missed
knows_rate() { # measured for a second, in which a guest that shares its CPUs may have had no turn
    asked && forecast_has ".dirty_rate > $((RATE_MIB_S * 262144)) and .bytes.most > .bytes.least"
}
ok "its forecast knows that it does" retry 30 knows_rate
for i in 1 2 3; do
    ok "dirtying: move $i" moved
done
ok "one that was far too fast" asked --bandwidth 1 --policy gentle
ok "would be given up" forecast_has '.gives_up'
# the first two teach, each node for itself
jq -c '{took, expected: .forecast.duration_ms, stood: .blackout_ms, stands: .forecast.downtime_ms, sent: .transferred, sends: .forecast.bytes.likely}' "$TMP/moves" |
    while read -r line; do note "$line"; done
ok "what has been learnt is near: time" jq -es '.[2:] | map((.took - .forecast.duration_ms.likely | fabs) / .took) | sort | .[(length - 1) / 2 | floor] < 0.5' "$TMP/moves"
ok "and bytes" jq -es '.[2:] | map((.transferred - .forecast.bytes.likely | fabs) / .transferred) | sort | .[(length - 1) / 2 | floor] < 0.4' "$TMP/moves"
ctl nodeA job stats --json >"$TMP/stats"
note "$(jq -c . "$TMP/stats")"
ok "job stats: all of them" jq -e '.duration.count == 6 and .downtime.count == 6 and .duration.p95_percent >= .duration.median_percent' "$TMP/stats"
like "job stats: in words" "$(ctl nodeB job stats)" '^downtime +6 +[0-6] +[0-9]+%'
ok "it runs once" runs_once $here
ok "the volume is clean" volume_clean
done_testing
