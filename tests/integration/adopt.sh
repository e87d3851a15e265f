#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 50
# Local libvirt domains become cluster VMs: stopped and running, refused, cancelled, cut short and tried again.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"


# disk TARGET FORMAT FILE [BUS]
disk() {
    echo "<disk type='file' device='disk'><driver name='qemu' type='$2' cache='none'/>" \
        "<source file='$3'/><target dev='$1' bus='${4:-virtio}'/></disk>"
}

# plain NAME DEVICES [UUID]: a domain that is never started
plain() {
    echo "<domain type='qemu'><name>$1</name>${3:+<uuid>$3</uuid>}<memory unit='MiB'>64</memory><os>" \
        "<type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os><devices>$2</devices></domain>" >"$TMP/$1.xml"
    on nodeA virsh -q define "$TMP/$1.xml" >/dev/null
}

uuid_of() {
    on nodeA virsh domuuid "$1" | sed -n 1p # which reads on: nobody writes to a pipe that is gone
}

# All that must be the same after a refusal: local definitions, VMs, images, what the disks hold
picture() {
    # shellcheck disable=SC2016
    on nodeA sh -c 'for name in $(virsh -q list --all --persistent --name | sort); do virsh dumpxml --inactive "$name"; done
        ls "$1"' sh "/dev/csv/$VOLUME"
    ctl nodeA vm list --json | jq '[.vms[] | del(.lease_version)]'
    ctl nodeA image list "$VOLUME" --json | jq .
    sha256sum "$TMP"/cold.*
}

# leaves_all CODE WORDS COMMAND...: refused with this code, naming these (an extended regex), nothing changed
# since "before"
leaves_all() {
    local code=$1 words=$2
    shift 2
    refuses "$code" "$@" && grep -Eq "$words" "$TMP/stderr" || return 1
    picture >"$TMP/after"
    diff "$TMP/before" "$TMP/after"
}

holds() { # IMAGE FILE: the image on the volume has what the file has
    ctl nodeA image export "$VOLUME" "$1" "$TMP/export.img" --force && qemu-img compare "$2" "$TMP/export.img"
}

# ---- domains ----

cluster_up 2 --lun-size 1536
ok "both attach the volume" cluster_volume
ok "the guest's disk is made" "$LAB" guest-image "$TMP/guest.img"
ok "as qcow2, a format that needs its file to grow" qemu-img convert -O qcow2 "$TMP/guest.img" "$TMP/web.qcow2"
head -c 160M /dev/urandom >"$TMP/web.raw"
"$LAB" vm-xml $VM /dev/none --ip-suffix "${IP##*.}" |
    sed "/<disk /,/<\/disk>/c\\$(disk vda qcow2 "$TMP/web.qcow2")$(disk vdb raw "$TMP/web.raw")" >"$TMP/$VM.xml"
ok "a local domain of it is defined" on nodeA virsh define "$TMP/$VM.xml"
web_uuid=$(uuid_of $VM)
ok "and started, without a lease" on nodeA virsh start $VM

head -c 160M /dev/urandom >"$TMP/idle.raw"
ok "one without a system runs, too" plain idle "$(disk vda raw "$TMP/idle.raw")"
on nodeA virsh -q start idle
head -c 40M /dev/urandom >"$TMP/cold.raw"
head -c 20M /dev/urandom >"$TMP/cold.img"
qemu-img convert -O qcow2 "$TMP/cold.img" "$TMP/cold.qcow2"
ok "a stopped one with a raw and a qcow2 disk is defined" plain cold \
    "$(disk vda raw "$TMP/cold.raw")$(disk vdb qcow2 "$TMP/cold.qcow2")
    <interface type='bridge'><mac address='52:54:00:00:00:42'/><source bridge='br-guest'/></interface>"
cold_uuid=$(uuid_of cold)

# ---- a copy that is cut short: qemu-img gets slow ----

cp /usr/bin/qemu-img "$TMP/qemu-img"
cat >"$TMP/slow" <<END
#!/bin/sh
if [ "\$1" != convert ] || [ ! -e $TMP/is-slow ]; then exec $TMP/qemu-img "\$@"; fi
while printf '    (1.00/100%%)\r'; do sleep 0.1; done
END
chmod +x "$TMP/slow"
on nodeA mount --bind "$TMP/slow" /usr/bin/qemu-img
touch "$TMP/is-slow"

# Starts an adoption; returns while it copies. adopt_pid is migratectl's, in this machine's view.
adopt_begin() {
    rm -f "$TMP/progress"
    "$LAB" on nodeA env --default-signal=INT migratectl --json vm adopt "$1" >"$TMP/progress" 2>"$TMP/said" &
    adopt_pid=$!
    retry 20 test -s "$TMP/progress"
}

images_of() {
    ctl nodeA image list "$VOLUME" --json | jq -r --arg vm "$1" '[.images[] | select(.owner == $vm).name] | sort | join(" ")'
}

cancelled() {
    adopt_begin "$1" || return 1
    [[ $(images_of "$1") == "$1-vda $1-vdb" ]] || return 1
    # from another node, too, what is being copied cannot be taken away or started
    refuses 23 ctl nodeB vm undefine "$1" --delete-images || return 1
    if ctl nodeB vm start "$1" 2>"$TMP/start"; then return 1; fi
    cat "$TMP/start"
    on nodeA sh -c 'kill -INT $(pgrep -x migratectl)'
    wait "$adopt_pid" || true
    retry 10 eval '[[ -z $(images_of '"$1"') ]]'
}

picture >"$TMP/before"
ok "an adoption is cancelled while it copies" cancelled cold
ok "which leaves all as it was" eval 'picture | diff "$TMP/before" -'

daemon_pid() {
    on nodeA pgrep -o -x migrated
}

daemon_is_new() {
    local now
    now=$(daemon_pid) && [[ $now != "$1" ]] && status_of nodeA '.volumes[0].state == "attached"' >/dev/null 2>&1
}

# It is started again at once, as everywhere.
kill_daemon() {
    local before
    before=$(daemon_pid)
    "$LAB" service nodeA migrated kill && { wait "$adopt_pid" || true; } && retry 30 daemon_is_new "$before"
}

killed() {
    adopt_begin "$1" && kill_daemon
}

ok "the daemon is killed while it copies" killed cold
rm "$TMP/is-slow"
ok "started again, it takes back what was begun" retry 20 eval 'picture | diff "$TMP/before" -'
sums=$(sha256sum "$TMP"/cold.*)

# Kills the daemon as soon as the local definition has the lease: behind the step that decides. That is no long moment: a
# look takes no process, and comes before what else is to run here.
adopt_until_turned() {
    rm -f "$TMP/adopted"
    # shellcheck disable=SC2016
    on nodeA nice -n -20 bash -c 'until { content=$(<"$1") && [[ $content == *"<lease>"* ]]; }; do [[ ! -e $4 ]] || exit 1; done
        kill -9 "$2" && echo "$content" >"$3"' bash "/etc/libvirt/qemu/$1.xml" "$(daemon_pid)" "$TMP/turned.xml" \
        "$TMP/adopted" 2>/dev/null &
    killer_pid=$!
    before=$(daemon_pid)
    ctl nodeA vm adopt "$1" --volume "$VOLUME" || true
    touch "$TMP/adopted"
    wait "$killer_pid" || return 1
    retry 30 daemon_is_new "$before"
}

# is_turned NAME DISKS: as the local definition was then
is_turned() {
    local kind=block attribute=dev
    [[ -z ${MIGRATED_TEST_DIRECTORY:-} ]] || kind=file attribute=file
    cat "$TMP/turned.xml"
    [[ $(grep -c "<disk type='$kind'" "$TMP/turned.xml") == "$2" &&
        $(grep -c "<source $attribute='/dev/csv/$VOLUME/$1-vd" "$TMP/turned.xml") == "$2" ]]
}

ok "it is adopted, and the daemon killed behind the step that decides" adopt_until_turned cold
ok "what could be started from then on finds its images as what they are" is_turned cold 2
ok "started again, it brings that to its end" retry 20 eval '[[ -z $(nodes_with any cold) ]]'

# ---- what became of it ----

is "its uuid is what it was" "$(ctl nodeA vm show cold --json | jq -r .vm.uuid)" "$cold_uuid"
ctl nodeA vm show cold --xml >"$TMP/shown"
ok "its MAC too" grep -q 52:54:00:00:00:42 "$TMP/shown"
is "it is stopped and wanted so" "$(ctl nodeA vm show cold --json | jq -r '.vm.state + " " + .vm.wanted')" "stopped stopped"
ok "the raw disk came over" holds cold-vda "$TMP/cold.raw"
ok "the qcow2 disk came over" holds cold-vdb "$TMP/cold.img"
is "no image device is left" "$(on nodeA ls "/dev/csv/$VOLUME")" ""
is "the old files are untouched" "$(sha256sum "$TMP"/cold.*)" "$sums"
ok "it starts on the other node" ctl nodeB vm start cold
ok "and runs there once" eval "VM=cold runs_once nodeB"
ok "and stops" ctl nodeB vm stop cold --force

# ---- refused ----

truncate -s 100G "$TMP/big.raw"
plain odd "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0x7f' slot='1' function='0'/></source></hostdev>
    <disk type='file' device='cdrom'><source file='$TMP/big.raw'/><target dev='sda' bus='sata'/></disk>"
plain big "$(disk vda raw "$TMP/big.raw")"
plain twin "$(disk vda raw "$TMP/cold.raw")" "$cold_uuid"
picture >"$TMP/before"
ok "a host device and a cdrom of the host: refused, both named" \
    leaves_all 52 'cdrom sda.*hostdev' ctl nodeA vm adopt odd
ok "a disk larger than the volume's free space: refused" leaves_all 40 'need 100.0.*GiB' ctl nodeA vm adopt big
ok "a uuid that a VM has: refused" leaves_all 20 "uuid $cold_uuid of twin" ctl nodeA vm adopt twin
on nodeA virsh -q undefine twin
plain cold "$(disk vda raw "$TMP/cold.raw")"
picture >"$TMP/before"
ok "a name that a VM has: refused" leaves_all 20 'a VM cold is on volume' ctl nodeA vm adopt cold
ok "no such domain: refused" leaves_all 10 'no domain none' ctl nodeA vm adopt none

# ---- running ones ----

# Their QEMU copies; slow is what libvirt is told to make of it as soon as there is a copy.
adopt_slowly() {
    local name=$1 target=$2 i
    "$LAB" on nodeA env --default-signal=INT migratectl vm adopt "$name" >"$TMP/said" 2>&1 &
    adopt_pid=$!
    for ((i = 0; i < 400; i++)); do
        # shellcheck disable=SC2016
        on nodeA sh -c 'for i in 1 2 3 4 5; do virsh blockjob "$1" "$2" 1 2>/dev/null && exit 0; done; exit 1' \
            sh "$name" "$target" >/dev/null && break
    done
    sleep 0.5
    kill -0 "$adopt_pid" 2>/dev/null || { cat "$TMP/said" && return 1; }
    on nodeA virsh blockjob "$name" "$target"
    [[ $(lease_holders "$name") == nodeA ]] # while it is copied it has its lease already
}

# is_local NAME: runs from its old disks, without a lease, and its definition is as it was
is_local() {
    on nodeA virsh -q domblklist "$1" >"$TMP/disks" && cat "$TMP/disks" && ! grep -q /dev/csv "$TMP/disks" &&
        [[ $(nodes_with running "$1") == nodeA && -z $(lease_holders "$1") && -z $(images_of "$1") ]] &&
        on nodeA virsh dumpxml --inactive "$1" >"$TMP/inactive" && ! grep -q '<lease>' "$TMP/inactive"
}

qemu_dies() {
    adopt_slowly idle vda && on nodeA virsh -q destroy idle || return 1
    if wait "$adopt_pid"; then return 1; fi
    cat "$TMP/said"
    [[ -z $(images_of idle) ]] && on nodeA virsh -q start idle && is_local idle
}

libvirtd_dies() {
    adopt_slowly idle vda && "$LAB" service nodeA libvirtd kill || return 1
    if wait "$adopt_pid"; then return 1; fi
    cat "$TMP/said"
    "$LAB" service nodeA libvirtd start && retry 20 on nodeA virsh -q domstate idle
}

# A QEMU of before the sanlock driver was configured is not known to sanlock, and libvirt says yes to its lease.
restart_libvirtd() {
    on nodeA sed -i "$1" /etc/libvirt/qemu.conf && "$LAB" service nodeA libvirtd restart &&
        retry 20 on nodeA virsh -q list >/dev/null
}

plain early "$(disk vda raw "$TMP/cold.raw")"
ok "a domain is started while libvirt does not use sanlock" eval \
    "restart_libvirtd 's/^lock_manager/#&/' && on nodeA virsh -q start early && restart_libvirtd 's/^#lock_manager/lock_manager/'"
picture >"$TMP/before"
ok "it cannot get a lease, and is refused" leaves_all 29 'shut early down' ctl nodeA vm adopt early
on nodeA virsh -q destroy early
ok "stopped, it can" ctl nodeA vm adopt early

# A cluster VM that was never adopted, its image called as its owner liked, and somebody makes it persistent.
made_persistent() {
    ctl nodeA image create $VOLUME data 8M &&
        echo "<domain type='qemu'><name>own</name><memory unit='MiB'>64</memory><os>" \
            "<type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os><devices><disk type='block' device='disk'>" \
            "<driver name='qemu' type='raw' cache='none'/><source dev='/dev/csv/$VOLUME/data'/>" \
            "<target dev='vda' bus='virtio'/></disk></devices></domain>" >"$TMP/own.xml" &&
        ctl nodeA vm define $VOLUME "$TMP/own.xml" && ctl nodeA vm start own &&
        on nodeA virsh dumpxml own >"$TMP/own-live.xml" && on nodeA virsh -q define "$TMP/own-live.xml"
}

own_adopted() {
    local before
    before=$(daemon_pid)
    ctl nodeA vm adopt own && [[ $(daemon_pid) == "$before" ]] && on nodeA virsh dominfo own >"$TMP/info" &&
        grep -Eq 'Persistent: +no' "$TMP/info" && VM=own runs_once nodeA
}

ok "a running VM of the cluster gets a local definition" made_persistent
ok "to adopt it takes that away, and nothing else" own_adopted
ok "and is stopped" ctl nodeA vm stop own --force

ok "its QEMU dies while it copies: the old domain is whole, and starts" qemu_dies
ok "libvirtd dies while it copies" libvirtd_dies
ok "and it is adopted again" ctl nodeA vm adopt idle
ok "it runs once" eval "VM=idle runs_once nodeA"
ok "and is stopped and forgotten with its disks" \
    eval "ctl nodeA vm stop idle --force && ctl nodeA vm undefine idle --delete-images"

interrupted() {
    adopt_slowly $VM vdb || return 1
    on nodeA sh -c 'kill -INT $(pgrep -x migratectl)'
    wait "$adopt_pid" || true
    retry 10 is_local $VM
}

web_killed() {
    adopt_slowly $VM vdb && kill_daemon && retry 20 is_local $VM
}

is_cluster_vm() {
    on nodeA virsh dominfo $VM >"$TMP/info" && grep -Eq 'Persistent: +no' "$TMP/info" &&
        on nodeA virsh -q domblklist $VM >"$TMP/disks" && cat "$TMP/disks" && [[ $(grep -c /dev/csv/$VOLUME/ "$TMP/disks") == 2 ]] && runs_once nodeA
}

ok "the guest answers" retry "$WAIT_S" answers
acks_start
ok "and writes to its disk" "$LAB" http $IP '/writer?rate=50'
ok "an adoption of it is cancelled, and it runs on as it was" interrupted
ok "the daemon is killed while it copies, and takes it back" web_killed
ok "the guest has not noticed" answers
start_ms=$(date +%s%3N)
ok "it is adopted again, and the daemon killed behind the step that decides" adopt_until_turned $VM
ok "what could be started from then on finds its images as what they are" is_turned $VM 2
echo "# 256 MiB qcow2 and 160 MiB raw under a running guest, daemon killed and back: $(($(date +%s%3N) - start_ms)) ms"
ok "the guest answers" answers
ok "it runs once, transient, on its images" retry 20 is_cluster_vm
is "with the uuid that it had" "$(ctl nodeA vm show $VM --json | jq -r .vm.uuid)" "$web_uuid"
is "and is wanted running" "$(ctl nodeA vm show $VM --json | jq -r .vm.wanted)" running
ok "its daemon, started anew, sees the other one" retry 30 all_up
ok "it moves to the other node" ctl nodeA move $VM nodeB
ok "and runs there once" runs_once nodeB
ok "the guest finds its records whole" "$LAB" http $IP /verify
ok "it stops" ctl nodeB vm stop $VM
acks_stop
ok "its disk comes out" ctl nodeB image export $VOLUME $VM-vda "$TMP/disk.img"
ok "every acknowledged record is on it, once and in order" "$LAB" verify "$TMP/disk.img" --acked "$(acked)"
echo "# $(acked) records acknowledged"
ok "the other disk came over" holds $VM-vdb "$TMP/web.raw"
ok "the old disks are where they were" test -f "$TMP/web.qcow2" -a -f "$TMP/web.raw"
ok "the volume is in order" volume_clean
echo "# $SECONDS s"
done_testing
