# SPDX-License-Identifier: LGPL-2.1-or-later
# The lab's power switch: what fence_lab on a node asks for, done from outside.
#
# A node cannot end another one: they do not see each other's processes. So it leaves a request in
# a directory that all share, and a process of the lab's outside does what it says and answers. It
# ends with the lab's directory. The file 'mode' makes agents misbehave, for tests.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

fence_dir() {
    echo "$STATE/fence"
}

start_fence_server() {
    mkdir -p "$(fence_dir)"
    [[ -s $(fence_dir)/pid ]] && kill -0 "$(<"$(fence_dir)/pid")" 2>/dev/null && return 0
    setsid "$lab_dir/lab" fence-serve </dev/null >>"$(fence_dir)/log" 2>&1 {LOCK_FD}>&- &
}

# Which nodes can be fenced, and how, as each node's daemon reads it.
write_fence_config() {
    local etc=$STATE/$1/etc i
    [[ $FENCE == 1 && ! -d $etc/migrated/fence.d ]] || return 0
    mkdir -p "$etc/migrated/fence.d"
    for ((i = 1; i <= N_NODES; i++)); do
        printf '[lab]\nagent=fence_lab\nplug=%s\n' "$(node_name "$i")" \
            >"$etc/migrated/fence.d/$(node_name "$i").conf"
        chmod 600 "$etc/migrated/fence.d/$(node_name "$i").conf"
    done
}

# What a power switch knows: is there current?
plug_status() {
    if is_machine_up "$1"; then echo on; else echo off; fi
}

serve_request() {
    local request=$1 action plug answer
    read -r action plug <"$request" || return 0
    answer=error
    if [[ $plug == node[A-P] ]]; then
        case $action in
        off) "$lab_dir/lab" kill "$plug" && answer=$(plug_status "$plug") ;;
        on) "$lab_dir/lab" boot "$plug" && answer=$(plug_status "$plug") ;;
        status) answer=$(plug_status "$plug") ;;
        esac
    fi
    echo "$(date +%T.%3N) $action $plug: $answer"
    echo "$answer" >"${request%.request}.new"
    rm -f "$request"
    mv "${request%.request}.new" "${request%.request}.answer"
}

cmd_fence_serve() {
    local request idle dir
    need_lab
    dir=$(fence_dir) # once: a process for it at each turn is a twentieth of a processor
    exec {idle}<> <(:) # says nothing, ever: a wait on it is no process
    echo $$ >"$dir/pid"
    while [[ -d $dir ]]; do
        for request in "$dir"/*.request; do
            [[ ! -f $request ]] || serve_request "$request" || true
        done
        read -r -t 0.05 -u "$idle" || true
    done
}

stop_fence_server() {
    local pid
    pid=$(cat "$(fence_dir)/pid" 2>/dev/null) || return 0
    rm -f "$(fence_dir)/pid"
    grep -q fence-serve "/proc/$pid/cmdline" 2>/dev/null || return 0
    kill "$pid" 2>/dev/null || true
}
