#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What no node that is left may forget. All hosts are shut down in order while a VM runs, as for a power cut that was announced,
# and start again: so does the VM. And the node that restarts for all hangs in its own disk as another one dies.
# takes: 110
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

# systemd ends all at once but what others say that they need: migrated and QEMU, whose end the one may see still or not, and
# sanlock, which has a lockspace, not before the last.
shut_down() { # NODE [VM]
    local stop
    "$LAB" service "$1" migrated stop &
    stop=$!
    if [[ -n ${2:-} ]]; then
        sleep 1 # it has its signal by then: who has not may take the VM for one that has ended by itself
        on "$1" sh -c "kill -TERM \$(cat /run/libvirt/qemu/$2.pid)" || return 1
    fi
    wait $stop || return 1
    "$LAB" service "$1" libvirtd stop
}

lease_is_free() { # NODE
    on "$1" csvtool dump "$LUN" | jq -e --arg vm $VM '.vms[] | select(.name == $vm) | .lease.host_id == 0' >/dev/null
}

# The next line that is to go to this host's list of events waits for a reader, for ever.
hang_in_own_disk() { # NODE
    on "$1" sh -c 'rm -f /var/lib/migrated/events && mkfifo /var/lib/migrated/events'
}

restarts_vms() { # NODE
    ctl nodeB node show "$1" --json | jq -e '.node.passive | not' >/dev/null
}

has_no_notes() { # NODE
    local notes
    notes=$(on "$1" find /var/lib/migrated/again -type f) && [[ -z $notes ]]
}

cluster_run 3 2 --fence
ok "another one is defined" eval 'ctl nodeA image create $VOLUME idle-disk 4M && "$LAB" vm-xml idle /dev/csv/$VOLUME/idle-disk --ip-suffix 30 --memory 128 >"$TMP/idle.xml" && ctl nodeA vm define $VOLUME "$TMP/idle.xml"'
ok "it is started" ctl nodeA vm start idle
ok "and stopped, by people" ctl nodeA vm stop idle --force
ok "nodeA is shut down in order, its VM with it" shut_down nodeA $VM
ok "the VM's lease was given back" retry 10 lease_is_free nodeB
for node in nodeB nodeC; do
    ok "$node is shut down in order, before it does anything about that" shut_down $node
done
for node in "${NODES[@]}"; do
    ok "$node is off" "$LAB" kill $node
done
for node in "${NODES[@]}"; do
    ok "$node starts again" "$LAB" boot $node
done
ok "the VM runs again" retry "$WAIT_S" answers
like "on one of them" "$(vm_node nodeA $VM)" "^node[ABC]$"
note "$(ctl nodeA why $VM | tail -n 2 | head -n 1)"
ok "what was to be done about it is done" retry 30 has_no_notes nodeA
is "what was stopped by people is stopped" "$(ctl nodeA vm show idle --json | jq -r .vm.state)" stopped

# nodeA restarts for all: it has the lowest id. Nothing starts there, which would hang, too.
ok "the VM runs on nodeC" eval 'vm_is_on nodeB nodeC $VM || ctl nodeB move $VM nodeC'
ok "nodeA takes no VMs" ctl nodeA drain nodeA
ok "it restarts VMs" restarts_vms nodeA
ok "its own disk hangs" hang_in_own_disk nodeA
ok "nodeC dies" "$LAB" kill nodeC
ok "nodeA says that it restarts none any more" retry 60 eval '! restarts_vms nodeA'
ok "the VM runs elsewhere" retry 120 vm_is_on nodeB nodeB $VM
ok "its web server answers again" retry "$WAIT_S" answers
done_testing
