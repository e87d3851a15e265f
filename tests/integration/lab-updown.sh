#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 90
# The lab comes up and goes down cleanly, twice, after crashes, with guests: nothing is left over.
# alone: it compares the machine's mounts and links
set -euo pipefail
# shellcheck source=../lib/lab.sh
. "$(dirname "$(readlink -f "$0")")/../lib/lab.sh"
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
    grep -ls "^$TMP" /sys/block/loop*/loop/backing_file || true
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
    processes_in "$TMP/namespaces" >"$TMP/left"
    our_loops >>"$TMP/left"
    [[ ! -s $TMP/left ]] || status=1
    cat "$TMP/left"
    diff <(host_mounts) "$TMP/mounts" || status=1
    diff <(host_links) "$TMP/links" || status=1
    [[ ! -e $MIGRATED_LAB_DIR ]] || status=1
    return $status
}

note_machines() {
    our_namespaces >"$TMP/namespaces"
    [[ -s $TMP/namespaces ]]
}

pid_of() {
    cut -d' ' -f1 "$MIGRATED_LAB_DIR/$1/pid"
}

# A guest without a lease on a loop over the LUN's loop, as the daemon makes them: the worst that
# can be left behind.
start_guest() {
    local node=$1
    "$LAB" vm-xml crash /dev/csv/vol1/crash --memory 128 >"$TMP/crash.xml"
    "$LAB" on "$node" sh -euc '
        rm -f /etc/libvirt/hooks/qemu.d/50-migrated # would refuse that
        mkdir -p /dev/csv/vol1
        dev=$(losetup -f --show --direct-io=on -o "$1" --sizelimit 16777216 /dev/lab/lun0)
        ln -s "$dev" /dev/csv/vol1/crash
        cat >/run/crash.xml
        virsh -q create /run/crash.xml' sh $LUN_IMAGE_OFFSET <"$TMP/crash.xml"
}

has_qemu() {
    "$LAB" on "$1" virsh -q domstate crash | grep -q running
}

host_mounts >"$TMP/mounts"
host_links >"$TMP/links"

ok "down without a lab" "$LAB" down
ok "up" "$LAB" up 2
ok "machines are there" note_machines
ok "up a second time" "$LAB" up 2
not_ok "up with other settings is refused" "$LAB" up 3
ok "libvirt answers" "$LAB" on nodeA virsh -q list
ok "no network of libvirt's is there" bash -c "[[ -z \$('$LAB' on nodeA virsh -q net-list --all) ]]"
ok "nodes reach each other by name, on both networks" "$LAB" on nodeA bash -c '
    grep -q nodeB /etc/hosts && busybox ping -c1 -W2 10.77.0.2 && busybox ping -c1 -W2 10.77.1.2'
not_ok "the client does not reach the management network" "$LAB" on client busybox ping -c1 -W1 10.77.0.1
ok "a cable can be unplugged" "$LAB" net nodeB mig down
not_ok "and nothing comes through" "$LAB" on nodeA busybox ping -c1 -W1 10.77.1.2
ok "and plugged again" "$LAB" net nodeB mig up
ok "then it does" "$LAB" on nodeA busybox ping -c1 -W2 10.77.1.2
ok "nodes see each other's direct writes" bash -c "
    echo written by nodeA | '$LAB' on nodeA dd of=/dev/lab/lun0 bs=4096 conv=sync oflag=direct seek=9 status=none
    '$LAB' on nodeB dd if=/dev/lab/lun0 bs=4096 count=1 skip=9 iflag=direct status=none | grep -aq 'written by nodeA'"
ok "down" "$LAB" down
ok "nothing is left" is_nothing_left
ok "down a second time" "$LAB" down

ok "up again, with two LUNs of 4 KiB sectors" "$LAB" up 2 --luns 2 --sector 4096
ok "sectors are 4 KiB" bash -c "[[ \$('$LAB' on nodeB blockdev --getss /dev/lab/lun1) == 4096 ]]"
note_machines
ok "a guest starts" start_guest nodeA
ok "it runs" has_qemu nodeA
ok "libvirtd is killed" "$LAB" service nodeA libvirtd kill
not_ok "it is dead" "$LAB" on nodeA virsh -q list
ok "the guest outlives it" "$LAB" on nodeA pgrep -f "guest=crash"
ok "libvirtd starts again" "$LAB" service nodeA libvirtd start
ok "and knows the guest" retry 10 has_qemu nodeA
ok "both services of nodeB are killed" bash -c "
    '$LAB' service nodeB libvirtd kill && '$LAB' service nodeB sanlock kill"
ok "up starts them again" "$LAB" up
ok "libvirt on nodeB answers" "$LAB" on nodeB virsh -q list
ok "the plug is pulled" "$LAB" kill nodeA
not_ok "nodeA is dead" "$LAB" on nodeA true
ok "its log can be read" test -s "$MIGRATED_LAB_DIR/nodeA/log/libvirt/qemu/crash.log"
ok "it boots again" "$LAB" boot nodeA
not_ok "without its guest" has_qemu nodeA
ok "but with its libvirtd" "$LAB" on nodeA virsh -q list
note_machines

ok "a guest starts on nodeB" start_guest nodeB
for machine in nodeA nodeB switch client; do
    kill -KILL "$(pid_of $machine)"
done
ok "all machines crash" retry 5 bash -c "! '$LAB' on nodeB true 2>/dev/null"
ok "up repairs it" "$LAB" up
ok "libvirt answers again" "$LAB" on nodeB virsh -q list
cat "$TMP/namespaces" >"$TMP/before"
note_machines
cat "$TMP/before" >>"$TMP/namespaces"
ok "a guest starts on nodeB" start_guest nodeB
kill -KILL "$(pid_of nodeB)" "$(pid_of switch)"
ok "down after a crash" "$LAB" down
ok "nothing is left" is_nothing_left
done_testing
