#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 260
# timeout: 520
# full-timeout: 1500
# A node dies: its VMs run elsewhere, once; and what only looks like death costs nobody's VM.
#
# The nodes of this lab can fence one another by the lab's own agent. Each case breaks one thing,
# says what must happen, and that nothing else did.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

IO_TIMEOUT=1
SETTLE_S=60
RESTART_LIMIT=3
SAFE=app   # restart=always
STOPPED=off # stopped by its administrator
ENDED=ended # by itself, before its node did
plug_ms=0

pull() {
    plug_ms=$(now_ms)
    "$LAB" kill "$1"
}

# runs_on NODE [VM]: there and nowhere else
runs_on() {
    look
    [[ $(seen_with any "${2:-$VM}" | paste -sd' ') == "$1" &&
        $(seen_holding "${2:-$VM}" | paste -sd' ') == "$1" ]]
}

# runs_on_one_of VM NODE...: once, on any of these
runs_on_one_of() {
    local vm=$1 where
    shift
    look
    where=$(seen_with running "$vm" | paste -sd' ')
    [[ -n $where && " $* " == *" $where "* && $(seen_with any "$vm" | wc -l) == 1 ]]
}

# has_told NODE WATCHER: lines by that node are known to the other one, about whatever
has_told() {
    local subject
    for subject in "${NODES[@]}" "$VM" $SAFE; do
        ! ctl "$2" why "$subject" --json | jq -e --arg node "$1" '[.events[] | select(.node == $node)] | length > 0' \
            >/dev/null || return 0
    done
    return 1
}

# in_order A B: both happened, A first
in_order() {
    echo "at $1, then at $2"
    (($1 > 0 && $1 <= $2))
}

pid_of_migrated() {
    "$LAB" service "$1" migrated status | awk '{ print $3 }'
}

# ---- cases ----

# takes_part NODE yes|no: the others know of it, too
takes_part() {
    local other=nodeC conf=$MIGRATED_LAB_DIR/$1/etc/migrated/migrated.conf changed
    changed=$(sed -e '/^enabled=/d' -e "s/^\[failover\]/&\nenabled=$2/" "$conf") || return 1
    echo "$changed" >"$conf" # the file itself is what the node sees
    "$LAB" service "$1" migrated restart || return 1
    [[ $1 != "$other" ]] || other=nodeB
    retry 30 eval '[[ $(ctl '$other' node show '$1') =~ Restarts\ VMs:\ +'"$2"' ]]'
}

# The next in turn takes no part: it is passed over, by both who fences and who starts.
plug_pulled() {
    ok "plug pulled: nodeB takes no part" takes_part nodeB no
    ok "plug pulled: nodeA's" pull nodeA
    ok "plug pulled: the VM runs elsewhere" retry $SETTLE_S runs_on_one_of "$VM" nodeB nodeC
    echo "# it ran again $(($(now_ms) - plug_ms)) ms after the plug"
    ok "plug pulled: so does the second one" retry $SETTLE_S runs_on_one_of "$SAFE" nodeB nodeC
    ok "plug pulled: its guest answers" retry "$WAIT_S" answers
    echo "# it answered $(($(now_ms) - plug_ms)) ms after the plug"
    ok "plug pulled: the node was fenced" told nodeB nodeA fence-confirmed
    ok "plug pulled: once" eval '[[ $(count_told nodeB nodeA fence-confirmed) == 1 ]]'
    is "plug pulled: by nodeC" "$(tellers nodeB nodeA fence-confirmed)" nodeC
    is "plug pulled: which had the VM started, too" "$(tellers nodeB "$VM" restart)" nodeC
    ok "plug pulled: nodeB takes part again" takes_part nodeB yes
    ok "plug pulled: why is told of the VM" told nodeC "$VM" started
    ok "plug pulled: what starts after the other one did" in_order \
        "$(first_at nodeB $SAFE started "$plug_ms")" "$(first_at nodeB "$VM" restart "$plug_ms")"
    ok "plug pulled: what is kept apart is apart" eval '[[ $(nodes_with any "$VM") != "$(nodes_with any $SAFE)" ]]'
    is "plug pulled: what was stopped stays stopped" "$(nodes_with any $STOPPED)" ""
    is "plug pulled: so does what had ended before" "$(nodes_with any $ENDED)" ""
    ok "plug pulled: the node comes back" comes_back nodeA
    ok "plug pulled: and runs nothing of it" eval '[[ -z $(on nodeA virsh -q list --all) ]]'
}

# The node whose turn it is to fence and to start is the one that dies with the VM.
coordinator_dies_too() {
    ok "coordinator dies too: the VM moves to nodeA" move_to nodeA
    ok "coordinator dies too: nodeA is killed" pull nodeA
    ok "coordinator dies too: the VM runs elsewhere" retry $SETTLE_S runs_on_one_of "$VM" nodeB nodeC
    ok "coordinator dies too: its node comes back" comes_back nodeA
}

move_to() {
    local where
    where=$(nodes_with running "$VM")
    [[ $where == "$1" ]] || retry 60 ctl "$where" move "$VM" "$1"
}

# A coordinator that hangs is ended by its own sanlock, and started anew.
goes_on() { # NODE PID
    local process
    process=$(host_pid "$1" "$2") && [[ $process ]] || return 0
    kill -CONT "$process"
}

daemon_hangs() {
    local where pid since
    where=$(nodes_with running "$VM")
    since=$(now_ms)
    ok "daemon hangs: the guest has booted" retry "$WAIT_S" answers
    pid=$(pid_of_migrated "$where")
    ok "daemon hangs: on $where" kill -STOP "$(host_pid "$where" "$pid")"
    ok "daemon hangs: the others see it" retry 30 state_is "$(other "$where")" "$where" suspect
    ok "daemon hangs: its VM runs on" stays 8 answers
    ok "daemon hangs: there" runs_on "$where"
    ok "daemon hangs: it goes on" goes_on "$where" "$pid"
    ok "daemon hangs: all is normal" retry 30 all_up
    ok "daemon hangs: nobody was fenced" not_told_since "$since" "$(other "$where")" "$where" fencing
}

# A process of a node as the machine sees it: the innermost number of NSpid is the node's.
host_pid() {
    local status top
    top=$(awk '{ print $1 }' "$MIGRATED_LAB_DIR/$1/pid")
    for status in /proc/[0-9]*/status; do
        awk -v pid="$2" '/^NSpid:/ && NF > 2 && $NF == pid { found = 1 } END { exit !found }' \
            "$status" 2>/dev/null || continue
        status=${status%/status}
        [[ $(readlink "$status/ns/pid") == "$(readlink "/proc/$top/ns/pid")" ]] && echo "${status#/proc/}"
    done
}

network_cut() {
    local where watcher
    where=$(nodes_with running "$VM")
    watcher=$(other "$where")
    ok "network cut: $where's" cables "$where" down
    ok "network cut: the others say so" retry 30 state_is "$watcher" "$where" cut-off
    ok "network cut: the VM runs on, there, and nowhere else" stays 8 runs_on "$where"
    ok "network cut: repaired" cables "$where" up
    ok "network cut: all is normal" retry 30 all_up
    ok "network cut: the VM is where it was" runs_on "$where"
}

# With on_isolation=restart a node that nobody answers ends it, and only then it starts elsewhere.
network_cut_restart() {
    local where watcher cut_ms
    where=$(nodes_with running "$VM")
    watcher=$(other "$where")
    ok "network cut, restart: the policy" ctl "$watcher" vm set "$VM" on_isolation=restart
    cut_ms=$(now_ms)
    ok "network cut, restart: $where's" cables "$where" down
    ok "network cut, restart: the VM runs elsewhere" retry $SETTLE_S runs_on_one_of "$VM" $(others "$where")
    ok "network cut, restart: what it was is gone before" in_order \
        "$(first_at "$where" "$VM" ended-here "$cut_ms")" "$(first_at "$watcher" "$VM" restart "$cut_ms")"
    ok "network cut, restart: nobody was fenced" eval '[[ $(first_at "$watcher" "$where" fencing "$cut_ms") == 0 ]]'
    ok "network cut, restart: repaired" cables "$where" up
    ok "network cut, restart: all is normal" retry 30 all_up
    ok "network cut, restart: the policy is taken back" ctl "$watcher" vm set "$VM" on_isolation=keep
}

# All are cut off from all: each ends its own, and nobody can start anything until the network is back.
network_gone() {
    local where node since
    where=$(nodes_with running "$VM")
    since=$(now_ms)
    ok "network gone: the policy" ctl "$where" vm set "$VM" on_isolation=restart
    for node in "${NODES[@]}"; do
        ok "network gone: $node's" cables "$node" down
    done
    ok "network gone: the VM is ended" retry 30 eval '[[ -z $(nodes_with any "$VM") ]]'
    ok "network gone: nobody starts it" stays 6 eval '[[ -z $(nodes_with any "$VM") ]]'
    for node in "$where" $(others "$where"); do # where it ran is no cut-off node for those that come back
        ok "network gone: $node's is repaired" cables "$node" up
    done
    ok "network gone: the VM runs again" retry $SETTLE_S runs_on_one_of "$VM" "${NODES[@]}"
    ok "network gone: all is normal" retry 30 all_up
    ok "network gone: nobody was fenced" not_told_since "$since" "$where" "$where" fencing
    ok "network gone: the policy is taken back" ctl "$where" vm set "$VM" on_isolation=keep
}

qemu_dies() {
    local where
    where=$(nodes_with running $SAFE)
    ok "QEMU dies: where the VM with restart=always has moved to" retry 60 ctl "$where" move $SAFE nodeA
    where=nodeA
    ok "QEMU dies: of that VM" on "$where" virsh -q destroy $SAFE
    ok "QEMU dies: it runs again, on the same node" retry 40 runs_on "$where" $SAFE
    dies_again "$where"
}

# Where the node that it ran on cannot start it, another one does; and RESTART_LIMIT starts that did not
# last, the failed one counted, are the last ones until a person starts it.
dies_again() {
    local where=$1 watcher elsewhere
    watcher=$(other "$where")
    on "$where" sh -c ': >/run/none && chmod 644 /run/none && mount --bind /run/none /usr/bin/qemu-system-x86_64'
    ok "QEMU dies again: and cannot be started there" on "$where" virsh -q destroy $SAFE
    ok "QEMU dies again: it runs elsewhere" retry $SETTLE_S runs_on_one_of $SAFE $(others "$where")
    ok "QEMU dies again: where it was to start first is told" eval '[[ $(count_told "$watcher" $SAFE start-failed) -ge 1 ]]'
    on "$where" umount /usr/bin/qemu-system-x86_64
    elsewhere=$(nodes_with running $SAFE)
    not_ok "QEMU dies for the last time: it was not given up before" given_up "$watcher" $SAFE
    ok "QEMU dies for the last time" on "$elsewhere" virsh -q destroy $SAFE
    ok "QEMU dies for the last time: it is given up, and that is told" retry 40 given_up "$watcher" $SAFE
    ok "QEMU dies for the last time: it stays so" stays 8 eval '[[ -z $(nodes_with any $SAFE) ]]'
    ok "QEMU dies for the last time: it can be stopped, though it is down" ctl "$watcher" vm stop $SAFE
    not_ok "QEMU dies for the last time: once" ctl "$watcher" vm stop $SAFE
    ok "QEMU dies for the last time: a person starts it" retry 20 ctl "$where" vm start $SAFE
    ok "QEMU dies for the last time: it is started by itself as before" eval 'retry 30 runs_on "$where" $SAFE &&
        sleep 6 && on "$where" virsh -q destroy $SAFE && retry 40 runs_on "$where" $SAFE'
}

given_up() {
    ctl "$1" why "$2" --json | jq -e '[.events[] | select(.what == "not-started")][-1].text | test("too often")' >/dev/null
}

# An agent that fails has fenced nobody, whatever it did.
agent_fails() {
    local where watcher
    where=$(nodes_with running "$VM")
    watcher=$(other "$where")
    ok "agent $1: is set" set_mode "$1"
    ok "agent $1: $where is killed" pull "$where"
    ok "agent $1: it is not fenced, and that is told" retry 60 told "$watcher" "$where" not-fenced
    ok "agent $1: what it had told is still there" has_told "$where" "$watcher"
    ok "agent $1: nothing is started" stays 6 eval '[[ -z $(nodes_with any "$VM") ]]'
    ok "agent $1: the agent works again" set_mode ok
    ok "agent $1: it is fenced at the next try, and the VM runs" \
        retry 90 runs_on_one_of "$VM" nodeA nodeB nodeC
    # the two VMs that are never together have the last two nodes
    ok "agent $1: the cluster says that it can lose no further node" eval \
        '[[ $(status_of "$watcher" "(.warnings // []) | join(\" \")") == *"do not fit elsewhere"* ]]'
    ok "agent $1: its node comes back" comes_back "$where"
}

late_ends() {
    grep -q "$VM: the start on nodeA that was given up has ended: $1" "$MIGRATED_LAB_DIR/nodeA/log/migrated.out"
}

# libvirt takes the start and does not end it: not for good. Stopped by its administrator where it runs then, it is down
# also when the start that was given up goes on, and finds the lease free.
start_hangs() {
    local hook=$MIGRATED_LAB_DIR/nodeA/libvirt-etc/hooks/qemu.d/40-hangs
    ok "start hangs: the other VM is stopped" ctl nodeA vm stop $SAFE --force
    ok "start hangs: the VM moves to nodeC" move_to nodeC
    ok "start hangs: it belongs on nodeA" eval 'ctl nodeA vm set "$VM" prefer=nodeA && ctl nodeB node pardon nodeA'
    printf '#!/bin/sh\n[ "$1.$2" != %s.prepare ] || sleep 1004\nexit 0\n' "$VM" >"$hook"
    chmod 755 "$hook"
    ok "start hangs: nodeC is killed" pull nodeC
    ok "start hangs: it is started on nodeA" retry $SETTLE_S on nodeA pgrep -f 'sleep 1004'
    ok "start hangs: which is given up" retry 240 told_since "$plug_ms" nodeB "$VM" start-failed
    ok "start hangs: it runs elsewhere" retry $SETTLE_S vm_is_on nodeB nodeB
    ok "start hangs: its guest answers" retry "$WAIT_S" answers
    ok "start hangs: it is stopped there" ctl nodeB vm stop "$VM" --force
    rm "$hook"
    ok "start hangs: the hook goes on" on nodeA pkill -f 'sleep 1004'
    ok "start hangs: the late start comes to its end" retry 30 late_ends "$VM was stopped while"
    ok "start hangs: the VM is down" stays 5 eval '[[ -z $(nodes_with any "$VM") ]]'
    ok "start hangs: its node comes back" comes_back nodeC
}

cluster_up 3 --io-timeout $IO_TIMEOUT --fence
for node in "${NODES[@]}"; do
    printf '[fence]\ntimeout_s=15\n[failover]\nisolated_after_ms=4000\nrestart_limit=%s\n' $RESTART_LIMIT >>"$MIGRATED_LAB_DIR/$node/etc/migrated/migrated.conf"
    ok "$node reads its configuration" "$LAB" service "$node" migrated restart
done
ok "daemons are back" retry 30 eval 'ctl nodeA status && ctl nodeB status && ctl nodeC status'
ok "all attach the volume" cluster_volume $IO_TIMEOUT
ok "VMs are defined" eval 'cluster_define "$VM" "${IP##*.}" && cluster_define $SAFE 11 --memory 128 &&
    cluster_define $STOPPED 12 --memory 128 && cluster_define $ENDED 13 --memory 128'
ok "one is restarted always" ctl nodeA vm set $SAFE restart=always priority=900
like "that is shown" "$(ctl nodeC vm show $SAFE)" 'always'
ok "one starts after the other, and not where that is" ctl nodeC vm set "$VM" start_after=$SAFE anti_affinity=$SAFE
like "that is shown, too" "$(ctl nodeB vm show "$VM")" "Starts after: *$SAFE"
ok "a circle is refused" refuses 51 ctl nodeA vm set $SAFE start_after="$VM"
ok "with and apart at once is refused" refuses 51 ctl nodeA vm set $SAFE affinity="$VM"
like "times are told" "$(ctl nodeA timeouts)" "$VOLUME +host-dead +1 min 08 s"
ok "a policy that is none is refused" refuses 51 ctl nodeA vm set $SAFE restart=sometimes
ok "they start on nodeA" eval 'ctl nodeA vm start "$VM" && ctl nodeA vm start $SAFE && ctl nodeA vm start $STOPPED &&
    ctl nodeA vm start $ENDED'
ok "one is stopped by its administrator" ctl nodeA vm stop $STOPPED --force
ok "one ends by itself" on nodeA virsh -q destroy $ENDED
ok "the guest answers" retry "$WAIT_S" answers
ok "all nodes are up" retry 30 all_up
like "what if nodeA died" "$(ctl nodeB whatif node-down nodeA)" "$VM .*node[BC]"
((TAP_FAILED == 0)) || bail "no cluster, no test"

cases="plug_pulled qemu_dies network_cut network_cut_restart network_gone daemon_hangs agent_fails:error"
[[ ${MIGRATED_TEST_FULL:-0} == 0 ]] || cases+=" agent_fails:hang coordinator_dies_too start_hangs"
for one in ${MIGRATED_CASES:-$cases}; do # MIGRATED_CASES: only these
    # shellcheck disable=SC2086
    ${one/:/ }
done
ok "the volume is in order" volume_clean
done_testing
