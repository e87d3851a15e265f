#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# alone: how long an answer takes meanwhile is judged on a machine that does nothing else
# takes: 50
# timeout: 300
# Many connections at the peer channel at once, of one node: others and this host's own users are served meanwhile.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/peer-channel.sh
. "$(dirname "$(readlink -f "$0")")/../lib/peer-channel.sh"

IO_TIMEOUT=1

pid_on() { # NODE: of its daemon, as the machine sees it
    local top inner status
    top=$(awk '{ print $1 }' "$MIGRATED_LAB_DIR/$1/pid")
    inner=$("$LAB" service "$1" migrated status | awk '{ print $3 }')
    for status in /proc/[0-9]*/status; do
        awk -v pid="$inner" '/^NSpid:/ && NF > 2 && $NF == pid { found = 1 } END { exit !found }' \
            "$status" 2>/dev/null || continue
        status=${status%/status}
        [[ $(readlink "$status/ns/pid") == "$(readlink "/proc/$top/ns/pid")" ]] && echo "${status#/proc/}"
    done
    return 0
}

size_of() { # PID: descriptors, threads, KiB
    echo "$(ls "/proc/$1/fd" | wc -l) $(awk '/^Threads:/ { print $2 }' "/proc/$1/status") $(awk '/^VmRSS:/ { print $2 }' "/proc/$1/status")"
}

# How long a local answer takes at most, in a number of tries
slowest_ms() {
    local i began took most=0
    for ((i = 0; i < $1; i++)); do
        began=$(now_ms)
        ctl nodeA status >/dev/null || return 1
        took=$(($(now_ms) - began))
        ((took <= most)) || most=$took
    done
    echo $most
}

half_open() {
    local pid before during after slowest quiet
    pid=$(pid_on nodeA)
    quiet=$(slowest_ms 10) # the machine may be busy with other things
    before=$(size_of "$pid")
    mark_log
    on nodeB python3 "$ROGUE" $A $PORT half 10000 25 >"$TMP/half" 2>&1 &
    local flood=$!
    sleep 0.5
    slowest=$(slowest_ms 20) || slowest=99999
    during=$(size_of "$pid")
    ok "half-open: answered locally within a second, $slowest ms at most ($quiet before)" \
        eval '((slowest < 1000 + quiet))'
    is "half-open: another node is let in meanwhile" "$(rogue nodeC --cert "$TMP/c.pem" $A $PORT hello)" accepted
    ok "half-open: and so is that node, from the address of the flood" retry 8 rogue nodeB --cert "$GOOD" $A $PORT hello
    ok "half-open: while that goes on" kill -0 $flood
    wait $flood || true
    after=$(size_of "$pid")
    note "$(cat "$TMP/half")"
    note "descriptors, threads, KiB before: $before, during: $during, after: $after"
    like "half-open: ten thousand were opened" "$(cat "$TMP/half")" '(^|[^0-9])[12][0-9]{4} opened'
    ok "half-open: few of them cost anything" is_bounded "$before" "$during"
    ok "half-open: the log says that there were many" since "refused a peer at $B" "too many unfinished"
    ok "half-open: that node is let in again soon" retry 15 rogue nodeB --cert "$GOOD" $A $PORT hello
    ok "half-open: and all is as before" retry 15 eval 'is_bounded "$before" "$(size_of $pid)" 10'
}

# is_bounded BEFORE NOW [DESCRIPTORS]
is_bounded() {
    local -a was now
    read -ra was <<<"$1"
    read -ra now <<<"$2"
    echo "was ${was[*]}, is ${now[*]}"
    ((now[0] <= was[0] + ${3:-150} && now[1] <= was[1] + 20 && now[2] <= was[2] + 16384))
}

# One node takes neither all places nor all of libvirt's.
crowds() {
    mark_log
    is "of two hundred connections of one node half of all places are let in" \
        "$(rogue nodeB --cert "$GOOD" $A $PORT crowd 200)" "128 are in"
    ok "crowd: the log says so" since "refused a connection of node nodeB at $B" "128 of it"
    like "of a hundred tunnels to libvirt, too" \
        "$(rogue nodeB --cert "$GOOD" $A $PORT tunnels 100)" '^64 are open'
    ok "tunnels: the log says so" since "refused a tunnel of node nodeB" "64 of it"
    is "another node is let in" "$(rogue nodeC --cert "$TMP/c.pem" $A $PORT hello)" accepted
}

cluster_up 3 --io-timeout $IO_TIMEOUT
ok "all attach the volume" cluster_volume $IO_TIMEOUT
ok "all nodes are up" retry 30 all_up
leaf nodeB "$GOOD" --name nodeB --uri $MEMBER:nodeB
leaf nodeC "$TMP/c.pem" --name nodeC --uri $MEMBER:nodeC
half_open
crowds
done_testing
