#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The lease on the LUN alone keeps a VM from running twice: past our bookkeeping, and past a death.
#
# No node here has a watchdog or a fence agent; a dead node's lease is free only once sanlock calls
# that host dead, and not a moment earlier.
set -euo pipefail
# shellcheck source=/dev/null
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

create_past_us() {
    on nodeA virsh -q dumpxml "$VM" | on nodeB sh -c 'cat >/run/second.xml'
    on nodeB virsh -q create /run/second.xml 2>&1 | tee "$tap_work/second" >&2
    return "${PIPESTATUS[0]}"
}

# Asks nodeB to start the VM until it does; every refusal must be LeaseHeld (29), with the time.
start_until_it_works() {
    local status
    while ((SECONDS - killed_s <= CEILING_S + 10)); do
        status=0
        ctl nodeB vm start "$VM" --node nodeB 2>"$tap_work/refusal" || status=$?
        took_s=$((SECONDS - killed_s))
        echo "after $took_s s: exit code $status: $(<"$tap_work/refusal")"
        case $status in
        0) return 0 ;;
        29) ((++refusals)) ;;
        23) ((++running)) ;; # its death is not noticed at once
        *) return 1 ;;
        esac
        sleep 3
    done
    return 1
}

cluster_run 2 $IO_TIMEOUT
acks_start
check "the guest writes to its disk" "$LAB" http $IP '/writer?rate=50'

check "the image is mapped on nodeB by hand" map_by_hand
check_not "plain virsh cannot create the VM a second time" create_past_us
check "it is the lease that refuses" grep -qiE 'lease|acquire lock' "$tap_work/second"
sed 's/^/# /' "$tap_work/second"
check "it runs on nodeA alone" runs_once nodeA
check "the hand-made mapping goes" unmap_by_hand
check "the daemon of nodeB refuses, too" exits 23 ctl nodeB vm start $VM --node nodeB

took_s=0 refusals=0 running=0
sleep 3
check "nodeA's plug is pulled" "$LAB" kill nodeA
killed_s=$SECONDS
check "nodeB starts it in the end, refusing with exit code 29 before" start_until_it_works
sed 's/^/# /' "$tap_work/output"
check "at least once it was refused by the dead node's lease" test "$refusals" -gt 0
check "not before sanlock's floor: $took_s s, at least $FLOOR_S s" test "$took_s" -ge $FLOOR_S
check "and not long after: $took_s s, at most $CEILING_S s" test "$took_s" -le $CEILING_S
echo "# from the kill to the start: $took_s s; refused $refusals times by the lease, $running times as running"
check "its web server answers again" wait_for "$WAIT_S" answers
check "the guest finds its records whole" "$LAB" http $IP /verify

check "nodeA boots again" "$LAB" boot nodeA
check "and takes part in the volume" wait_for 60 cluster_attach_again nodeA
check "both are up" wait_for 30 status_of nodeB '[.nodes[] | select(.state == "up")] | length == 2'
sleep 5
check "nodeA's daemon did not start the VM there" runs_once nodeB
check "nodeA says that it is on nodeB" wait_for 10 vm_is_on nodeA nodeB
check "nodeB says so, too" vm_is_on nodeB nodeB
check "nodeA refuses to start it" exits 23 ctl nodeA vm start $VM --node nodeA
check "it can move back there" ctl nodeB move $VM nodeA
check "it runs on nodeA alone again" runs_once nodeA
check "every acknowledged record is on the disk, once and in order" stop_and_verify nodeA
check "the volume is in order" volume_clean
tap_done
