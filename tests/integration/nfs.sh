#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 90
# What NFS does otherwise than a local file system, done to a volume in a directory that several nodes have.
#
# QEMU runs as a user of its own here, and libvirt gives files to it and takes them back without counting: on NFS it
# cannot count. The locks of a QEMU outlive its host, as a server of NFS keeps them for a while.
set -euo pipefail
export MIGRATED_TEST_DIRECTORY=1
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

QEMU_USER=libvirt-qemu
IO_TIMEOUT=1
holder_pid=""

set_up() {
    local node=$1
    printf '[fence]\ntimeout_s=15\n[failover]\nrestart_limit=1\n' >>"$MIGRATED_LAB_DIR/$node/etc/migrated/migrated.conf"
    on "$node" sed -i -e "s/^user = .*/user = \"$QEMU_USER\"/" -e "s/^group = .*/group = \"kvm\"/" \
        -e 's/^dynamic_ownership = .*/dynamic_ownership = 1/' /etc/libvirt/qemu.conf &&
        own_cache "$node" && "$LAB" service "$node" libvirtd restart && retry 20 on "$node" virsh -q list &&
        on "$node" virsh -q domcapabilities >/dev/null && "$LAB" service "$node" migrated restart && retry 30 ctl "$node" status
}

# What libvirt has found out about QEMU is kept in a file that all nodes of all labs share, and holds for one user of QEMU's:
# the others would look anew, and write it down again, seconds each time, and so would this one.
own_cache() {
    local own=$MIGRATED_LAB_DIR/$1/libvirt-cache
    on "$1" cp -a /var/cache/libvirt "$own" && on "$1" mount --bind "$own" /var/cache/libvirt
}

# The file behind the VM's disk
disk_file() {
    on "$1" readlink -f "/dev/csv/$VOLUME/$VM-disk"
}

owner() {
    stat -c %U "$file"
}

# As a server of NFS keeps it: QEMU's lock that says that it shares no writing (byte 201), by whoever
lock_begin() {
    rm -f "$TMP/held"
    python3 -c 'import fcntl, struct, sys, time
disk = open(sys.argv[1], "rb+")
fcntl.fcntl(disk, 37, struct.pack("hhqqi0q", fcntl.F_RDLCK, 0, 201, 1, 0)) # F_OFD_SETLK
open(sys.argv[2], "w").close()
time.sleep(600)' "$file" "$TMP/held" &
    holder_pid=$!
    at_exit eval '[ -z "$holder_pid" ] || lock_end'
    retry 10 test -e "$TMP/held"
}

lock_end() {
    kill "$holder_pid" && { wait "$holder_pid" 2>/dev/null || true; } && holder_pid=""
}

# In the log: the time line has the first one of its kind alone.
tries() {
    on nodeB grep -Ec "$VM: (start-failed: on|it cannot be started on) nodeB" /var/log/migrated.out || true
}

# It may meet one that the fail-over has under way, and is told to wait then.
by_hand() {
    refuses 38 ctl nodeB vm start "$VM" && grep -q "try again then" "$TMP/stderr"
}

chmod 711 "$TMP" # QEMU has to get through
cluster_up 2 --io-timeout $IO_TIMEOUT --fence
for node in "${NODES[@]}"; do
    ok "QEMU of $node is nobody special" set_up "$node"
done
cluster_start $IO_TIMEOUT
ACKS_RATE=20
acks_start

# ---- whose the files are ----

file=$(disk_file nodeA)
is "its disk is QEMU's" "$(owner)" $QEMU_USER
is "so is its QEMU" "$(on nodeA ps -o user:32= -p "$(on nodeA cat /run/libvirt/qemu/$VM.pid)")" $QEMU_USER
ok "the other node could have it" ctl nodeA check $VM nodeB
ok "it moves" ctl nodeA move $VM nodeB
ok "and is there, once" runs_once nodeB
is "its disk stays QEMU's" "$(owner)" $QEMU_USER
ok "the guest writes on" answers
ok "its disk grows there" ctl nodeA image grow $VOLUME $VM-disk $(($(stat -c %s "$file") + 64 * 1048576))
ok "it stops" ctl nodeA vm stop $VM
is "and its disk stays QEMU's" "$(owner)" $QEMU_USER
ok "which keeps nobody from copying it" ctl nodeA image clone $VOLUME $VM-disk twin
ok "nor from starting it again" ctl nodeA vm start $VM --node nodeA
chown daemon "$TMP/share/"*.img
exits "on a node where QEMU is another user it does not run" 25 ctl nodeA move $VM nodeB
like "which is said" "$ERR" "same number on all nodes"
chown "$QEMU_USER" "$TMP/share/"*.img
ok "it runs on where it was" runs_once nodeA

# ---- locks that outlive a host ----

ok "the guest answers" retry "$WAIT_S" answers
ok "a lock of its QEMU is kept" lock_begin
ok "its node dies" "$LAB" kill nodeA
ok "a start elsewhere fails" retry 60 eval '(($(tries) > 0))'
ok "more often than it may" retry 120 eval '(($(tries) > 2))'
is "that is told once" "$(count_told nodeB "$VM" start-failed)" 1
like "what is waited for is told" "$(ctl nodeB why $VM)" "not-started.*locked, as NFS keeps it"
is "it is down with its node" "$(ctl nodeB vm show $VM --json | jq -r .vm.state)" down
like "which the status warns of" "$(status_of nodeB '.warnings | join(" ")')" "$VM is wanted running, and went down with nodeA"
ok "no node runs it" eval '[[ -z $(nodes_with running) ]]'
ok "a start by hand says so, too, and what to do" retry 120 by_hand
ok "the lock is let go of" lock_end
ok "and it runs" retry 60 runs_once nodeB
ok "the guest answers again" retry "$WAIT_S" answers
ok "all is in order" on nodeB csvtool check "$LUN"
done_testing
