#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 90
# timeout: 600
# Who is refused at the peer channel, with real sockets at a real daemon: each is refused, and the log says why and
# from where. And what a dead peer, a cut cable and a removed node do to connections that stand.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/peer-channel.sh
. "$(dirname "$(readlink -f "$0")")/../lib/peer-channel.sh"

IO_TIMEOUT=1
APP=app
slow_mark=0
slow=()

# ---- who is refused ----

# refused WHAT REASON CERTIFICATE ACTION...: nodeA does not let it in, and its log says so
refused() {
    local what=$1 reason=$2 cert=$3
    local -a show=()
    shift 3
    [[ -z $cert ]] || show=(--cert "$cert")
    mark_log
    not_ok "$what is refused" rogue nodeB "${show[@]}" $A $PORT "$@"
    ok "$what: the log says why, and from where" retry 5 since "refused a peer at $B" "$reason"
}

refusals() {
    is "a node is let in" "$(rogue nodeB --cert "$GOOD" $A $PORT hello)" accepted
    refused "no certificate" no-certificate "" hello
    leaf nodeB "$TMP/own.pem" --own --name nodeB --uri $MEMBER:nodeB
    refused "a certificate that nobody knows" unknown-certificate "$TMP/own.pem" hello
    leaf nodeB "$TMP/ca.pem" --name nodeB --uri $MEMBER:nodeB --ca
    "$LEAF" "$TMP/ca.pem" "$TMP/chain.pem" --name nodeB --uri $MEMBER:nodeB --chain
    refused "one of whom a node's key says that it may sign" unknown-certificate "$TMP/chain.pem" hello
    refused "such a signer itself" certificate-for-something-else "$TMP/ca.pem" hello
    leaf nodeB "$TMP/other.pem" --name nodeC --uri $MEMBER:nodeC
    refused "a name that the signer's root may not give" unknown-certificate "$TMP/other.pem" hello
    leaf nodeB "$TMP/other.pem" --name nodeB --uri $MEMBER:nodeC
    refused "a node that says to be another one" certificate-of-another-node "$TMP/other.pem" hello
    leaf nodeB "$TMP/ram.pem" --name nodeB --dns nodeB
    refused "the certificate of a QEMU" certificate-for-something-else "$TMP/ram.pem" hello
    refused "the root itself" "Key usage violation" "$(identity nodeB)" hello
    leaf nodeB "$TMP/old.pem" --name nodeB --uri $MEMBER:nodeB --from -7200 --to -60
    refused "an expired certificate" expired "$TMP/old.pem" hello
    leaf nodeB "$TMP/new.pem" --name nodeB --uri $MEMBER:nodeB --from 3600 --to 7200
    refused "one that is not valid yet" not-valid-yet "$TMP/new.pem" hello
    refused "plain text" plain-text "" plain
    refused "TLS 1.2" old-tls "$GOOD" hello12
    mark_log
    ok "a handshake over the cap is refused" eval 'rogue nodeB $A $PORT hugehello 32769; [[ $SAID == refused:* ]]'
    ok "with a line in the log" retry 5 since "refused a peer at $B" broken-handshake "too large"
}

# A host that is on no slot: nothing that it says is even read.
strangers() {
    mark_log
    ok "an address more on the network" on nodeB ip addr add 10.77.0.99/24 dev mgmt0
    ok "which the client uses" on nodeB ip route add $A/32 dev mgmt0 src 10.77.0.99
    not_ok "an address of no node is refused" rogue nodeB --cert "$GOOD" $A $PORT hello
    ok "and named in the log" retry 5 since "10.77.0.99 is no node of ours"
    on nodeB ip route del $A/32 dev mgmt0
    on nodeB ip addr del 10.77.0.99/24 dev mgmt0
    is "from its own it is let in" "$(rogue nodeB --cert "$GOOD" $A $PORT hello)" accepted
}

# ---- what one that is let in may not do ----

limits() {
    local max=1048576
    mark_log
    like "a message at the cap is answered" "$(rogue nodeB --cert "$GOOD" $A $PORT frame $max)" migrated
    like "one byte more is refused, and the connection closed" \
        "$(rogue nodeB --cert "$GOOD" $A $PORT frame $((max + 1)))" 'message too long.*cut after 0'
    ok "with a line in the log" retry 5 since "message of more than $max bytes" "node nodeB at $B"
    mark_log
    like "an administrator's method is unknown to it" \
        "$(rogue nodeB --cert "$GOOD" $A $PORT call io.migrated.RemoveNode '{"name":"nodeC"}')" InterfaceNotFound
    ok "and the log says who tried" retry 5 since "refused node nodeB at $B" io.migrated.RemoveNode
    for method in Release Prepare Finish Reserve; do
        mark_log
        like "$method of a job that is not its own is refused" \
            "$(rogue nodeB --cert "$GOOD" $A $PORT call io.migrated.Peer.$method "$(foreign_job $method)")" \
            io.migrated.Denied
        ok "$method: the log says who tried" retry 5 since "refused node nodeB at $B" "job nodeC-1"
    done
    mark_log
    rogue nodeB --cert "$GOOD" $A $PORT calls 300 io.migrated.Peer.Release '{"id":"nodeC-1"}' >/dev/null
    ok "three hundred of them leave few lines" eval '(($(since "job nodeC-1 is not its own" | wc -l) < 10))'
}

foreign_job() {
    case $1 in
    Release) echo '{"id":"nodeC-1"}' ;;
    Reserve) echo '{"job":"nodeC-1","source":"nodeC","target":"nodeA"}' ;;
    Prepare) echo '{"job":"nodeC-1","vm":"x","uuid":"x","volume":"x","source":"nodeC","memory":1,"images":[]}' ;;
    Finish) echo '{"job":"nodeC-1","vm":"x","uuid":"x","volume":"x","keep":false}' ;;
    esac
}

# An administrator of nodeA asks nodeB through nodeA's daemon: nodeB writes down for whom.
callers() {
    on nodeA sh -c 'echo migrated:x:4242: >>/etc/group'
    exits "an administrator's call is passed on" 14 on nodeA setpriv --reuid=4243 --regid=4242 --clear-groups \
        migratectl job cancel nodeB-77
    ok "nodeA's log has the user" grep -F "audit: uid 4243 pid " "$(log_of nodeA)"
    ok "nodeB's has the node, and the user by its word" \
        grep -F "audit: node nodeA at $A (for its uid 4243): io.migrated.Peer.CancelJob id=nodeB-77: JobUnknown" \
        "$(log_of nodeB)"
    mark_log
    like "no word of whom it asks for gives a node more rights" \
        "$(rogue nodeB --cert "$GOOD" $A $PORT call io.migrated.RemoveNode '{"name":"nodeC"},"caller_uid":0')" \
        InterfaceNotFound
    ok "callers: the log says who tried" retry 5 since "refused node nodeB at $B" io.migrated.RemoveNode
}

# ---- slow ones (many of them at once: tls-flood.sh) ----

# They go on while others are refused.
slow_ones_begin() {
    local what
    slow_mark=$(wc -l <"$(log_of nodeA)")
    for what in handshake frame; do
        on nodeB python3 "$ROGUE" --cert "$GOOD" $A $PORT drip-$what >"$TMP/drip-$what" 2>&1 &
        slow+=($!)
    done
}

slow_ones_end() {
    wait "${slow[@]}" || true
    like "a handshake of a byte a time is cut after ten seconds" "$(cat "$TMP/drip-handshake")" '^cut after (9|1[0-3])\.'
    like "and so is a message" "$(cat "$TMP/drip-frame")" '^cut after (9|1[0-3])\.'
    mark=$slow_mark
    ok "the log names the slow handshake" retry 5 since "refused a peer at $B" handshake-too-slow
    ok "and the slow message" retry 5 since "node nodeB at $B" "for one message"
}

# The daemon is careful whom it calls, too: at nodeB's address answers what has nodeC's key.
impostor() {
    local server
    mark_log
    ok "nodeB's daemon is stopped" "$LAB" service nodeB migrated stop
    on nodeB python3 "$ROGUE" --cert "$TMP/c.pem" $B $PORT serve 8 >"$TMP/serve" 2>&1 &
    server=$!
    retry 10 grep -q ready "$TMP/serve" || true
    ok "a member that answers at the address of another one is refused" refuses 67 ctl nodeA job show nodeB-1
    ok "impostor: the log says who it was" since "refused a peer at $B" certificate-of-another-node "itself nodeC"
    wait $server || true
    unlike "impostor: it was told nothing" "$(cat "$TMP/serve")" "it said: b'.+'"
    like "impostor: it was there" "$(cat "$TMP/serve")" 'it went: .*access denied'
    ok "nodeB's daemon is back" "$LAB" service nodeB migrated start
    ok "and all nodes are up" retry 30 all_up
}

# ---- cables, dead nodes ----

# How many connections with that address nodeA's kernel has
connections_with() {
    on nodeA ss -Htn state established "dst $1" | wc -l
}

# took_until SECONDS CMD...: that it comes true within them; the time is in $TOOK
took_until() {
    local limit=$1 began
    shift
    began=$(now_ms)
    retry_for "$limit" "$@" || return 1
    TOOK=$(($(now_ms) - began))
    echo "after $TOOK ms"
}

is_performing() {
    ctl nodeB job list --json | jq -e '[.jobs[] | select(.state == "perform" and .transferred > 0)] | length == 1' >/dev/null
}

has_ended() { # PID of a background job
    ! kill -0 "$1" 2>/dev/null
}

# An idle connection, a call under way and a tunnel to libvirt, when nodeB's cable is pulled
cable() {
    local idle tunnel call status=0
    on nodeB python3 "$ROGUE" --cert "$GOOD" $A $PORT stay >"$TMP/idle" 2>&1 &
    idle=$!
    ctl nodeA move "$VM" nodeC --bandwidth 4 >"$TMP/call" 2>&1 &
    call=$!
    ok "cable: a slow move is on its way from nodeB, and nodeA waits for its end" retry 20 is_performing
    on nodeB python3 "$ROGUE" /run/migrated/peer/nodeC.sock 0 attend >"$TMP/tunnel" 2>&1 &
    tunnel=$!
    ok "cable: an idle connection and an idle tunnel stand" \
        retry 10 eval 'grep -q in "$TMP/idle" && grep -q in "$TMP/tunnel"'
    ok "cable: nodeB's is pulled" "$LAB" net nodeB mgmt down
    ok "cable: the call fails within seconds" took_until 12 has_ended $call
    note "the call: after $TOOK ms"
    wait $call || status=$?
    is "cable: with the exit code of a node that cannot be reached" $status 61
    note "$(tail -n 2 "$TMP/call")"
    ok "cable: nodeA has dropped all of nodeB's connections" took_until 12 eval '(($(connections_with $B) == 0))'
    note "nodeA's connections: $TOOK ms later"
    ok "cable: the tunnel is given up" took_until 12 has_ended $tunnel
    note "the tunnel: $(tail -n 1 "$TMP/tunnel"), from when it was made"
    ok "cable: the move ends" retry 20 eval '! is_performing'
    ok "cable: it is plugged in again" "$LAB" net nodeB mgmt up
    ok "cable: all nodes are up" retry 30 all_up
    ok "cable: one copy runs, on nodeB" retry 30 runs_once nodeB
    ok "cable: the next move has a new tunnel" retry 20 ctl nodeA move "$VM" nodeC
    ok "cable: one copy runs, on nodeC" retry 10 runs_once nodeC
    wait $idle || true
}

# A node that dies says nothing any more either. Its VM is not to be restarted, so nobody does.
killed() {
    on nodeC python3 "$ROGUE" --cert "$TMP/c.pem" $A $PORT stay >"$TMP/idle" 2>&1 &
    local idle=$!
    ok "killed: a connection with nodeC stands" retry 10 grep -q in "$TMP/idle"
    ok "killed: its VMs are not to be restarted" eval \
        'ctl nodeA vm set "$VM" restart=never && ctl nodeA vm set $APP restart=never'
    ok "killed: nodeC's plug is pulled" "$LAB" kill nodeC
    ok "killed: nodeA drops its connections within seconds" \
        took_until 12 eval '(($(connections_with 10.77.0.3) == 0))'
    note "a killed node's connections: $TOOK ms"
    wait $idle || true
}

state_of() { # VM
    status_of nodeA ".vms[] | select(.name == \"$1\") | .state + \" \" + .wanted"
}

# Its VMs: one is started by a person while it is still a node, the other one after it was removed, by itself.
fenced() {
    ok "fenced: nodeC is" retry 30 eval '[[ $(status_of nodeA ".nodes[] | select(.name == \"nodeC\") | .state") == fenced ]]'
    ok "fenced: a VM of it can be started elsewhere at once" retry 10 ctl nodeA vm start $APP --node nodeA
}

is_removed() {
    ctl nodeA node remove nodeC 2>"$TMP/refusal" || { tail -n 1 "$TMP/refusal" && return 1; }
}

# nodeC is dead, but its key may have been stolen.
removed() {
    on nodeB python3 "$ROGUE" --cert "$TMP/c.pem" $A $PORT stay >"$TMP/open" 2>&1 &
    local open=$!
    ok "removed: somebody has a connection with nodeC's key" retry 10 grep -q in "$TMP/open"
    ok "removed: nodeC is fenced, and then it can be removed" retry 60 is_removed
    ok "removed: that connection is cut" took_until 5 has_ended $open
    note "an open connection of a removed node: cut $TOOK ms after the removal"
    ok "removed: the log says so" since "closing a connection with nodeC"
    mark_log
    not_ok "removed: it does not come in again" rogue nodeB --cert "$TMP/c.pem" $A $PORT hello
    ok "removed: nobody knows it any more" retry 5 since "refused a peer at $B" unknown-certificate "itself nodeC"
    wait $open || true
    is "removed: its VM is where nobody has it, and wanted" "$(state_of "$VM")" "stopped running"
    ok "removed: its VM is not restarted against its policy" eval 'sleep 6; [[ -z $(nodes_with any) ]]'
    ok "removed: with another policy it is" ctl nodeA vm set "$VM" restart=on-node-death
    ok "removed: once, on a node that lives" retry 30 eval 'is_once nodeA || is_once nodeB'
    ok "removed: the other one, too" eval '[[ $(nodes_with any $APP) == nodeA ]]'
}

# The removed node boots: it is no node, and a host like any other that may join.
comes_back() {
    ok "comes back: nodeC boots" "$LAB" boot nodeC
    ok "comes back: it has no volume, and says why" retry 30 is_told
    ok "comes back: nobody counts it as a node" eval '[[ $(status_of nodeB ".nodes | length") == 2 ]]'
    ok "comes back: it leaves what it was in" ctl nodeC cluster leave
    ok "comes back: and joins anew" retry 30 ctl nodeC cluster join "$LUN"
    ok "comes back: as a node like the others" retry 30 all_up
    ok "comes back: its new key is let in, its old one is not" eval \
        'leaf nodeC "$TMP/again.pem" --name nodeC --uri $MEMBER:nodeC &&
         rogue nodeC --cert "$TMP/again.pem" $A $PORT hello && ! rogue nodeC --cert "$TMP/c.pem" $A $PORT hello'
}

is_told() {
    ctl nodeC volume list --json | jq -e '.volumes == []' >/dev/null &&
        grep -q "this node was removed from it" "$(log_of nodeC)"
}

no_tcp() {
    local node
    for node in "${NODES[@]}"; do
        is_alive "$node" || continue
        on "$node" ss -Hltnp
        ! on "$node" ss -Hltnp | grep -i libvirt || return 1
    done
    [[ $(on nodeA ss -Hltn | wc -l) == 1 ]]
}

cluster_up 3 --io-timeout $IO_TIMEOUT --fence
ok "all attach the volume" cluster_volume $IO_TIMEOUT
ok "all nodes are up" retry 30 all_up
ok "a VM is defined" cluster_define "$VM" "${IP##*.}" --memory 256
ok "it starts on nodeB" ctl nodeA vm start "$VM" --node nodeB
ok "and another one on nodeC" eval 'cluster_define $APP 11 --memory 128 && ctl nodeA vm start $APP --node nodeC'
((TAP_FAILED == 0)) || bail "no cluster, no test"
ok "libvirtd listens on no TCP port, migrated on one" no_tcp
leaf nodeB "$GOOD" --name nodeB --uri $MEMBER:nodeB
leaf nodeC "$TMP/c.pem" --name nodeC --uri $MEMBER:nodeC
slow_ones_begin
refusals
strangers
limits
callers
slow_ones_end
impostor
ok "the guest answers" retry "$WAIT_S" answers
cable
killed
fenced
removed
comes_back
ok "the volume is in order" volume_clean
done_testing
