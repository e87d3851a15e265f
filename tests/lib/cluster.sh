# SPDX-License-Identifier: LGPL-2.1-or-later
# cluster.sh - what the integration tests share: a lab of their own with a volume, a guest and questions about
# where it runs.
#
# A script sources this (which brings lab.sh along), then calls cluster_up, cluster_vm and
# what it needs. The lab goes down with the script, however that ends.
# shellcheck shell=bash disable=SC2034 # scripts read these

# Nodes have a /tmp of their own, but /var/tmp is the machine's: files there are seen by all.
export TMPDIR=/var/tmp
# shellcheck source=lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
# shellcheck source=nodes.sh
. "$(dirname "${BASH_SOURCE[0]}")/nodes.sh"

VOLUME=vol1
VM=web
IP=10.77.2.10
LUN=/dev/lab/lun0
# MIGRATED_TEST_DIRECTORY=1: the volume is a directory that all nodes see, and its images are files
[[ -z ${MIGRATED_TEST_DIRECTORY:-} ]] || LUN=$TMP/share
WAIT_S=90 # for what takes a second on an idle machine
NODES=()
acks_pid=""
copies_pid=""

cluster_attach() {
    ctl "$1" volume attach "$LUN"
}

# at_once COMMAND NODE...: on all of them at the same instant, and all succeed
at_once() {
    local command=$1 node failed=0
    local -a jobs=()
    shift
    for node in "$@"; do
        "$command" "$node" &
        jobs+=($!)
    done
    for node in "${jobs[@]}"; do
        wait "$node" || failed=1
    done
    return "$failed"
}

cluster_volume() {
    [[ -z ${MIGRATED_TEST_DIRECTORY:-} ]] || mkdir -p -m 755 "$LUN" || return 1
    ctl nodeA volume format "$LUN" --name "$VOLUME" --io-timeout "${1:-2}" || return 1
    at_once cluster_attach "${NODES[@]}"
}

# coordinator NODE [VOLUME]: who coordinates it as that node sees it, or none
coordinator() {
    ctl "$1" volume show "${2:-$VOLUME}" --json 2>/dev/null | jq -er '.volume.coordinator // "none"'
}

# has_coordinator NODE [VOLUME]
has_coordinator() {
    local name
    name=$(coordinator "$@") && [[ $name != none ]]
}

# coordinated_by NODE [ASKED]
coordinated_by() {
    [[ $(coordinator "${2:-nodeA}") == "$1" ]]
}

# not_coordinated_by NODE ASKED: by another one
not_coordinated_by() {
    has_coordinator "$2" && ! coordinated_by "$1" "$2"
}

# What a failure is understood by, and goes down with the lab: each node's view of the VM's time line.
tell_failure() {
    local node
    ((TAP_FAILED)) || return 0
    for node in "${NODES[@]}"; do
        echo "# $VM, as $node tells it:"
        ctl "$node" why "$VM" 2>&1 | tail -n 16 | sed 's/^/# /'
    done
}

# cluster_up N [LAB OPTIONS]: a lab, no volume yet
cluster_up() {
    local letter
    [[ -x $MIGRATED_BUILD/migrated/migrated ]] || "$lab_tree/lab/build" || exit 1
    use_own_lab
    at_exit tell_failure
    for letter in {A..P}; do
        ((${#NODES[@]} == $1)) || NODES+=("node$letter")
    done
    ok "a lab of $1 nodes is up" "$LAB" up "$@"
    ((TAP_FAILED == 0)) || bail "no lab, no test"
}

# cluster_define NAME SUFFIX [LAB OPTIONS]: a guest of its own disk, at 10.77.2.SUFFIX
cluster_define() {
    local name=$1 suffix=$2
    shift 2
    [[ -f $TMP/guest.img ]] || "$LAB" guest-image "$TMP/guest.img" || return 1
    "$LAB" vm-xml "$name" "/dev/csv/$VOLUME/$name-disk" --ip-suffix "$suffix" "$@" >"$TMP/$name.xml" &&
        ctl nodeA image import "$VOLUME" "$name-disk" "$TMP/guest.img" &&
        ctl nodeA vm define "$VOLUME" "$TMP/$name.xml"
}

answers() {
    "$LAB" http "${1:-$IP}" / >/dev/null
}

# guest_disk: its size in bytes, as the guest's kernel sees it
guest_disk() {
    "$LAB" http "${1:-$IP}" /stats | jq -er .disk_bytes
}

guest_sees() {
    [[ $(guest_disk) == "$1" ]]
}

# cluster_run N [IO_TIMEOUT [LAB OPTIONS]]: N nodes with a volume, and the VM runs on nodeA
cluster_run() {
    cluster_up "$1" --io-timeout "${2:-2}" "${@:3}"
    cluster_start "${2:-2}"
}

# cluster_start [IO_TIMEOUT]: what follows once the nodes are up
cluster_start() {
    ok "all attach the volume" cluster_volume "${1:-2}"
    ok "the VM is defined" cluster_define "$VM" "${IP##*.}"
    ok "it starts on nodeA" ctl nodeA vm start "$VM"
    ok "its web server answers" retry "$WAIT_S" answers
    ((TAP_FAILED == 0)) || bail "the VM does not run"
}

# libvirt_of NODE: for a virsh on another node, once relays_up
libvirt_of() {
    echo "qemu+unix:///system?socket=/run/lab/libvirt-$1"
}

# The way of plain virsh from node to node
relays_up() {
    local node
    for node in "${NODES[@]}"; do
        "$LAB" service "$node" relay start || return 1
    done
}

# What a client saw acknowledged is kept in a file by lab-acks, "SEQ BOOT BACK"; it lives until acks_stop. With ACKS_RATE
# the guest is asked to write so many records a second, again after each of its boots: by itself it writes none.
acks_start() {
    "$LAB" on client lab-acks "$IP" "$TMP/acked" ${ACKS_RATE:+"$ACKS_RATE"} >/dev/null 2>&1 &
    acks_pid=$!
}

acks_stop() {
    [[ -n $acks_pid ]] || return 0
    kill -TERM "$acks_pid" 2>/dev/null || true
    wait "$acks_pid" 2>/dev/null || true
    acks_pid=""
}

# acked [FILE]: the newest record that was acknowledged
acked() {
    local seq=0
    read -r seq _ 2>/dev/null <"${1:-$TMP/acked}" || true
    echo $((10#${seq:-0}))
}

# The same with the boot of the guest that wrote it, as lab verify takes it
acked_epoch() {
    local boot
    read -r _ boot _ <"${1:-$TMP/acked}" && echo "$(acked "$@"):$boot"
}

# The guest has told of fewer records than before, or of another boot's: it had lost some, or there are two.
went_back() {
    local back
    read -r _ _ back <"${1:-$TMP/acked}" || return 0
    ((10#$back > 0))
}

# Something was acknowledged, and nothing of it is lost.
lost_nothing() {
    echo "acknowledged: $(cat "$TMP/acked")"
    (($(acked) > 0)) && ! went_back
}

# Where the VM runs, as the node that is asked sees it
vm_node() {
    status_of "$1" ".vms[] | select(.name == \"${2:-$VM}\") | .node // \"none\""
}

vm_is_on() {
    [[ $(vm_node "$1" "${3:-$VM}") == "$2" ]]
}

is_alive() {
    on "$1" true 2>/dev/null
}

declare -A LOOK=()

# All nodes at once: LOOK[NODE] is what its libvirt has and, behind a line "leases", what sanlock there holds leases for.
# A dead one has neither.
look() {
    local node from said
    local -A answer=()
    for node in "${NODES[@]}"; do
        exec {from}< <(on "$node" sh -c 'virsh -q list --all; echo leases; sanlock client status' 2>/dev/null)
        answer[$node]=$from
    done
    for node in "${NODES[@]}"; do
        said=""
        from=${answer[$node]}
        IFS= read -r -d '' -u "$from" said || true
        LOOK[$node]=$said
        exec {from}<&-
    done
}

# Nodes that had the VM, at the last look, in a state of "virsh list": running, paused, ... or any
seen_with() {
    local node name state
    for node in "${NODES[@]}"; do
        while read -r _ name state _; do
            [[ $name != "${2:-$VM}" || ($1 != any && $state != "$1") ]] || echo "$node"
        done <<<"${LOOK[$node]%%leases$'\n'*}"
    done
}

# Nodes on which a process held its lease then
seen_holding() {
    local node
    for node in "${NODES[@]}"; do
        [[ ${LOOK[$node]#*leases} != *$'\n'"r $VOLUME:${1:-$VM}:"* ]] || echo "$node"
    done
}

# Nodes whose libvirt has the VM in a state of "virsh list"
nodes_with() {
    look
    seen_with "$@"
}

# Nodes on which a process holds the VM's lease, by sanlock itself
lease_holders() {
    look
    seen_holding "$@"
}

# runs_once NODE: there, in no other libvirt in any state, and the lease has one owner, which is it. A
# move answers when the VM has arrived, and its other half is gone a moment later.
runs_once() {
    retry 8 is_once "$1"
}

is_once() {
    local where any lease
    look
    where=$(seen_with running | paste -sd' ')
    any=$(seen_with any | paste -sd' ')
    lease=$(seen_holding | paste -sd' ')
    echo "running on: $where; known to: $any; lease held on: $lease; wanted: $1"
    [[ $where == "$1" && $any == "$1" && $lease == "$1" ]]
}

# refuses CODE CMD...: exits with that code, and one line that is not empty on stderr
refuses() {
    local wanted=$1 got=0
    shift
    "$@" >"$TMP/stdout" 2>"$TMP/stderr" || got=$?
    cat "$TMP/stderr"
    echo "exit code $got, expected $wanted"
    [[ $got == "$wanted" && $(wc -l <"$TMP/stderr") == 1 && $(wc -c <"$TMP/stderr") -gt 10 ]]
}

volume_clean() {
    on "${1:-nodeA}" csvtool check "$LUN"
}

# fetch_disk NODE FILE: the VM's disk as it is, where this script runs
fetch_disk() {
    ctl "$1" image export "$VOLUME" "$VM-disk" "$2" --force
}

# The guest shuts down, and no record that a client saw acknowledged is missing on its disk.
stop_and_verify() {
    local node=$1
    ctl "$node" vm stop "$VM" || return 1
    acks_stop
    fetch_disk "$node" "$TMP/disk.img" || return 1
    lost_nothing && "$LAB" verify "$TMP/disk.img" --acked "$(acked_epoch)"
}

# A node that comes back finds its volumes by its state or its config, or is told.
cluster_attach_again() {
    [[ $(status_of "$1" '.volumes | length') != 0 ]] || cluster_attach "$1"
}

# ---- from outside ----

# copies_watch: lib/copy-watch runs until copies_seen
copies_watch() {
    "$lab_tree/tests/lib/copy-watch" "$MIGRATED_LAB_DIR" "$TMP/copies" --log "$TMP/copies.log" >"$TMP/copies.json" &
    copies_pid=$!
}

# Ends it. False where a VM had two copies at work, or nothing was seen.
copies_seen() {
    touch "$TMP/copies"
    wait "$copies_pid" || return 1
    cat "$TMP/copies.json"
    jq -e '(.violations | length) == 0 and .processes > 0 and .samples > 10' "$TMP/copies.json" >/dev/null && return 0
    cat "$TMP/copies.log"
    return 1
}

# The nodes that have a process of this VM, as the kernel of this machine shows them
copies_of() {
    awk -v vm="$1" '$1 == vm { print $2 }' "$TMP/copies.now" | sort | paste -sd' '
}

# What is to be seen of that VM on that node: "PID STATE TICKS WRITTEN"
copy_on() {
    awk -v vm="$1" -v node="$2" '$1 == vm && $2 == node { print $3, $4, $5, $6 }' "$TMP/copies.now"
}

# shellcheck source=on-machines.sh
[[ ${MIGRATED_TEST_NODES:-lab} != machines ]] || . "$(dirname "${BASH_SOURCE[0]}")/on-machines.sh"
