#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Three machines, no fence agent: a VM goes round, and when its machine loses its power one of the two that are left starts
# it, once.
# alone
# takes: 800
# timeout: 2400
set -euo pipefail
# the others have two
unset MIGRATED_TEST_MACHINES
# shellcheck source=../lib/machines.sh
. "$(dirname "$(readlink -f "$0")")/../lib/machines.sh"
NODES=(nodeA nodeB nodeC)

machines_run
acks_start
ok "the VM moves to nodeB" ctl nodeA move "$VM" nodeB
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeB
ok "it moves on to nodeC, asked of nodeA" ctl nodeA move "$VM" nodeC
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeC

t0=$(now_ms)
ok "nodeC loses its power" "$LAB" kill nodeC
ok "the VM answers elsewhere" retry "$WAIT_S" answers
answered=$(now_ms)
where=$(vm_node nodeA)
ok "on one of the two that are left" test "$where" != nodeC -a "$where" != none
ok "and runs once" retry "$WAIT_S" runs_once "$where"
ok "the other one agrees" retry 20 vm_is_on "$(other "$where")" "$where"
timeline "$t0" "nodeC is dead, for $where" "$(first_at "$where" nodeC dead "$t0")" \
    "$VM is to start on $where" "$(first_at "$where" "$VM" restart "$t0")" "it answers" "$answered"
acks_stop
ok "no record is lost that the client saw acknowledged" lost_nothing
ok "nodeC boots" "$LAB" boot nodeC
ok "it is a member again" retry "$WAIT_S" is_member nodeC
ok "with nothing of before on it" none_here nodeC
ok "all see all" eval 'retry "$WAIT_S" sees nodeA && retry "$WAIT_S" sees nodeB && retry "$WAIT_S" sees nodeC'
acks_start
ok "the VM moves back to it" ctl "$where" move "$VM" nodeC
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeC
ok "not one write of before is among those of after" stop_and_verify nodeC
ok "the volume is in order" volume_clean
done_testing
