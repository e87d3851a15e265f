# SPDX-License-Identifier: LGPL-2.1-or-later
# nodes.sh - questions about the nodes of a lab, for tests and benches alike.
#
# Whoever sources this has LAB, the program, and NODES, the names of the nodes; LAB_ON where that is the lab.
# shellcheck shell=bash disable=SC2153,SC2154

on() {
    if [[ -n ${LAB_ON:-} ]]; then
        "$LAB_ON" "$@"
    else
        "$LAB" on "$@"
    fi
}

# ctl NODE ARGUMENTS...: migratectl as typed there
ctl() {
    local node=$1
    shift
    on "$node" migratectl "$@"
}

# status_of NODE FILTER: jq over what that node's daemon says
status_of() {
    ctl "$1" status --json | jq -er "$2"
}

# Each node sees all of them up.
all_up() {
    local node
    for node in "${NODES[@]}"; do
        [[ $(status_of "$node" '[.nodes[] | select(.state == "up")] | length') == "${#NODES[@]}" ]] || return 1
    done
}

# A node of the other ones, the first or (2) the second
other() {
    local node n=${2:-1}
    for node in "${NODES[@]}"; do
        [[ $node == "$1" ]] || ((--n)) || { echo "$node" && return; }
    done
}

others() {
    local node
    for node in "${NODES[@]}"; do
        [[ $node == "$1" ]] || echo "$node"
    done
}

now_ms() {
    echo $((${EPOCHREALTIME/[.,]/} / 1000))
}
