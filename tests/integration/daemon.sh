#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon comes and goes, its VMs stay; and the commands that end a VM do what they say.
# takes: 50
# machines
# timeout: 1200
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

GAP_MAX_MS=$((1500 * ${SLOWER:-1})) # a busy machine may hold an echo up; a VM that stood still or restarted is far over
probe=""

daemon_pid() {
    on "$1" pgrep -o -x migrated
}

daemon_answers() {
    ctl "$1" status >/dev/null 2>&1
}

daemon_is_new() {
    local now
    now=$(daemon_pid "$1") && [[ $now != "$2" ]] && daemon_answers "$1" && has_volume "$1" >/dev/null
}

# restart NODE HOW: kill is kill -9, restart is a request to end
restart() {
    local before
    before=$(daemon_pid "$1") || return 1
    "$LAB" service "$1" migrated "$2" || return 1
    retry 30 daemon_is_new "$1" "$before"
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
    "$LAB" probe $IP --interval 5 --until-file "$TMP/enough" >"$TMP/probe.json" &
    probe=$!
    sleep 0.5
}

no_long_gap() {
    sleep 0.5
    touch "$TMP/enough"
    wait $probe || return 1
    cat "$TMP/probe.json"
    jq -e ".longest_gap_ms < $GAP_MAX_MS" "$TMP/probe.json"
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
ok "the guest writes to its disk" "$LAB" http $IP '/writer?rate=50'
guest=$(boot_id)

probe_start
ok "nodeA's daemon is killed and back" restart nodeA kill
ok "status is right at once" status_right
ok "it is ended and started in an orderly way" restart nodeA restart
ok "status is right at once again" status_right
ok "nodeB's daemon is killed and back" restart nodeB kill
ok "a client saw nothing of it" no_long_gap
sed -n 's/.*"longest_gap_ms":\([0-9.]*\).*/# longest gap: \1 ms/p' "$TMP/probe.json"
ok "it is still the same guest" same_guest
ok "both have the volume attached without being told" has_volume nodeA
ok "nodeB too" has_volume nodeB
ok "each sees the other" retry 30 all_up
ok "the restarted daemons move it" ctl nodeA move $VM nodeB
ok "it runs on nodeB alone" runs_once nodeB
ok "and back" ctl nodeB move $VM nodeA
ok "no image device is left on nodeB" retry 5 bash -c "[[ -z \$('$LAB' on nodeB ls /dev/csv/$VOLUME) ]]"

ok "delete of an owned image is refused" refuses 25 ctl nodeB image delete $VOLUME $VM-disk
ok "detach of a volume in use is refused" refuses 26 ctl nodeA volume detach $VOLUME
ok "undefine of a running VM is refused" refuses 23 ctl nodeA vm undefine $VM
ok "format over it is refused, even by force" refuses 26 ctl nodeB volume format $LUN --name x --force
ok "it runs on nodeA alone after all that" runs_once nodeA

ok "a graceful stop, asked on the other node" ctl nodeB vm stop $VM
ok "it is stopped at once" is_stopped
acks_stop
ok "export right behind the stop" fetch_disk nodeA "$TMP/disk.img"
ok "the guest's last records are on the disk" "$LAB" verify "$TMP/disk.img" --acked "$(acked)"
ok "no image device is left" retry 5 no_devices
ok "a stopped VM stays so when its daemon restarts" restart nodeA kill
ok "it is still stopped" is_stopped
ok "it starts on the other node" ctl nodeA vm start $VM --node nodeB
ok "its web server answers" retry "$WAIT_S" answers
ok "it runs on nodeB alone again" runs_once nodeB
ok "its plug is pulled" ctl nodeA vm stop $VM --force
ok "it is stopped at once, too" is_stopped

ok "nodeB is killed" "$LAB" kill nodeB
ok "and boots" "$LAB" boot nodeB
ok "it takes part in the volume again by itself" retry 90 has_volume nodeB
ok "the VM starts there" retry 30 ctl nodeB vm start $VM
ok "it runs on nodeB alone once more" runs_once nodeB
ok "stopped by force" ctl nodeB vm stop $VM --force
ok "it is undefined, its disk with it" ctl nodeA vm undefine $VM --delete-images
ok "it is unknown now" refuses 10 ctl nodeB vm show $VM
ok "its disk is gone" image_is_gone $VM-disk
ok "the volume can be detached" ctl nodeA volume detach $VOLUME
ok "the other node still has it" has_volume nodeB
ok "the volume is in order" volume_clean
done_testing
