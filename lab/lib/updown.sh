# SPDX-License-Identifier: LGPL-2.1-or-later
# Bringing the lab up and taking it down.
#
# Both start from whatever is there: 'up' adds what is missing, 'down' clears what is left, after
# any crash.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

parse_up_options() {
    N_NODES=3 N_LUNS=1 SECTOR=512 LUN_MIB=4096 IO_TIMEOUT=2 BLANK=0 FENCE=0 DISK_FAULTS=0 HOLDS=0
    while (($#)); do
        case $1 in
        --luns) N_LUNS=${2:-} && shift 2 ;;
        --sector) SECTOR=${2:-} && shift 2 ;;
        --lun-size) LUN_MIB=${2:-} && shift 2 ;;
        --fence) FENCE=1 && shift ;;
        --disk-faults) DISK_FAULTS=1 && shift ;;
        --holds) HOLDS=1 && shift ;;
        --io-timeout) IO_TIMEOUT=${2:-} && shift 2 ;;
        --blank) BLANK=1 && shift ;;
        -*) die "unknown option '$1'" ;;
        *) N_NODES=$1 && shift ;;
        esac
    done
    is_number "$N_NODES" && ((N_NODES >= 2 && N_NODES <= 16)) || die "a lab has 2 to 16 nodes"
    is_number "$N_LUNS" && ((N_LUNS >= 1 && N_LUNS <= 10)) || die "--luns takes 1 to 10"
    [[ $SECTOR == 512 || $SECTOR == 4096 ]] || die "--sector takes 512 or 4096"
    is_number "$LUN_MIB" && ((LUN_MIB >= 64)) || die "--lun-size takes MiB, at least 64"
    # Nothing here uses it: it is kept for the scripts that format volumes, and shown by status.
    is_number "$IO_TIMEOUT" && ((IO_TIMEOUT >= 1 && IO_TIMEOUT <= 60)) || die "--io-timeout takes 1 to 60 s"
}

write_settings() {
    local name
    mkdir -p "$STATE"
    chmod 755 "$STATE"
    for name in N_NODES N_LUNS SECTOR LUN_MIB IO_TIMEOUT BLANK FENCE DISK_FAULTS HOLDS STORE; do
        echo "$name=${!name@Q}"
    done >"$STATE/settings.new"
    mv "$STATE/settings.new" "$STATE/settings"
}

# The LUNs, nodes and sizes of a lab that is up are given: another wish needs a 'down' first.
settle_settings() {
    local wanted="$N_NODES $N_LUNS $SECTOR $LUN_MIB $IO_TIMEOUT $FENCE $DISK_FAULTS $HOLDS" asked=$1
    if load_settings; then
        [[ $asked == 0 || $wanted == "$N_NODES $N_LUNS $SECTOR $LUN_MIB $IO_TIMEOUT $FENCE $DISK_FAULTS $HOLDS" ]] ||
            die "a lab with $N_NODES nodes, $N_LUNS LUNs of $LUN_MIB MiB and $SECTOR byte sectors" \
                "is up; 'lab down' first"
    else
        write_settings
    fi
}

# Loop devices are made one after the other, machines start together.
start_nodes() {
    local i name failed=0
    local -a jobs=()
    for ((i = 1; i <= N_NODES; i++)); do
        name=$(node_name "$i")
        is_machine_up "$name" || renew_luns "$name"
    done
    for ((i = 1; i <= N_NODES; i++)); do
        name=$(node_name "$i")
        (
            was_up=0
            is_machine_up "$name" && was_up=1
            boot_node "$name"
            ((was_up == 0)) || revive_services "$name"
            wait_node "$name"
        ) &
        jobs+=($!)
    done
    for i in "${jobs[@]}"; do
        wait "$i" || failed=1
    done
    ((failed == 0)) || die "not all nodes came up; 'lab down' cleans up"
}

is_all_up() {
    local i
    is_machine_up switch && is_machine_up client || return 1
    for ((i = 1; i <= N_NODES; i++)); do
        is_machine_up "$(node_name "$i")" && is_node_ready "$(node_name "$i")" || return 1
    done
}

cmd_up() {
    need_tools lab-init lab-on lab-loops lab-lun liblab-rlimit-shim.so liblab-hold-shim.so
    parse_up_options "$@"
    settle_settings $#
    if is_all_up; then
        say "already up with $N_NODES nodes"
        return 0
    fi
    [[ -x $BUILD/migrated/migrated ]] ||
        say "no $BUILD/migrated/migrated yet: nodes come up without the daemon"
    make_lun_files
    is_machine_up switch || start_machine switch
    wire_switch
    is_machine_up client || start_machine client
    wire_client
    mkdir -p "$(fence_dir)"
    ((FENCE == 0)) || start_fence_server
    start_nodes
    say "up: $N_NODES nodes, $N_LUNS LUN(s) of $LUN_MIB MiB with $SECTOR byte sectors"
}

cmd_down() {
    need_tools lab-loops
    local name store=$STORE
    local -a jobs=()
    load_settings || true
    stop_fence_server
    for name in client switch node{A..P}; do
        end_machine "$name" &
        jobs+=($!)
    done
    for name in "${jobs[@]}"; do
        wait "$name" || die "not everything could be ended"
    done
    remove_luns
    STORE=$store
    remove_luns
    rm -rf "$STATE"
}
