#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 30
# A VM that has gone on and comes back before its first node has ended the move that took it away.
#
# What that one has still to clean up is what comes back: the images, and a QEMU by that name.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/holds.sh
. "$(dirname "$(readlink -f "$0")")/../lib/holds.sh"

has_no_job() {
    ctl "$1" job list --json | jq -e --arg node "$1" '[.jobs[] | select(.source == $node and (.ended | not))] == []'
}

by_virsh() {
    on "$1" virsh -q migrate --live --p2p $VM "$(libvirt_of "$2")" >"$TMP/virsh" 2>&1
}

cluster_run 3 2 --holds
ACKS_RATE=20
acks_start
ok "migration by hand has its way" relays_up
hold nodeA $VM.confirm
ok "it moves to nodeB" ctl nodeA move $VM nodeB
ok "nodeA has not ended that move yet" retry 20 held nodeA $VM.confirm
ok "it moves on to nodeC" ctl nodeB move $VM nodeC
ok "nodeB has ended its own" retry 20 has_no_job nodeB
exits "back to nodeA it may not come" 24 ctl nodeC move $VM nodeA
like "which says what for" "$ERR" "a move of $VM from nodeA has not ended yet there"
not_ok "by hand neither" by_virsh nodeC nodeA
like "which is said to libvirt" "$(<"$TMP/virsh")" "has not ended yet there"
ok "it runs where it was" runs_once nodeC
let_go nodeA
ok "nodeA ends its move" retry 20 has_no_job nodeA
ok "nodeC ends what was refused" retry 20 has_no_job nodeC
ok "now it comes" ctl nodeC move $VM nodeA
ok "and runs there, once" runs_once nodeA
ok "the guest writes on" answers
acks_stop
ok "it has never lost a record" lost_nothing
ok "all is in order" on nodeB csvtool check "$LUN"
done_testing
