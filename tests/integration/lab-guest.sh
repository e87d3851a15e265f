#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The lab's guest under plain libvirt: boots, answers, works, moves, ends, and loses no write.
#
# An argument is the LUN's sector size, 512 or 4096. With a lease made by hand and no daemon at all:
# what is proven here is the ground it stands on.
# takes: 30
set -euo pipefail
# shellcheck source=../lib/lab.sh
. "$(dirname "$(readlink -f "$0")")/../lib/lab.sh"
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

# What is done here breaks the rules of a cluster, whose hook would say so.
prepare_disk() {
    local node
    for node in nodeA nodeB; do
        "$LAB" on $node rm -f /etc/libvirt/hooks/qemu.d/50-migrated
        "$LAB" vm-xml web $DISK --ip-suffix 21 --lease LS web /dev/lab/lun0 $LEASE_OFFSET |
            "$LAB" on $node sh -euc '
                cat >/run/web.xml
                mkdir -p /dev/csv/vol1
                ln -s "$(losetup -f --show --direct-io=on -o "$1" --sizelimit "$2" /dev/lab/lun0)" /dev/csv/vol1/web
            ' sh $IMAGE_OFFSET $IMAGE_SIZE
    done
    "$LAB" guest-image "$TMP/guest.img"
    "$LAB" on nodeA dd of=$DISK bs=1M oflag=direct iflag=fullblock conv=nocreat status=none <"$TMP/guest.img"
}

# stat_above KEY LIMIT: a number in the guest's statistics
stat_above() {
    local value
    value=$("$LAB" http $IP /stats | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p")
    echo "$1 is $value"
    ((value > $2))
}

acked() {
    local seq
    read -r seq _ <"$TMP/acked" && echo $((10#$seq))
}

move() {
    "$LAB" on "$1" virsh -q migrate --live --p2p web "qemu+unix:///system?socket=/run/lab/libvirt-$2"
}

is_gone() {
    ! "$LAB" on "$1" virsh -q domstate web 2>/dev/null
}

# block_of RECORD: where it lies on the disk, as the filesystem says
block_of() {
    debugfs -R "bmap /ring/records $((($1 - 1) % 4096))" "$TMP/disk.img" 2>/dev/null
}

# without RECORD: a copy of the disk that lacks that write, with what was there before it
without() {
    local block
    block=$(block_of "$1")
    cp --sparse=always "$TMP/disk.img" "$TMP/without.img"
    dd if="$TMP/guest.img" of="$TMP/without.img" bs=4096 count=1 skip="$block" seek="$block" conv=notrunc status=none
}

misses() {
    local status=0
    without "$1"
    "$LAB" verify "$TMP/without.img" --acked "$(acked)" || status=$?
    ((status == 1))
}

# Damages the newest record in the copy of the disk.
damage_copy() {
    local block
    block=$(block_of "$(acked)")
    printf 'X' | dd of="$TMP/disk.img" bs=1 seek=$((block * 4096 + 2000)) conv=notrunc status=none
}

ok "up with sectors of $SECTOR bytes" "$LAB" up 2 --sector "$SECTOR"
ok "leases are made and both nodes join" prepare_leases
ok "the disk is ready" prepare_disk
ok "the guest starts with its lease" "$LAB" on nodeA virsh -q create /run/web.xml
ok "its web server answers" retry 90 "$LAB" http $IP /
ok "it answers pings" "$LAB" on client busybox ping -c2 -W2 $IP
ok "it knows its name" bash -c "'$LAB' http $IP / | grep -q '^web up'"
not_ok "a second start on nodeB is refused" "$LAB" on nodeB virsh -q create /run/web.xml

"$LAB" on client lab-acks $IP "$TMP/acked" >/dev/null &
collector=$!
ok "the writer writes" "$LAB" http $IP '/writer?rate=100'
ok "memory gets dirty" retry 90 "$LAB" http $IP '/load?rate=20&set=32'
not_ok "more memory than there is is refused" "$LAB" http $IP '/load?rate=20&set=4000'
retry 90 "$LAB" http $IP '/load?rate=20&set=32' >/dev/null || true
ok "records are acknowledged" retry 30 stat_above acked 50
ok "the memory load reaches its rate" retry 30 stat_above achieved_mib_s 14
ok "echoes come" retry 30 bash -c "'$LAB' probe $IP --duration 1 | tee /dev/stderr | grep -Eq '\"received\":(1[5-9][0-9]|200)'"

ok "relays start" bash -c "'$LAB' service nodeA relay start && '$LAB' service nodeB relay start && sleep 0.3"
"$LAB" probe $IP --until-file "$TMP/moved" >"$TMP/probe.json" &
probe=$!
ok "it moves to nodeB" move nodeA nodeB
ok "it moves back" move nodeB nodeA
sleep 0.5
touch "$TMP/moved"
ok "the probe saw it all the time" wait $probe
echo "# longest gap: $(sed -n 's/.*"longest_gap_ms":\([0-9.]*\).*/\1/p' "$TMP/probe.json") ms"
ok "the lease is on nodeA" bash -c "'$LAB' on nodeA sanlock client status | grep -q '^r LS:web'"
not_ok "and not on nodeB" bash -c "'$LAB' on nodeB sanlock client status | grep -q '^r LS:web'"
ok "the guest finds its records whole" "$LAB" http $IP /verify

ok "it is told to shut down" "$LAB" on nodeA virsh -q shutdown web
ok "it does" retry 90 is_gone nodeA
kill -TERM $collector
wait $collector || true
ok "the client saw acknowledgements" test "$(acked)" -gt 100
ok "every acknowledged record is on the disk" "$LAB" on nodeB "$LAB" verify $DISK --acked "$(acked)"
"$LAB" on nodeB dd if=$DISK bs=1M iflag=direct status=none >"$TMP/disk.img"
ok "and in a copy of it" "$LAB" verify "$TMP/disk.img" --acked "$(acked)"
not_ok "one more than was written is missed" "$LAB" verify "$TMP/disk.img" --acked $(($(acked) + 100))
ok "its newest acknowledged write taken away is found" misses "$(acked)"
ok "an earlier one, too" misses $(($(acked) - 50))
damage_copy
not_ok "damage to the newest record is found" "$LAB" verify "$TMP/disk.img" --acked "$(acked)"
done_testing
