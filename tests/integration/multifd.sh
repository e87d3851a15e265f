#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 65
# Memory that goes over several connections at once, all of them encrypted, arrives as what it was.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

CHANNELS=4
LINK_MIB_S=24 # slow enough to be looked at
SET_MIB=48
RATE_MIB_S=6

slow_links() {
    local node
    for node in nodeA nodeB; do
        on "$node" tc qdisc replace dev mig0 root tbf rate $((LINK_MIB_S * 8388608)) burst 256k latency 400ms || return 1
    done
}

# set_channels N: and the daemons start anew
set_channels() {
    local node
    for node in nodeA nodeB; do
        on "$node" sed -i "/^\[moves\]/d; /^multifd=/d; \$a [moves]\nmultifd=$1" /etc/migrated/migrated.conf || return 1
        "$LAB" service "$node" migrated restart || return 1
    done
    retry "$WAIT_S" all_up nodeA && retry "$WAIT_S" all_up nodeB
}

all_up() {
    [[ $(status_of "$1" '[.nodes[] | select(.state == "up")] | length') == 2 ]]
}

# connections NODE: to a QEMU of another node that waits for memory
connections() {
    on "$1" ss -Htn state established | awk '$4 ~ /^10\.77\.1\..*:491[0-9][0-9]$/ || $4 ~ /^10\.77\.1\..*:492[01][0-9]$/' | wc -l
}

# move TO POLICY: $most is how many connections there were
move() {
    local from now
    from=$(vm_node nodeA)
    most=0
    ctl "$from" move "$VM" "$1" --policy "$2" >"$TMP/said" 2>&1 &
    local job=$!
    while kill -0 $job 2>/dev/null; do
        now=$(connections "$from")
        most=$((now > most ? now : most))
        sleep 0.1
    done
    wait $job || { cat "$TMP/said" && return 1; }
    echo "$most connections"
    ctl "$from" job list --json | jq -c '.jobs[-1] | {elapsed_ms, transferred, first_round, rate, iteration, blackout_ms}'
}

memory_whole() {
    # it would have died or been restarted: its own count of what it has written goes on
    "$LAB" http $IP /stats | tee "$TMP/stats" | jq -e ".load.pages > $pages and .load.achieved_mib_s > 1"
}

told_pages() {
    pages=$("$LAB" http $IP /stats | jq .load.pages)
}

cancelled() {
    local from
    from=$(vm_node nodeA)
    ctl "$from" move "$VM" "$1" --policy never-postcopy --detach || return 1
    retry "$WAIT_S" eval '[[ $(connections '"$from"') -gt 1 ]]' || return 1
    ctl "$from" job cancel "$(ctl "$from" job list --json | jq -r '.jobs[-1].id')" || return 1
    retry "$WAIT_S" eval '[[ $(ctl '"$from"' job list --json | jq -r ".jobs[-1].state") == cancelled ]]'
}

cluster_run 2
ok "several connections are asked for" set_channels $CHANNELS
ok "the links carry $LINK_MIB_S MiB/s" slow_links
ok "the guest writes to its memory" retry "$WAIT_S" "$LAB" http $IP "/load?rate=$RATE_MIB_S&set=$SET_MIB"
ok "its memory is being watched" told_pages
ACKS_RATE=20
acks_start
copies_watch
for to in nodeB nodeA nodeB; do
    ok "never-postcopy: to $to" move $to never-postcopy
    ok "by $CHANNELS connections and one more" test "$most" = $((CHANNELS + 1))
    ok "it runs there alone" runs_once $to
    ok "and goes on with what it did" retry "$WAIT_S" memory_whole
    told_pages
done
ok "one is cancelled in between" cancelled nodeA
ok "and runs where it was" runs_once nodeB
ok "going on" retry "$WAIT_S" memory_whole
ok "a move that may use post-copy" move nodeA must-finish
note "by $most connections"
ok "no two copies were at work" copies_seen
ok "it stops and its disk is right" stop_and_verify nodeA
ok "the volume is clean" volume_clean
done_testing
