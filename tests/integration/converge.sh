#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 145
# A guest that dirties its memory much faster than the link carries it: what each policy makes of it.
#
# The link between the nodes is slowed by tbf to 16 MiB/s, the guest writes to as much of its memory as it can. The long
# form also waits for virsh with its defaults, two minutes in vain, and for must-finish.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

LINK_MIB_S=16
SET_MIB=32
# A guest that has little of a busy machine still has to be far too fast for the link.
RATE_MIB_S=400
TOO_FAST=$((LINK_MIB_S * 2))

slow_links() {
    local node
    for node in nodeA nodeB; do
        on "$node" tc qdisc replace dev mig0 root tbf rate $((LINK_MIB_S * 8388608)) burst 256k latency 400ms || return 1
    done
}

dirties() {
    "$LAB" http $IP /stats >"$TMP/stats" && jq -c .load "$TMP/stats" &&
        jq -e ".load.achieved_mib_s > $TOO_FAST" "$TMP/stats"
}

# moves TARGET POLICY [OPTIONS]: its status is the move's; $TMP/job has what the job says then, TOOK_MS how long it was sent
moves() {
    local from status=0
    from=$(vm_node nodeA)
    rm -f "$TMP/enough"
    "$LAB" probe $IP --interval 10 --until-file "$TMP/enough" >"$TMP/probe.json" &
    local probe=$!
    ctl "$from" move "$VM" "$1" --policy "${@:2}" 2>"$TMP/said" || status=$?
    sleep 0.5
    touch "$TMP/enough"
    wait $probe || true
    ctl "$from" job list --json | jq '.jobs[-1]' >"$TMP/job"
    TOOK_MS=$(jq '[.phases[] | select(.state == "perform") | .took_ms] | add' "$TMP/job")
    tail -n 1 "$TMP/said"
    return $status
}

# what came of the last one, and what a client saw of it
told() {
    note "$1: $(jq -r '"\(.state), sent \(.transferred / 1048576 | floor) MiB in \(.iteration) rounds, downtime \(.downtime_ms) of \(.downtime_limit_ms) ms, guest slowed by \(.throttle) %"' "$TMP/job")" \
        "in $TOOK_MS ms; a client saw a gap of $(jq .longest_gap_ms "$TMP/probe.json") ms"
}

job_has() {
    jq -e "$1" "$TMP/job"
}

# What the first round takes is not known from outside: 256 MiB at most, of a guest of 512 with nothing in most of it
BOUND_MS=$((256 * 1000 / LINK_MIB_S))

cluster_run 2
ok "the links carry $LINK_MIB_S MiB/s" slow_links
# it fills them first, which can take it longer than an answer may; asked again it goes on with them
ok "the guest writes to $SET_MIB MiB" retry "$WAIT_S" "$LAB" http $IP "/load?rate=$RATE_MIB_S&set=$SET_MIB"
ok "far faster than that" retry "$WAIT_S" dirties
((TAP_FAILED == 0)) || bail "not the guest that is needed"

if [[ ${MIGRATED_TEST_FULL:-} ]]; then
    # with migrated asked by the hook, as for any move by hand; it changes no limits of such a one
    status=0
    ok "virsh knows the way" relays_up
    on nodeA timeout 125 virsh migrate --live --p2p $VM "$(libvirt_of nodeB)" || status=$?
    note "virsh migrate: $status after 125 s"
    is "virsh with its defaults does not end within two minutes" $status 124
    on nodeA virsh domjobabort $VM || true
    ok "it is still on nodeA" retry 60 runs_once nodeA
fi

job=$(ctl nodeA move $VM nodeB --policy gentle --bandwidth 2 --detach)
job_is() {
    ctl nodeB job show "$job" --json | jq -e ".job | $1"
}
ok "job set: a move at 2 MiB/s" retry 60 job_is '.state == "perform" and .rate > 0 and .rate < 4194304'
ok "job set: no limit any more, asked of the other node" ctl nodeB job set "$job" --bandwidth 0 --max-downtime 40
ok "job set: it is faster" retry 60 job_is '.rate > 6291456 and .max_downtime_ms == 40'
ok "job set: cancelled" ctl nodeA job cancel "$job"
ok "job set: it stayed" retry 60 job_is '.state == "cancelled" and .downtime_limit_ms <= 40'

exits "gentle: given up" 62 moves nodeB gentle
told gentle
like "gentle: says why" "$OUT" "did not converge: no progress for [0-9]+ s, though it may stand still for 300 ms; .*$VM runs on nodeA"
ok "gentle: the guest was not slowed" job_has '.throttle == 0'
# 3 times the first round or 20 s, a round until the limit has been tried, and what a busy machine adds
ok "gentle: within its bound" test "$TOOK_MS" -lt $((BOUND_MS * 4 + 20000 + 20000))
ok "gentle: it runs on nodeA" runs_once nodeA
ok "gentle: as fast as before" retry 30 dirties

exits "fast: moved" 0 moves nodeB fast
told fast
ok "fast: the guest was slowed" job_has '.throttle >= 30'
ok "fast: within two minutes" test "$TOOK_MS" -lt 120000
ok "fast: it runs on nodeB alone" runs_once nodeB
ok "fast: at full speed again" retry 30 dirties

if moves nodeA never-postcopy >"$TMP/moved" 2>&1; then here=nodeA; else here=nodeB; fi
told never-postcopy
if [[ $here == nodeB ]]; then
    like "never-postcopy: ended, or given up cleanly" "$(<"$TMP/moved")" "did not converge: no progress for .*$VM runs on nodeB"
else
    ok "never-postcopy: ended, or given up cleanly" job_has '.state == "done" and .throttle >= 20'
fi
ok "never-postcopy: within its bound" test "$TOOK_MS" -lt 240000
ok "never-postcopy: it runs on $here alone" runs_once $here

if [[ ${MIGRATED_TEST_FULL:-} ]]; then
    other=$([[ $here == nodeA ]] && echo nodeB || echo nodeA)
    exits "must-finish: moved" 0 moves $other must-finish
    told must-finish
    ok "must-finish: it runs on $other alone" runs_once $other
fi
ok "the volume is clean" volume_clean
done_testing
