# SPDX-License-Identifier: LGPL-2.1-or-later
# The LUNs: one sparse file each, and for every node a loop device of its own over it.
#
# One device per node, because a real LUN is one too: it can be throttled, broken or taken away for
# one node alone. Direct I/O keeps them coherent; a page cache in between would not, so its absence
# is an error. Image devices made by the daemon are loops over these; whatever is left of them goes
# with the node.
#
# In a lab with --disk-faults a lab-lun lies between each node's device and the file: by 'lab disk' it
# stalls or fails for that node alone.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

lun_file() {
    echo "$STORE/lun$1.img"
}

make_lun_files() {
    local i file
    mkdir -p "$STORE"
    for ((i = 0; i < N_LUNS; i++)); do
        file=$(lun_file "$i")
        [[ -f $file ]] || truncate -s "${LUN_MIB}M" "$file"
    done
}

# What node NAME's device of LUN I stands on.
lun_under() {
    if [[ ${DISK_FAULTS:-0} == 1 ]]; then
        echo "$STATE/$1/lun$2"
    else
        lun_file "$2"
    fi
}

# start_lun_server NODE I
start_lun_server() {
    local under=$STATE/$1/lun$2 tries
    [[ ${DISK_FAULTS:-0} == 1 ]] || return 0
    stop_lun_server "$1" "$2"
    : >"$under"
    echo o >"$under.mode"
    setsid "$BUILD/lab/lab-lun" "$(lun_file "$2")" "$under" "$under.mode" </dev/null \
        >>"$STATE/$1/lun.log" 2>&1 {LOCK_FD}>&- &
    for ((tries = 0; tries < 200; tries++)); do
        mountpoint -q "$under" && return 0
        sleep 0.01
    done
    die "no LUN of $1's own, see $STATE/$1/lun.log"
}

# It ends when nothing is mounted there any more; what waits in it is dropped first.
stop_lun_server() {
    local under=$STATE/$1/lun$2
    [[ -f $under.mode ]] || return 0
    set_lun_mode "$1" "$2" e
    while mountpoint -q "$under"; do
        umount --lazy "$under" || return 1
    done
    rm -f "$under" "$under.mode"
}

# In place: lab-lun shares the byte.
set_lun_mode() {
    printf '%s' "$3" | dd of="$STATE/$1/lun$2.mode" conv=notrunc status=none
}

# A machine whose plug is pulled takes along what waited for its LUNs: nothing of it is written later.
drop_waiting_io() {
    local mode
    for mode in "$STATE/$1"/lun*.mode; do
        [[ ! -f $mode ]] || printf e | dd of="$mode" conv=notrunc status=none
    done
}

cmd_disk() {
    local -A modes=([ok]=o [stall]=s [error]=e)
    local i
    (($# == 2)) || die "usage: lab disk NODE ok|stall|error"
    need_node "$1"
    [[ ${DISK_FAULTS:-0} == 1 ]] || die "this lab's LUNs cannot fail: 'lab up' it with --disk-faults"
    [[ -n ${modes[$2]:-} ]] || die "'$2' is not one of ok, stall, error"
    is_machine_up "$1" || die "$1 is not running"
    for ((i = 0; i < N_LUNS; i++)); do
        set_lun_mode "$1" "$i" "${modes[$2]}"
    done
}

# attach_luns NODE: records the devices in $STATE/NODE/loops, one "lunI /dev/loopN" a line
attach_luns() {
    local name=$1 i dev
    [[ ! -s $STATE/$name/loops ]] || return 0
    : >"$STATE/$name/loops.new"
    for ((i = 0; i < N_LUNS; i++)); do
        start_lun_server "$name" "$i"
        dev=$(losetup --find --show --direct-io=on --sector-size "$SECTOR" "$(lun_under "$name" "$i")") ||
            die "cannot make a loop device of $SECTOR byte sectors over $(lun_file "$i")"
        echo "lun$i $dev" >>"$STATE/$name/loops.new"
        [[ $(<"/sys/block/${dev#/dev/}/loop/dio") == 1 ]] ||
            die "$STORE lies on a filesystem without direct I/O, nodes would not see each other's writes"
    done
    mv "$STATE/$name/loops.new" "$STATE/$name/loops"
}

# Frees a dead node's devices, first those standing on them.
detach_luns() {
    local name=$1 lun dev file
    [[ -f $STATE/$name/loops ]] || return 0
    while read -r lun dev; do
        file=$(lun_under "$name" "${lun#lun}")
        [[ ! -f $file.mode ]] || set_lun_mode "$name" "${lun#lun}" e
        # After a reboot or a repair by hand the number may be someone else's by now.
        "$BUILD/lab/lab-loops" "$file" | grep -qx "$dev" || continue
        "$BUILD/lab/lab-loops" --detach "$dev" >/dev/null || say "an image device of $name stays busy"
        losetup --detach "$dev"
        stop_lun_server "$name" "${lun#lun}"
    done <"$STATE/$name/loops"
    rm -f "$STATE/$name/loops"
}

# Everything that stands on our files, recorded or not, then the files.
remove_luns() {
    local -a files=()
    local mode name
    for mode in "$STATE"/node?/lun*.mode; do
        [[ -f $mode && -f ${mode%.mode} ]] || continue
        name=$(basename "$(dirname "$mode")")
        "$BUILD/lab/lab-loops" --detach "${mode%.mode}" >/dev/null || say "a device of $name stays busy"
        mode=${mode##*/lun}
        stop_lun_server "$name" "${mode%.mode}"
    done
    mapfile -t files < <(compgen -G "$STORE/lun*.img" || true)
    if ((${#files[@]})); then
        "$BUILD/lab/lab-loops" --detach "${files[@]}" >/dev/null || die "a loop device over $STORE stays busy"
        rm -f "${files[@]}"
    fi
    rmdir "$STORE" 2>/dev/null || true
}
