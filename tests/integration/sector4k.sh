#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A LUN of 4096 byte sectors, from the format to moves there and back: leases, slots and image devices.
# takes: 25
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

done_testing
