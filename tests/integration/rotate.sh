#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 65
# Both ends of a move get a new key while it is under way: it goes on, the next one works, and what the old key
# has signed is refused. A daemon that dies in the middle of a change of key ends it when it comes back.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

LOAD_MIB_S=8
MIB_S=14 # the move has to last for some seconds, and end
IDENTITY=/var/lib/migrated/pki/identity.pem
ROGUE=$MIGRATED_BUILD/tests/integration/rogue.py
LEAF=$MIGRATED_BUILD/tests/integration/test-leaf
PORT=7420

log_of() {
    echo "$MIGRATED_LAB_DIR/$1/log/migrated.out"
}

# Certificates in that node's slot, as the other one reads it: the older one first
certificates() { # NODE
    local asked=nodeA
    [[ $1 != nodeA ]] || asked=nodeB
    ctl $asked node show "$1" --json | jq -r '.node.certificates | join(" ")'
}

# is_over NODE OLD: one certificate, another one than it was
is_over() {
    local now
    now=$(certificates "$1")
    echo "$1 has $now, had $2"
    [[ -n $now && $now != *" "* && $now != "$2" ]]
}

keys_of() {
    on "$1" grep -c 'BEGIN PRIVATE KEY' $IDENTITY
}

has_keys() {
    [[ $(keys_of "$1") == "$2" ]]
}

rotate() {
    ctl "$1" node rotate-key
}

is_moving() { # NODE
    [[ $(ctl "$1" job list --json | jq -r '.jobs[-1] | "\(.ended) \(.iteration > 0)"') == "false true" ]]
}

job_on() { # NODE
    ctl "$1" job list --json | jq -r '.jobs[-1].id'
}

# old_leaf NODE: what its old key signs, for the peer channel
old_leaf() {
    "$LEAF" "$TMP/old.$1" "$TMP/leaf.$1" --name "$1" --uri "urn:migrated:peer:$1"
}

# hello NODE: what the other node says to who shows the old leaf of NODE, from there
hello() {
    local address=10.77.0.2
    [[ $1 == nodeA ]] || address=10.77.0.1
    on "$1" python3 "$ROGUE" --cert "$TMP/leaf.$1" $address $PORT hello 2>&1 | tr -d '\0'
}

both_know() {
    [[ $(status_of "$1" '[.nodes[] | select(.state == "up")] | length') == 2 ]]
}

cluster_run 2 2
was=()
for node in nodeA nodeB; do
    on $node cat $IDENTITY >"$TMP/old.$node"
    old_leaf $node
    was+=("$(certificates $node)")
done
like "the node's certificate is shown" "${was[0]}" '^[0-9a-f]{64}$'
is "who has its key is taken for the node" "$(hello nodeA)" accepted
is "and for the other one" "$(hello nodeB)" accepted

# ---- in the middle of a move ----

acks_start
ok "the guest writes to its disk" "$LAB" http $IP '/writer?rate=30'
ok "and to its memory" retry "$WAIT_S" "$LAB" http $IP "/load?rate=$LOAD_MIB_S&set=64"
ctl nodeA move "$VM" nodeB --bandwidth $MIB_S >"$TMP/move" 2>&1 &
mover=$!
ok "a VM moves" retry 30 is_moving nodeA
ok "the source gets a new key" rotate nodeA
ok "the target gets a new key" rotate nodeB
ok "the move is still under way" is_moving nodeA
ok "status warns" sh -c "'$LAB' on nodeA migratectl status | grep 'key of this node is being changed'"
exits "a second change is refused" 20 ctl nodeA node rotate-key
like "both certificates of nodeA stand in its slot" "$(certificates nodeA)" '^[0-9a-f]{64} [0-9a-f]{64}$'
ctl nodeA job set "$(job_on nodeA)" --bandwidth 1000 || true # it may be quick now, or is over
ok "the move ends well" wait $mover
ok "it runs once" runs_once nodeB
note "$(tail -n 1 "$TMP/move")"
ok "then the old certificate of the source is gone" retry 30 is_over nodeA "${was[0]}"
ok "and that of the target" retry 30 is_over nodeB "${was[1]}"
ok "what the old key of the source signs is refused" eval '[[ $(hello nodeA | tee /dev/stderr) == refused:* ]]'
ok "and what that of the target signs" eval '[[ $(hello nodeB | tee /dev/stderr) == refused:* ]]'
ok "the log says why" grep unknown-certificate "$(log_of nodeB)"
ok "the next move works" ctl nodeB move "$VM" nodeA
ok "it runs once" runs_once nodeA

# ---- killed in the middle ----

# killed_at WHAT...: a change of key begins on nodeB, and its daemon is killed as soon as that is true
killed_at() {
    local job
    rotate nodeB >/dev/null 2>&1 &
    job=$!
    retry_fast "$@" || return 1
    "$LAB" service nodeB migrated kill
    wait "$job" || true
    is_halfway
}

# One key, the new one, and both certificates
is_switched() {
    [[ $(on nodeB sh -c "grep -c 'BEGIN PRIVATE' $IDENTITY; grep -c 'BEGIN CERT' $IDENTITY") == $'1\n2' ]]
}

retry_fast() {
    local until=$((SECONDS + 30))
    until "$@"; do
        ((SECONDS < until)) || return 1
    done
}

# It was killed before the change had come to its end
is_halfway() {
    grep BEGIN "$MIGRATED_LAB_DIR/nodeB/var/migrated/pki/identity.pem" >&2 || true
    [[ $(grep -c 'BEGIN CERT' "$MIGRATED_LAB_DIR/nodeB/var/migrated/pki/identity.pem") == 2 ]]
}

before=$(certificates nodeB)
ok "killed when the new key is written down" killed_at has_keys nodeB 2
ok "it is changed all the same" retry 60 is_over nodeB "$before"
ok "the node is up" retry "$WAIT_S" both_know nodeA
before=$(certificates nodeB)
retry 60 both_know nodeB >/dev/null || true
ok "killed when the new key is in use" killed_at is_switched
ok "it is changed all the same" retry 60 is_over nodeB "$before"
ok "the nodes know one another" retry "$WAIT_S" both_know nodeB
ok "a VM moves" retry 20 ctl nodeA move "$VM" nodeB
ok "it runs once" runs_once nodeB
ok "nothing that was acknowledged is missing" stop_and_verify nodeB
ok "the volume is sound" volume_clean
done_testing
