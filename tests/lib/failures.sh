# SPDX-License-Identifier: LGPL-2.1-or-later
# failures.sh - what tests that break nodes share: breaking and mending, and what is told of it.
#
# A script sources cluster.sh, then this; NODES are the nodes that cluster_up has made.
# shellcheck shell=bash disable=SC2154 # cluster.sh has what is not assigned here

# ---- what is told ----

# count_told NODE SUBJECT WHAT: events of that kind in the subject's time line, as that node knows it
count_told() {
    ctl "$1" why "$2" --json | jq --arg what "$3" '[.events[] | select(.what == $what)] | length'
}

# tellers NODE SUBJECT WHAT: which nodes tell of it
tellers() {
    ctl "$1" why "$2" --json | jq -r --arg what "$3" '[.events[] | select(.what == $what) | .node] | unique | join(" ")'
}

told() {
    [[ $(count_told "$@") -gt 0 ]]
}

# told_since MS NODE SUBJECT WHAT. Not by counting again: a time line forgets what is old, and what a dead node told is
# there as far as its slot has room for it.
told_since() {
    (($(first_at "$2" "$3" "$4" "$1") > 0))
}

# not_told_since MS NODE SUBJECT WHAT: the time line can be read, and has none
not_told_since() {
    [[ $(first_at "$2" "$3" "$4" "$1") == 0 ]]
}

# first_at NODE SUBJECT WHAT [SINCE_MS]: when it was told first since then, 0 where it was not
first_at() {
    ctl "$1" why "$2" --json | jq --arg what "$3" --argjson since "${4:-0}" \
        '[.events[] | select(.what == $what and .at >= $since) | .at] | min // 0'
}

# state_is WATCHER NODE STATE
state_is() {
    [[ $(status_of "$1" ".nodes[] | select(.name == \"$2\") | .state") == "$3" ]]
}

# stays SECONDS CMD...: true all that time
stays() {
    local until=$((SECONDS + $1))
    shift
    while ((SECONDS < until)); do
        "$@" || return 1
        sleep 0.3
    done
}

# ---- nodes ----

# cables NODE up|down: of both networks between nodes
cables() {
    "$LAB" net "$1" mgmt "$2" && "$LAB" net "$1" mig "$2"
}

# set_mode ok|error|hang|slow|lie|pretend: what the lab's fence agents do from now on
set_mode() {
    echo "$1" >"$MIGRATED_LAB_DIR/fence/mode"
}

# comes_back NODE...
comes_back() {
    local node
    for node in "$@"; do
        "$LAB" boot "$node" || return 1
    done
    for node in "$@"; do
        retry 60 cluster_attach_again "$node" || return 1
    done
    retry 60 all_up
}

# nothing_on NODE: no domain, no image device, no QEMU, no turn, no note of half a VM, no job that goes on
nothing_on() {
    local left
    left=$(
        on "$1" virsh -q list --all
        on "$1" ls "/dev/csv/$VOLUME" /run/migrated/turns /run/migrated/halves 2>/dev/null | grep -v '^$\|:$' || true
        "$LAB" status --json | jq -r --arg node "$1" '.nodes[] | select(.name == $node) | .loops[1:][]'
        on "$1" pgrep -a -x qemu || true
        ctl "$1" job list --json | jq -r '.jobs[] | select(.ended | not) | .id'
    ) || return 1
    echo "left on $1: $left"
    [[ -z $left ]]
}

# signal NODE SERVICE SIGNAL
signal() {
    local pid
    pid=$("$LAB" service "$1" "$2" status | awk '{ print $3 }')
    on "$1" kill "-$3" "$pid"
}
