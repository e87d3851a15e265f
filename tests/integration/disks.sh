#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks that come and go: other formats, files that refer to others, disks in use, and a LUN whose VMs run on
# while their daemon does not.
# takes: 85
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

# exits CODE NODE ARGUMENTS...: migratectl there says no with this code
exits() {
    local expected=$1 rc=0
    shift
    ctl "$@" >"$TMP/out" 2>&1 || rc=$?
    [[ $rc == "$expected" ]] || { echo "exit code $rc: $(cat "$TMP/out")"; return 1; }
}

images() {
    ctl nodeA image list "$VOLUME" --json | jq -c '[.images[].name]'
}

# the second LUN is for nodes that know one another from elsewhere
cluster_run 2 2 --luns 2
before=$(images)

qemu-img create -q -f qcow2 -F raw -b /dev/csv/$VOLUME/$VM-disk "$TMP/thief.qcow2" 256M 2>/dev/null ||
    qemu-img create -q -u -f qcow2 -F raw -b /dev/csv/$VOLUME/$VM-disk "$TMP/thief.qcow2" 256M
ok "a disk file that refers to another one is refused" \
    exits 51 nodeA image import "$VOLUME" thief "$TMP/thief.qcow2"
is "and leaves nothing" "$(images)" "$before"

ok "a qcow2 of the guest is made" qemu-img convert -O qcow2 "$TMP/guest.img" "$TMP/guest.qcow2"
ok "and imported" ctl nodeB image import "$VOLUME" copy "$TMP/guest.qcow2"
ok "exported again, as raw" ctl nodeB image export "$VOLUME" copy "$TMP/copy.img"
ok "it is the same" qemu-img compare -q "$TMP/guest.img" "$TMP/copy.img"
ok "an export does not replace a file unasked" exits 20 nodeB image export "$VOLUME" copy "$TMP/copy.img"
ok "a copy of an image is the same" ctl nodeA image clone "$VOLUME" copy twin
ok "under its new name, too" ctl nodeB image rename "$VOLUME" twin other
ok "exported from the other node" ctl nodeA image export "$VOLUME" other "$TMP/other.img"
ok "it is the same, and as sparse" bash -c "qemu-img compare -q '$TMP/copy.img' '$TMP/other.img' &&
    (( \$(stat -c '%b * %B' '$TMP/other.img') < \$(stat -c %s '$TMP/other.img') ))"
ok "a disk that no VM owns grows" ctl nodeA image grow "$VOLUME" other 300M
ok "it goes" ctl nodeB image delete "$VOLUME" other
ok "a disk without an owner is deleted" ctl nodeA image delete "$VOLUME" copy
is "what is left is what was there" "$(images)" "$before"

# interrupted ARGUMENTS...: Ctrl-C while it copies, which is held up there. Not the qemu-img that measures before: nobody
# waits for that one with an ear for Ctrl-C.
interrupted() {
    local asked rc=0
    ctl nodeA "$@" >"$TMP/out" 2>&1 &
    asked=$!
    retry 20 on nodeA pkill -STOP -f '^qemu-img convert' || { wait $asked; return 1; }
    on nodeA pkill -INT -x migratectl || return 1
    retry 10 eval '! on nodeA pgrep -x qemu-img' || return 1
    wait $asked || rc=$?
    cat "$TMP/out"
    ((rc != 0))
}
nothing_copies() {
    ! on nodeA pgrep -x qemu-img && [[ $(images) == "$1" ]]
}
head -c 256M /dev/urandom >"$TMP/big.img"
ok "an import is interrupted" interrupted image import "$VOLUME" big "$TMP/big.img"
ok "and leaves nothing" retry 20 nothing_copies "$before"
ok "a whole one" ctl nodeA image import "$VOLUME" big "$TMP/big.img"
with=$(images)
ok "an export is interrupted" interrupted image export "$VOLUME" big "$TMP/half.img"
ok "and leaves nothing" eval 'retry 20 nothing_copies "$with" && [[ -z $(ls "$TMP" | grep half) ]]'
ok "a clone is interrupted" interrupted image clone "$VOLUME" big big2
ok "and leaves nothing" retry 20 nothing_copies "$with"
ok "the image is what it was" eval 'ctl nodeA image export "$VOLUME" big "$TMP/whole.img" && cmp "$TMP/big.img" "$TMP/whole.img"'
ok "and goes" ctl nodeA image delete "$VOLUME" big

ok "a running VM's disk is not exported" exits 23 nodeB image export "$VOLUME" "$VM-disk" "$TMP/run.img"
ok "nor deleted" exits 25 nodeB image delete "$VOLUME" "$VM-disk"
ok "nor renamed" exits 25 nodeB image rename "$VOLUME" "$VM-disk" other
ok "nor cloned" exits 23 nodeB image clone "$VOLUME" "$VM-disk" other

# capacity: of the running VM's disk, as its QEMU sees it
capacity() {
    on nodeA virsh -q domblkinfo "$VM" vda | awk '$1 == "Capacity:" { print $2 }'
}
grown=$(($(capacity) + 64 * 1048576))
ok "but it grows while the VM runs, asked of another node" ctl nodeB image grow "$VOLUME" "$VM-disk" $grown
is "and the VM sees it" "$(capacity)" $grown
ok "so does the guest" retry 20 guest_sees $grown
ok "the same again is no mistake" ctl nodeA image grow "$VOLUME" "$VM-disk" $grown
ok "it does not shrink" exits 51 nodeA image grow "$VOLUME" "$VM-disk" 1M
ok "the VM runs on" answers

# ---- of LUNs only ----

# The storage shows the LUN by another path, a snapshot of it, and then a larger LUN. device FILE NAME [NODE]: a block
# device over it, known under that name on nodeA or another node.
device() {
    local loop
    loop=$(losetup --find --show --direct-io=on "$1")
    loops+=("$loop")
    # shellcheck disable=SC2046
    on "${3:-nodeA}" mknod "$2" b $(stat -c '0x%t 0x%T' "$loop")
}
file_of_lun() {
    on nodeA cat "/sys/block/$(on nodeA readlink -f "$LUN" | sed 's|.*/||')/loop/backing_file"
}
other_luns() {
    local loop lun_file size node
    local -a loops=()
    lun_file=$(file_of_lun)
    device "$lun_file" /dev/other-path
    ok "the LUN by another path is the volume that is attached" ctl nodeA volume attach /dev/other-path
    cp --sparse=always "$lun_file" "$TMP/snapshot"
    device "$TMP/snapshot" /dev/snapshot
    ok "a snapshot of it is refused" exits 20 nodeA volume attach /dev/snapshot
    ok "and named as what it is" grep -q "is a copy of volume" "$TMP/out"
    ok "its metadata is backed up" ctl nodeA volume backup "$VOLUME" "$TMP/metadata"
    ok "for root only" test "$(stat -c %a "$TMP/metadata")" = 600
    size=$(ctl nodeA volume show "$VOLUME" --json | jq .volume.size)
    truncate -s +256M "$lun_file"
    for node in nodeA nodeB; do
        losetup --set-capacity "$(on $node readlink -f "$LUN")"
    done
    is "a LUN that has grown is noticed" "$(ctl nodeB volume show "$VOLUME" --json | jq .volume.spare)" 268435456
    ok "the volume takes it over while the VM runs" ctl nodeB volume grow "$VOLUME"
    is "and the other node has seen that" "$(ctl nodeA volume show "$VOLUME" --json | jq .volume.size)" $((size + 268435456))
    ok "the VM runs on it" answers
    ok "all is in order" on nodeA csvtool check "$LUN"
    for loop in "${loops[@]}"; do
        losetup --detach "$loop"
    done
}
[[ -n ${MIGRATED_TEST_DIRECTORY:-} ]] || other_luns

# Where another node has the LUN, its VMs would be started a second time from the snapshot, once sanlock there calls it dead
# for a heartbeat that stands still.
judged_by_copy() {
    ctl nodeB why nodeA --json | jq -e '[.events[] | select(.what == "copy-attached")] | length > 0' && state_is nodeB nodeA suspect
}
copy_elsewhere() {
    local loop node
    local -a loops=()
    cp --sparse=always "$(file_of_lun)" "$TMP/snapshot2"
    ok "the volume's snapshot is of some seconds ago" sleep 12
    device "$TMP/snapshot2" /dev/snapshot2 nodeB
    ok "nodeB attaches it, where it knows nobody to ask" ctl nodeB volume attach /dev/snapshot2
    ok "but is told by nodeA's daemon, and starts none of its VMs" retry 20 judged_by_copy
    ok "its daemon stops" "$LAB" service nodeA migrated stop
    ok "and longer than its word is fresh" sleep 12
    ok "it is neither dead for that" state_is nodeB nodeA suspect
    ok "nor to be fenced" eval '[[ $(count_told nodeB nodeA fencing) == 0 && $(count_told nodeB nodeA dead) == 0 ]]'
    ok "its daemon is back" eval '"$LAB" service nodeA migrated start && retry 60 vm_is_on nodeA nodeA'
    ok "it lets go of it" ctl nodeB volume detach "$VOLUME"
    ok "they share another volume" ctl nodeA volume format /dev/lab/lun1 --name vol2 --io-timeout 2
    for node in nodeA nodeB; do
        ok "$node has it" ctl "$node" volume attach /dev/lab/lun1
    done
    ok "their daemons have talked" sleep 6
    ok "there the snapshot is refused" exits 20 nodeB volume attach /dev/snapshot2
    ok "and named as what it is" grep -q "is a copy of volume" "$TMP/out"
    for node in nodeB nodeA; do
        ok "$node lets go of that volume" ctl "$node" volume detach vol2
    done
    ok "the VM runs on" answers
    for loop in "${loops[@]}"; do
        losetup --detach "$loop"
    done
}

# The daemon of the VM's node is down, the VM runs on: its LUN is not formatted from under it.
ok "nodeB lets go of the volume" ctl nodeB volume detach "$VOLUME"
[[ -n ${MIGRATED_TEST_DIRECTORY:-} ]] || copy_elsewhere
ok "a volume that another node uses is not formatted, by force or not" \
    exits 26 nodeB volume format "$LUN" --name other --force
ok "migrated is stopped on nodeA" "$LAB" service nodeA migrated stop
sleep 4
ok "nor one whose VMs may still run" exits 26 nodeB volume format "$LUN" --name other --force
ok "the VM has not noticed" answers
ok "migrated starts again" "$LAB" service nodeA migrated start
ok "and has its volume and VM" retry 60 vm_is_on nodeA nodeA
ok "csvtool finds nothing wrong" on nodeA csvtool check "$LUN"

# What it writes once the space is another image's would land there.
held_image() {
    local holder
    on nodeA sh -c "exec sleep 300 </dev/csv/$VOLUME/$VM-disk" &
    holder=$!
    ok "a process of root's has the disk open" retry 10 on nodeA pgrep -x sleep
    ok "its VM stops, and is no more" eval 'ctl nodeA vm stop "$VM" --force && ctl nodeA vm undefine "$VM"'
    ok "the disk is not deleted from under it" exits 25 nodeA image delete "$VOLUME" "$VM-disk"
    ok "and why is said" grep -q "is open on this node" "$TMP/out"
    on nodeA pkill -x sleep
    wait "$holder" || true
    ok "once it has ended it is" ctl nodeA image delete "$VOLUME" "$VM-disk"
}
[[ -n ${MIGRATED_TEST_DIRECTORY:-} ]] || held_image

done_testing
