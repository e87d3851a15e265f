# SPDX-License-Identifier: LGPL-2.1-or-later
# machines.sh - cluster.sh for lab/machines: the same words, other nodes.
#
# A script sources this and calls machines_run. Where MIGRATED_TEST_MACHINES names a MIGRATED_LAB_DIR, its machines are used,
# brought up where they are not, and left as they are, with their cluster: what one script has made the next one finds,
# which saves minutes. reservation.sh is the last one: with its level nobody is fenced by sanlock's word alone any more.
# shellcheck shell=bash disable=SC2034 # scripts read these

# shellcheck source=cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"
# shellcheck source=failures.sh
. "$(dirname "${BASH_SOURCE[0]}")/failures.sh"
# shellcheck source=on-machines.sh
. "$(dirname "${BASH_SOURCE[0]}")/on-machines.sh"
SLOWER=1 WAIT_S=240 # what these scripts wait for is said for machines
ACKS_RATE=5 # its ring holds 4096
NODES=(nodeA nodeB)

create() {
    in_cluster nodeA ||
        ctl nodeA cluster create "$LUN" --name "$VOLUME" --io-timeout $IO_TIMEOUT --management 10.77.0.1 --migration 10.77.1.1/24
}

# The others join while the first one takes the disk in: half a minute each.
join_and_define() {
    local node join status=0
    local -a joins=()
    for node in "${NODES[@]:1}"; do
        in_cluster "$node" && continue
        ctl "$node" cluster join "$LUN" &
        joins+=($!)
    done
    ((${#joins[@]})) || retry "$WAIT_S" sees nodeA || return 1
    { tidy && define; } || status=1
    for join in "${joins[@]}"; do
        wait "$join" || status=1
    done
    return $status
}

attached() { # NODE
    [[ $(status_of "${1:-nodeA}" '[.volumes[].state] | unique | join(" ")') == attached ]]
}

runs_there() {
    on "$1" virsh -q list --name 2>/dev/null | grep -qx "$VM"
}

# What a script that was ended in its middle can have left
tidy() {
    local node
    for node in "${NODES[@]}"; do
        "$LAB" net "$node" san up || return 1
    done
    for node in "${NODES[@]}"; do
        ! runs_there "$node" || { ctl nodeA vm stop "$VM" --force; return; }
    done
}

sees() { # NODE: all of them, as it sees them
    [[ $(status_of "$1" '[.nodes[] | select(.state == "up")] | length') == "${#NODES[@]}" ]]
}

define() {
    ctl nodeA vm show "$VM" >/dev/null 2>&1 || cluster_define "$VM" "${IP##*.}"
}

guest_cpu() {
    on nodeA virsh qemu-monitor-command "$VM" --hmp 'info registers' | grep -oE '[RE]IP=[0-9a-f]+'
}

# Under TCG a guest's firmware now and then takes minutes for what it reads of its disk in seconds, its vCPU at work all
# the time. Where it is still there after 100 s (no 64 bit code: QEMU names EIP, not RIP), that is kept in late, and it is
# started anew, once. A guest that got further has to answer in WAIT_S, as any.
answers_at_last() {
    local begun=$SECONDS
    ! retry_for 100 answers || return 0
    late="no answer after 100 s, $(guest_cpu)"
    if [[ $late == *EIP=* ]]; then
        ctl nodeA vm stop "$VM" --force && ctl nodeA vm start "$VM" && retry "$WAIT_S" answers
    else
        retry $((WAIT_S - (SECONDS - begun))) answers
    fi
}

# machines_run [CMD]: as many machines as NODES has, one cluster, and the VM runs on nodeA. CMD comes before the cluster.
machines_run() {
    local begun=$SECONDS node
    ok "${#NODES[@]} machines are up" machines_up "${#NODES[@]}"
    ((TAP_FAILED == 0)) || bail "no machines, no test"
    note "up after $((SECONDS - begun)) s"
    (($# == 0)) || ok "what each node has on its disk is written" "$@"
    ok "one of them makes a cluster" create
    ok "and has its volume" retry "$WAIT_S" attached
    ok "the rest joins, and a VM is defined" join_and_define
    for node in "${NODES[@]}"; do
        ok "$node sees all" retry "$WAIT_S" sees "$node"
    done
    at_exit acks_stop
    ok "it starts on nodeA" ctl nodeA vm start "$VM"
    ok "its web server answers" answers_at_last
    [[ -z ${late:-} ]] || note "$late"
    note "it answers after $((SECONDS - begun)) s"
    ((TAP_FAILED == 0)) || bail "the VM does not run"
}

# clock_of NODE: how far it is ahead of this machine's, in ms
clock_of() {
    local now
    now=$(on "$1" date +%s%3N) && echo $((now - $(now_ms)))
}

# runs_alike NODE OFFSET_MS SINCE_S: its clock has run as fast as ours since it was so far ahead; what is measured there
# is compared with what is measured here
runs_alike() {
    local drift
    drift=$(($(clock_of "$1") - $2))
    echo "$drift ms in $((SECONDS - $3)) s"
    ((${drift#-} <= 1000 + 5 * (SECONDS - $3)))
}

# pieces NODE: of the VM's disk as it is there; 0: it is not; "unknown" where that cannot be told
pieces() {
    on "$1" sh -c "dmsetup table 'csv-$VOLUME-$VM--disk' 2>/dev/null | grep -c linear || true" || echo unknown
}

# mapped NODE N: the VM's disk is a device of N pieces there (0: there is none)
mapped() {
    local n
    n=$(pieces "$1")
    echo "of $n pieces"
    [[ $n == "$2" ]]
}

# write_end NODE: the last 4 KiB of the VM's disk get something new, through the disk's device
write_end() {
    # shellcheck disable=SC2016
    on "$1" sh -ec 'dd if=/dev/urandom of="$1" bs=4096 count=1 seek=$(($(blockdev --getsize64 "$1") / 4096 - 1)) oflag=direct conv=notrunc status=none' \
        write "/dev/mapper/csv-$VOLUME-$VM--disk"
}

# end_of NODE: what is there, through the device
end_of() {
    # shellcheck disable=SC2016
    on "$1" sh -ec 'dd if="$1" bs=4096 count=1 skip=$(($(blockdev --getsize64 "$1") / 4096 - 1)) iflag=direct status=none | sha256sum' \
        end "/dev/mapper/csv-$VOLUME-$VM--disk"
}

# end_on_lun NODE: the same where the catalogue says that it is
end_on_lun() {
    local at
    at=$(on "$1" csvtool dump "$LUN" | jq --arg name "$VM-disk" '.images[] | select(.name == $name) | .extents[-1].offset_bytes +
        .size_bytes - ([.extents[:-1][].bytes] | add // 0)') || return 1
    on "$1" sh -ec "dd if=$LUN bs=4096 count=1 skip=$((at / 4096 - 1)) iflag=direct status=none | sha256sum"
}

# as_udev_knows NODE: the VM's disk has its names there, as each device of device-mapper's has, and udev looked into it no further
as_udev_knows() {
    local text
    text=$(on "$1" udevadm info --query=property "/dev/mapper/csv-$VOLUME-$VM--disk") || return 1
    echo "$text"
    [[ $text == *DM_NAME="csv-$VOLUME-$VM--disk"* && $text == *DM_UUID=CSV-* && $text == *DM_UDEV_DISABLE_DISK_RULES_FLAG=1* &&
        $text != *ID_FS_* ]]
}

# hold NODE IMAGE: a process there that nobody knows has the image's device open, under a link, as after a crash
hold() {
    local volume image bytes offset
    read -r volume image bytes offset < <(on "$1" csvtool dump "$LUN" | jq -r --arg name "$2" '.volume.uuid as $volume |
        .images[] | select(.name == $name) | "\($volume) \(.uuid) \(.size_bytes) \(.extents[0].offset_bytes)"')
    # shellcheck disable=SC2016
    on "$1" bash -ec '
        lun=$(readlink -f "$1")
        echo "0 $(($5 / 512)) linear $lun $(($6 / 512))" | dmsetup create "csv-$7-$2" --uuid "CSV-$3-$4"
        ln -sfn "$(readlink -f "/dev/mapper/csv-$7-$2")" "/dev/csv/$7/$2"
        # comes back when its process runs, which has it open then
        systemd-run --quiet --unit=holder --service-type=exec --property="StandardInput=file:/dev/mapper/csv-$7-$2" sleep 3600' \
        hold "$LUN" "$2" "$volume" "$image" "$bytes" "$offset" "$VOLUME"
}

left_of() { # NODE IMAGE: what is there of it, table or link
    # shellcheck disable=SC2016
    on "$1" sh -c 'dmsetup ls | grep -w "$1" || true; ls "/dev/csv/$2" | grep -wx "$3" || true' left "csv-$VOLUME-$2" "$VOLUME" "$2" ||
        echo unknown
}

# capacity NODE: of the running VM's disk, as its QEMU sees it
capacity() {
    on "$1" virsh -q domblkinfo "$VM" vda | awk '$1 == "Capacity:" { print $2 }'
}

# armed NODE...: its watchdog is fed by somebody, and sanlock, as its own user, is one who asks for that
armed() {
    local node
    for node in "$@"; do
        on "$node" sh -c 'pgrep -u sanlock -x sanlock && cd /sys/class/watchdog/watchdog0 && cat identity state &&
            grep -q i6300ESB identity && grep -qx active state' || return 1
    done
}

# verified_boots N: records of that many boots at least were on the disk that was verified last
verified_boots() {
    "$LAB" verify "$TMP/disk.img" --acked "$(acked_epoch)" | tee "$TMP/verified" | jq -e --argjson least "$1" '.boots >= $least'
}

# ---- machines that die ----

# boot_of NODE: another word after each start of its kernel; "none" while it does not answer
boot_of() {
    on "$1" cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo none
}

booted_anew() { # NODE BOOT
    local now
    now=$(boot_of "$1")
    [[ $now != none && $now != "$2" ]]
}

same_boot() { # NODE BOOT
    [[ $2 != none && $(boot_of "$1") == "$2" ]]
}

# is_member NODE: it is up as the other one sees it, has the volume, and its watchdog is armed
is_member() {
    local seer
    seer=$(other "$1")
    state_is "$seer" "$1" up && attached "$1" && armed "$1"
}

# pings_start NODE: the kernel there is asked from now on, until pings_end
pings_start() {
    rm -f "$TMP/pinged"
    "$LAB" on switch lab-probe "10.77.0.$(($(printf '%d' "'${1: -1}") - 64))" --ping --interval 200 --threshold 3000 \
        --until-file "$TMP/pinged" >"$TMP/pings" &
    pings_pid=$!
    at_exit pings_stop
}

pings_stop() {
    touch "$TMP/pinged"
    wait "$pings_pid" 2>/dev/null || true
}

# pings_end SINCE_MS: sets reset, when it was silent for 3 s the first time since then, in ms; 0: never
pings_end() {
    pings_stop
    reset=$(jq --argjson since "$1" '[.gaps[] | (.wall_s * 1000 | floor) | select(. >= $since - 1000)] | min // 0' "$TMP/pings")
}

# count_here NODE: QEMUs of the VM, 'unknown' where that cannot be told
count_here() {
    on "$1" sh -c "pgrep -fc 'guest=${VM}[,]' || true" || echo unknown
}

none_here() {
    [[ $(count_here "$1") == 0 ]]
}

# timeline T0 NAME MS...: each as seconds after t0
timeline() {
    local t0=$1
    shift
    while (($#)); do
        if (($2 > 0)); then
            note "$(printf '%8.1f s  %s' "$((($2 - t0) / 100))e-1" "$1")"
        else
            note "       -    $1"
        fi
        shift 2
    done
}

# in_order NAME MS...: each was seen, and none before the one named before it
in_order() {
    local last=0
    while (($#)); do
        (($2 > 0 && $2 >= last)) || { echo "$1 at $2 ms, the one before it at $last ms"; return 1; }
        last=$2
        shift 2
    done
}

median() {
    sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : int((v[NR / 2] + v[NR / 2 + 1]) / 2) }'
}
