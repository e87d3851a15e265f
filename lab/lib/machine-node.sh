# SPDX-License-Identifier: LGPL-2.1-or-later
# One machine: its disks, its QEMU, and how one talks to it.
#
# $STATE/NODE/ holds its sockets, its log and its QEMU's pid (as lib/proc.sh proves one); $STORE its disk, which is what
# survives a pulled plug: a layer over the common one. It is talked to over ssh from the switch.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

MACHINE_MEMORY=${MIGRATED_MACHINE_MEMORY:-2048}
# One each. With two, a guest's start now and then leaves one of them deaf to interrupts for a minute (QEMU 7.2: nested SVM,
# emulated by several threads), the other one waits for it in its kernel, and the watchdog resets the machine.
MACHINE_CPUS=${MIGRATED_MACHINE_CPUS:-1}
BOOT_WAIT_S=${MIGRATED_MACHINE_WAIT:-600}
CABLES=(mgmt mig guest san)

can_raise_limits() {
    local caps
    caps=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
    (((0x$caps >> 24) & 1)) # CAP_SYS_RESOURCE
}

# start_process NAME CMD...: in the switch's network, known to machine_pid NAME from then on
start_process() {
    local name=$1 log=$STATE/$1/log pid stat switch
    local -a field
    shift
    [[ $name != target ]] || log=$STATE/target.d/log
    switch=$(machine_pid switch) || die "the switch does not run; 'machines up' repairs that"
    setsid nsenter --target "$switch" --net -- nice -n 5 "$@" </dev/null >"$log" 2>&1 {LOCK_FD}>&- &
    pid=$!
    read -r stat <"/proc/$pid/stat"
    read -r -a field <<<"${stat##*) }"
    mkdir -p "$STATE/$name"
    echo "$pid ${field[19]} $BOOT_ID" >"$STATE/$name/pid"
}

# ---- what it is ----

network_files() {
    local id=$1 dir=$2 i=0 net
    mkdir -p "$dir"
    for net in "${CABLES[@]}"; do
        printf '[Match]\nMACAddress=%s:%02d:%02d\n[Link]\nName=%s0\n' $CARD_PREFIX $i "$id" "$net" >"$dir/10-$net.link"
        i=$((i + 1))
    done
    printf '[Match]\nName=mgmt0\n[Network]\nAddress=%s.%s/24\nLinkLocalAddressing=no\n' $MGMT_NET "$id" >"$dir/20-mgmt.network"
    printf '[Match]\nName=mig0\n[Network]\nAddress=%s.%s/24\nLinkLocalAddressing=no\n' $MIG_NET "$id" >"$dir/20-mig.network"
    printf '[Match]\nName=san0\n[Network]\nAddress=%s.%s/24\nLinkLocalAddressing=no\n' $SAN_NET "$id" >"$dir/20-san.network"
    printf '[NetDev]\nName=br-guest\nKind=bridge\n[Bridge]\nSTP=no\nForwardDelaySec=0\nMulticastSnooping=no\n' >"$dir/20-guest.netdev"
    printf '[Match]\nName=guest0\n[Link]\nRequiredForOnline=no\n[Network]\nBridge=br-guest\n' >"$dir/20-guest.network"
    printf '[Match]\nName=br-guest\n[Link]\nRequiredForOnline=no\n[Network]\nLinkLocalAddressing=no\nConfigureWithoutCarrier=yes\n' \
        >"$dir/30-guest.network"
}

# On a busy machine systemd-networkd (252) takes a bridge for not created that is there ("Connection timed out"), and
# leaves its port out for good: guests run, and nobody hears of them.
bridge_unit() {
    local dir=$1/etc/systemd/system
    mkdir -p "$dir/multi-user.target.wants"
    cat >"$dir/guest-bridge.service" <<'END'
[Unit]
Description=guest0 is a port of br-guest, also where systemd-networkd gave up
After=systemd-networkd.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do \
    [ ! -e /sys/class/net/guest0/master ] || exit 0; sleep 2; done; \
    echo "guest0 has no bridge"; ip link set guest0 master br-guest up'
END
    ln -sf ../guest-bridge.service "$dir/multi-user.target.wants/guest-bridge.service"
}

# Half of what udev is told of at a start are consoles, firmware's tables and memory, of which nothing here makes anything, and
# an emulated machine takes seconds for it. Their nodes and files in /sys are there all the same. A login on ttyS0 waits
# for what udev says of that.
udev_unit() {
    local dir=$1/etc/systemd/system/systemd-udev-trigger.service.d not=() subsystem
    for subsystem in acpi clockevents clocksource container event_source input memory node serio tty vc vtconsole workqueue; do
        not+=("--subsystem-nomatch=$subsystem")
    done
    mkdir -p "$dir"
    cat >"$dir/machine.conf" <<END
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=subsystems --action=add
ExecStart=-udevadm trigger --type=devices --action=add ${not[*]}
ExecStart=-udevadm trigger --action=add /dev/ttyS0
END
}

# What Debian's packages start that nothing here needs, and PAM's session behind each command by ssh, with a systemd of its own
# for root: seconds of an emulated processor. Mounting NFS 4.2 needs none of its daemons.
unneeded_units() {
    local root=$1 unit
    for unit in rpcbind.service rpcbind.socket rpc-statd-notify.service run-rpc_pipefs.mount systemd-binfmt.service \
        systemd-update-utmp.service systemd-update-utmp-runlevel.service getty@tty1.service systemd-network-generator.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    mkdir -p "$root/etc/ssh/sshd_config.d"
    echo 'UsePAM no' >"$root/etc/ssh/sshd_config.d/session.conf"
}

identity_files() {
    local name=$1 id=$2 root=$3 i
    mkdir -p "$root"/etc/{iscsi,udev/rules.d} "$root/root/.ssh"
    echo "$name" >"$root/etc/hostname"
    printf '%032x\n' $((0x77000 + id)) >"$root/etc/machine-id"
    echo "InitiatorName=iqn.2026-01.migrated.lab:$name" >"$root/etc/iscsi/initiatorname.iscsi"
    cp "$STATE/key.pub" "$root/root/.ssh/authorized_keys"
    chmod 700 "$root/root" "$root/root/.ssh"
    {
        echo "127.0.0.1 localhost"
        for ((i = 1; i <= N_NODES; i++)); do
            echo "$MGMT_NET.$i $(node_name "$i")"
        done
    } >"$root/etc/hosts"
    # the target knows no PREEMPT AND ABORT, which fence_scsi asks for: what is under way there is not aborted here
    mkdir -p "$root/usr/local/sbin"
    printf '#!/bin/bash\nexec sg_persist "${@/#-A/-P}"\n' >"$root/usr/local/sbin/sg_persist_lab"
    chmod 755 "$root/usr/local/sbin/sg_persist_lab"
    echo 'KERNEL=="sd?", ENV{ID_PATH}=="ip-*-iscsi-*:lun0-lun-1", SYMLINK+="lab/lun0"' \
        >"$root/etc/udev/rules.d/99-lab.rules"
    # as it is installed, without a name, it is in no cluster yet
    ((BLANK)) || cat >"$root/etc/migrated/migrated.conf" <<END
[node]
name=$name
host_id=$id
[network]
management=$MGMT_NET.$id
migration=$MIG_NET.$id/24
port=$PEER_PORT
END
}

# A tar file is its second disk: our 'meson install', and who it is.
make_identity() {
    local name=$1 root=$STATE/$1/root
    mkdir -p "$STATE/$name"
    rm -rf "$root"
    cp -a "$STATE/install" "$root"
    identity_files "$name" "$(node_id "$name")" "$root"
    network_files "$(node_id "$name")" "$root/etc/systemd/network"
    bridge_unit "$root"
    udev_unit "$root"
    unneeded_units "$root"
    tar -C "$root" --owner=0 --group=0 -cf "$STORE/$name.tar" .
    # whole sectors, or the last piece is no part of the disk
    truncate -s %4096 "$STORE/$name.tar"
    rm -rf "$root"
}

# The tree as README, "Install on real hosts", installs it, but into a folder.
make_install() {
    [[ ! -d $STATE/install ]] || return 0
    "$lab_dir/build"
    DESTDIR=$STATE/install.new meson install -C "$BUILD" --no-rebuild >"$STATE/install.log" 2>&1 ||
        die "the tree cannot be installed, see $STATE/install.log"
    mv "$STATE/install.new" "$STATE/install"
}

make_machine_disk() {
    local name=$1 disk=$STORE/$1.qcow2
    [[ -f $disk ]] && return 0
    mkdir -p "$STORE"
    make_identity "$name"
    qemu-img create -q -f qcow2 -F raw -b "$IMAGE/disk" "$disk"
}

# ---- its QEMU ----

wire_taps() {
    local name=$1 net
    {
        for net in "${CABLES[@]}"; do
            in_net switch ip link show "$name-$net" >/dev/null 2>&1 ||
                echo "tuntap add dev $name-$net mode tap"
            echo "link set $name-$net master $net up"
        done
    } | in_net switch ip -batch - || die "cannot wire $name"
}

# What a kernel would load for hardware that nobody here looks at, and to be quick at what no machine of ours does. Loading and
# 'cryptomgr.notests', without which each tests itself, are seconds of an emulated processor.
unused_modules() {
    printf '%s,' cfg80211 aesni_intel ata_piix ata_generic crc32_pclmul crct10dif_pclmul floppy ghash_clmulni_intel i2c_piix4 \
        libata parport_pc pcspkr psmouse sha512_ssse3 | sed 's/,$//'
}

# 'la57=off': with five levels of page tables nested guests did not start. 'tsc=reliable': of its own accord the kernel
# takes hpet for its clock, and each look at that is a way through QEMU's lock. A machine that is not
# fed by its watchdog daemon is reset, as a real one.
start_qemu() {
    local name=$1 id i=0 net
    local -a cards=()
    id=$(node_id "$name")
    mkdir -p "$STATE/$name"
    for net in "${CABLES[@]}"; do
        cards+=(-netdev "tap,id=$net,ifname=$name-$net,script=no,downscript=no"
            -device "virtio-net-pci,netdev=$net,romfile=,mac=$(printf '%s:%02d:%02d' $CARD_PREFIX $i "$id")")
        i=$((i + 1))
    done
    start_process "$name" qemu-system-x86_64 -name "$name" -machine pc -nodefaults -no-user-config -display none \
        -accel tcg,thread=multi,tb-size=512 -cpu max,la57=off -smp $MACHINE_CPUS -m "$MACHINE_MEMORY" \
        -uuid "00000000-0000-4000-8000-$(printf '%012x' $((0x77000 + id)))" \
        -kernel "$IMAGE/vmlinuz" -initrd "$IMAGE/initrd" \
        -append "root=/dev/vda rw init=/sbin/machine-init console=ttyS0 quiet net.ifnames=0 mitigations=off clocksource=tsc tsc=reliable no_timer_check systemd.default_timeout_start_sec=900 cryptomgr.notests modprobe.blacklist=$(unused_modules)" \
        -drive "file=$STORE/$name.qcow2,if=virtio,cache=unsafe" \
        -drive "file=$STORE/$name.tar,format=raw,if=virtio,readonly=on" \
        -drive "file=$GUEST,format=raw,if=virtio,readonly=on" \
        -device i6300esb -action watchdog=reset -device virtio-rng-pci "${cards[@]}" \
        -chardev "socket,id=console,path=$STATE/$name/console,server=on,wait=off,logfile=$STATE/$name/console.log,logappend=on" \
        -serial chardev:console -monitor "unix:$STATE/$name/monitor,server=on,wait=off"
}

monitor() {
    need_machine "$1" >/dev/null
    echo "$2" | socat -t 2 - "UNIX-CONNECT:$STATE/$1/monitor" >/dev/null
}

# ---- talking to it ----

ssh_options() {
    printf '%s\n' -F none -i "$STATE/key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o LogLevel=ERROR -o ConnectTimeout=10 -o ServerAliveInterval=10 -o "ControlPath=$STATE/%n.ssh"
}

# One connection for all commands: making one takes a second of an emulated processor.
connect() {
    local name=$1 address=$MGMT_NET.$2
    local -a options
    mapfile -t options < <(ssh_options)
    in_net switch ssh "${options[@]}" -O check "$address" >/dev/null 2>&1 && return 0
    in_net switch ssh "${options[@]}" -f -N -M "root@$address" </dev/null >/dev/null 2>&1 {LOCK_FD}>&-
}

# Before it is another boot: a connection that nobody has ended seems to be there for half a minute.
disconnect() {
    local -a options
    mapfile -t options < <(ssh_options)
    in_net switch ssh "${options[@]}" -O exit "$MGMT_NET.$(node_id "$1")" >/dev/null 2>&1 || true
}

run_on() {
    local name=$1 id
    local -a options
    shift
    id=$(node_id "$name")
    connect "$name" "$id" || die "$name does not answer; 'machines console $name' shows why"
    mapfile -t options < <(ssh_options)
    # shellcheck disable=SC2029 # to be expanded here
    in_net switch ssh "${options[@]}" "root@$MGMT_NET.$id" "$(printf '%q ' "$@")"
}

wait_machine() {
    local name=$1 begun=$SECONDS
    until connect "$name" "$(node_id "$name")"; do
        is_machine_up "$name" || die "the QEMU of $name has ended, see $STATE/$name/log"
        ((SECONDS - begun < BOOT_WAIT_S)) || die "$name does not answer after $BOOT_WAIT_S s, see $STATE/$name/console.log"
        sleep 1
    done
}

# The lines of README, "Install on real hosts", behind 'meson install', as they stand there.
readme_steps() {
    sed -n '/^Install on real hosts/,/^How far it is/s/^    \(systemd-sysusers .*\|migratectl setup\|sysctl .*migrated\) *\((.*\)\?$/\1/p' "$lab_tree/README"
}

# The LUN, which is the administrator's affair, then what README says.
set_up_host() {
    local steps
    steps=$(readme_steps)
    [[ $(wc -l <<<"$steps") == 3 ]] || die "README's lines for real hosts are not found: $steps"
    # shellcheck disable=SC2016
    run_on "$1" bash -euc '
        [[ ! -e /etc/machine-is-set-up ]] || exit 0
        iscsiadm -m discovery -t sendtargets -p "$1"
        iscsiadm -m node --op update -n node.startup -v automatic
        iscsiadm -m session >/dev/null 2>&1 || iscsiadm -m node --login
        udevadm settle
        test -b /dev/lab/lun0
        while read -r line; do
            echo "# $line"
            bash -c "$line" </dev/null
        done <<<"$2"
        touch /etc/machine-is-set-up' setup $SAN_IP "$steps" >"$STATE/$1/setup.log" 2>&1 </dev/null ||
        {
            tail -n 5 "$STATE/$1/setup.log" >&2
            die "$1 cannot be set up, see $STATE/$1/setup.log"
        }
}

wait_services() {
    local name=$1 begun=$SECONDS
    until (run_on "$name" sh -c 'systemctl -q is-active wdmd sanlock libvirtd migrated &&
        test -S /run/migrated/socket && virsh -q list >/dev/null') </dev/null >/dev/null 2>&1; do
        ((SECONDS - begun < BOOT_WAIT_S)) || die "$name is not ready after $BOOT_WAIT_S s; 'machines on $name systemctl --failed'"
        sleep 1
    done
}
