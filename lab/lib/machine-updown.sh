# SPDX-License-Identifier: LGPL-2.1-or-later
# Bringing the machines up, down, and what is done to them meanwhile.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

NETWORKS+=(san)

parse_up_options() {
    N_NODES=2 SECTOR=512 LUN_MIB=4096 IO_TIMEOUT=10 BLANK=0
    while (($#)); do
        case $1 in
        --sector) SECTOR=${2:-} && shift 2 ;;
        --lun-size) LUN_MIB=${2:-} && shift 2 ;;
        --io-timeout) IO_TIMEOUT=${2:-} && shift 2 ;; # kept for scripts, as the lab does
        --blank) BLANK=1 && shift ;;
        -*) die "unknown option '$1'" ;;
        *) N_NODES=$1 && shift ;;
        esac
    done
    [[ $N_NODES == [23] ]] || die "there are 2 or 3 machines"
    [[ $SECTOR == 512 || $SECTOR == 4096 ]] || die "--sector takes 512 or 4096"
    is_number "$LUN_MIB" && ((LUN_MIB >= 64)) || die "--lun-size takes MiB, at least 64"
}

write_settings() {
    local name
    mkdir -p "$STATE"
    chmod 755 "$STATE"
    for name in N_NODES SECTOR LUN_MIB IO_TIMEOUT BLANK STORE IMAGE GUEST; do
        echo "$name=${!name@Q}"
    done >"$STATE/settings.new"
    mv "$STATE/settings.new" "$STATE/settings"
}

boot_machine() {
    local name=$1
    is_machine_up "$name" && return 0
    make_machine_disk "$name"
    wire_taps "$name"
    disconnect "$name"
    start_qemu "$name"
}

ready_machine() {
    wait_machine "$1"
    set_up_host "$1"
    wait_services "$1"
}

cmd_up() {
    local i failed=0
    local -a jobs=()
    parse_up_options "$@"
    "$lab_dir/install-packages"
    "$lab_dir/install-packages" "$lab_dir/packages.machines"
    [[ -x $BUILD/lab/lab-init ]] || "$lab_dir/build"
    if ! load_settings; then
        IMAGE=$(cached_machine_image)
        GUEST=$(cached_guest_image)
        write_settings
    fi
    [[ -f $STATE/key ]] || ssh-keygen -q -t ed25519 -N "" -C machines -f "$STATE/key"
    make_install
    is_machine_up switch || start_machine switch
    wire_switch
    in_net switch ip -batch - <<END || die "cannot set up the switch"
link set lo up
addr replace $MGMT_NET.254/24 dev mgmt
addr replace $SAN_IP/24 dev san
END
    is_machine_up client || start_machine client
    wire_client
    start_target
    for ((i = 1; i <= N_NODES; i++)); do
        boot_machine "$(node_name "$i")"
    done
    for ((i = 1; i <= N_NODES; i++)); do
        ready_machine "$(node_name "$i")" &
        jobs+=($!)
    done
    for i in "${jobs[@]}"; do
        wait "$i" || failed=1
    done
    ((failed == 0)) || die "not all machines came up; 'machines down' cleans up"
    say "up: $N_NODES machines, a LUN of $LUN_MIB MiB with $SECTOR byte sectors"
}

cmd_down() {
    local name store=$STORE
    load_settings || true
    for name in node{A..C} nfs target client switch; do
        end_machine "$name"
    done
    rm -rf "$STORE" "$STATE"
}

# As a plug that is pulled: what was in its memory is gone, its disk stays.
cmd_kill() {
    (($# == 1)) || die "usage: machines kill NODE"
    need_node "$1"
    end_machine "$1"
}

cmd_boot() {
    (($# == 1)) || die "usage: machines boot NODE"
    need_node "$1"
    boot_machine "$1"
    ready_machine "$1"
}

# The whole machine stands still, its kernel too: nothing answers, and no clock of it runs.
cmd_freeze() {
    (($# == 1)) || die "usage: machines freeze NODE"
    need_node "$1"
    monitor "$1" stop
}

cmd_thaw() {
    (($# == 1)) || die "usage: machines thaw NODE"
    need_node "$1"
    monitor "$1" cont
}

cmd_console() {
    (($# == 1)) || die "usage: machines console NODE"
    need_root
    need_node "$1"
    need_machine "$1" >/dev/null
    tail -n 20 "$STATE/$1/console.log"
    say "Ctrl-] leaves"
    exec socat "STDIO,raw,echo=0,escape=0x1d" "UNIX-CONNECT:$STATE/$1/console"
}

# In place of lib/proc.sh's: nodes are reached over ssh, the rest as there.
cmd_on() {
    need_root
    (($# >= 2)) || die "usage: machines on NODE CMD..."
    local name=$1
    shift
    case $name in
    client | switch)
        need_lab
        run_inside "$name" "$@"
        ;;
    *)
        need_node "$name"
        need_machine "$name" >/dev/null
        run_on "$name" "$@"
        ;;
    esac
}

cmd_service() {
    (($# == 3)) || die "usage: machines service NODE NAME start|stop|restart|kill|status"
    case $3 in
    start | stop | restart | status) cmd_on "$1" systemctl "$3" "$2" ;;
    kill) cmd_on "$1" systemctl kill --kill-whom=main --signal=KILL "$2" ;;
    *) die "'$3' is not one of start, stop, restart, kill, status" ;;
    esac
}

cmd_status() {
    local i name pid
    need_root
    load_settings || {
        echo "no machine is up"
        return
    }
    echo "$N_NODES machines, a LUN of $LUN_MIB MiB with $SECTOR byte sectors; state in $STATE, disks in $STORE"
    {
        echo "NODE|PID|MANAGEMENT|SERVICES"
        for ((i = 1; i <= N_NODES; i++)); do
            name=$(node_name "$i")
            if pid=$(machine_pid "$name"); then
                printf '%s|%s|%s|%s\n' "$name" "$pid" "$MGMT_NET.$i" "$(run_on "$name" sh -c \
                    'for s in wdmd sanlock libvirtd migrated; do echo $s=$(systemctl is-active $s); done' 2>&1 | paste -sd' ')"
            else
                echo "$name|dead|$MGMT_NET.$i|"
            fi
        done
        for name in target client switch; do
            echo "$name|$(machine_pid "$name" || echo dead)||"
        done
    } | column -t -s '|'
}
