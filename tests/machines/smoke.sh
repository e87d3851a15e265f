#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two machines with kernels of their own: a cluster over an iSCSI LUN, a KVM guest, a move, and a disk of
# several pieces that grows while its VM runs.
# alone
# takes: 350
# timeout: 900
set -euo pipefail
# shellcheck source=../lib/machines.sh
. "$(dirname "$(readlink -f "$0")")/../lib/machines.sh"

machines_run
begun=$SECONDS
ahead=$(clock_of nodeA)

ok "its QEMU runs under KVM" on nodeA sh -c "virsh -q dumpxml $VM | grep -q \"<domain type='kvm'\""
ok "as a user of its own" bash -c "[[ \$('$LAB' on nodeA ps -o user= -C qemu-system-x86_64) != root* ]]"
had=$(pieces nodeA)
ok "its disk is a device of device-mapper's" test "$had" -ge 1
ok "which AppArmor confines" on nodeA sh -c 'grep -q "^libvirt-.*(enforce)" "/proc/$(pgrep -x qemu-system-x86 | head -n 1)/attr/current"'
ok "udev knows the disk by its names, and does not look into it" as_udev_knows nodeA
ok "the watchdog is armed on both" armed nodeA nodeB

ok "another disk is in its way" ctl nodeA image create "$VOLUME" "stone$had" 8M
grown=$(($(capacity nodeA) + 64 * 1048576))
ok "its disk grows while it runs, asked of the other node" ctl nodeB image grow "$VOLUME" "$VM-disk" $grown
is "the VM sees it" "$(capacity nodeA)" $grown
ok "so does the guest" retry 20 guest_sees $grown
ok "it is of one piece more now" mapped nodeA $((had + 1))
ok "the guest runs on" answers
ok "something is written to the end of its new piece" write_end nodeA
end=$(end_of nodeA)
is "and is there on the LUN where the catalogue says so" "$(end_on_lun nodeB)" "$end"

# as a process of root's would have one, and as a crash leaves one
ok "a process has another image's device open" hold nodeA "stone$had"
ok "that is not deleted" refuses 25 ctl nodeA image delete "$VOLUME" "stone$had"
ok "nor is the VM's disk, or its volume let go of" eval 'not ctl nodeA image delete "$VOLUME" "$VM-disk" && not ctl nodeA volume detach "$VOLUME"'
like "it has a table and a link" "$(left_of nodeA "stone$had" | paste -sd' ')" "csv-$VOLUME-stone$had.* stone$had"
ok "the process ends, and migrated is killed" eval 'on nodeA systemctl stop holder && "$LAB" service nodeA migrated kill'
ok "the next one takes the device away, and its link" retry "$WAIT_S" eval '[[ -z $(left_of nodeA "stone$had") ]]'
ok "not that of the VM" mapped nodeA $((had + 1))
ok "it knows the VM" retry "$WAIT_S" vm_is_on nodeA nodeA
ok "the image can be deleted" ctl nodeA image delete "$VOLUME" "stone$had"

ok "a client writes" acks_start
moved_ms=$(date +%s%3N)
ok "the VM moves to nodeB" ctl nodeA move "$VM" nodeB
note "the move took $(($(date +%s%3N) - moved_ms)) ms"
ok "its guest answers there" retry "$WAIT_S" answers
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeB
ok "its disk is of as many pieces there" mapped nodeB $((had + 1))
is "and as long" "$(capacity nodeB)" $grown
is "its end is the same there" "$(end_of nodeB)" "$end"
ok "no device of it is left behind" retry 20 mapped nodeA 0
ok "the machine's clock runs as ours" runs_alike nodeA "$ahead" "$begun"
ok "no record is lost that the client saw acknowledged" stop_and_verify nodeB
ok "the volume is in order" volume_clean
done_testing
