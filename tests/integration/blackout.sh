#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 45
# The blackout that a move reports is the one that a client sees.
#
# The client cannot be answered while the guest stands still: its gap is never shorter than the blackout. It is
# longer by the way to the client and by what an emulated guest needs to come to itself.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

MOVES=${1:-8}
INTERVAL_MS=5
# On top of it, in the best move and in the median: an emulated guest begins with an empty cache, on a machine
# that has other things to do.
BEST_MS=200
BOUND_MS=500
# between our figure and QEMU's, in the median
QEMU_MS=50
here=nodeA

# The other node may know the job by what it was a moment ago.
job_is_whole() {
    ctl "$1" job show "$2" --json >"$TMP/job.json" && jq -e '[.job.phases[].state] | index("confirm")' "$TMP/job.json"
}

move_once() {
    local to
    to=$([[ $here == nodeA ]] && echo nodeB || echo nodeA)
    rm -f "$TMP/enough"
    "$LAB" probe $IP --interval $INTERVAL_MS --threshold 5 --until-file "$TMP/enough" >"$TMP/probe.json" &
    local probe=$!
    sleep 0.3
    local id
    ctl $here move $VM "$to" || return 1
    sleep 0.4
    touch "$TMP/enough"
    wait $probe || return 1
    id=$(ctl $here job list --json | jq -r '.jobs[-1].id')
    # asked of the other one: it travels
    retry 10 job_is_whole "$to" "$id" || return 1
    here=$to
    # the longest gap that begins a little before libvirt is through with it: it waits for the source's QEMU
    jq -c --slurpfile probe "$TMP/probe.json" '.job
        | (.phases[] | select(.state == "confirm") | .at) as $through
        | .blackout_ms as $ms
        | {blackout_ms, within_ms: .blackout_within_ms, downtime_ms, switchover,
           gap_ms: ([$probe[0].gaps[] | select(.wall_s * 1000 < $through and .wall_s * 1000 + .ms > $through - 800) | .ms] | max)}' \
        "$TMP/job.json" | tee -a "$TMP/moves"
}

all_moves() {
    jq -es "$1" "$TMP/moves"
}

spans() {
    # shellcheck disable=SC2016
    all_moves 'all(.[]; [.switchover[].what] == ["stopped", "lease-released", "arrived", "lease-taken", "running"] and
        ([.switchover[].node] | .[0] == .[1] and .[2] == .[3] and .[2] == .[4] and .[0] != .[2]) and
        all(.switchover[]; .from_us >= 0 and .from_us <= .to_us) and .switchover[0].to_us == 0 and
        .switchover[2].from_us <= .switchover[4].from_us)'
}

cluster_run 2
for ((i = 1; i <= MOVES; i++)); do
    ok "move $i" move_once
done
ok "every move has its blackout" all_moves "length == $MOVES and all(.[]; .blackout_ms > 0)"
ok "and its time line, in the order of things" spans
ok "known to some milliseconds" all_moves 'map(.within_ms) | sort | .[length / 2 | floor] <= 15'
ok "no client is answered while the guest stands still" all_moves 'all(.[]; .gap_ms >= .blackout_ms - .within_ms)'
ok "it sees little more than that" all_moves "map(.gap_ms - .blackout_ms) | sort | .[0] <= $BEST_MS and .[length / 2 | floor] <= $BOUND_MS"
ok "QEMU's own figure is near it" all_moves "map(.blackout_ms - .downtime_ms | fabs) | sort | .[length / 2 | floor] <= $QEMU_MS"
jq -r '"blackout \(.blackout_ms) ms, give or take \(.within_ms), QEMU says \(.downtime_ms); the client saw \(.gap_ms) ms"' "$TMP/moves" |
    while read -r line; do note "$line"; done
id=$(ctl $here job list --json | jq -r '.jobs[-1].id')
shown=$(ctl $here job show "$id")
like "job show: in words" "$shown" '^Blackout: +[0-9]+ ms, give or take [0-9]+ ms'
like "job show: what is known between bounds only" "$shown" '^lease-taken +node[AB] +[0-9.]+ to [0-9.]+ ms'
ok "it runs once" runs_once $here
ok "the volume is clean" volume_clean
done_testing
