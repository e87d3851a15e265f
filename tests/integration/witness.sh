#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 30
# timeout: 240
# The witnesses of the other tests see what they are there for: a second copy of a VM, and what it does to the disk.
#
# A second QEMU of the same name, on the same blocks of the LUN, is started on another node on purpose: by hand, past
# libvirt, sanlock, and QEMU's own locks.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

IP2=10.77.2.66

# The image's blocks on nodeB, where nobody has made a device for them
second_disk() {
    local dev offset size
    dev=$(on nodeA readlink -f "/dev/csv/$VOLUME/$VM-disk") || return 1
    read -r offset size < <(on nodeA losetup --noheadings -O OFFSET,SIZELIMIT "$dev")
    second_dev=$(on nodeB losetup -f --show --direct-io=on -o "$offset" --sizelimit "$size" "$LUN")
    at_exit "$LAB" on nodeB losetup -d "$second_dev"
}

# A network card of its own tells it apart from the first; its guest takes its address from that.
second_copy() {
    local accel cpu=qemu64
    accel=$("$lab_tree/lab/lib/accel")
    [[ $accel != kvm ]] || cpu=host
    on nodeB qemu-system-x86_64 -name "guest=$VM,debug-threads=on" -accel "$accel" -cpu $cpu -m 128 -nodefaults \
        -display none -daemonize -pidfile /run/second.pid -smbios "type=1,serial=$VM" \
        -drive "if=none,id=disk,file=$second_dev,format=raw,cache=none,file.locking=off" -device virtio-blk-pci,drive=disk \
        -netdev tap,id=net,ifname=second,script=no,downscript=no -device virtio-net-pci,netdev=net,mac=52:54:00:77:02:42 &&
        on nodeB ip link set second master br-guest up
}

writes() {
    local before
    before=$(acked)
    sleep 1
    (($(acked) > before))
}

# of_second FILTER: what copy-watch has told at its end
of_second() {
    jq -e "$1" "$TMP/copies.json" >/dev/null
}

read_disk() {
    ctl nodeA vm stop "$VM" --force && ctl nodeA image export "$VOLUME" "$VM-disk" "$TMP/disk.img" --force
}

# finds NAME: lab verify finds that
finds() {
    local status=0
    "$LAB" verify "$TMP/disk.img" --acked "$(acked_epoch)" >"$TMP/json" 2>"$TMP/findings" || status=$?
    cat "$TMP/json" && head -n 5 "$TMP/findings"
    ((status == 1)) && grep -q "^$1 slot=" "$TMP/findings"
}

cluster_run 2 1
copies_watch
acks_start
ok "the guest writes to its disk" "$LAB" http $IP '/writer?rate=20'
ok "records are acknowledged" retry 20 writes
is "it has one copy" "$(copies_of "$VM")" nodeA
ok "nodeB has the image's blocks" second_disk
ok "a second copy is started there" second_copy
ok "copy-watch sees its process" retry 20 eval '[[ $(copies_of "$VM") == "nodeA nodeB" ]]'
ok "its guest answers" retry "$WAIT_S" answers $IP2
# slower than the first, so that it stays behind it
ok "and writes to the same disk" "$LAB" http $IP2 '/writer?rate=5'
sleep 4
ok "the first one writes on" retry 20 writes
ok "the second one is ended" on nodeB sh -c 'kill "$(cat /run/second.pid)"'
not_ok "copy-watch says that not all was well" copies_seen
ok "copy-watch names both nodes" of_second '.violations | any(.vm == "web" and
    ([.node, .other] | sort) == ["nodeA", "nodeB"])'
acks_stop
ok "the disk is read" read_disk
ok "lab verify finds two writers that went on from the same end" finds chain
ok "lab verify finds records of two boots between one another" finds interleaved
done_testing
