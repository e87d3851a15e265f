#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon comes and goes, its VMs stay; and the commands that end a VM do what they say.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

GAP_MAX_MS=1500 # a busy machine may hold an echo up; a VM that stood still or restarted is far over
probe=""

daemon_pid() {
    on "$1" pgrep -o -x migrated
}

daemon_answers() {
    ctl "$1" status >/dev/null 2>&1
}

daemon_is_new() {
    local now
    now=$(daemon_pid "$1") && [[ $now != "$2" ]] && daemon_answers "$1"
}

# restart NODE HOW: kill is kill -9, restart is a request to end
restart() {
    local before
    before=$(daemon_pid "$1") || return 1
    "$LAB" service "$1" migrated "$2" || return 1
    wait_for 30 daemon_is_new "$1" "$before"
}

boot_id() {
    "$LAB" http $IP /stats | jq -er .boot_id
}

same_guest() {
    [[ $(boot_id) == "$guest" ]]
}

# As right after the start as anyone can ask
status_right() {
    status_of nodeA ".vms[] | select(.name == \"$VM\") | select(.state == \"running\" and .node == \"nodeA\"
        and .lease_owner == \"nodeA\" and .wanted == \"running\")" && runs_once nodeA
}

probe_start() {
    "$LAB" probe $IP --interval 5 --until-file "$tap_work/enough" >"$tap_work/probe.json" &
    probe=$!
    sleep 0.5
}

no_long_gap() {
    sleep 0.5
    touch "$tap_work/enough"
    wait $probe || return 1
    cat "$tap_work/probe.json"
    jq -e ".longest_gap_ms < $GAP_MAX_MS" "$tap_work/probe.json"
}

is_stopped() {
    status_of nodeA ".vms[] | select(.name == \"$VM\") | select(.state == \"stopped\" and .lease_owner == null
        and .wanted == \"stopped\")" && [[ -z $(nodes_with any) && -z $(lease_holders) ]]
}

image_is_gone() {
    ! ctl nodeA image list $VOLUME --json | jq -e ".images[] | select(.name == \"$1\")"
}

no_devices() {
    [[ -z $(on nodeA ls /dev/csv/$VOLUME && on nodeB ls /dev/csv/$VOLUME) ]]
}

has_volume() {
    status_of "$1" ".volumes[] | select(.name == \"$VOLUME\" and .state == \"attached\")"
}

cluster_run 2
acks_start
check "the guest writes to its disk" "$LAB" http $IP '/writer?rate=50'
guest=$(boot_id)

probe_start
check "nodeA's daemon is killed and back" restart nodeA kill
check "status is right at once" status_right
check "it is ended and started in an orderly way" restart nodeA restart
check "status is right at once again" status_right
check "nodeB's daemon is killed and back" restart nodeB kill
check "a client saw nothing of it" no_long_gap
sed -n 's/.*"longest_gap_ms":\([0-9.]*\).*/# longest gap: \1 ms/p' "$tap_work/probe.json"
check "it is still the same guest" same_guest
check "both have the volume attached without being told" has_volume nodeA
check "nodeB too" has_volume nodeB
check "the restarted daemons move it" ctl nodeA move $VM nodeB
check "it runs on nodeB alone" runs_once nodeB
check "and back" ctl nodeB move $VM nodeA
check "no image device is left on nodeB" wait_for 5 bash -c "[[ -z \$('$LAB' on nodeB ls /dev/csv/$VOLUME) ]]"

check "delete of an owned image is refused" exits 25 ctl nodeB image delete $VOLUME $VM-disk
check "detach of a volume in use is refused" exits 26 ctl nodeA volume detach $VOLUME
check "undefine of a running VM is refused" exits 23 ctl nodeA vm undefine $VM
check "format over it is refused, even by force" exits 26 ctl nodeB volume format $LUN --name x --force
check "it runs on nodeA alone after all that" runs_once nodeA

check "a graceful stop, asked on the other node" ctl nodeB vm stop $VM
check "it is stopped at once" is_stopped
acks_stop
check "export right behind the stop" ctl nodeA image export $VOLUME $VM-disk "$tap_work/disk.img"
check "the guest's last records are on the disk" "$LAB" verify "$tap_work/disk.img" --acked "$(acked)"
check "no image device is left" wait_for 5 no_devices
check "a stopped VM stays so when its daemon restarts" restart nodeA kill
check "it is still stopped" is_stopped
check "it starts on the other node" ctl nodeA vm start $VM --node nodeB
check "its web server answers" wait_for "$WAIT_S" answers
check "it runs on nodeB alone again" runs_once nodeB
check "its plug is pulled" ctl nodeA vm stop $VM --force
check "it is stopped at once, too" is_stopped

check "nodeB is killed" "$LAB" kill nodeB
check "and boots" "$LAB" boot nodeB
check "it takes part in the volume again by itself" wait_for 90 has_volume nodeB
check "the VM starts there" wait_for 30 ctl nodeB vm start $VM
check "it runs on nodeB alone once more" runs_once nodeB
check "stopped by force" ctl nodeB vm stop $VM --force
check "it is undefined, its disk with it" ctl nodeA vm undefine $VM --delete-images
check "it is unknown now" exits 10 ctl nodeB vm show $VM
check "its disk is gone" image_is_gone $VM-disk
check "the volume can be detached" ctl nodeA volume detach $VOLUME
check "the other node still has it" has_volume nodeB
check "the volume is in order" volume_clean
tap_done
