#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 130
# timeout: 600
# full-timeout: 7200
# Whatever breaks in whichever state of a move: there is one running copy, and the job says what became of it.
#
# Each state of STATES is combined with each fault of FAULTS. A cell stops a move where its state begins
# (lab/lab-hold-shim.c), breaks something there, lets it go on, mends what was broken, and asks: has the job ended,
# and truthfully? Does one copy run, and is it the one that ran before, unless that was killed? Is nothing left over
# on either side? Does the next move work? What lives and writes is judged from outside: by lib/copy-watch, by the
# guest's boot, and by the records on its disk.
#
# The long form walks all cells. Without it a tenth of them is, another one each hour: MIGRATED_TENTH=0..9 chooses it,
# MIGRATED_CELLS="copy:cancel stop:node-source" chooses cells.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"
# shellcheck source=../lib/holds.sh
. "$(dirname "$(readlink -f "$0")")/../lib/holds.sh"

# Those of migrated-states(7); perform in four: before libvirt is asked, RAM on its way, the guest stopped and the
# source about to give the lease up, all received and the target about to take the lease.
STATES="begin waiting prepare perform copy stop take confirm"
FAULTS="migrated-source migrated-target migrated-both libvirtd-source libvirtd-target qemu-source qemu-target
    peer-cut ram-cut both-cut lun-source lun-target memory-target lease-target node-source node-target cancel"

IO_TIMEOUT=1
SETTLE_S=90
CUT_S=8   # longer than a peer is waited for
STALL_S=4 # within the leases' time
BLOCKER=blocker
BLOCKER_IP=10.77.2.11
here=nodeA there=nodeB state="" fault="" job="" boot="" mover=""
failed_cells=()

# Cells that are none: there is no receiving QEMU yet; it has taken all it needs, and the sending one is gone.
is_cell() {
    case $1:$2 in
    begin:qemu-target | waiting:qemu-target | prepare:qemu-target | perform:qemu-target) return 1 ;;
    confirm:memory-target | confirm:lease-target | confirm:qemu-source) return 1 ;;
    esac
}

all_cells() {
    local a b
    for a in $STATES; do
        for b in $FAULTS; do
            ! is_cell "$a" "$b" || echo "$a:$b"
        done
    done
}

# ---- the move, in its state ----

job_field() {
    ctl "$here" job show "$job" --json | jq -er ".job.$1 // \"none\""
}

# The guest writes to disk and memory, as much as an emulated one can while others work.
guest_works() {
    "$LAB" http $IP '/writer?rate=20' >/dev/null &&
        boot=$("$LAB" http $IP '/load?rate=5&set=32' | jq -er .boot_id)
}

newest_job() {
    ctl "$here" job list --json | jq -r --arg vm "$VM" '[.jobs[] | select(.vm == $vm)] | max_by(.started) | .id'
}

# is_new LAST: sets job
is_new() {
    job=$(newest_job)
    [[ $job != "$1" ]]
}

# begin_move [OPTIONS]: somebody waits for its end
begin_move() {
    local last
    last=$(newest_job)
    ctl "$here" move $VM "$there" "$@" >"$TMP/mover" 2>&1 &
    mover=$!
    retry 20 is_new "$last"
}

is_waiting() {
    [[ $(job_field state) == waiting ]]
}

is_copying() {
    [[ $(job_field state) == perform && $(job_field transferred) -gt 0 ]]
}

# Another move over the same pair of nodes that does not get on.
block_pair() {
    ctl "$here" vm start $BLOCKER --node "$here" || return 1
    hold "$here" $BLOCKER.prepare
    retry 20 ctl "$here" move $BLOCKER "$there" --detach && retry 20 held "$here" $BLOCKER.prepare
}

blocker_gone() {
    local node
    for node in nodeA nodeB; do
        ctl "$node" vm stop $BLOCKER --force && return
    done
    ctl nodeA vm show $BLOCKER --json | jq -e '(.vm // .).node == null'
}

# The move is there, and stays.
reach() {
    retry 60 guest_works || return 1
    case $state in
    begin | prepare | perform | confirm)
        hold "$here" "$VM.$state"
        begin_move && retry 30 held "$here" "$VM.$state"
        ;;
    waiting) block_pair && begin_move && retry 20 is_waiting ;;
    copy) begin_move --bandwidth 1 && retry 30 is_copying ;;
    stop) hold "$here" release && begin_move && retry 60 held "$here" release ;;
    take) hold "$there" acquire && begin_move && retry 60 held "$there" acquire ;;
    esac
}

# It goes on, where anything is left of it.
go_on() {
    case $state in
    waiting) ctl "$here" job cancel "$(ctl "$here" job list --json |
        jq -r '[.jobs[] | select(.vm == "'$BLOCKER'")] | max_by(.started) | .id')" || true ;;
    copy) ctl "$here" job set "$job" --bandwidth 0 || true ;;
    esac
    case $fault in # what these do lasts until they are mended
    memory-target | lease-target) rm -f "$MIGRATED_LAB_DIR/$here/tmp/hold/"* "$MIGRATED_LAB_DIR/$there/tmp/hold/acquire" ;;
    *) let_go "$here" && let_go "$there" ;;
    esac
}

# ---- faults ----

side() {
    case $fault in
    *-source) echo "$here" ;;
    *) echo "$there" ;;
    esac
}

# Its QEMU's pid on that node, as that node counts
qemu_on() {
    on "$1" pgrep -f "guest=$VM,"
}

limit_qemu() {
    local pid
    pid=$(qemu_on "$there") || return 0
    on "$there" prlimit --pid "$pid" "--as=$1:" || true
}

break_it() {
    case $fault in
    migrated-both) "$LAB" service "$here" migrated kill && "$LAB" service "$there" migrated kill ;;
    migrated-*) "$LAB" service "$(side)" migrated kill ;;
    libvirtd-*) "$LAB" service "$(side)" libvirtd kill ;;
    qemu-*) on "$(side)" pkill -KILL -f "guest=$VM," ;;
    peer-cut) "$LAB" net "$there" mgmt down ;;
    ram-cut) "$LAB" net "$there" mig down ;;
    both-cut) cables "$there" down ;;
    lun-*) "$LAB" disk "$(side)" stall ;;
    memory-target) hold "$there" memory && limit_qemu 1 ;;
    lease-target) hold "$there" refuse ;;
    node-*) "$LAB" kill "$(side)" ;;
    cancel) ctl "$here" job cancel "$job" ;;
    esac
}

has_ended() {
    [[ $(job_field ended) == true ]]
}

is_given_up() {
    ctl "$1" node list --json | jq -e --arg node "$2" '.nodes[] | select(.name == $node) | .state | . == "fenced" or . == "dead"'
}

mend_it() {
    local node
    node=$(side)
    case $fault in
    migrated-*) retry 30 ctl "$here" status && retry 30 ctl "$there" status ;;
    libvirtd-*) sleep 1 && "$LAB" service "$node" libvirtd start ;;
    peer-cut | ram-cut | both-cut) retry_for $CUT_S has_ended || true && cables "$there" up ;;
    lun-*) retry_for $STALL_S has_ended || true && "$LAB" disk "$node" ok ;;
    memory-target | lease-target)
        retry 30 has_ended
        limit_qemu unlimited
        let_go "$there"
        ;;
    node-*)
        retry 40 is_given_up "$(other "$node")" "$node" && comes_back "$node"
        ctl "$(other "$node")" node pardon "$node" || true
        ;;
    esac
}

# ---- what must be ----

# Where the VM is now, once: sets now_on
runs_somewhere() {
    now_on=$(nodes_with running | paste -sd' ')
    [[ $now_on == node? ]] && is_once "$now_on"
}

# What the job says is what happened, and who waited for it was told the same.
is_true() {
    local outcome message now told=0
    retry $SETTLE_S has_ended || { ctl "$here" job show "$job"; return 1; }
    retry $SETTLE_S runs_somewhere || return 1
    retry "$WAIT_S" answers || return 1
    now=$("$LAB" http $IP /stats | jq -r .boot_id)
    outcome=$(job_field outcome) message=$(job_field message)
    wait "$mover" || told=$?
    echo "$outcome: $message; runs on $now_on, was on $here, boot $boot, now $now; who waited: $told, $(tail -n 2 "$TMP/mover")"
    summary="$outcome, $([[ $now == "$boot" ]] && echo "runs on" || echo "booted anew on") $([[ $now_on == "$here" ]] && echo source || echo target)"
    [[ $outcome == "done" || $message != none ]] || return 1
    if [[ $now == "$boot" ]]; then
        [[ $outcome == "done" && $now_on == "$there" || $outcome != "done" && $now_on == "$here" ]] || return 1
    else
        # only where its QEMU or its node was killed
        [[ $fault == qemu-* || $fault == node-* || $fault == memory-target ]] || return 1
        [[ $outcome != "done" || $state =~ ^(take|confirm)$ ]] || return 1
    fi
    [[ $fault != cancel || $outcome != "done" || $message == *"point of no return"* ]] || return 1
    case $fault:$outcome in
    node-source:*) ;; # died with it
    *:done) ((told == 0)) ;;
    *:cancelled) ((told == 63)) ;;
    *) ((told != 0)) ;;
    esac
}

# one_on NODE: the VM's domain, its image, its QEMU, and no turn, no job that goes on
one_on() {
    local have
    have=$(on "$1" sh -c "virsh -q list --all | wc -l; ls /dev/csv/$VOLUME | wc -l; pgrep -c -x qemu; ls /run/migrated/turns | wc -l" | paste -sd' ')
    have+=" $(ctl "$1" job list --json | jq '[.jobs[] | select(.ended | not)] | length')"
    echo "$1 has $have domains, images, QEMUs, turns and jobs"
    [[ $have == "1 1 1 0 0" ]]
}

is_clean() {
    if [[ $state == waiting ]]; then
        retry 60 blocker_gone || return 1
    fi
    retry $SETTLE_S one_on "$now_on" && retry $SETTLE_S nothing_on "$(other "$now_on")"
}

judged_from_outside() {
    ! grep VIOLATION "$TMP/copies.log" && ! went_back
}

next_move() {
    local to
    to=$(other "$now_on")
    retry 60 all_up && ctl "$now_on" move $VM "$to" && retry 10 runs_once "$to" && here=$to there=$now_on
}

# Where one cell went wrong the next one begins with what runs.
find_it() {
    retry $SETTLE_S runs_somewhere || bail "$VM runs nowhere: $(ctl nodeA why $VM 2>&1 | tail -n 5)"
    here=$now_on there=$(other "$now_on")
}

cell() {
    local text begun=$SECONDS failed=$TAP_FAILED now_on="" summary=""
    state=${1%%:*} fault=${1#*:}
    text="$state, $fault"
    ok "$text: a move is there" reach
    if ((TAP_FAILED == failed)); then
        ok "$text: it happens" break_it
        go_on >/dev/null 2>&1
        ok "$text: it is mended" mend_it
        ok "$text: one copy runs, and the job and who waited for it say what happened" is_true
        ((TAP_FAILED > failed)) || ok "$text: nothing is left over" is_clean
        ok "$text: from outside there never were two, and nothing acknowledged was lost" judged_from_outside
        ((TAP_FAILED > failed)) || ok "$text: the next move works" next_move
    fi
    echo "# $text: ${summary:-?}, $((SECONDS - begun)) s"
    ((TAP_FAILED > failed)) || return 0
    failed_cells+=("$1")
    ctl "$here" job show "$job" 2>&1 | sed 's/^/# /' || true
    let_go "$here" && let_go "$there"
    find_it
    blocker_gone >/dev/null 2>&1 || true
}

mapfile -t cells < <(all_cells)
n_all=${#cells[@]}
if [[ -n ${MIGRATED_CELLS:-} ]]; then
    read -r -a cells <<<"$MIGRATED_CELLS"
elif [[ ${MIGRATED_TEST_FULL:-0} == 0 ]]; then
    tenth=${MIGRATED_TENTH:-$((EPOCHSECONDS / 3600 % 10))}
    echo "# MIGRATED_TENTH=$tenth repeats this"
    for i in "${!cells[@]}"; do
        ((i % 10 == tenth)) || unset "cells[i]"
    done
fi
echo "# ${#cells[@]} of $n_all cells"

cluster_up 2 --io-timeout $IO_TIMEOUT --fence --disk-faults --holds
for node in "${NODES[@]}"; do
    printf '[failover]\nrestart_limit=1000\n' >>"$MIGRATED_LAB_DIR/$node/etc/migrated/migrated.conf"
    "$LAB" service "$node" migrated restart >/dev/null
done
ok "daemons are back" retry 30 eval 'ctl nodeA status && ctl nodeB status'
copies_watch
ok "all attach the volume" cluster_volume $IO_TIMEOUT
ok "VMs are defined" eval 'cluster_define $VM "${IP##*.}" --memory 128 && cluster_define $BLOCKER "${BLOCKER_IP##*.}" --memory 128'
ok "one is started again where it ends, the other never" eval 'ctl nodeA vm set $VM restart=always && ctl nodeA vm set $BLOCKER restart=never'
ok "it starts on nodeA" ctl nodeA vm start $VM
ok "the guest answers" retry "$WAIT_S" answers
ok "all nodes are up" retry 30 all_up
((TAP_FAILED == 0)) || bail "no cluster, no test"
acks_start
for one in "${cells[@]}"; do
    cell "$one"
done
((${#failed_cells[@]} == 0)) || echo "# MIGRATED_CELLS='${failed_cells[*]}' repeats what failed"
ok "the guest has lost no record" stop_and_verify "$here"
echo "# $(acked) records acknowledged"
ok "never had it two copies at work" copies_seen
ok "the volume is in order" volume_clean
done_testing
