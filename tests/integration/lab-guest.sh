#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The lab's guest under plain libvirt: boots, answers, works, moves, ends, and loses no write.
#
# An argument is the LUN's sector size, 512 or 4096. With a lease made by hand and no daemon at all:
# what is proven here is the ground it stands on.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$(readlink -f "$0")")/../../lab/lib/tap.sh"
use_own_lab

SECTOR=${1:-512}
# sanlock's layout for it: 512 byte sectors with 1 MiB is its default, 4 KiB ones would get 8 MiB.
LAYOUT=()
if [[ $SECTOR == 4096 ]]; then
    LAYOUT=(-Z 4096 -A 1M)
fi
IP=10.77.2.21
LEASE_OFFSET=$((8 << 20))
IMAGE_OFFSET=$((64 << 20))
IMAGE_SIZE=$((256 << 20))
DISK=/dev/csv/vol1/web

prepare_leases() {
    "$LAB" on nodeA sanlock client init "${LAYOUT[@]}" -s LS:0:/dev/lab/lun0:0 -o 1
    "$LAB" on nodeA sanlock client init "${LAYOUT[@]}" -r LS:web:/dev/lab/lun0:$LEASE_OFFSET
    "$LAB" on nodeA sanlock client add_lockspace -s LS:1:/dev/lab/lun0:0 -o 1 &
    "$LAB" on nodeB sanlock client add_lockspace -s LS:2:/dev/lab/lun0:0 -o 1
    wait $!
}

prepare_disk() {
    local node
    for node in nodeA nodeB; do
        "$LAB" vm-xml web $DISK --ip-suffix 21 --lease LS web /dev/lab/lun0 $LEASE_OFFSET |
            "$LAB" on $node sh -euc '
                cat >/run/web.xml
                mkdir -p /dev/csv/vol1
                ln -s "$(losetup -f --show --direct-io=on -o "$1" --sizelimit "$2" /dev/lab/lun0)" /dev/csv/vol1/web
            ' sh $IMAGE_OFFSET $IMAGE_SIZE
    done
    "$LAB" guest-image "$tap_work/guest.img"
    "$LAB" on nodeA dd of=$DISK bs=1M oflag=direct iflag=fullblock conv=nocreat status=none <"$tap_work/guest.img"
}

# stat_above KEY LIMIT: a number in the guest's statistics
stat_above() {
    local value
    value=$("$LAB" http $IP /stats | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p")
    echo "$1 is $value"
    ((value > $2))
}

acked() {
    echo $((10#$(cat "$tap_work/acked")))
}

move() {
    "$LAB" on "$1" virsh -q migrate --live --p2p web "qemu+unix:///system?socket=/run/lab/libvirt-$2"
}

is_gone() {
    ! "$LAB" on "$1" virsh -q domstate web 2>/dev/null
}

# Damages the newest record in the copy of the disk, where the filesystem says that it lies.
damage_copy() {
    local block
    block=$(debugfs -R "bmap /ring/records $((($(acked) - 1) % 4096))" "$tap_work/disk.img" 2>/dev/null)
    printf 'X' | dd of="$tap_work/disk.img" bs=1 seek=$((block * 4096 + 2000)) conv=notrunc status=none
}

check "up with sectors of $SECTOR bytes" "$LAB" up 2 --sector "$SECTOR"
check "leases are made and both nodes join" prepare_leases
check "the disk is ready" prepare_disk
check "the guest starts with its lease" "$LAB" on nodeA virsh -q create /run/web.xml
check "its web server answers" wait_for 30 "$LAB" http $IP /
check "it answers pings" "$LAB" on client busybox ping -c2 -W2 $IP
check "it knows its name" bash -c "'$LAB' http $IP / | grep -q '^web up'"
check_not "a second start on nodeB is refused" "$LAB" on nodeB virsh -q create /run/web.xml

"$LAB" on client lab-acks $IP "$tap_work/acked" >/dev/null &
collector=$!
check "the writer writes" "$LAB" http $IP '/writer?rate=100'
check "memory gets dirty" "$LAB" http $IP '/load?rate=20&set=32'
check_not "more memory than there is is refused" "$LAB" http $IP '/load?rate=20&set=4000'
"$LAB" http $IP '/load?rate=20&set=32' >/dev/null
sleep 2
check "records are acknowledged" stat_above acked 50
check "the memory load reaches its rate" stat_above achieved_mib_s 14
check "echoes come" bash -c "'$LAB' probe $IP --duration 1 | tee /dev/stderr | grep -q '\"received\":1[5-9][0-9]'"

check "relays start" bash -c "'$LAB' service nodeA relay start && '$LAB' service nodeB relay start && sleep 0.3"
"$LAB" probe $IP --until-file "$tap_work/moved" >"$tap_work/probe.json" &
probe=$!
check "it moves to nodeB" move nodeA nodeB
check "it moves back" move nodeB nodeA
sleep 0.5
touch "$tap_work/moved"
check "the probe saw it all the time" wait $probe
echo "# longest gap: $(sed -n 's/.*"longest_gap_ms":\([0-9.]*\).*/\1/p' "$tap_work/probe.json") ms"
check "the lease is on nodeA" bash -c "'$LAB' on nodeA sanlock client status | grep -q '^r LS:web'"
check_not "and not on nodeB" bash -c "'$LAB' on nodeB sanlock client status | grep -q '^r LS:web'"
check "the guest finds its records whole" "$LAB" http $IP /verify

check "it is told to shut down" "$LAB" on nodeA virsh -q shutdown web
check "it does" wait_for 10 is_gone nodeA
kill -TERM $collector
wait $collector || true
check "the client saw acknowledgements" test "$(acked)" -gt 100
check "every acknowledged record is on the disk" "$LAB" on nodeB "$LAB" verify $DISK --acked "$(acked)"
"$LAB" on nodeB dd if=$DISK bs=1M iflag=direct status=none >"$tap_work/disk.img"
check "and in a copy of it" "$LAB" verify "$tap_work/disk.img" --acked "$(acked)"
check_not "one more than was written is missed" "$LAB" verify "$tap_work/disk.img" --acked $(($(acked) + 100))
damage_copy
check_not "damage to the newest record is found" "$LAB" verify "$tap_work/disk.img" --acked "$(acked)"
tap_done
