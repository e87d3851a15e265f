#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 155
# The lease on the LUN alone keeps a VM from running twice: past our bookkeeping, and past a death.
#
# No node here has a watchdog or a fence agent; a dead node's lease is free only once sanlock calls
# that host dead, and not a moment earlier.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

IO_TIMEOUT=1
WATCHDOG_S=60                                # fixed in sanlock 3.8.5
RENEWAL_S=$((2 * IO_TIMEOUT))                # the last one may be so old at the kill
FLOOR_S=$((8 * IO_TIMEOUT + WATCHDOG_S - RENEWAL_S))
CEILING_S=$((FLOOR_S + 40))

# Makes the VM's image device on nodeB by hand, as no daemon would, beside the LUN's link that its
# lease needs and that every attached node has.
map_by_hand() {
    local offset size
    read -r offset size < <(on nodeA losetup --list --noheadings --raw --output OFFSET,SIZELIMIT \
        "$(on nodeA readlink -f "/dev/csv/$VOLUME/$VM-disk")")
    # shellcheck disable=SC2016
    on nodeB sh -euc '
        ln -s "$(losetup -f --show --direct-io=on -o "$2" --sizelimit "$3" /dev/lab/lun0)" "$1"
    ' sh "/dev/csv/$VOLUME/$VM-disk" "$offset" "$size"
}

unmap_by_hand() {
    # shellcheck disable=SC2016
    on nodeB sh -euc 'losetup -d "$(readlink "$1")"; rm "$1"' sh "/dev/csv/$VOLUME/$VM-disk"
}

# Past the hook, too, which would say so before the lease can.
create_past_us() {
    on nodeB rm -f /etc/libvirt/hooks/qemu.d/50-migrated
    on nodeA virsh -q dumpxml "$VM" | on nodeB sh -c 'cat >/run/second.xml'
    on nodeB virsh -q create /run/second.xml 2>&1 | tee "$TMP/second" >&2
    return "${PIPESTATUS[0]}"
}

# Asks nodeB to start the VM until it does; every refusal must be LeaseHeld (29), with the time.
start_until_it_works() {
    local status
    while ((SECONDS - killed_s <= CEILING_S + 10)); do
        status=0
        # dead or not, as long as nothing proves that it does not run its VM
        ! ctl nodeB node remove nodeA 2>"$TMP/refusal" || return 1
        cat "$TMP/refusal"
        ctl nodeB vm start "$VM" --node nodeB 2>"$TMP/refusal" || status=$?
        took_s=$((SECONDS - killed_s))
        echo "after $took_s s: exit code $status: $(<"$TMP/refusal")"
        case $status in
        0) return 0 ;;
        29) ((++refusals)) ;;
        23) ((++running)) ;; # its death is not noticed at once
        *) return 1 ;;
        esac
        sleep 3
    done
    ctl nodeB why "$VM" | tail -n 8
    ctl nodeB why nodeA | tail -n 8
    return 1
}

vm_runs() {
    on "$1" virsh -q list --state-running | grep -qw $VM
}

cluster_run 2 $IO_TIMEOUT
acks_start
ok "the guest writes to its disk" "$LAB" http $IP '/writer?rate=50'

ok "the image is mapped on nodeB by hand" map_by_hand
not_ok "plain virsh cannot create the VM a second time" create_past_us
ok "it is the lease that refuses" grep -qiE 'lease|acquire lock' "$TMP/second"
sed 's/^/# /' "$TMP/second"
ok "it runs on nodeA alone" runs_once nodeA
ok "the hand-made mapping goes" unmap_by_hand
ok "the daemon of nodeB refuses, too" refuses 23 ctl nodeB vm start $VM --node nodeB

# As a move does that is cancelled at its very end: QEMU itself lets the guest go on.
behind_libvirt() {
    on nodeA virsh -q qemu-monitor-command $VM "{\"execute\":\"$1\"}" >/dev/null
}
signal_daemon() {
    local pid
    read -r _ _ pid _ < <("$LAB" service nodeA migrated status)
    on nodeA kill "-$1" "$pid"
}
no_lease() {
    [[ -z $(lease_holders) ]]
}
ok "QEMU stops it behind libvirt's back, which gives the lease back" eval 'behind_libvirt stop && retry 10 no_lease'
ok "QEMU lets it go on, and it runs" eval 'behind_libvirt cont && retry 5 vm_runs nodeA'
ok "without its lease" no_lease
ok "the daemon hangs before it has looked" signal_daemon STOP
ok "its heartbeat is late" retry 20 status_of nodeB '.nodes[] | select(.name == "nodeA" and .state != "up")'
ok "the lease is free, and who wants to start it is refused" refuses 24 ctl nodeB vm start $VM --node nodeB
ok "it runs on nodeA, and there alone" eval 'vm_runs nodeA && ! vm_runs nodeB'
# A new daemon that cannot ask libvirt yet must not say that nothing runs here.
stays_refused() {
    local i
    for i in 1 2 3 4 5 6; do
        refuses 24 ctl nodeB vm start $VM --node nodeB || return 1
        sleep 1
    done
}
ok "the daemon is killed, and libvirt's" eval '"$LAB" service nodeA migrated kill && "$LAB" service nodeA libvirtd kill'
ok "the daemon is back" "$LAB" service nodeA migrated start
ok "which the other one sees" retry 30 status_of nodeB '.nodes[] | select(.name == "nodeA" and .state == "up")'
ok "without libvirt's word, who wants to start it is still refused" stays_refused
ok "nothing has started it" eval 'no_lease && ! vm_runs nodeB'
ok "libvirt is back" "$LAB" service nodeA libvirtd start
ok "it gets its lease again" retry 30 runs_once nodeA
ok "why says so" retry 10 eval 'ctl nodeA why $VM | grep -q "nobody had its lease; it has it again"'
ok "the guest answers" retry "$WAIT_S" answers
ok "it moves, its lease with it" retry 30 ctl nodeA move $VM nodeB
ok "it runs on nodeB alone" runs_once nodeB
ok "and back" ctl nodeB move $VM nodeA
ok "it runs on nodeA alone again" runs_once nodeA

took_s=0 refusals=0 running=0
sleep 3
ok "nodeA's plug is pulled" "$LAB" kill nodeA
killed_s=$SECONDS
ok "nodeB starts it in the end, refusing with exit code 29 before" start_until_it_works
sed 's/^/# /' "$TMP/said"
ok "at least once it was refused by the dead node's lease" test "$refusals" -gt 0
ok "not before sanlock's floor: $took_s s, at least $FLOOR_S s" test "$took_s" -ge $FLOOR_S
ok "and not long after: $took_s s, at most $CEILING_S s" test "$took_s" -le $CEILING_S
echo "# from the kill to the start: $took_s s; refused $refusals times by the lease, $running times as running"
ok "its web server answers again" retry "$WAIT_S" answers
ok "the guest finds its records whole" "$LAB" http $IP /verify

ok "nodeA boots again" "$LAB" boot nodeA
ok "and takes part in the volume" retry 60 cluster_attach_again nodeA
ok "both are up" retry 30 status_of nodeB '[.nodes[] | select(.state == "up")] | length == 2'
sleep 5
ok "nodeA's daemon did not start the VM there" runs_once nodeB
ok "nodeA says that it is on nodeB" retry 10 vm_is_on nodeA nodeB
ok "nodeB says so, too" vm_is_on nodeB nodeB
ok "nodeA refuses to start it" refuses 23 ctl nodeA vm start $VM --node nodeA
ok "it can move back there" ctl nodeB move $VM nodeA
ok "it runs on nodeA alone again" runs_once nodeA

# Somebody else may have run it between the two: whatever runs here then is older than its disk.
taken_elsewhere() {
    local lease
    lease=$(on nodeA virsh -q dumpxml $VM | sed -n '/<lease>/,/<\/lease>/p' | python3 -c '
import re, sys
xml = sys.stdin.read()
value = lambda pattern: re.search(pattern, xml).group(1)
print(":".join(value(p) for p in ("<lockspace>(.*)</lockspace>", "<key>(.*)</key>", "path=.([^ ]*). ", "offset=.([0-9]+)")))') || return 1
    on nodeB sanlock client command -r "$lease" -c /bin/true
}
runs_again() {
    ctl nodeA why $VM | grep -q 'another node has had it since' || return 1
    where=$(nodes_with running)
    [[ $where ]] && is_once "$where"
}
sleep 3 # its daemon has seen which version of the lease it came with
signal_daemon STOP
ok "it loses its lease once more, and runs" eval 'behind_libvirt stop && retry 10 no_lease && behind_libvirt cont'
ok "another node takes the lease, and gives it back" taken_elsewhere
signal_daemon CONT
ok "it does not go on: it is ended and started anew" retry 60 runs_again
ok "its guest boots" retry "$WAIT_S" answers
ok "every acknowledged record is on the disk, once and in order" stop_and_verify "$where"
ok "the volume is in order" volume_clean
done_testing
