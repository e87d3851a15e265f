# SPDX-License-Identifier: LGPL-2.1-or-later
# The machines of the lab as processes: starting, proving and ending their pid 1.
#
# Every machine (nodes, client, switch) has $STATE/NAME/pid, written by lab-init: pid, start time,
# boot id. A pid counts as ours only while all three fit, so a reused pid is never touched.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

read -r BOOT_ID </proc/sys/kernel/random/boot_id

# Prints the pid of machine NAME if it is alive.
machine_pid() {
    local pid start boot stat
    local -a field
    read -r pid start boot 2>/dev/null <"$STATE/$1/pid" || return 1
    [[ $boot == "$BOOT_ID" ]] || return 1
    { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
    read -r -a field <<<"${stat##*) }"
    # Field 3 (state) is the first after the name, field 22 (start time) the twentieth.
    [[ ${field[19]} == "$start" && ${field[0]} != [ZX] ]] || return 1
    echo "$pid"
}

is_machine_up() {
    machine_pid "$1" >/dev/null
}

need_machine() {
    machine_pid "$1" || die "$1 is not running; 'lab boot $1' or 'lab up' starts it"
}

# start_machine NAME [lab-init options]
start_machine() {
    local name=$1
    shift
    mkdir -p "$STATE/$name"
    : >"$STATE/$name/init.log"
    "$BUILD/lab/lab-init" start --pidfile "$STATE/$name/pid" --log "$STATE/$name/init.log" \
        --hostname "$name" "$@" {LOCK_FD}>&- ||
        {
            cat "$STATE/$name/init.log" >&2
            die "$name does not come up"
        }
}

# Pulls the plug. When pid 1 is gone the kernel has already reaped all others of its pid namespace.
end_machine() {
    local pid tries
    pid=$(machine_pid "$1") || return 0
    kill -KILL "$pid" 2>/dev/null || true
    drop_waiting_io "$1"
    for ((tries = 0; tries < 1000; tries++)); do
        is_machine_up "$1" || return 0
        sleep 0.01
    done
    die "$1 (pid $pid) does not die; a process of it may hang in the kernel"
}

# All processes of a machine: those in the pid namespace of its pid 1.
machine_pids() {
    local space
    space=$(readlink "/proc/$1/ns/pid") || return 1
    space=${space//[^0-9]/} # pid:[NUMBER]; brackets mean something to find
    # find complains of those that end while it looks
    { find /proc -mindepth 3 -maxdepth 3 -path '/proc/[0-9]*/ns/pid' -lname "pid:?$space?" 2>/dev/null || true; } |
        cut -d/ -f3
}

# Stops all there is, also what is started meanwhile. Its kernel answers pings as before.
cmd_freeze() {
    (($# == 1)) || die "usage: lab freeze NODE"
    need_node "$1"
    local pid before="" now
    pid=$(need_machine "$1")
    now=$(machine_pids "$pid")
    [[ -n $now ]] || die "no process of $1 is to be found"
    while [[ $now != "$before" ]]; do
        # shellcheck disable=SC2086
        kill -STOP $now 2>/dev/null || true
        before=$now
        now=$(machine_pids "$pid")
    done
}

cmd_thaw() {
    (($# == 1)) || die "usage: lab thaw NODE"
    need_node "$1"
    local pid
    pid=$(need_machine "$1")
    # shellcheck disable=SC2046
    kill -CONT $(machine_pids "$pid") 2>/dev/null || true
}

# in_net NAME CMD...: in that machine's network, but with our files and programs.
in_net() {
    local pid
    pid=$(machine_pid "$1") || return 1
    shift
    nsenter --target "$pid" --net -- "$@"
}

# Talks to a node's pid 1. Its socket is reached through /proc, so no program has to be found
# inside.
machine_ctl() {
    local pid
    pid=$(need_machine "$1")
    shift
    "$BUILD/lab/lab-init" ctl "/proc/$pid/root/run/lab/init.sock" "$@"
}

cmd_on() {
    run_inside "$@"
}

# run_inside NAME CMD...: in all namespaces of that machine, in place of this process; lab-on has the checks
run_inside() {
    need_tools lab-on
    MIGRATED_LAB_DIR=$STATE exec "$BUILD/lab/lab-on" "$@"
}

cmd_service() {
    need_root
    (($# == 3)) || die "usage: lab service NODE NAME start|stop|restart|kill|status"
    need_node "$1"
    case $3 in
    start | stop | restart | kill | status) machine_ctl "$1" "$3" "$2" ;;
    *) die "'$3' is not one of start, stop, restart, kill, status" ;;
    esac
}
