# SPDX-License-Identifier: LGPL-2.1-or-later
# What all parts of the lab share: where things are, words for people, the lock.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

# set_path NAME PATH: an absolute one; most are, and cost no process
set_path() {
    if [[ $2 == /* && $2/ != *//* && $2/ != */./* && $2/ != */../* && ! -L $2 ]]; then
        printf -v "$1" %s "$2"
    else
        printf -v "$1" %s "$(readlink -m "$2")"
    fi
}

lab_tree=${lab_dir%/*}
set_path STATE "${MIGRATED_LAB_DIR:-/run/migrated-lab}"
CACHE=/var/cache/migrated-lab
set_path BUILD "${MIGRATED_BUILD:-$lab_tree/build}"
# A lab beside the usual one gets its own LUN files beside its own state, or the two would share
# their LUNs.
if [[ -n ${MIGRATED_LAB_STORE:-} ]]; then
    set_path STORE "$MIGRATED_LAB_STORE"
elif [[ $STATE == /run/migrated-lab ]]; then
    STORE=/var/lib/migrated-lab
else
    STORE=$STATE/store
fi

NODE_LETTERS=ABCDEFGHIJKLMNOP
MGMT_NET=10.77.0
MIG_NET=10.77.1
GUEST_NET=10.77.2
CLIENT_IP=$GUEST_NET.254
PEER_PORT=7420
RELAY_PORT=7490

say() {
    echo "${0##*/}: $*" >&2
}

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

need_root() {
    ((EUID == 0)) || die "this needs root"
}

need_tools() {
    local tool
    for tool in "$@"; do
        [[ -x $BUILD/lab/$tool ]] || die "$BUILD/lab/$tool is missing; run $lab_dir/build"
    done
}

# One change of the lab at a time. The lock lies beside the state, which 'down' removes, and its
# descriptor is closed in whatever outlives the call.
with_lock() {
    need_root
    mkdir -p "$(dirname "$STATE")"
    exec {LOCK_FD}>"$STATE.lock"
    if ! flock -n "$LOCK_FD"; then
        say "waiting for another lab command"
        flock "$LOCK_FD"
    fi
    "$@"
}

# nodeA -> 1. Fails on anything that is not a node's name.
node_id() {
    local letter=${1#node} before
    [[ $1 == node[A-P] ]] || return 1
    before=${NODE_LETTERS%%"$letter"*}
    echo $((${#before} + 1))
}

node_name() {
    echo "node${NODE_LETTERS:$(($1 - 1)):1}"
}

# The settings of the running lab: N_NODES, N_LUNS, SECTOR, LUN_MIB, written by 'up'.
load_settings() {
    [[ -f $STATE/settings ]] || return 1
    # shellcheck source=/dev/null
    . "$STATE/settings"
}

need_lab() {
    load_settings || die "the lab is down; 'lab up' brings it up"
}

need_node() {
    need_lab
    local id
    id=$(node_id "${1:-}") || die "'${1:-}' is not a node; nodes are nodeA to $(node_name "$N_NODES")"
    ((id <= N_NODES)) || die "this lab has $N_NODES nodes, $1 is not one of them"
}

is_number() {
    [[ $1 =~ ^[0-9]{1,7}$ ]]
}
