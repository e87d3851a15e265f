#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 90
# Each check refuses a move: the lab is changed so that exactly that one fails, and nothing is touched.
#
# What takes long to provoke is only done with MIGRATED_TEST_FULL=1.
# timeout: 400
# full-timeout: 900
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

FULL=${MIGRATED_TEST_FULL:-}

# What must be the same after a refused move: domains, leases, image devices, turns, on both nodes.
# Times and counters change by themselves and are left out.
picture() {
    local node
    for node in nodeA nodeB; do
        echo "== $node"
        on "$node" virsh -q list --all | awk '{ print $2, $3 }' | sort
        on "$node" sanlock client status | grep '^[pr] ' | grep -v '^p -1 ' | sed 's/:[0-9]* p [0-9]*$//; s/^p [0-9]* /p /' | sort
        on "$node" sh -c "ls /dev/csv/$VOLUME /run/migrated/turns 2>/dev/null"
    done
}

# verdict_of CHECK [VM]: of what nodeA says about a move to nodeB
verdict_of() {
    ctl nodeA check "${2:-$VM}" nodeB --json 2>/dev/null | tee "$TMP/check.json" |
        jq -r ".verdicts[0].checks[] | select(.name == \"$1\") | .verdict"
}

# only CHECK VERDICT [VM]: that one has that verdict, and no other one fails
only() {
    local got others
    got=$(verdict_of "$1" "${3:-$VM}") || true
    others=$(jq -r --arg name "$1" '.verdicts[0].checks[] | select(.verdict == "fail" and .name != $name) |
        "\(.name): \(.text)"' <"$TMP/check.json")
    jq -r --arg name "$1" '.verdicts[0].checks[] | select(.name == $name) | "\(.verdict): \(.text); \(.advice)"' \
        <"$TMP/check.json"
    echo "$1 is ${got:-not there}, wanted $2; others that fail: $others"
    [[ $got == "$2" && -z $others ]]
}

all_pass() {
    ctl nodeA check "${1:-$VM}" nodeB >"$TMP/all" 2>&1 || { cat "$TMP/all"; return 1; }
}

# refused CHECK [VM]: the move is refused for that reason, and both nodes are as they were
refused() {
    local vm=${2:-$VM} status=0
    picture >"$TMP/before"
    ctl nodeA move "$vm" nodeB >/dev/null 2>"$TMP/why" || status=$?
    tail -n 1 "$TMP/why"
    picture >"$TMP/after"
    [[ $status == 28 ]] && grep -q "$1" "$TMP/why" && diff "$TMP/before" "$TMP/after"
}

# fails CHECK UNDO... with what was done before: seen, refused, undone, gone
fails() {
    local name=$1
    shift
    ok "$name: it fails, and nothing else does" only "$name" fail
    ok "$name: the move is refused for it, and nothing has changed" refused "$name"
    "$@" >/dev/null 2>&1
    ok "$name: all is well again" retry 15 all_pass
}

# limits NODE LINE: its migrated starts again with that
limits() {
    on "$1" sh -c "sed -i '/^\[limits\]/,\$d' /etc/migrated/migrated.conf
        printf '[limits]\n%s\n' '$2' >>/etc/migrated/migrated.conf"
    "$LAB" service "$1" migrated restart >/dev/null
    retry 30 is_attached "$1"
}

is_attached() {
    [[ $(status_of "$1" '.volumes[0].state') == attached ]] &&
        [[ $(status_of nodeA ".nodes[] | select(.name == \"$1\") | .state") == up ]]
}

start_s=$SECONDS
cluster_run 2 2 --luns 2
echo "# the cluster is there after $((SECONDS - start_s)) s"
ok "all checks pass" all_pass
ok "check --all says so for each node" sh -c "'$LAB' on nodeB migratectl check --all | tee /dev/stderr | grep -E '^$VM +here +pass'"
ok "a VM that is not there has no verdict" refuses 10 ctl nodeA check none nodeB
ok "target-known: a node that is not there has none" refuses 11 ctl nodeA check "$VM" nodeX
ok "the node itself has none" refuses 21 ctl nodeA check "$VM" nodeA

ok "there is a CPU that both can run" sh -c "'$LAB' on nodeB migratectl cpu baseline | tee /dev/stderr | grep -q '<model'"

# ---- the VM ----
on nodeA virsh -q suspend "$VM"
ok "vm-runs-here: it fails" test "$(verdict_of vm-runs-here)" = fail
ok "vm-runs-here: the move is refused" refused vm-runs-here
on nodeA virsh -q resume "$VM"
ok "vm-runs-here: all is well again" retry 15 all_pass

lease_of_qemu() {
    lease=$(on nodeA sanlock client status | sed -n "s/^r \($VOLUME:$VM:[^ ]*:[0-9]*\):[0-9]* p .*/\1/p")
    qemu=$(on nodeA sanlock client status | sed -n "s/^r $VOLUME:$VM:.* p \([0-9]*\)$/\1/p")
    [[ -n $lease && -n $qemu ]]
}
ok "its QEMU has its lease" lease_of_qemu
# Its node takes it again for it after a while (self.c), and a check takes a while, too.
let_lease_go() {
    on nodeA sanlock client release -r "$lease" -p "$qemu" >/dev/null 2>&1 || true
}
without_lease() { # CMD...
    let_lease_go
    "$@"
}
ok "lease-held-here: it fails, and nothing else does" retry 15 without_lease only lease-held-here fail
# Taken again before the move asks it goes, rightly: then back, and once more.
refused_without_lease() {
    without_lease refused lease-held-here && return
    ! runs_once nodeB || ctl nodeB move "$VM" nodeA >/dev/null
    retry 10 lease_of_qemu
    return 1
}
ok "lease-held-here: the move is refused for it, and nothing has changed" retry 30 refused_without_lease
on nodeA sanlock client acquire -r "$lease" -p "$qemu" >/dev/null 2>&1 || true
ok "lease-held-here: all is well again" retry 15 all_pass

on nodeA truncate -s 1M /var/lib/libvirt/local.img
on nodeA virsh -q attach-disk "$VM" /var/lib/libvirt/local.img vdb --cache none >/dev/null
fails no-local-files on nodeA virsh -q detach-disk "$VM" vdb

# A disk of which the catalogue knows nothing.
on nodeA sh -c "ln -s \$(readlink -f /dev/lab/lun1) /dev/csv/$VOLUME/none"
on nodeA virsh -q attach-disk "$VM" "/dev/csv/$VOLUME/none" vdb --sourcetype block --cache none >/dev/null
no_more_disk() {
    on nodeA virsh -q detach-disk "$VM" vdb && on nodeA rm -f "/dev/csv/$VOLUME/none"
}
fails images-found no_more_disk

# ---- the target ----
ctl nodeA drain nodeB 2>/dev/null # nothing runs there
fails target-not-draining ctl nodeA undrain nodeB

on nodeB ip link set br-guest down
fails networks-found on nodeB ip link set br-guest up

on nodeB sh -c 'cat >/tmp/same.xml' <<END
<domain type='qemu'><name>$VM</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os></domain>
END
on nodeB virsh -q create /tmp/same.xml --paused >/dev/null
fails name-free on nodeB virsh -q destroy "$VM"

uuid=$(on nodeA virsh domuuid "$VM")
on nodeB sh -c "sed 's|<name>.*</name>|<name>other</name><uuid>${uuid%%[[:space:]]*}</uuid>|' /tmp/same.xml >/tmp/uuid.xml"
on nodeB virsh -q create /tmp/uuid.xml --paused >/dev/null
fails name-free on nodeB virsh -q destroy other

# QEMU is not there any more: libvirt forgets what it knew of it when the file is another one
on nodeB sh -c ': >/run/none && chmod 644 /run/none && mount --bind /run/none /usr/bin/qemu-system-x86_64'
fails emulator-found on nodeB umount /usr/bin/qemu-system-x86_64

# ---- the migration network ----
"$LAB" net nodeB mig down
fails migration-link-up "$LAB" net nodeB mig up

on nodeB ip link set mig0 mtu 1400
fails migration-mtu on nodeB ip link set mig0 mtu 1500

# between them, where neither end sees it
on switch ip link set nodeB-mig mtu 1400
fails migration-path on switch ip link set nodeB-mig mtu 1500

on nodeB ip route add default via 10.77.1.254 dev mig0
fails migration-no-default-route on nodeB ip route del default

on nodeB ip link add link mig0 name guests0 type macvlan
fails migration-no-guests on nodeB ip link del guests0

on nodeB iptables -A INPUT -i mig0 -p icmp -m statistic --mode nth --every 3 --packet 0 -j DROP
fails migration-loss on nodeB iptables -F INPUT

on nodeB ip addr replace 10.77.9.2/24 dev mig0
on nodeB ip addr del 10.77.1.2/24 dev mig0
fails migration-subnet on nodeB sh -c 'ip addr del 10.77.9.2/24 dev mig0; ip addr add 10.77.1.2/24 dev mig0'

# another address in the same network is noticed and used; what was measured to the old one is forgotten
on nodeB ip addr del 10.77.1.2/24 dev mig0
on nodeB ip addr add 10.77.1.52/24 dev mig0
ok "a moved address does no harm" retry 10 all_pass
on nodeA tc qdisc add dev mig0 root tbf rate 16mbit burst 128k latency 400ms
sleep 6 # what was measured is told for 5 s
fails migration-speed on nodeA tc qdisc del dev mig0 root
moved_address_is_known() {
    [[ $(status_of nodeA '.nodes[] | select(.name == "nodeB") | .migration') == 10.77.1.52/24 ]] &&
        ctl nodeA why nodeB | grep 'migration-address.* 10.77.1.52/24'
}
ok "it is known to the others, and told" retry 10 moved_address_is_known

# somebody who is no node talks to nodeB over it; each look is told for 5 s, and a check takes up to 14
on nodeA ip addr add 10.77.1.99/24 dev mig0
on nodeB python3 -c 'import socket, time
s = socket.create_server(("10.77.1.52", 9999)); c = s.accept(); time.sleep(600)' &
server=$!
on nodeA python3 -c 'import socket, time
while True:
    try:
        s = socket.create_connection(("10.77.1.52", 9999), source_address=("10.77.1.99", 0)); break
    except OSError: time.sleep(0.1)
time.sleep(600)' &
client=$!
they_talk() {
    on nodeB ss -Htn state established '( sport = :9999 )' | grep -F 10.77.1.99
}
retry 30 they_talk >"$TMP/they-talk" || echo "# nobody talks to nodeB"
ok "migration-no-clients: a warning, and no more" retry 40 only migration-no-clients warn
kill "$client" "$server"
wait "$client" "$server" 2>/dev/null || true
on nodeA ip addr del 10.77.1.99/24 dev mig0

# ---- memory: less is left than the VM needs ----
limits nodeB memory_reserve_mib=16000000
fails memory-fits limits nodeB memory_reserve_mib=64

# ---- what libvirt on nodeB knows: of QEMU's machines, and of what its CPU can do there ----
# With a file of its own, for all nodes share one.
libvirt_knows() { # SED-SCRIPT
    on nodeB sh -c "rm -rf /tmp/cache && cp -a /var/cache/libvirt /tmp/cache && mount --bind /tmp/cache /var/cache/libvirt &&
        sed -i \"$1\" /var/cache/libvirt/qemu/capabilities/*.xml"
    "$LAB" service nodeB libvirtd restart >/dev/null
    retry 10 on nodeB virsh version >/dev/null
}
libvirt_knows_again() {
    on nodeB umount /var/cache/libvirt
    "$LAB" service nodeB libvirtd restart >/dev/null
    retry 10 on nodeB virsh version
}
libvirt_knows "/name='pc-i440fx-7.2'/d"
fails machine-known libvirt_knows_again
libvirt_knows "/property name='cx16'/s/'true'/'false'/"
fails cpu-fits libvirt_knows_again

# ---- a VM of huge pages: the kernel has as many as it needs, and so none is left for its copy ----
HUGE_PAGES=64 # of 2 MiB
pages_at_first=$(</proc/sys/vm/nr_hugepages)
pages() { # COPIES: what the kernel has for them, beyond what it had
    echo $((pages_at_first + $1 * HUGE_PAGES)) >/proc/sys/vm/nr_hugepages
    [[ $(</proc/sys/vm/nr_hugepages) == $((pages_at_first + $1 * HUGE_PAGES)) ]]
}
# libvirt looks for them when it starts
knows_pages() {
    on "$1" sh -c 'mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages' &&
        "$LAB" service "$1" libvirtd restart >/dev/null && retry 10 on "$1" virsh version >/dev/null
}
huge_starts() {
    "$LAB" vm-xml huge "/dev/csv/$VOLUME/huge-disk" --memory $((2 * HUGE_PAGES)) --ip-suffix 12 |
        sed "s|<os>|<memoryBacking><hugepages/></memoryBacking>&|" >"$TMP/huge.xml"
    ctl nodeA image create "$VOLUME" huge-disk 16M &&
        ctl nodeA vm define "$VOLUME" "$TMP/huge.xml" && ctl nodeA vm start huge
}
at_exit pages 0
ok "hugepages-fit: both nodes have huge pages, for one VM" eval 'pages 1 && knows_pages nodeA && knows_pages nodeB'
ok "hugepages-fit: it has them" huge_starts
ok "hugepages-fit: it fails, and nothing else does" only hugepages-fit fail huge
ok "hugepages-fit: the move is refused for it, and nothing has changed" refused hugepages-fit huge
ok "hugepages-fit: there are some more" pages 2
ok "hugepages-fit: and it moves" ctl nodeA move huge nodeB
ok "hugepages-fit: it ends" ctl nodeB vm stop huge --force

# ---- a second VM, with an empty drive ----
odd_xml() {
    "$LAB" vm-xml odd "/dev/csv/$VOLUME/odd-disk" --memory 128 --ip-suffix 11 |
        sed "s|<controller type='usb'|<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><readonly/></disk>&|"
}
odd_starts() {
    odd_xml >"$TMP/odd.xml"
    ctl nodeA image create "$VOLUME" odd-disk 16M &&
        ctl nodeA vm define "$VOLUME" "$TMP/odd.xml" && ctl nodeA vm start odd
}
odd_media() {
    on nodeA truncate -s 1M /var/lib/libvirt/odd.iso &&
        on nodeA virsh -q change-media odd hda /var/lib/libvirt/odd.iso --update
}
ok "a second VM" odd_starts
ok "a medium is put in" retry 20 odd_media
ok "media-found: it fails, and nothing else does" only media-found fail odd
ok "media-found: the move is refused for it, and nothing has changed" refused media-found odd
on nodeB truncate -s 1M /var/lib/libvirt/odd.iso
ok "media-found: there now" all_pass odd
on nodeA virsh -q change-media odd hda --eject >/dev/null
# What follows is done past us, and past the hook, which refuses it.
on nodeA rm -f /etc/libvirt/hooks/qemu.d/50-migrated
# A folder cannot be plugged in, and no definition may have one: what libvirt runs is what counts.
# Its image stays active for a moment behind its end, maybe not for long enough: then it starts once more.
odd_folder() {
    [[ $(on nodeA virsh -q domstate odd 2>/dev/null) == running* ]] || ctl nodeA vm start odd || return 1
    on nodeA virsh -q dumpxml odd | sed "s|<disk type='block'|<filesystem type='mount' accessmode='passthrough'><source dir='/var/lib/libvirt'/><target dir='x'/></filesystem>&|" >"$TMP/odd.xml" &&
        on nodeA sh -c 'cat >/tmp/odd.xml && virsh -q "destroy odd; create /tmp/odd.xml"' <"$TMP/odd.xml" &&
        [[ $(on nodeA virsh -q dumpxml odd) == *"<filesystem"* ]]
}
ok "it shares a folder" retry 30 odd_folder
ok "no-host-devices: it is seen" retry 15 eval '[[ $(verdict_of no-host-devices odd) == fail ]]'
ok "no-host-devices: it fails, and nothing else does" only no-host-devices fail odd
ok "no-host-devices: the move is refused for it, and nothing has changed" refused no-host-devices odd

# ---- a move is on its way ----
job=$(ctl nodeA move "$VM" nodeB --bandwidth 1 --detach 2>/dev/null)
job_is() { [[ $(ctl nodeA job show "$job" --json | jq -r .job.state) == "$1" ]]; }
ok "a slow move begins" retry 10 job_is perform
ok "vm-idle: it fails" test "$(verdict_of vm-idle)" = fail
ok "vm-idle: another move is refused" refuses 24 ctl nodeA move "$VM" nodeB
ok "pair-free: a warning for the other VM" test "$(verdict_of pair-free odd)" = warn
ctl nodeA job cancel "$job" >/dev/null
ok "vm-idle: all is well again" retry 15 all_pass

if [[ $FULL ]]; then
    # a VM that is bound to a NUMA node, and a node on which that one is full
    odd_bound() {
        on nodeA virsh -q dumpxml odd | sed "s|<os>|<numatune><memory mode='strict' nodeset='0'/></numatune>&|
            /<filesystem/,/<\\/filesystem>/d" >"$TMP/odd.xml" &&
            on nodeA virsh -q destroy odd && on nodeA sh -c 'cat >/tmp/odd.xml && virsh -q create /tmp/odd.xml' <"$TMP/odd.xml"
    }
    fill_cell() {
        on nodeB sh -c 'sed "s/MemFree:.*/MemFree: 1024 kB/" /sys/devices/system/node/node0/meminfo >/run/meminfo &&
            mount --bind /run/meminfo /sys/devices/system/node/node0/meminfo'
    }
    ok "a VM is bound to NUMA node 0" odd_bound
    fill_cell
    ok "numa-fits: it fails, and nothing else does" only numa-fits fail odd
    ok "numa-fits: the move is refused for it, and nothing has changed" refused numa-fits odd
    on nodeB umount /sys/devices/system/node/node0/meminfo
    ok "numa-fits: all is well again" retry 15 all_pass odd

    "$LAB" service nodeB migrated stop >/dev/null
    ok "target-up: seen" retry 10 only target-up fail
    fails target-up "$LAB" service nodeB migrated start
    retry 30 is_attached nodeB

    # Nodes know one another by a volume that both have: a second one.
    second_volume() {
        ctl nodeA volume format /dev/lab/lun1 --name vol2 --io-timeout 2 &&
            ctl nodeA volume attach /dev/lab/lun1 && ctl nodeB volume attach /dev/lab/lun1
    }
    ok "a second volume" second_volume
    ctl nodeB volume detach "$VOLUME"
    fails volume-attached cluster_attach nodeB

    # libvirt on nodeB takes its CPU for one of the other vendor
    swap_vendors() {
        on nodeB sh -c "cp -a /usr/share/libvirt/cpu_map /tmp/map && mount --bind /tmp/map /usr/share/libvirt/cpu_map &&
            sed -i 's/AuthenticAMD/other/; s/GenuineIntel/AuthenticAMD/; s/other/GenuineIntel/' /tmp/map/x86_vendors.xml" &&
            "$LAB" service nodeB libvirtd restart >/dev/null
    }
    swap_back() {
        on nodeB umount /usr/share/libvirt/cpu_map
        "$LAB" service nodeB libvirtd restart >/dev/null
    }
    swap_vendors
    ok "cpu-vendor: seen" retry 15 sh -c "'$LAB' on nodeA migratectl check $VM nodeB | grep -q 'cpu-vendor *fail'"
    ok "and there is no CPU that both can run" refuses 54 ctl nodeA cpu baseline
    fails cpu-vendor swap_back
fi

ok "the VM moves, now that nothing is in its way" ctl nodeA move "$VM" nodeB
ok "and runs there alone" retry 10 runs_once nodeB
echo "# $((SECONDS - start_s)) s in all"
done_testing
