#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 75
# timeout: 900
# full-timeout: 2400
# Many moves asked for at once: in order, one at a time between any two nodes, and each of them ends. And a
# node that is emptied.
#
# All guests but one have a disk with nothing on it and stay in their firmware: what is tried here is who
# goes when. Some of the moves are made past us, with virsh. That no two moves share a pair of nodes is seen from
# outside, by lib/pair-watch. The long form has 8 nodes, 40 VMs and 200 moves.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

if [[ ${MIGRATED_TEST_FULL:-0} == 1 ]]; then
    N_NODES=8 N_VMS=40 ROUNDS=5 TRIES=20
else
    N_NODES=3 N_VMS=6 ROUNDS=3 TRIES=5
fi
SEED=${MIGRATED_TEST_SEED:-$RANDOM}
CANCEL_MS=2000 # each of them
SLOW=1         # MiB per second: the real guest takes minutes at that
VIRSH_TRIES=10 # it does not wait for its turn: who must move asks again
LATE_MS=1000   # less than that between two requests of different nodes is no order
MAX_PER_NODE=2 # the default

jobs_where() {
    ctl "$1" job list --json | jq -r ".jobs[] | select($2) | .id"
}

job_of() {
    ctl "$1" job show "$2" --json | jq -r ".job.$3"
}

define_small() {
    ctl nodeA image create "$VOLUME" "$1-disk" 4M &&
        "$LAB" vm-xml "$1" "/dev/csv/$VOLUME/$1-disk" --ip-suffix "$2" --memory 128 >"$TMP/$1.xml" &&
        ctl nodeA vm define "$VOLUME" "$TMP/$1.xml"
}

start_all() {
    local i
    cluster_define q1 "${IP##*.}" && ctl nodeA vm start q1 || return 1
    for ((i = 2; i <= N_VMS; i++)); do
        define_small "q$i" $((20 + i)) || return 1
        ctl "${NODES[$((i % N_NODES))]}" vm start "q$i" || return 1
    done
    retry "$WAIT_S" answers
}

all_idle() {
    local node
    for node in "${NODES[@]}"; do
        [[ -z $(jobs_where "$node" '.ended | not') ]] || return 1
    done
}

# ---- order ----

# move_detached VM TARGET [OPTIONS]: its job
move_detached() {
    ctl nodeA move "$@" --detach 2>/dev/null
}

is_waiting() {
    [[ $(job_of nodeA "$1" state) == waiting ]]
}

# when its turn came
prepared_at() {
    ctl nodeA job show "$1" --json | jq -r '[.job.phases[] | select(.state == "prepare") | .at] | last'
}

is_at() { # JOB POSITION
    [[ $(job_of nodeA "$1" position) == "$2" ]]
}

gather_on_a() {
    local i
    for i in 1 2 3 4; do
        vm_is_on nodeA nodeA "q$i" || ctl nodeA move "q$i" nodeA || return 1
    done
}

in_order() {
    local first low high middle
    ok "order: four VMs on nodeA" gather_on_a
    first=$(move_detached q1 nodeB --bandwidth $SLOW)
    ok "order: a slow move holds the pair" retry 20 eval '[[ $(job_of nodeA '"$first"' state) == perform ]]'
    low=$(move_detached q2 nodeB --priority 100)
    middle=$(move_detached q3 nodeB)
    high=$(move_detached q4 nodeB --priority 900)
    ok "order: the others wait" retry 10 eval "is_waiting $low && is_waiting $middle && is_waiting $high"
    like "order: job list says for what" "$(job_of nodeA "$low" waits_for)" "move nodeA-[0-9]+ between nodeA and nodeB"
    ok "order: the first in line" retry 10 is_at "$high" 1
    ok "order: the last in line" retry 10 is_at "$low" 3
    exits "order: --no-wait does not wait" 24 ctl nodeA move q2 nodeC --no-wait
    ok "order: the slow one is cancelled" ctl nodeA job cancel "$first"
    ok "order: all of them end" retry 60 all_idle
    is "order: by priority, then age" \
        "$(for job in $low $middle $high; do echo "$(prepared_at "$job") $job"; done | sort -n | cut -d' ' -f2 | paste -sd' ')" \
        "$high $middle $low"
    is "order: the cancelled one stayed" "$(vm_node nodeA q1)" nodeA
    is "order: the others moved" "$(vm_node nodeA q2) $(vm_node nodeA q3) $(vm_node nodeA q4)" "nodeB nodeB nodeB"
}

# ---- cancelling ----

# cancel_takes JOB: from the request to the end of the job, in ms, over a connection that is there: beside other labs a command
# alone takes up to a second of its own
cancel_takes() {
    local took
    took=$(on nodeA python3 -c '
import json, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect("/run/migrated/socket")
def ask(method):
    s.sendall(json.dumps({"method": "io.migrated." + method, "parameters": {"id": sys.argv[1]}}).encode() + b"\0")
    data = b""
    while not data.endswith(b"\0"):
        more = s.recv(65536)
        if not more:
            sys.exit("hung up")
        data += more
    answer = json.loads(data[:-1])
    if "error" in answer:
        sys.exit(data.decode())
    return answer["parameters"]
ask("GetJob")
begun = time.monotonic()
ask("CancelJob")
while ask("GetJob")["job"]["state"] != "cancelled":
    if time.monotonic() - begun > 20:
        sys.exit("not cancelled after 20 s")
    time.sleep(0.02)
print(round((time.monotonic() - begun) * 1000))
' "$1") || return 1
    echo "$took"
    ((took < CANCEL_MS)) || ctl nodeA job show "$1" --json | jq -c .job.phases >>"$TMP/late"
}

# sum_up FILE: median and most
sum_up() {
    sort -n "$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)], a[NR] }'
}

cancelled_in_time() {
    local i holder job median most
    ok "cancel: the VMs are on nodeA" gather_on_a
    for ((i = 0; i < TRIES; i++)); do
        holder=$(move_detached q1 nodeB --bandwidth $SLOW)
        retry 20 eval '[[ $(job_of nodeA '"$holder"' state) == perform ]]' || break
        job=$(move_detached q2 nodeB)
        retry 10 is_waiting "$job" || break
        cancel_takes "$job" >>"$TMP/waiting" || break
        cancel_takes "$holder" >>"$TMP/running" || break
    done
    is "cancel: $TRIES while waiting" "$(wc -l <"$TMP/waiting")" $TRIES
    is "cancel: $TRIES while running" "$(wc -l <"$TMP/running")" $TRIES
    for i in waiting running; do
        read -r median most < <(sum_up "$TMP/$i")
        note "cancelled while $i: median $median ms, most $most ms, load $(cut -d' ' -f1 /proc/loadavg)"
        ok "cancel: while $i, within $CANCEL_MS ms" test "$most" -le $CANCEL_MS
    done
    [[ ! -e $TMP/late ]] || note "late: $(<"$TMP/late")"
    is "cancel: all stayed" "$(vm_node nodeA q1) $(vm_node nodeA q2)" "nodeA nodeA"
}

# ---- all at once ----

# no_job_of VM NODE
no_job_of() {
    [[ -z $(jobs_where "$2" ".vm == \"$1\" and (.ended | not)") ]]
}

# by_virsh VM TARGET: past us, peer to peer. 28: it would have had to wait, each time
by_virsh() {
    local vm=$1 target=$2 from i
    from=$(nodes_with running "$vm")
    [[ $from != "$target" ]] || return 21
    for ((i = 0; i < VIRSH_TRIES; i++)); do
        if on "$from" virsh -q migrate --live --p2p "$vm" "$(libvirt_of "$target")" \
            >"$TMP/said.$vm" 2>&1; then
            echo "$vm" >>"$TMP/virsh.moved"
            retry 30 no_job_of "$vm" "$from" # ours, which follows it
            return
        fi
        grep -q 'pair-free: it would wait for ' "$TMP/said.$vm" || return 1
        echo "$vm" >>"$TMP/virsh.refused"
        sleep 1
    done
    return 28
}

# One VM's moves, each asked of some node, one in eight cancelled after a moment, and one in five made with virsh.
# Writes "CODE" lines.
shuffle() {
    local vm=$1 i target asked code at
    RANDOM=$((SEED + ${vm#q}))
    for ((i = 0; i < ROUNDS; i++)); do
        target=${NODES[$((RANDOM % N_NODES))]}
        asked=${NODES[$((RANDOM % N_NODES))]}
        code=0
        if (((i + ${vm#q}) % 5 == 2)); then
            by_virsh "$vm" "$target" || code=$?
            ((code != 28)) || code=0
        elif ((RANDOM % 8 == 0)); then
            at=0.$((RANDOM % 9))
            ctl "$asked" move "$vm" "$target" --detach >"$TMP/job.$vm" 2>"$TMP/said.$vm" || code=$?
            if ((code == 0)); then
                sleep "$at"
                ctl "$asked" job cancel "$(<"$TMP/job.$vm")" >"$TMP/said.$vm" 2>&1 || true
                ctl "$asked" job watch "$(<"$TMP/job.$vm")" >"$TMP/said.$vm" 2>&1 || code=$?
            fi
        else
            ctl "$asked" move "$vm" "$target" >"$TMP/said.$vm" 2>&1 || code=$?
        fi
        echo $code >>"$TMP/codes.$vm"
        case $code in
        0 | 21 | 63) ;;
        *) echo "$vm to $target asked of $asked: $code: $(tail -n 1 "$TMP/said.$vm")" >>"$TMP/odd" ;;
        esac
    done
}

# by_code FILES: how often each exit code came
by_code() {
    sort -n "$@" | uniq -c | awk '{ printf "%s%d x %s", sep, $1, $2; sep = ", " }'
}

# "VM NODE" lines: what libvirt has on each node, running; what sanlock has; what the cluster says. Each the same
each_runs_once() {
    local node
    for node in "${NODES[@]}"; do
        on "$node" virsh -q list --all | awk -v node="$node" '{ print $2, $3 == "running" ? node : node " " $3 }'
    done | sort >"$TMP/libvirt"
    for node in "${NODES[@]}"; do
        on "$node" sanlock client status | sed -n "s/^r $VOLUME:\([^:.][^:]*\):.*/\1 $node/p"
    done | sort >"$TMP/sanlock"
    ctl nodeA vm list --json | jq -r '.vms[] | "\(.name) \(.node)"' | sort >"$TMP/cluster"
    diff "$TMP/libvirt" "$TMP/sanlock" && diff "$TMP/libvirt" "$TMP/cluster" || return 1
    [[ $(wc -l <"$TMP/libvirt") == "$N_VMS" && $(cut -d' ' -f1 "$TMP/libvirt" | uniq | wc -l) == "$N_VMS" ]]
}

# Of two moves between the same nodes, neither above the other, who waited for it and was asked for earlier goes
# first. Ended jobs as one list on stdin.
out_of_order() {
    jq -c --argjson late $LATE_MS 'def at(s): [.phases[] | select(.state == s) | .at];
        [.[] | {id, pair: ([.source, .target] | sort), priority, started, waits: (at("waiting") | first),
            turn: (at("prepare") | last)} | select(.turn)]
        | [.[] as $a | .[] as $b | select($a.waits and $a.pair == $b.pair and $a.priority == $b.priority and
            $a.started + $late < $b.started and $a.waits + $late < $b.turn and $a.turn > $b.turn) |
            {first: $b.id, waited: $a.id}]'
}

all_jobs() {
    local node
    for node in "${NODES[@]}"; do
        ctl "$node" job list --json | jq -c --arg node "$node" --argjson since "$1" \
            '.jobs[] | select(.source == $node and .started >= $since)'
    done | jq -sc 'unique_by(.id)'
}

none_left() {
    local node
    for node in "${NODES[@]}"; do
        [[ $(on "$node" sh -c 'ls /dev/csv/'"$VOLUME"' 2>/dev/null | wc -l') == \
            $(on "$node" virsh -q list --all | wc -l) ]] || {
            echo "$node: $(on "$node" ls /dev/csv/$VOLUME), $(on "$node" virsh -q list --all)"
            return 1
        }
    done
}

all_at_once() {
    local i begun since seen
    local -a drivers=()
    note "seed $SEED: MIGRATED_TEST_SEED=$SEED repeats it"
    begun=$SECONDS since=$(now_ms)
    : >"$TMP/virsh.moved"
    : >"$TMP/virsh.refused"
    for ((i = 1; i <= N_VMS; i++)); do
        shuffle "q$i" &
        drivers+=($!)
    done
    wait "${drivers[@]}"
    note "$((N_VMS * ROUNDS)) moves took $((SECONDS - begun)) s; exit codes: $(by_code "$TMP"/codes.*)"
    note "with virsh: $(wc -l <"$TMP/virsh.moved") moved, $(wc -l <"$TMP/virsh.refused") refused since they would have to wait"
    [[ ! -e $TMP/odd ]] || note "$(<"$TMP/odd")"
    is "at once: each request was answered" "$(cat "$TMP"/codes.* | wc -l)" $((N_VMS * ROUNDS))
    not_ok "at once: moved, cancelled, or there already" test -e "$TMP/odd"
    ok "at once: every job ends" retry 60 all_idle
    ok "at once: every VM runs once" retry 30 each_runs_once
    ok "at once: no image device is left over" retry 30 none_left
    all_jobs "$since" >"$TMP/jobs"
    note "$(jq -r '"\(length) jobs, \(map(select(any(.phases[]; .state == "waiting"))) | length) of them had to wait"' <"$TMP/jobs")"
    is "at once: who waits goes in order" "$(out_of_order <"$TMP/jobs")" "[]"
    ok "at once: some moved with virsh" test -s "$TMP/virsh.moved"
    touch "$TMP/end"
    wait "$watcher" || true
    seen=$(<"$TMP/seen")
    note "$(jq -c 'del(.connection_violations, .event_violations, .twice)' <<<"$seen")"
    ok "seen from outside: moves, by libvirt's events" eval '(($(jq .moved <<<"$seen") >= N_VMS))'
    ok "seen from outside: moves, by QEMU's connections" eval '(($(jq .with_moves <<<"$seen") > 0))'
    is "seen from outside: never two on a pair, by QEMU's connections" "$(jq -c .connection_violations <<<"$seen")" "[]"
    is "seen from outside: never two on a pair, by libvirt's events" "$(jq -c .event_violations <<<"$seen")" "[]"
    ok "seen from outside: at most $MAX_PER_NODE of a node" eval '(($(jq .most_of_one_node <<<"$seen") <= MAX_PER_NODE))'
    is "seen from outside: no guest runs twice" "$(jq -c .twice <<<"$seen")" "[]"
}

# ---- draining ----

is_empty() {
    [[ -z $(on "$1" virsh -q list --all) ]]
}

is_draining() {
    status_of nodeA ".nodes[] | select(.name == \"$1\") | .draining // false" >/dev/null
}

# An emulated guest that was moved often can die of memory that QEMU has lost (lab/lib/guest.sh): that is told, and it is
# started again; what is shown here are drains.
goes_to_nodeB() {
    if vm_is_on nodeA nodeB q2; then
        return
    elif ctl nodeA vm show q2 --json | jq -e '(.vm // .).state == "stopped"' >/dev/null; then
        ctl nodeA why q2
        ctl nodeA vm start q2 --node nodeB
    else
        ctl nodeA move q2 nodeB
    fi
}

drained() {
    local node
    ok "drain: a VM goes to nodeB" retry 30 goes_to_nodeB
    ok "drain: it is there" retry 10 vm_is_on nodeA nodeB q2
    exits "drain: --dry-run" 0 ctl nodeA drain nodeB --dry-run
    like "drain: --dry-run says where to" "$OUT" "q[0-9]+ .* node[AC]"
    not_ok "drain: --dry-run changes nothing" is_draining nodeB
    exits "drain: asked of another node" 0 ctl nodeA drain nodeB
    like "drain: says that it is done" "$ERR" "nodeB is empty"
    ok "drain: nothing is left there" is_empty nodeB
    ok "drain: status says so" retry 10 is_draining nodeB
    exits "drain: nothing comes to it any more" 28 ctl nodeA move q2 nodeB
    like "drain: the check says why" "$ERR" "target-not-draining: nodeB is draining"
    ok "drain: the daemon restarts" "$LAB" service nodeB migrated restart
    ok "drain: and still drains" retry 30 ctl nodeB node show nodeB
    ok "drain: as the others see it too" stays_draining
    exits "drain: --json" 0 ctl nodeA drain nodeB --json
    is "drain: an empty node has no steps" "$(jq -c .steps <<<"$OUT")" "[]"
    exits "drain: nowhere to go" 37 drain_all
    like "drain: names who has to stay" "$ERR" "q[0-9]+ is still there: no node that is up"
    ok "drain: every VM runs once" retry 30 each_runs_once
    for node in "${NODES[@]}"; do
        ok "undrain $node" ctl nodeA undrain "$node"
    done
    ok "undrain: VMs come to it again" retry 10 ctl nodeA move q2 nodeB
    exits "drain: no such node" 11 ctl nodeA drain nodeX
}

stays_draining() {
    local until=$((SECONDS + 4))
    while ((SECONDS < until)); do
        retry_for 2 is_draining nodeB || return 1
        sleep 0.5
    done
}

# All others first: what the last one has, stays there
drain_all() {
    local node
    for node in "${NODES[@]:1}"; do
        ctl nodeA drain "$node" || return
    done
    ctl nodeA drain nodeA
}

watch_from_outside() {
    "$lab_tree/tests/lib/pair-watch" "$MIGRATED_LAB_DIR" "$TMP/end" q "${NODES[@]}" >"$TMP/seen" &
    watcher=$!
    at_exit touch "$TMP/end" # it ends by itself then
    retry 20 test -e "$TMP/end.ready"
}

cluster_up $N_NODES --io-timeout 2 --lun-size 2048
ok "all attach the volume" cluster_volume 2
ok "virsh knows the way" relays_up
ok "somebody watches" watch_from_outside
ok "$N_VMS VMs run" start_all
((TAP_FAILED == 0)) || bail "no VMs"
in_order
cancelled_in_time
# a cancelled move can leave a VM without its lease for some seconds, and so long it does not move
ok "each has its lease again" retry 30 each_runs_once
all_at_once
drained
ok "the volume is clean" volume_clean
done_testing
