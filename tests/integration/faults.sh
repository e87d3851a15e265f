#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 300
# Whatever dies in the middle of a move, there is one running copy afterwards, or none and a lease.
#
# Each case slows a move down until it would never end, breaks something, and then asks both sides:
# the job has ended truthfully, nothing is left over, and the next move works.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

IO_TIMEOUT=1
SETTLE_S=60
here=nodeA there=nodeB job=""

job_field() {
    ctl "$here" job show "$job" --json | jq -er ".job.$1 // \"none\""
}

is_performing() {
    [[ $(job_field state) == perform && $(job_field 'transferred') -gt 0 ]]
}

# A guest that dirties 20 MiB/s, sent at 4 MiB/s
begin_slow_move() {
    job=$(ctl "$here" move "$VM" "$there" --bandwidth 4 --detach 2>/dev/null) || return 1
    retry 20 is_performing
}

has_ended() {
    [[ $(job_field ended) == true ]]
}

# ended_as OUTCOME: with an error that says why where it did not succeed
ended_as() {
    retry $SETTLE_S has_ended || return 1
    ctl "$here" job show "$job"
    [[ $(job_field outcome) == "$1" ]] || return 1
    [[ $1 == "done" || $(job_field message) != none ]]
}

# nothing_on NODE: no domain, no image device, no QEMU
nothing_on() {
    local left
    left=$(
        on "$1" virsh -q list --all
        on "$1" ls "/dev/csv/$VOLUME"
        "$LAB" status --json | jq -r --arg node "$1" '.nodes[] | select(.name == $node) | .loops[1:][]'
        on "$1" pgrep -a qemu-system || true
    ) || return 1
    echo "left on $1: $left"
    [[ -z $left ]]
}

# after_fault WHAT OUTCOME: the VM stayed
after_fault() {
    ok "$1: the job ends as $2" ended_as "$2"
    ok "$1: one copy runs, on $here" retry $SETTLE_S runs_once "$here"
    ok "$1: nothing is left on $there" retry $SETTLE_S nothing_on "$there"
    ok "$1: the guest answers" retry 20 answers
    ok "$1: both daemons say that it is on $here" both_say "$here"
    next_move_works "$1"
}

both_say() {
    retry 20 vm_is_on "$here" "$1" && retry 20 vm_is_on "$there" "$1"
}

is_in_touch() {
    status_of "$1" "[.nodes[] | select(.state == \"up\")] | length == ${#NODES[@]}" >/dev/null
}

next_move_works() {
    local left=$here
    ok "$1: both nodes see each other" retry 30 is_in_touch "$here"
    ok "$1: the next move works" ctl "$here" move "$VM" "$there"
    ok "$1: one copy runs, on $there" retry 5 runs_once "$there"
    ok "$1: nothing is left on $left" retry 10 nothing_on "$left"
    here=$there there=$left
}

daemon_is_back() {
    ctl "$1" status >/dev/null 2>&1
}

kill_daemons() {
    local node
    for node in "$@"; do
        "$LAB" service "$node" migrated kill || return 1
    done
    for node in "$@"; do
        retry 30 daemon_is_back "$node" || return 1
    done
}

kill_target_libvirtd() {
    "$LAB" service "$there" libvirtd kill && sleep 1 && "$LAB" service "$there" libvirtd start
}

kill_target_qemu() {
    on "$there" pkill -KILL -f qemu-system
}

cancel() {
    local status=0
    ctl "$here" job watch "$job" >"$TMP/watch" 2>&1 &
    local watcher=$!
    sleep 0.5
    ctl "$here" job cancel "$job" || return 1
    wait $watcher || status=$?
    cat "$TMP/watch"
    echo "the watcher's exit code is $status"
    [[ $status == 63 ]]
}

# fault WHAT OUTCOME CMD...
fault() {
    local what=$1 outcome=$2
    shift 2
    ok "$what: a slow move is on its way from $here" begin_slow_move
    ok "$what: it happens" "$@"
    after_fault "$what" "$outcome"
}

start_of_dead_works() {
    local status=0
    ctl "$there" vm start "$VM" --node "$there" || status=$?
    echo "exit code $status"
    echo "$status" >>"$TMP/starts"
    ((status == 0)) || sleep 2
    return $status
}

# sanlock calls it dead; but no watchdog was armed, and it has the VM's lease
is_kept_for_its_vm() {
    refuses 31 ctl "$there" node remove "$here" && grep -q "has the lease of $VM, and nothing proves" "$TMP/stderr"
}

source_dies() {
    ok "source dies: a slow move is on its way from $here" begin_slow_move
    ok "source dies: it happens" "$LAB" kill "$here"
    ok "source dies: the target gives up what it had received" retry $SETTLE_S nothing_on "$there"
    sleep 5
    ok "source dies: the lease is held" refuses 29 ctl "$there" vm start "$VM" --node "$there"
    ok "source dies: dead or not, the node is not removed while it may run its VM" retry 120 is_kept_for_its_vm
    ok "source dies: it starts once sanlock calls the node dead" retry 120 start_of_dead_works
    echo "# refused with exit code 29 $(grep -c '^29$' "$TMP/starts") times before"
    ok "source dies: one copy runs, on $there" runs_once "$there"
    ok "source dies: the guest answers" retry "$WAIT_S" answers
    ok "source dies: its node boots" "$LAB" boot "$here"
    ok "source dies: it takes part again" retry 60 cluster_attach_again "$here"
    ok "source dies: its job ends there" retry $SETTLE_S has_ended
    ok "source dies: nothing runs there" nothing_on "$here"
    local dead=$here
    here=$there there=$dead
    next_move_works "source dies"
}

cluster_run 2 $IO_TIMEOUT
acks_start
ok "the guest writes to its disk" "$LAB" http $IP '/writer?rate=30'
ok "and to its memory" retry "$WAIT_S" "$LAB" http $IP '/load?rate=20&set=64'

fault "source's migrated dies" failed eval 'kill_daemons "$here"'
fault "target's migrated dies" failed eval 'kill_daemons "$there"'
fault "both migrated die" failed eval 'kill_daemons "$here" "$there"'
fault "target's libvirtd dies" failed kill_target_libvirtd
fault "target's QEMU dies" failed kill_target_qemu
fault "cancelled" cancelled cancel

ok "target dies: a slow move is on its way from $here" begin_slow_move
ok "target dies: it happens" "$LAB" kill $there
ok "target dies: the job ends as failed" ended_as failed
ok "target dies: one copy runs, on $here" retry $SETTLE_S runs_once $here
ok "target dies: its node boots" "$LAB" boot $there
ok "target dies: it takes part again" retry 60 cluster_attach_again $there
ok "target dies: nothing is left there" nothing_on $there
next_move_works "target dies"
ok "every acknowledged record is on the disk, once and in order" "$LAB" http $IP /verify
source_dies

ok "the guest has lost no record" stop_and_verify "$here"
echo "# $(acked) records acknowledged"
ok "the volume is in order" volume_clean
done_testing
