#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 145
# timeout: 600
# full-timeout: 2400
# A node loses its disk, its network or its time: its VMs have one copy, whatever comes back later.
#
# What runs where is seen from outside, by lib/copy-watch: no VM may ever have two copies at work. Each case
# breaks one thing for one of three nodes, says what must happen, and mends it.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

IO_TIMEOUT=1
DEAD_S=120 # sanlock's word comes after 68 s
SETTLE_S=${MIGRATED_SETTLE_S:-60}
LEASE_S=$((8 * IO_TIMEOUT))
SAFE=app # restart=always
here=nodeA

# runs_at NODE [VM]: one process, there
runs_at() {
    [[ $(copies_of "${2:-$VM}") == "$1" ]]
}

# runs_off NODE [VM]: one process, on any other
runs_off() {
    local where
    where=$(copies_of "${2:-$VM}")
    [[ $where == node? && $where != "$1" ]] && here=$where
}

settles() {
    ok "$1: the guest answers" retry "$WAIT_S" answers
    ok "$1: all nodes are up" retry 60 all_up
}

# ---- disk ----

# disk_short MODE SECONDS: within the leases' time
disk_short() {
    local since
    since=$(now_ms)
    ok "disk $1 for $2 s: $here's" "$LAB" disk "$here" "$1"
    sleep "$2"
    ok "disk $1 for $2 s: it is back" "$LAB" disk "$here" ok
    ok "disk $1 for $2 s: the VM stays where it was" stays 4 runs_at "$here"
    # a guest sees a stall as a slow disk, and of an error nothing: it stands still until that is over
    [[ $1 != error ]] || ok "disk $1 for $2 s: it stood still and was let go on" \
        eval 'told "$here" "$VM" io-error && told "$here" "$VM" resumed'
    ok "disk $1 for $2 s: the guest saw no error" eval '[[ $("$LAB" http $IP /stats | jq .writer.errors) == 0 ]]'
    ok "disk $1 for $2 s: the guest can write" retry 30 guest_writes
    ok "disk $1 for $2 s: nobody was fenced" not_told_since "$since" "$(other "$here")" "$here" fencing
    settles "disk $1 for $2 s"
}

guest_writes() {
    local before
    before=$(acked)
    sleep 1
    (($(acked) > before))
}

# Past its leases, and nobody can switch it off: sanlock ends its VMs; they start again once it is seen to have
# given its lease back.
disk_long() {
    local node=$here since
    since=$(now_ms)
    ok "disk $1 past the leases: no fence agent works" set_mode error
    ok "disk $1 past the leases: $node's" "$LAB" disk "$node" "$1"
    ok "disk $1 past the leases: the others say that it lost it" retry 30 state_is "$(other "$node")" "$node" disk-lost
    ok "disk $1 past the leases: it can be undrained, though it cannot tell there" \
        "$LAB" on "$node" timeout 20 migratectl undrain "$node"
    sleep $((LEASE_S + 6))
    ok "disk $1 past the leases: a fence was tried" told "$(other "$node")" "$node" not-fenced
    is "disk $1 past the leases: nowhere else was it started" "$(copies_of "$VM" | sed "s/$node//")" ""
    ok "disk $1 past the leases: it is back" "$LAB" disk "$node" ok
    ok "disk $1 past the leases: the node is one again, by itself" retry 60 all_up
    # where an error has stopped it sanlock has nothing left to kill: it is ended for its lease
    [[ $1 != error ]] || ok "disk $1 past the leases: what was left of it was ended" retry 20 told_since "$since" "$node" "$VM" ended-here
    ok "disk $1 past the leases: the VM runs once" retry "$SETTLE_S" runs_somewhere
    ok "disk $1 past the leases: an agent works again" set_mode ok
    settles "disk $1 past the leases"
}

runs_somewhere() {
    local where
    where=$(copies_of "$VM")
    [[ $where == node? ]] && here=$where && vm_is_on "$here" "$here"
}

# Nobody can switch it off, and by a setting for labs its VMs start elsewhere once sanlock calls it dead. Then the
# disk comes back: what was left of them there has ended, and stays so.
disk_back() {
    local node=$here where="" subject
    ok "disk $1, back too late: no fence agent works" set_mode error
    ok "disk $1, back too late: sanlock's word is enough" all_unsafe yes
    ok "disk $1, back too late: $node's" "$LAB" disk "$node" "$1"
    ok "disk $1, back too late: the VM runs elsewhere" retry $((LEASE_S + 60 + SETTLE_S)) vm_started_off "$node"
    [[ -n $where ]] || for subject in "$VM" "$node"; do
        ctl "$(other "$node")" why "$subject" | tail -n 12 | sed 's/^/# /'
    done
    here=${where:-$here}
    ok "disk $1, back too late: it is back" "$LAB" disk "$node" ok
    ok "disk $1, back too late: the node is one again, by itself" retry 90 all_up
    ok "disk $1, back too late: the VM has one copy" retry 20 runs_at "$here"
    ok "disk $1, back too late: and stays" stays 8 runs_at "$here"
    ok "disk $1, back too late: a watchdog is wanted again" all_unsafe no
    ok "disk $1, back too late: an agent works again" set_mode ok
    settles "disk $1, back too late"
}

# all_unsafe yes|no
all_unsafe() {
    local node
    for node in "${NODES[@]}"; do
        # appended: the node sees this file, not another one of its name; what is said last counts
        printf '[failover]\nunsafe_without_watchdog=%s\n' "$1" >>"$MIGRATED_LAB_DIR/$node/etc/migrated/migrated.conf"
        "$LAB" service "$node" migrated restart || return 1
    done
    retry 30 eval 'ctl nodeA status && ctl nodeB status && ctl nodeC status' >/dev/null
}

# What is left of it on NODE may be there as long as it does not work: copy-watch judges that.
vm_started_off() {
    where=$(copies_of "$VM" | tr ' ' '\n' | grep -v "^$1$")
    [[ $where == node? ]] && vm_is_on "$where" "$where"
}

disk_for_ever() {
    local node=$here
    ok "disk $1 for ever: $node's" "$LAB" disk "$node" "$1"
    ok "disk $1 for ever: the VM runs elsewhere" retry "$SETTLE_S" runs_off "$node"
    ok "disk $1 for ever: after the node was fenced" told "$here" "$node" fence-confirmed
    ok "disk $1 for ever: the node comes back" comes_back "$node"
    settles "disk $1 for ever"
}

# lease_passes NODE VM: somebody has it and gives it back
lease_passes() {
    local path offset
    read -r path offset < <(on "$1" virsh dumpxml "$2" |
        sed -n "s/.*<target path='\([^']*\)' offset='\([0-9]*\)'.*/\1 \2/p")
    on "$1" sanlock client command -r "$VOLUME:$2:$path:$offset" -c /bin/true
}

# Its disk has failed while no daemon looked after its lease, and that is free: nobody can tell who has written since.
# What stands still is ended, and starts again as after a node's death, elsewhere.
disk_unwatched() {
    local node=$here
    ok "disk $1, unwatched: $node has no migrated" "$LAB" service "$node" migrated stop
    ok "disk $1, unwatched: $node's" "$LAB" disk "$node" "$1"
    sleep 2
    ok "disk $1, unwatched: it is back" "$LAB" disk "$node" ok
    like "disk $1, unwatched: the VM stands still" "$(on "$node" virsh -q domstate "$VM" --reason)" "I/O error"
    ok "disk $1, unwatched: its lease is had and given back meanwhile" lease_passes "$node" "$VM"
    ok "disk $1, unwatched: migrated is back" "$LAB" service "$node" migrated start
    ok "disk $1, unwatched: the VM runs elsewhere" retry "$SETTLE_S" runs_off "$node"
    ok "disk $1, unwatched: why is told" eval 'told "$here" "$VM" ended-here && ctl "$here" why "$VM" | grep -q "with its disk"'
    settles "disk $1, unwatched"
}

# A QEMU that ends while the LUN fails: sanlock cannot give its lease back then, and forgets it.
disk_ended() {
    local node since
    node=$(copies_of $SAFE)
    since=$(now_ms)
    ok "disk $1, a QEMU ends: $node's" "$LAB" disk "$node" "$1"
    sleep 1
    # shellcheck disable=SC2016
    ok "disk $1, a QEMU ends: it is killed" on "$node" sh -c 'kill -KILL "$(cat "/run/libvirt/qemu/$1.pid")"' kill $SAFE
    sleep 2
    is "disk $1, a QEMU ends: it is gone" "$(copies_of $SAFE)" ""
    ok "disk $1, a QEMU ends: it is back" "$LAB" disk "$node" ok
    ok "disk $1, a QEMU ends: its VM starts again" retry "$SETTLE_S" safe_runs
    ok "disk $1, a QEMU ends: nobody was fenced for that" not_told_since "$since" "$(other "$node")" "$node" fencing
    settles "disk $1, a QEMU ends"
}

safe_runs() {
    local where
    where=$(copies_of $SAFE)
    [[ $where == node? ]] && vm_is_on "$where" "$where" $SAFE
}

# ---- time ----

# A machine that hangs answers nothing: fenced as a dead one. Its kernel may still answer (pings): when its leases
# have run out.
frozen() {
    local node=$here cables=$1 text="frozen, network $1"
    ok "$text: $node" "$LAB" freeze "$node"
    [[ $cables == up ]] || ok "$text: and answers nothing" cables "$node" down
    ok "$text: the VM runs elsewhere" retry "$SETTLE_S" runs_off "$node"
    ok "$text: after the node was fenced" told "$here" "$node" fence-confirmed
    not_ok "$text: so there is nothing to thaw" "$LAB" thaw "$node"
    ok "$text: the node comes back" comes_back "$node"
    settles "$text"
}

# Within its leases: nothing has happened.
frozen_short() {
    local node=$here
    ok "frozen for 2 s: $node" "$LAB" freeze "$node"
    sleep 2
    ok "frozen for 2 s: thawed" "$LAB" thaw "$node"
    ok "frozen for 2 s: the VM stays where it was" stays 4 runs_at "$node"
    settles "frozen for 2 s"
}

# ---- network ----

# on_isolation=restart: the node ends them, and only then are they started elsewhere. The other VM is kept.
network_restart() {
    local node
    node=$(copies_of $SAFE)
    ok "network cut: $node's" cables "$node" down
    ok "network cut: the VM with on_isolation=restart runs elsewhere" retry "$SETTLE_S" safe_runs_off "$node"
    if [[ $here == "$node" ]]; then
        ok "network cut: the one that is kept runs on, there" runs_at "$node"
    fi
    is "network cut: nobody was fenced meanwhile" "$(ctl "$(copies_of $SAFE)" why "$node" --json |
        jq '[.events[-3:][] | select(.what == "fencing")] | length')" 0
    ok "network cut: repaired" cables "$node" up
    settles "network cut"
}

safe_runs_off() {
    local where
    where=$(copies_of $SAFE)
    [[ $where == node? && $where != "$1" ]]
}

# ---- daemons ----

# crash_loop SECONDS: a migrated that never lives long costs no VM
crash_loop() {
    local node=$here since until=$((SECONDS + $1))
    since=$(now_ms)
    while ((SECONDS < until)); do
        "$LAB" service "$node" migrated kill >/dev/null 2>&1 || true
        sleep 0.7
    done
    ok "migrated crashes for $1 s: the VM runs on" runs_at "$node"
    ok "migrated crashes for $1 s: the guest answers" answers
    ok "migrated crashes for $1 s: nobody was fenced" not_told_since "$since" "$(other "$node")" "$node" fencing
    settles "migrated crashes for $1 s"
}

stopped() {
    local node=$here since
    since=$(now_ms)
    ok "migrated stopped for $1 s: on $node" "$LAB" service "$node" migrated stop
    ok "migrated stopped for $1 s: the VM runs on" stays "$1" runs_at "$node"
    ok "migrated stopped for $1 s: nobody was fenced" not_told_since "$since" "$(other "$node")" "$node" fencing
    ok "migrated stopped for $1 s: started" "$LAB" service "$node" migrated start
    settles "migrated stopped for $1 s"
}

hung() {
    local node=$here since
    since=$(now_ms)
    ok "migrated hangs for $1 s: on $node" signal "$node" migrated STOP
    ok "migrated hangs for $1 s: the VM runs on" stays "$1" runs_at "$node"
    ok "migrated hangs for $1 s: the guest answers" answers
    ok "migrated hangs for $1 s: nobody was fenced" not_told_since "$since" "$(other "$node")" "$node" fencing
    ok "migrated hangs for $1 s: it goes on" signal "$node" migrated CONT
    settles "migrated hangs for $1 s"
}

# ---- recovery cut short ----

# Starts hang at libvirt, so that what dies, dies in their middle.
begin_recovery() {
    local node=$1 text=$2
    first=$(other "$node") second=$(other "$node" 2)
    ok "$text: starts hang" eval 'signal "$first" libvirtd STOP && signal "$second" libvirtd STOP'
    since=$(now_ms)
    ok "$text: $node is killed" "$LAB" kill "$node"
    ok "$text: the VM's start is under way" retry 60 told_since "$since" "$first" "$VM" restart
    target=$(ctl "$first" why "$VM" --json | jq -r '[.events[] | select(.what == "restart")] | max_by(.at).about')
}

target_dies() {
    local node=$here text="target dies" first second since target left
    begin_recovery "$node" "$text"
    left=$first
    [[ $target != "$first" ]] || left=$second
    ok "$text: $target is killed" "$LAB" kill "$target"
    signal "$left" libvirtd CONT
    ok "$text: the VM runs on $left" retry "$SETTLE_S" runs_at "$left"
    here=$left
    ok "$text: the nodes come back" comes_back "$node" "$target"
    settles "$text"
}

recoverer_dies() {
    local node=$here text="migrated that restarts dies" first second since target
    begin_recovery "$node" "$text"
    ok "$text: $first's" "$LAB" service "$first" migrated kill
    eval 'signal "$first" libvirtd CONT; signal "$second" libvirtd CONT'
    ok "$text: the VM runs once" retry "$SETTLE_S" runs_off "$node"
    ok "$text: and stays" stays 5 runs_at "$here"
    ok "$text: the node comes back" comes_back "$node"
    settles "$text"
}

# Seen to fall silent in the same moment they are too many at once, as if the fault were here, and are fenced only when
# sanlock calls them dead; one a heartbeat after the other they are fenced one after the other.
two_die() {
    local node=$here third first
    first=$(other "$node") third=$(other "$node" 2)
    ok "two of three die: $node and $third" eval '"$LAB" kill "$node" & "$LAB" kill "$third" && wait $!'
    ok "two of three die: the VM runs on $first" retry "$DEAD_S" runs_at "$first"
    here=$first
    ok "two of three die: they come back" comes_back "$node" "$third"
    settles "two of three die"
}

agent_slow() {
    local node=$here
    ok "agent takes 30 s: it is set" set_mode slow
    ok "agent takes 30 s: $node is killed" "$LAB" kill "$node"
    ok "agent takes 30 s: nothing is started meanwhile" stays 20 eval '[[ -z $(copies_of "$VM") ]]'
    ok "agent takes 30 s: then the VM runs" retry "$SETTLE_S" runs_off "$node"
    ok "agent takes 30 s: it is set back" set_mode ok
    ok "agent takes 30 s: the node comes back" comes_back "$node"
    settles "agent takes 30 s"
}

# The agent says that it has switched the node off, and has not: its own status says so.
agent_pretends() {
    local node=$here since
    since=$(now_ms)
    ok "agent pretends: it is set" set_mode pretend
    ok "agent pretends: $node hangs" eval '"$LAB" freeze "$node" && cables "$node" down'
    ok "agent pretends: it is not believed" retry 60 told_since "$since" "$(other "$node")" "$node" not-fenced
    ok "agent pretends: nothing is started" stays 5 runs_at "$node"
    ok "agent pretends: the agent works" set_mode ok
    ok "agent pretends: the VM runs elsewhere after the next try" retry 90 runs_off "$node"
    ok "agent pretends: the node comes back" comes_back "$node"
    settles "agent pretends"
}

cluster_up 3 --io-timeout $IO_TIMEOUT --fence --disk-faults
copies_watch
for node in "${NODES[@]}"; do
    printf '[fence]\ntimeout_s=45\n' >>"$MIGRATED_LAB_DIR/$node/etc/migrated/migrated.conf"
    "$LAB" service "$node" migrated restart >/dev/null
done
ok "daemons are back" retry 30 eval 'ctl nodeA status && ctl nodeB status && ctl nodeC status'
ok "all attach the volume" cluster_volume $IO_TIMEOUT
ok "VMs are defined" eval 'cluster_define "$VM" "${IP##*.}" --memory 128 && cluster_define $SAFE 11 --memory 128'
ok "one is restarted where it ends or is cut off" ctl nodeA vm set $SAFE restart=always on_isolation=restart
ok "they start on nodeA" eval 'ctl nodeA vm start "$VM" && ctl nodeA vm start $SAFE'
ok "the guest answers" retry "$WAIT_S" answers
ok "all nodes are up" retry 30 all_up
acks_start
ok "the guest writes to its disk" "$LAB" http $IP '/writer?rate=20'
((TAP_FAILED == 0)) || bail "no cluster, no test"

CASES=${MIGRATED_CASES:-"disk_short error 2
disk_unwatched error
disk_ended error
disk_long error
frozen down
crash_loop 10
two_die"}
[[ ${MIGRATED_TEST_FULL:-0} == 0 ]] || CASES+="
network_restart
stopped 10
disk_short stall 2
frozen_short
crash_loop 15
target_dies
disk_for_ever stall
disk_long stall
disk_for_ever error
frozen up
recoverer_dies
agent_slow
agent_pretends
disk_back error
stopped 300
hung 300
crash_loop 300"
while read -r -a words <&5; do
    # a case may have been the last of its guest: it writes again
    "$LAB" http $IP '/writer?rate=20' >/dev/null || true
    begun=$SECONDS
    "${words[@]}"
    echo "# ${words[*]}: $((SECONDS - begun)) s"
done 5<<<"$CASES"

ok "never two copies at work" copies_seen
ok "the guest has lost no record" stop_and_verify "$here"
echo "# $(acked) records acknowledged"
ok "the volume is in order" volume_clean
done_testing
