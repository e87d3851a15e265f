#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The lab comes up and goes down cleanly, twice, after crashes, with guests: nothing is left over.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$(readlink -f "$0")")/../../lab/lib/tap.sh"
use_own_lab

LUN_IMAGE_OFFSET=$((64 << 20))

host_mounts() {
    sort /proc/self/mounts
}

host_links() {
    ip -o link show | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | sort
}

# Loop devices whose file lies in this test's directory; deleted ones show so, too.
our_loops() {
    grep -ls "^$tap_work" /sys/block/loop*/loop/backing_file || true
}

# The identities of all namespaces of all machines, while they are up.
our_namespaces() {
    local file pid ns
    for file in "$MIGRATED_LAB_DIR"/*/pid; do
        read -r pid _ <"$file"
        for ns in mnt pid net uts ipc; do
            readlink "/proc/$pid/ns/$ns" 2>/dev/null || true
        done
    done
}

# Processes in any of the namespaces listed in $1. A namespace lives as long as someone is in it. A
# zombie is in none: when the host's own pid 1 reaps it is not the lab's business.
processes_in() {
    local link
    for link in /proc/[0-9]*/ns/{mnt,pid,net,uts,ipc}; do
        if grep -q '^State:[[:space:]]*Z' "${link%/ns/*}/status" 2>/dev/null; then
            continue
        fi
        if grep -qxF "$(readlink "$link" 2>/dev/null || echo none)" "$1"; then
            echo "$link"
        fi
    done
}

is_nothing_left() {
    local status=0
    processes_in "$tap_work/namespaces" >"$tap_work/left"
    our_loops >>"$tap_work/left"
    [[ ! -s $tap_work/left ]] || status=1
    cat "$tap_work/left"
    diff <(host_mounts) "$tap_work/mounts" || status=1
    diff <(host_links) "$tap_work/links" || status=1
    [[ ! -e $MIGRATED_LAB_DIR ]] || status=1
    return $status
}

note_machines() {
    our_namespaces >"$tap_work/namespaces"
    [[ -s $tap_work/namespaces ]]
}

pid_of() {
    cut -d' ' -f1 "$MIGRATED_LAB_DIR/$1/pid"
}

# A guest without a lease on a loop over the LUN's loop, as the daemon makes them: the worst that
# can be left behind.
start_guest() {
    local node=$1
    "$LAB" vm-xml crash /dev/csv/vol1/crash --memory 128 >"$tap_work/crash.xml"
    "$LAB" on "$node" sh -euc '
        mkdir -p /dev/csv/vol1
        dev=$(losetup -f --show --direct-io=on -o "$1" --sizelimit 16777216 /dev/lab/lun0)
        ln -s "$dev" /dev/csv/vol1/crash
        cat >/run/crash.xml
        virsh -q create /run/crash.xml' sh $LUN_IMAGE_OFFSET <"$tap_work/crash.xml"
}

has_qemu() {
    "$LAB" on "$1" virsh -q domstate crash | grep -q running
}

host_mounts >"$tap_work/mounts"
host_links >"$tap_work/links"

check "down without a lab" "$LAB" down
check "up" "$LAB" up 2
check "machines are there" note_machines
check "up a second time" "$LAB" up 2
check_not "up with other settings is refused" "$LAB" up 3
check "libvirt answers" "$LAB" on nodeA virsh -q list
check "no network of libvirt's is there" bash -c "[[ -z \$('$LAB' on nodeA virsh -q net-list --all) ]]"
check "nodes reach each other by name, on both networks" "$LAB" on nodeA bash -c '
    grep -q nodeB /etc/hosts && busybox ping -c1 -W2 10.77.0.2 && busybox ping -c1 -W2 10.77.1.2'
check_not "the client does not reach the management network" "$LAB" on client busybox ping -c1 -W1 10.77.0.1
check "a cable can be unplugged" "$LAB" net nodeB mig down
check_not "and nothing comes through" "$LAB" on nodeA busybox ping -c1 -W1 10.77.1.2
check "and plugged again" "$LAB" net nodeB mig up
check "then it does" "$LAB" on nodeA busybox ping -c1 -W2 10.77.1.2
check "nodes see each other's direct writes" bash -c "
    echo written by nodeA | '$LAB' on nodeA dd of=/dev/lab/lun0 bs=4096 conv=sync oflag=direct seek=9 status=none
    '$LAB' on nodeB dd if=/dev/lab/lun0 bs=4096 count=1 skip=9 iflag=direct status=none | grep -aq 'written by nodeA'"
check "down" "$LAB" down
check "nothing is left" is_nothing_left
check "down a second time" "$LAB" down

check "up again, with two LUNs of 4 KiB sectors" "$LAB" up 2 --luns 2 --sector 4096
check "sectors are 4 KiB" bash -c "[[ \$('$LAB' on nodeB blockdev --getss /dev/lab/lun1) == 4096 ]]"
note_machines
check "a guest starts" start_guest nodeA
check "it runs" has_qemu nodeA
check "libvirtd is killed" "$LAB" service nodeA libvirtd kill
check_not "it is dead" "$LAB" on nodeA virsh -q list
check "the guest outlives it" "$LAB" on nodeA pgrep -f "guest=crash"
check "libvirtd starts again" "$LAB" service nodeA libvirtd start
check "and knows the guest" wait_for 10 has_qemu nodeA
check "both services of nodeB are killed" bash -c "
    '$LAB' service nodeB libvirtd kill && '$LAB' service nodeB sanlock kill"
check "up starts them again" "$LAB" up
check "libvirt on nodeB answers" "$LAB" on nodeB virsh -q list
check "the plug is pulled" "$LAB" kill nodeA
check_not "nodeA is dead" "$LAB" on nodeA true
check "its log can be read" test -s "$MIGRATED_LAB_DIR/nodeA/log/libvirt/qemu/crash.log"
check "it boots again" "$LAB" boot nodeA
check_not "without its guest" has_qemu nodeA
check "but with its libvirtd" "$LAB" on nodeA virsh -q list
note_machines

check "a guest starts on nodeB" start_guest nodeB
for machine in nodeA nodeB switch client; do
    kill -KILL "$(pid_of $machine)"
done
check "all machines crash" wait_for 5 bash -c "! '$LAB' on nodeB true 2>/dev/null"
check "up repairs it" "$LAB" up
check "libvirt answers again" "$LAB" on nodeB virsh -q list
cat "$tap_work/namespaces" >"$tap_work/before"
note_machines
cat "$tap_work/before" >>"$tap_work/namespaces"
check "a guest starts on nodeB" start_guest nodeB
kill -KILL "$(pid_of nodeB)" "$(pid_of switch)"
check "down after a crash" "$LAB" down
check "nothing is left" is_nothing_left
tap_done
