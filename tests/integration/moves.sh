#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 110
# full-timeout: 1800
# Fifty moves (twenty without MIGRATED_TEST_FULL=1) of one VM that writes to its disk and to its memory: nothing is
# lost, doubled or left.
#
# An argument is another number of moves. After each one the daemons' status, libvirt and sanlock
# must agree where the VM is; in the end no node may hold more than it did after the first five.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

MOVES=${1:-$([[ ${MIGRATED_TEST_FULL:-} ]] && echo 50 || echo 20)}
# Each node to each other one first: then all threads and connections that stay have come.
FIRST=(nodeB nodeC nodeA nodeC nodeB nodeA)
SETTLED=${#FIRST[@]}
SLACK=3
here=nodeA

# The next node: back and forth between two, and now and then over the third.
next_node() {
    if (($1 <= SETTLED)); then
        echo "${FIRST[$1 - 1]}"
    elif (($1 % 7 == 0)) && [[ $here != nodeC ]]; then
        echo nodeC
    elif [[ $here == nodeA ]]; then
        echo nodeB
    else
        echo nodeA
    fi
}

third_node() {
    local node
    for node in "${NODES[@]}"; do
        [[ $node == "$1" || $node == "$2" ]] || echo "$node"
    done
}

# While a move is on the way a start is refused: the VM runs (23), or its lease is held (29).
start_refused() {
    local status=0
    ctl "$1" vm start "$VM" --node "$2" 2>"$TMP/refusal" || status=$?
    echo "$status" >>"$TMP/refusals"
    echo "exit code $status: $(<"$TMP/refusal")"
    [[ $status == 23 || $status == 29 ]]
}

move_once() {
    local number=$1 target=$2 third mover refused=0
    if ((number % 3)); then
        ctl "$here" move "$VM" "$target" || return 1
    else
        third=$(third_node "$here" "$target")
        ctl "$here" move "$VM" "$target" &
        mover=$!
        sleep 0.3
        start_refused "$third" "$third" && start_refused "$third" "$target" || refused=1
        if ! kill -0 "$mover" 2>/dev/null; then
            echo "the move had ended before both were refused" | tee -a "$TMP/early"
        fi
        wait "$mover" || return 1
        ((refused == 0)) || return 1
    fi
    ctl "$here" job list --json |
        jq -r '.jobs[-1] | "\(.elapsed_ms) \(.downtime_ms)"' >>"$TMP/times"
    status_right "$target"
}

status_right() {
    local node
    for node in "${NODES[@]}"; do
        vm_is_on "$node" "$1" || {
            # What others say travels with the heartbeat: one second, and some for a busy machine.
            retry 5 vm_is_on "$node" "$1"
        } || {
            echo "$node says that it is on $(vm_node "$node"), it is on $1"
            return 1
        }
    done
    runs_once "$1"
}

# "NODE PROGRAM FDS THREADS" of both daemons on all nodes
resources() {
    local node program
    for node in "${NODES[@]}"; do
        for program in migrated libvirtd; do
            # shellcheck disable=SC2016
            on "$node" sh -c '
                pid=$(pgrep -o -x "$1") || exit 1
                set -- "$2" "$1" $(ls "/proc/$pid/fd" | wc -l) $(ls "/proc/$pid/task" | wc -l)
                echo "$@"' sh "$program" "$node"
        done
    done
}

# Joined with those from the beginning: "nodeA migrated FDS THREADS nodeA migrated FDS THREADS"
no_growth() {
    resources >"$TMP/resources.now"
    paste -d' ' "$TMP/resources" "$TMP/resources.now" | awk -v slack=$SLACK '
        { print $1, $2, "open files", $3, "->", $7, "threads", $4, "->", $8 }
        $7 > $3 + slack || $8 > $4 + slack { grown = 1 }
        END { exit grown || NR != 6 }'
}

zombies() {
    local node
    for node in "${NODES[@]}"; do
        on "$node" ps axo stat=,pid=,comm= | sed -n "s/^Z/$node Z/p"
    done
}

no_zombies() {
    [[ -z $(zombies | tee /dev/stderr) ]]
}

# devices_of NODE: image devices that are there, by link and by loop
devices_of() {
    on "$1" ls "/dev/csv/$VOLUME"
    "$LAB" status --json | jq -r --arg node "$1" '.nodes[] | select(.name == $node) | .loops[1:][]'
    on "$1" sh -c 'dmsetup ls 2>/dev/null | grep "^csv-"' || true
}

no_leftovers() {
    local node left=0
    for node in "${NODES[@]}"; do
        [[ $node != "$1" ]] || continue
        [[ -z $(devices_of "$node" | sed "s/^/$node: /" | tee /dev/stderr) ]] || left=1
    done
    return $left
}

load_is_on() {
    "$LAB" http $IP /stats >"$TMP/stats" && cat "$TMP/stats" &&
        jq -e '.writer.acked > 0 and .load.achieved_mib_s > 5' "$TMP/stats"
}

median() {
    cut -d' ' -f"$1" "$TMP/times" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

cluster_run 3
acks_start
ok "the guest writes to its disk" "$LAB" http $IP '/writer?rate=50'
ok "and to 64 MiB of its memory" retry "$WAIT_S" "$LAB" http $IP '/load?rate=20&set=64'
ok "both at work" retry 10 load_is_on

start_s=$SECONDS
for ((i = 1; i <= MOVES; i++)); do
    target=$(next_node $i)
    ok "move $i: $here to $target" move_once $i "$target"
    here=$target
    if ((i == SETTLED)); then
        resources >"$TMP/resources"
    fi
done
echo "# $MOVES moves in $((SECONDS - start_s)) s; medians: wall $(median 1) ms, QEMU's downtime $(median 2) ms"
echo "# refusals meanwhile: $(sort "$TMP/refusals" | uniq -c | awk '{ printf "%s times exit code %s  ", $1, $2 }')"
echo "# moves that had ended before both refusals: $(wc -l 2>/dev/null <"$TMP/early" || echo 0)"

ok "the load went on to the end" load_is_on
ok "no zombie is left on any node" retry 5 no_zombies
ok "no image device is left where it does not run" no_leftovers "$here"
ok "open files and threads have not grown since move $SETTLED" retry 30 no_growth
tail -n 6 "$TMP/said" | sed 's/^/# /'
ok "the guest finds its records whole" "$LAB" http $IP /verify
ok "every acknowledged record is on the disk, once and in order" stop_and_verify "$here"
echo "# $(acked) records acknowledged"
ok "no image device is left after the stop" retry 5 no_leftovers none
ok "the volume is in order" volume_clean
done_testing
