#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A LUN of 4096 byte sectors, from the format to moves there and back: leases, slots and image devices. In the end sanlock's
# areas are damaged and mended, and are sanlock's again.
# takes: 45
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

sector_size() {
    [[ $(ctl nodeB volume show "$VOLUME" --json | jq -r .volume.sector_size) == 4096 ]]
}

cluster_up 2 --sector 4096 --io-timeout 2
ok "both attach the volume" cluster_volume 2
ok "it has 4096 byte sectors" sector_size
ok "a VM is defined" cluster_define "$VM" 10
ok "and started" ctl nodeA vm start "$VM"
ok "it answers" retry "$WAIT_S" answers
for target in nodeB nodeA nodeB; do
    ok "it moves to $target" ctl nodeA move "$VM" "$target"
    ok "and answers there" retry "$WAIT_S" answers
done
is "where status says" "$(ctl nodeA vm show "$VM" --json | jq -r .vm.node)" nodeB
ok "it stops" ctl nodeA vm stop "$VM"
ok "it is undefined with its disk" ctl nodeB vm undefine "$VM" --delete-images
ok "csvtool finds nothing wrong" on nodeA csvtool check "$LUN"

damage() { # SECTOR: of 4096 bytes
    on nodeA dd if=/dev/urandom of="$LUN" bs=4096 seek="$1" count=1 oflag=direct conv=notrunc status=none
}

detach_both() {
    ctl nodeA volume detach $VOLUME && ctl nodeB volume detach $VOLUME
}

generation() { # NODE: of its host lease
    on nodeA csvtool dump "$LUN" | jq -er --arg name "$1" '.nodes[] | select(.name == $name) | .host_generation'
}

before=$(generation nodeB)
ok "both detach it" detach_both
ok "the coordinator's lease is damaged, and a host's" eval 'damage 512 && damage 257'
exits "csvtool finds both" 1 on nodeA csvtool check "$LUN"
like "the one" "$OUT" "lease-damaged"
like "and the other" "$OUT" "host-lease-damaged.*host id 2"
ok "the volume cannot be attached there" eval '! ctl nodeB volume attach "$LUN"'
ok "both are mended" on nodeA csvtool check "$LUN" --repair --force
ok "nothing is wrong any more" on nodeA csvtool check "$LUN"
ok "both attach it again" eval 'cluster_attach nodeA && cluster_attach nodeB'
ok "each sees both" retry "$WAIT_S" all_up
ok "the catalogue can be changed" retry 20 ctl nodeB image create $VOLUME after 4M
is "the host's starts are counted on" "$(generation nodeB)" $((before + 1))
ok "a VM is defined" cluster_define "$VM" 10
ok "and started" ctl nodeB vm start "$VM"
ok "it moves" ctl nodeA move "$VM" "$(other "$(vm_node nodeA)")"
done_testing
