# SPDX-License-Identifier: LGPL-2.1-or-later
# One node: its disk (what survives a reboot), its services, boot and plug-pull.
#
# $STATE/NODE/ holds what the node calls its own: etc and var are upper layers over the host's /etc
# and /var/lib, log is its /var/log. They lie on the host's side, so that they can be read after a
# kill; /run and /tmp do not outlive the node.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

make_disk() {
    local name=$1 id disk=$STATE/$1
    id=$(node_id "$name")
    mkdir -p "$disk"/{etc,etc.work,var,var.work,log/libvirt/qemu,tmp,libvirt,libvirt-etc,sanlock,sanlock-etc}
    write_etc "$name" "$id"
    write_libvirt_config "$name" "$id" "$disk/libvirt-etc"
    write_services "$name"
    write_fence_config "$name"
}

write_etc() {
    local name=$1 id=$2 etc=$STATE/$1/etc i
    mkdir -p "$etc/migrated" "$etc/pki/qemu/migrated"
    echo "$name" >"$etc/hostname"
    printf '%032x\n' $((0x77000 + id)) >"$etc/machine-id"
    {
        echo "127.0.0.1 localhost"
        for ((i = 1; i <= N_NODES; i++)); do
            echo "$MGMT_NET.$i $(node_name "$i")"
        done
    } >"$etc/hosts"
    # The administrator of the machine may change this one: it is written once. Without it the node
    # is in no cluster yet.
    ((${BLANK:-0})) && return
    [[ -f $etc/migrated/migrated.conf ]] || cat >"$etc/migrated/migrated.conf" <<END
[node]
name=$name
host_id=$id
[network]
management=$MGMT_NET.$id
migration=$MIG_NET.$id/24
port=$PEER_PORT
END
}

# Local sockets only, no cgroups, no security driver: they belong to the host. Each node needs a
# host uuid of its own or libvirt refuses to migrate "to the same host".
#
# capability_filters: when a QEMU starts, libvirt asks it for some 400 properties of its CPU, one by one,
# before anything else goes on: 400 ms of each move here. Without that capability it asks once, and is
# told all but the features that live in MSRs, which the lab's guests (qemu64) have none of.
write_libvirt_config() {
    local name=$1 id=$2 dir=$3
    cat >"$dir/libvirtd.conf" <<END
host_uuid = "00000000-0000-4000-8000-$(printf '%012x' $((0x77000 + id)))"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
END
    cat >"$dir/qemu.conf" <<END
lock_manager = "sanlock"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
capability_filters = [ "cpu-unavailable-features" ]
migration_address = "$MIG_NET.$id"
migration_host = "$MIG_NET.$id"
migrate_tls_x509_cert_dir = "/etc/pki/qemu/migrated"
migrate_tls_x509_verify = 1
END
    cat >"$dir/qemu-sanlock.conf" <<END
auto_disk_leases = 0
require_lease_for_disks = 0
host_id = $id
user = "root"
group = "root"
END
    # The daemon's hook, where it is built already.
    if [[ -x $BUILD/hooks/50-migrated ]]; then
        mkdir -p "$dir/hooks/qemu.d"
        ln -sfn "$BUILD/hooks/50-migrated" "$dir/hooks/qemu.d/50-migrated"
    fi
}

can_raise_limits() {
    local caps
    caps=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
    (((0x$caps >> 24) & 1)) # CAP_SYS_RESOURCE
}

# Pairs for lab-relay: the own libvirtd for peers, and /run/lab/libvirt-PEER for each of them.
relay_pairs() {
    local id=$1 i
    printf ' tcp:%s unix:/run/libvirt/libvirt-sock' "$MGMT_NET.$id:$RELAY_PORT"
    for ((i = 1; i <= N_NODES; i++)); do
        ((i == id)) || printf ' unix:/run/lab/libvirt-%s tcp:%s' "$(node_name "$i")" "$MGMT_NET.$i:$RELAY_PORT"
    done
}

# NAME|once, respawn or manual|GATE|COMMAND, read by lab-init
write_services() {
    local name=$1 shim="" holds="" daemon=$BUILD/migrated/migrated path
    path=$("$BUILD/lab/lab-on" --path)
    ((${HOLDS:-0} == 0)) || holds="LD_PRELOAD=$BUILD/lab/liblab-hold-shim.so"
    can_raise_limits || shim="LD_PRELOAD=$BUILD/lab/liblab-rlimit-shim.so "
    {
        # -w 0: no watchdog. Its own name in the leases lets a node that comes back take its place
        # without waiting.
        echo "sanlock|once|-|${shim}exec sanlock daemon -D -w 0 -h 0 -l 0 -U root -G root -e $name"
        echo "libvirtd|once|/run/sanlock/sanlock.sock|exec env $holds libvirtd"
        echo "relay|manual|-|exec $BUILD/lab/lab-relay$(relay_pairs "$(node_id "$name")")"
        if [[ -x $daemon ]]; then
            echo "migrated|respawn|/run/libvirt/libvirt-sock|exec env $holds PATH=$path" \
                "$daemon --config /etc/migrated/migrated.conf"
        fi
    } >"$STATE/$name/services"
}

# New devices for a node that is not running, in place of what it may have left.
renew_luns() {
    mkdir -p "$STATE/$1"
    detach_luns "$1"
    attach_luns "$1"
}

# One file for all labs, changed only where it differs: libvirt asks a QEMU anew what it can do when
# its file has changed, which takes a second, and keeps the answer for all.
keep_qemu_wrapper() {
    cmp -s "$lab_dir/lib/qemu-tcg" "$CACHE/qemu-tcg" && return 0
    mkdir -p "$CACHE"
    cp "$lab_dir/lib/qemu-tcg" "$CACHE/qemu-tcg.$BASHPID"
    mv "$CACHE/qemu-tcg.$BASHPID" "$CACHE/qemu-tcg"
}

# Its LUNs are there already: they are made one node after the other, from a common pool.
boot_node() {
    local name=$1
    if ! is_machine_up "$name"; then
        keep_qemu_wrapper
        make_disk "$name"
        LAB_FENCE=$(fence_dir) LAB_DISK=$STATE/$name LAB_CACHE=$CACHE LAB_BUILD=$BUILD start_machine "$name" --private-dev \
            --setup "$lab_dir/lib/node-setup" --services "$STATE/$name/services" \
            --socket /run/lab/init.sock
    fi
    wire_node "$name"
    machine_ctl "$name" go >/dev/null
}

# What runs on a node of itself: all but what is started by hand.
node_duties() {
    sed -n 's/^\([a-z]*\)|\(once\|respawn\)|.*/\1/p' "$STATE/$1/services"
}

# For 'up' on a node that is there already: its services may have been stopped or have fallen over.
revive_services() {
    local service
    for service in $(node_duties "$1"); do
        machine_ctl "$1" start "$service" >/dev/null
    done
}

# Whether somebody in the network namespace of process $1 listens at the socket $2. That the file is
# there proves nothing: a killed service leaves its own, and its successor takes a moment to make it anew.
is_listening() {
    grep -qs " 00010000 0001 01 *[0-9]* $2\$" "/proc/$1/net/unix" # SO_ACCEPTCON, stream, unconnected
}

# Ready means: one can work with it.
is_node_ready() {
    local pid service
    pid=$(machine_pid "$1") || return 1
    for service in $(node_duties "$1"); do
        [[ $(machine_ctl "$1" status "$service") == *" running "* ]] || return 1
    done
    is_listening "$pid" /run/sanlock/sanlock.sock || return 1
    is_listening "$pid" /run/libvirt/libvirt-sock || return 1
    ! grep -q '^migrated|' "$STATE/$1/services" || is_listening "$pid" /run/migrated/socket
}

# A service that fell over at once will not become ready: say which, and why.
die_if_failed() {
    local failed
    failed=$(machine_ctl "$1" status | sed -n 's/^\(sanlock\|libvirtd\) stopped 0 starts=[1-9].*/\1/p' |
        head -n 1)
    [[ -z $failed ]] && return 0
    tail -n 3 "$STATE/$1/log/$failed.out" >&2 || true
    die "$failed on $1 does not start, see $STATE/$1/log/$failed.out"
}

wait_node() {
    local name=$1 tries
    for ((tries = 0; tries < 600; tries++)); do
        if is_node_ready "$name"; then
            return 0
        fi
        is_machine_up "$name" || die "$name died while coming up, see $STATE/$name"
        ((tries % 20)) || die_if_failed "$name"
        sleep 0.05
    done
    machine_ctl "$name" status >&2
    die "$name is not ready after 30 s, see $STATE/$name/log"
}

cmd_kill() {
    (($# == 1)) || die "usage: lab kill NODE"
    need_node "$1"
    end_machine "$1"
    detach_luns "$1"
}

cmd_boot() {
    (($# == 1)) || die "usage: lab boot NODE"
    need_node "$1"
    is_machine_up switch || die "the lab is half down; 'lab up' repairs it"
    is_machine_up "$1" || renew_luns "$1"
    boot_node "$1"
    wait_node "$1"
}
