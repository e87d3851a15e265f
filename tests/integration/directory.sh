#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A volume in a directory that all nodes see, as NFS is one: the catalogue is a file, and so is each image. What a LUN can,
# it can: changes from every node, VMs that move, disks that grow under them, a dead node, a hostile folder.
#
# MIGRATED_TEST_FULL=1: the long forms of the tests of LUNs, on a directory.
# takes: 30
set -euo pipefail
export MIGRATED_TEST_DIRECTORY=1
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=../lib/cluster.sh
. "$here/../lib/cluster.sh"

long_form() {
    local script
    for script in moves.sh catalogue.sh coordinator.sh disks.sh bad-input.sh adopt.sh failover.sh; do
        echo "# $script"
        ok "$script holds on a directory" env MIGRATED_TEST_FULL= bash "$here/$script"
        grep '^not ok\|^1\.\.' "$TMP/said" | sed 's/^/# /' || true
    done
    done_testing
    exit
}

[[ -z ${MIGRATED_TEST_FULL:-} ]] || long_form

# The file behind an image, as it is on every node
file_of() {
    on "${2:-nodeA}" csvtool dump "$LUN" | jq -r --arg name "$1" --arg lun "$LUN" \
        '.images[] | select(.name == $name) | $lun + "/" + .uuid + ".img"'
}

# Capacity of the running VM's disk as its QEMU sees it
capacity() {
    on "$1" virsh -q domblkinfo "$VM" vda | awk '$1 == "Capacity:" { print $2 }'
}

cluster_up 2 --io-timeout 2
mkdir -m 777 "$LUN"
exits "a directory that everybody may write to is refused" 45 ctl nodeA volume format "$LUN" --name $VOLUME
like "and why is said" "$ERR" "others may write to it"
chmod 755 "$LUN"
touch "$LUN/debian.iso"
exits "one that is not empty, too" 47 ctl nodeA volume format "$LUN" --name $VOLUME
like "and what is in it" "$ERR" "debian.iso"
rm "$LUN/debian.iso"
cluster_start
ACKS_RATE=20
acks_start

is "it is shown as what it is" "$(ctl nodeB volume show $VOLUME --json | jq -r .volume.device)" "$LUN"
is "and on what" "$(ctl nodeB volume show $VOLUME --json | jq -r .volume.one_host)" true
exits "a directory that is no other node's is refused by its mount" 49 ctl nodeA volume format /proc/self --name other
like "which is named" "$ERR" "/proc/self is on proc: "
is "libvirt is told of a file" "$(on nodeA virsh -q domblklist $VM --details | awk '{ print $1 }')" file
ok "an image is made on one node" ctl nodeB image create $VOLUME data 8M
file=$(file_of data)
is "as a file of that size" "$(stat -c %s "$file")" 8388608
ok "with its space behind it" test "$(stat -c '%b * %B' "$file" | xargs expr)" -ge 8388608
ok "renamed on the other one" ctl nodeA image rename $VOLUME data more
is "which the file does not feel" "$(file_of more nodeB)" "$file"
ok "it grows" ctl nodeB image grow $VOLUME more 16M
is "and so does its file" "$(stat -c %s "$file")" 16777216
ok "a file comes in" ctl nodeB image import $VOLUME copy "$TMP/guest.img"
ok "and goes out again" ctl nodeA image export $VOLUME copy "$TMP/copy.img"
ok "as it was" qemu-img compare -q "$TMP/guest.img" "$TMP/copy.img"
ok "a copy is made of it" ctl nodeA image clone $VOLUME copy twin
for name in copy twin more; do
    ok "$name goes" ctl nodeB image delete $VOLUME $name
done
ok "with its file" test ! -e "$file"
exits "there is no room for too much" 40 ctl nodeA image create $VOLUME vast 8000T

ok "the VM moves" ctl nodeA move $VM nodeB
ok "and is there, once" runs_once nodeB
grown=$(($(capacity nodeB) + 64 * 1048576))
ok "its disk grows while it runs, asked of the other node" ctl nodeA image grow $VOLUME $VM-disk $grown
is "and it sees that" "$(capacity nodeB)" $grown
ok "a running VM's disk is not deleted" not ctl nodeA image delete $VOLUME $VM-disk
ok "it moves back" ctl nodeA move $VM nodeA
ok "and is there, once" runs_once nodeA
ok "it answers" answers
ok "a start elsewhere is refused" not ctl nodeB vm start $VM --node nodeB
ok "the metadata is backed up" ctl nodeB volume backup $VOLUME "$TMP/metadata"
ok "all is in order" volume_clean
ok "it stops, and no record is missing" stop_and_verify nodeA

# What else could lie in the folder
disk=$(file_of $VM-disk)
mv "$disk" "$TMP/elsewhere.img"
ln -s "$TMP/elsewhere.img" "$disk"
exits "a link in place of a disk is not followed" 45 ctl nodeA vm start $VM --node nodeA
rm "$disk"
exits "nor does a VM start without its disk" 45 ctl nodeA vm start $VM --node nodeA
like "which is said to be missing" "$ERR" "missing"
not_ok "csvtool finds it missing, too" volume_clean
cp --sparse=always "$TMP/elsewhere.img" "$disk"
truncate -s -1M "$disk"
exits "nor with one that is too short" 45 ctl nodeA vm start $VM --node nodeA
cp --sparse=always "$TMP/elsewhere.img" "$disk"
ok "with its own it does" ctl nodeA vm start $VM --node nodeA
ok "all is in order again" volume_clean
done_testing
