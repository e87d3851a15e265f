# SPDX-License-Identifier: LGPL-2.1-or-later
# on-machines.sh - a script of tests/integration on lab/machines in place of the lab's nodes (tests/run --machines).
#
# cluster.sh sources this where MIGRATED_TEST_NODES=machines, machines.sh for what both need. A script can run so that has a line "# machines": it keeps to
# cluster.sh's words and to what lab and machines both have, shares no files with nodes, and makes no claim on how long
# something takes. Its io_timeout is 5 s, whatever it asks for, and all that it waits for may take SLOWER times as long.
# shellcheck shell=bash disable=SC2034 # scripts read these

LAB=$lab_tree/lab/machines
LAB_ON=
WAIT_S=60 # times SLOWER
SLOWER=4
IO_TIMEOUT=5
MEMORY_MIB=160

machines_up() { # N
    if [[ -n ${MIGRATED_TEST_MACHINES:-} ]]; then
        export MIGRATED_LAB_DIR=$MIGRATED_TEST_MACHINES
    else
        use_own_lab
    fi
    "$LAB" up "$1" --blank
}

in_cluster() {
    on "$1" grep -q '^name=.' /etc/migrated/migrated.conf
}

# What the script before has left. Machines are as good as new without it, and a new start of theirs takes a minute.
leave_cluster() {
    local node name
    for name in $(! in_cluster nodeA || ctl nodeA vm list --json | jq -r '.vms[] | select(.state != "stopped") | .name'); do
        ctl nodeA vm stop "$name" --force || return 1
    done
    for node in "${NODES[@]}"; do
        in_cluster "$node" || continue
        for name in $(volumes_of "$node"); do
            ctl "$node" volume detach "$name" || return 1
        done
    done
    # never below a node that has it
    for node in "${NODES[@]}"; do
        ! in_cluster "$node" || [[ -z $(volumes_of "$node") ]] || return 1
    done
    on nodeA dd if=/dev/zero of="$LUN" bs=1M count=64 oflag=direct status=none
}

volumes_of() {
    ctl "$1" volume list --json | jq -r '.volumes[].name' || echo unknown
}

cluster_up() { # N [LAB OPTIONS]: these are the lab's
    local letter
    for letter in {A..C}; do
        ((${#NODES[@]} == $1)) || NODES+=("node$letter")
    done
    at_exit tell_failure
    ok "$1 machines are up" machines_up "$1"
    ((TAP_FAILED == 0)) || bail "no machines, no test"
    ok "the LUN is blank" leave_cluster
    ((TAP_FAILED == 0)) || bail "no blank LUN, no test"
    at_exit stay_cluster
}

# Those that run next on these machines find a volume on each.
stay_cluster() {
    local node
    for node in "${NODES[@]}"; do
        ! in_cluster "$node" || [[ -n $(volumes_of "$node") ]] || ctl "$node" volume attach "$LUN" || true
    done
}

join() {
    in_cluster "$1" || ctl "$1" cluster join "$LUN"
}

cluster_volume() {
    local node
    if in_cluster nodeA; then
        ctl nodeA volume format "$LUN" --name "$VOLUME" --io-timeout $IO_TIMEOUT && at_once cluster_attach "${NODES[@]}"
        return
    fi
    ctl nodeA cluster create "$LUN" --name "$VOLUME" --io-timeout $IO_TIMEOUT --management 10.77.0.1 --migration 10.77.1.1/24 ||
        return 1
    for node in "${NODES[@]:1}"; do
        join "$node" || return 1
    done
    retry 60 all_up
}

cluster_define() { # NAME SUFFIX [LAB OPTIONS]
    local name=$1 suffix=$2
    shift 2
    "$LAB" vm-xml "$name" "/dev/csv/$VOLUME/$name-disk" --ip-suffix "$suffix" --memory $MEMORY_MIB "$@" >"$TMP/$name.xml" &&
        ctl nodeA image import "$VOLUME" "$name-disk" /dev/vdc --format raw &&
        ctl nodeA vm define "$VOLUME" - <"$TMP/$name.xml"
}

# libvirt's own way from host to host
libvirt_of() {
    echo "qemu+tcp://$1/system"
}

listens() {
    on "$1" bash -ec 'grep -q "^auth_tcp" /etc/libvirt/libvirtd.conf || echo "auth_tcp = \"none\"" >>/etc/libvirt/libvirtd.conf
        systemctl stop libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket
        systemctl start libvirtd-tcp.socket libvirtd.service' 2>&1
}

relays_up() {
    at_once listens "${NODES[@]}"
}

fetch_disk() { # NODE FILE
    ctl "$1" image export "$VOLUME" "$VM-disk" /var/tmp/disk.img --force || return 1
    on "$1" sh -c 'cd /var/tmp && tar -cSf - disk.img && rm disk.img' | tar -C "$TMP" -xf - || return 1
    [[ $TMP/disk.img == "$2" ]] || mv "$TMP/disk.img" "$2"
}
