#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A volume in a directory over NFS, by the kernel's own client: a move, a machine without power, and one that was frozen and goes on.
# Nothing but the server keeps what that one still writes from the disk of a VM that runs elsewhere by then.
# alone
# takes: 900
# timeout: 2400
set -euo pipefail
# shellcheck source=../lib/machines.sh
. "$(dirname "$(readlink -f "$0")")/../lib/machines.sh"

SERVER=10.77.3.254
SHARE=/srv/share

# As README, "Install on real hosts", says.
mounts() { # NODE
    # shellcheck disable=SC2016
    on "$1" bash -ec '
        mkdir -p "$2"
        grep -q "^$1:" /etc/fstab || echo "$1:/share $2 nfs4 _netdev 0 0" >>/etc/fstab
        systemctl daemon-reload
        mountpoint -q "$2" || mount "$2"
        sync
        grep " $2 " /proc/mounts' mounts $SERVER $SHARE
}

refused_where_squashed() {
    on nodeA sh -c "mkdir -p /mnt/squashed && mount -t nfs4 $SERVER:/squashed /mnt/squashed" || return 1
    refuses 1 ctl nodeA volume format /mnt/squashed --name squashed
    cat "$TMP/stderr"
    on nodeA umount /mnt/squashed && grep -q no_root_squash "$TMP/stderr"
}

in_lun_cluster() {
    create && retry "$WAIT_S" attached && { in_cluster nodeB || ctl nodeB cluster join /dev/lab/lun0; } && retry "$WAIT_S" sees nodeA
}

has_volume() {
    ctl "$1" volume list --json | jq -e --arg name "$VOLUME" '.volumes[] | select(.name == $name and .state == "attached")'
}

attach() {
    has_volume "$1" || { ctl "$1" volume attach $SHARE && retry "$WAIT_S" has_volume "$1"; }
}

format() {
    has_volume nodeA || ctl nodeA volume format $SHARE --name "$VOLUME" --io-timeout $IO_TIMEOUT
}

dies() { # what "$1" does to nodeA; "$2" brings it back
    acks_stop
    acks_start
    t0=$(now_ms)
    "$LAB" "$1" nodeA
    ok "the VM answers elsewhere" retry "$WAIT_S" answers
    timeline "$t0" "nodeA is dead, for nodeB" "$(first_at nodeB nodeA dead "$t0")" \
        "the VM is to start there" "$(first_at nodeB "$VM" restart "$t0")" "it answers" "$(now_ms)"
    ok "its machine goes on" "$LAB" "$2" nodeA
    ok "and is a member" retry "$WAIT_S" is_member nodeA
    ok "which has the directory" retry "$WAIT_S" has_volume nodeA
    ok "and nothing of before" retry 60 none_here nodeA
    ok "the VM runs once, and there" retry "$WAIT_S" runs_once nodeB
}

at_exit acks_stop
ok "two machines are up" machines_up
((TAP_FAILED == 0)) || bail "no machines, no test"
ok "they are a cluster, by a LUN" in_lun_cluster
ok "a server of NFS is up" "$LAB" nfs up
VOLUME=files VM=filed IP=10.77.2.20
for node in nodeA nodeB; do
    ok "$node mounts it, as mount does by itself" mounts $node
done
ok "where root is squashed no volume is made, and that is said" refused_where_squashed
ok "a volume is made" format
for node in nodeA nodeB; do
    ok "$node has it" attach $node
done
ok "a VM is defined" eval "tidy && define"
ok "it starts on nodeA" ctl nodeA vm start $VM
ok "its web server answers" retry "$WAIT_S" answers
((TAP_FAILED == 0)) || bail "the VM does not run"
ok "its QEMU runs as a user of its own" bash -c "[[ \$('$LAB' on nodeA ps -o user= -C qemu-system-x86_64) != root* ]]"
acks_start
begun=$(now_ms)
ok "it moves" ctl nodeA move $VM nodeB
note "the move took $(($(now_ms) - begun)) ms"
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeB
ok "its disk grows while it runs" ctl nodeA image grow $VOLUME $VM-disk $(($(capacity nodeB) + 64 * 1048576))
ok "it moves back" ctl nodeA move $VM nodeA
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeA
ok "its guest answers" answers

# ---- no power ----

dies kill boot
ok "no record is lost that the client saw acknowledged" lost_nothing
acks_stop
ok "it moves back" ctl nodeB move $VM nodeA
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeA

# ---- frozen, and goes on: by its clocks it was never away ----

dies freeze thaw
ok "the server has refused what its guest wrote" told nodeA $VM io-error
ok "not one write of before is among those of after" stop_and_verify nodeB
ok "though each life of it has written" verified_boots 3
ok "the directory is in order" on nodeB csvtool check $SHARE
done_testing
