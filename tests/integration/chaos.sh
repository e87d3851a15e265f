#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 210
# timeout: 840
# full-timeout: 3600
# Things break at random, for minutes: no VM has two copies at work, no acknowledged write is lost, all run at the end.
#
# The schedule is made from a seed, which is printed: MIGRATED_SEED repeats it (when what happens meets what is
# still a matter of the machine's load). Two minutes with 4 nodes and 6 VMs; the long form has 30 minutes, 5 nodes and 20 VMs.
# MIGRATED_CHAOS_S sets the time. What is judged is seen from outside: processes (lib/copy-watch), what clients saw acknowledged
# (lab-acks), and the guests' disks (lab verify).
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

IO_TIMEOUT=1
SEED=${MIGRATED_SEED:-$((16#$(head -c 3 /dev/urandom | od -An -tx1 | tr -d ' \n')))}
if [[ ${MIGRATED_TEST_FULL:-0} == 1 ]]; then
    N=5 N_VMS=20 RUN_S=${MIGRATED_CHAOS_S:-1800}
else
    N=4 N_VMS=6 RUN_S=${MIGRATED_CHAOS_S:-120}
fi
MOST_BROKEN=$((N / 2)) # nodes at once
SETTLE_S=240
FIRST_IP=10
RANDOM=$((SEED % 32768))
begun=0
VMS=()
ACKERS=()

say_when() {
    echo "# $((SECONDS - begun)) s: $*"
}

vm_ip() {
    echo "10.77.2.$((FIRST_IP + $1))"
}

# between A B: a number of these
between() {
    picked=$(($1 + RANDOM % ($2 - $1 + 1)))
}

# mend NODE: whatever was done to it. What was fenced meanwhile, or killed, boots.
mend() {
    "$LAB" thaw "$1" || true
    "$LAB" disk "$1" ok || true
    cables "$1" up || true
    "$LAB" service "$1" libvirtd start || true
    "$LAB" boot "$1"
}

# Breaks one thing, mends it later. In the background: several may overlap.
break_node() {
    local node=$1 what=$2 seconds=$3
    case $what in
    plug) "$LAB" kill "$node" ;;
    freeze) "$LAB" freeze "$node" ;;
    hang) "$LAB" freeze "$node" && cables "$node" down ;;
    network) cables "$node" down ;;
    management) "$LAB" net "$node" mgmt down ;;
    migration) "$LAB" net "$node" mig down ;;
    stall | error) "$LAB" disk "$node" "$what" ;;
    migrated | libvirtd) "$LAB" service "$node" "$what" kill ;;
    esac
    sleep "$seconds"
    mend "$node"
    # a node that has just come back is not broken again at once
    sleep 8
    rm -f "$TMP/broken.$node"
}

# Deaths are rare in life; here each second thing is one.
KINDS=(plug plug freeze hang network management migration stall stall error error migrated libvirtd)

step() {
    local node what seconds
    between 0 $((${#KINDS[@]} - 1)) && what=${KINDS[picked]}
    between 0 $((N - 1)) && node=${NODES[picked]}
    between 1 20 && seconds=$picked
    if [[ -e $TMP/broken.$node ]] || (($(find "$TMP" -maxdepth 1 -name 'broken.node*' | wc -l) >= MOST_BROKEN)); then
        return
    fi
    touch "$TMP/broken.$node"
    say_when "$node $what for $seconds s"
    breaks=$((breaks + 1))
    break_node "$node" "$what" "$seconds" >>"$TMP/broken.log" 2>&1 &
}

chaos() {
    local node
    begun=$SECONDS
    while ((SECONDS - begun < RUN_S)); do
        step
        between 1 6
        sleep "$picked"
    done
    wait_for_mending
    # fenced by the others after it was mended
    for node in "${NODES[@]}"; do
        mend "$node" >>"$TMP/broken.log" 2>&1 || return 1
    done
}

wait_for_mending() {
    local until=$((SECONDS + 120))
    while compgen -G "$TMP/broken.*[A-H]" >/dev/null && ((SECONDS < until)); do
        sleep 1
    done
    ! compgen -G "$TMP/broken.*[A-H]" || cat "$TMP/broken.log"
}

attach_all_again() {
    local node
    for node in "${NODES[@]}"; do
        retry 60 cluster_attach_again "$node" || return 1
    done
}

all_run() {
    local vm
    for vm in "${VMS[@]}"; do
        [[ $(copies_of "$vm") == node? ]] || return 1
    done
}

all_answer() {
    local i
    for ((i = 0; i < N_VMS; i++)); do
        answers "$(vm_ip $i)" || return 1
    done
}

what_is_wrong() {
    local vm
    for vm in "${VMS[@]}"; do
        echo "$vm: $(copies_of "$vm")"
        [[ $(copies_of "$vm") == node? ]] || ctl nodeA why "$vm" | tail -n 12
    done
    ctl nodeA status
}

start_all() {
    local i failed=0
    for ((i = 0; i < N_VMS; i++)); do
        ctl "${NODES[i % N]}" vm start "vm$i" || failed=1
    done
    return $failed
}

# A guest that has booted anew writes when it is told to.
keep_writing() {
    local i
    while [[ ! -e $TMP/enough ]]; do
        for ((i = 0; i < N_VMS; i++)); do
            "$LAB" http "$(vm_ip $i)" '/writer?rate=5' >/dev/null 2>&1 || true
        done
        sleep 3
    done
}

acks_all() {
    local i
    for ((i = 0; i < N_VMS; i++)); do
        "$LAB" on client lab-acks "$(vm_ip $i)" "$TMP/acked.$i" >/dev/null 2>&1 &
        ACKERS+=($!)
    done
}

# verify_vm I: its records, as they are on the disk
verify_vm() {
    local acked
    acked=$(acked "$TMP/acked.$1")
    ctl nodeA vm stop "vm$1" --force || return 1
    ctl nodeA image export "$VOLUME" "vm$1-disk" "$TMP/disk.img" --force || return 1
    echo "acknowledged: $(cat "$TMP/acked.$1")"
    total=$((total + acked))
    ! went_back "$TMP/acked.$1" && "$LAB" verify "$TMP/disk.img" --acked "$(acked_epoch "$TMP/acked.$1")"
}

echo "# seed $SEED: MIGRATED_SEED=$SEED repeats this; $N nodes, $N_VMS VMs, $RUN_S s"
cluster_up $N --io-timeout $IO_TIMEOUT --fence --disk-faults --lun-size 8192
ok "all attach the volume" cluster_volume $IO_TIMEOUT
for ((i = 0; i < N_VMS; i++)); do
    VMS+=("vm$i")
    cluster_define "vm$i" $((FIRST_IP + i)) --memory 128 >/dev/null && ctl nodeA vm set "vm$i" restart=always >/dev/null ||
        fail "vm$i is defined"
done
copies_watch
ok "all VMs start" start_all
ok "all answer" retry 240 all_answer
((TAP_FAILED == 0)) || bail "no cluster, no test"
acks_all
keep_writing &
writer=$!
breaks=0
chaos_failed=0
chaos || chaos_failed=1
is "what was broken is mended" $chaos_failed 0
ok "enough was broken: $breaks times" eval '((breaks >= RUN_S / 20))'
((chaos_failed == 0)) || tail -n 20 "$TMP/broken.log" | sed 's/^/# /'
ok "all nodes have the volume" attach_all_again
ok "all nodes are up" retry 120 all_up
ok "each VM runs, once" retry $SETTLE_S all_run
all_run || what_is_wrong | sed 's/^/# /'
ok "and answers" retry $SETTLE_S all_answer
touch "$TMP/enough"
wait $writer || true
kill "${ACKERS[@]}" 2>/dev/null || true
ok "never had one two copies at work" copies_seen
echo "# $(cat "$TMP/copies.json")"
total=0
for ((i = 0; i < N_VMS; i++)); do
    ok "vm$i has lost no acknowledged record" verify_vm "$i"
done
echo "# $total records acknowledged in all"
ok "the volume is in order" volume_clean
((TAP_FAILED == 0)) || echo "# MIGRATED_SEED=$SEED repeats the schedule"
done_testing
