# SPDX-License-Identifier: LGPL-2.1-or-later
# The LUNs: one sparse file each, and for every node a loop device of its own over it.
#
# One device per node, because a real LUN is one too: it can be throttled, broken or taken away for
# one node alone. Direct I/O keeps them coherent; a page cache in between would not, so its absence
# is an error. Image devices made by the daemon are loops over these; whatever is left of them goes
# with the node.
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

# attach_luns NODE: records the devices in $STATE/NODE/loops, one "lunI /dev/loopN" a line
attach_luns() {
    local name=$1 i dev
    [[ ! -s $STATE/$name/loops ]] || return 0
    : >"$STATE/$name/loops.new"
    for ((i = 0; i < N_LUNS; i++)); do
        dev=$(losetup --find --show --direct-io=on --sector-size "$SECTOR" "$(lun_file "$i")") ||
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
        file=$(lun_file "${lun#lun}")
        # After a reboot or a repair by hand the number may be someone else's by now.
        "$BUILD/lab/lab-loops" "$file" | grep -qx "$dev" || continue
        "$BUILD/lab/lab-loops" --detach "$dev" >/dev/null || say "an image device of $name stays busy"
        losetup --detach "$dev"
    done <"$STATE/$name/loops"
    rm -f "$STATE/$name/loops"
}

# Everything that stands on our files, recorded or not, then the files.
remove_luns() {
    local -a files=()
    mapfile -t files < <(compgen -G "$STORE/lun*.img" || true)
    if ((${#files[@]})); then
        "$BUILD/lab/lab-loops" --detach "${files[@]}" >/dev/null || die "a loop device over $STORE stays busy"
        rm -f "${files[@]}"
    fi
    rmdir "$STORE" 2>/dev/null || true
}
