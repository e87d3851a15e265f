#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 80
# timeout: 900
# Who is a node, and who may do what: four hosts that are in no cluster come into one, three of them at the same
# instant; nodes leave, one dies and is removed, and is no node when it comes back. Every change leaves its line.
#
# Two that draw the same host id cost the one that loses sanlock's whole expiry (68 s), and so does a dead node that is
# removed on sanlock's word alone. Both are in the long form (MIGRATED_TEST_FULL=1); here there are host ids enough, and
# a dead node is removed in tls.sh, where it is fenced.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

IO_TIMEOUT=1
FULL=${MIGRATED_TEST_FULL:-0}
DEAD_S=200 # sanlock says so after 68 s; a busy machine takes its time

log_of() {
    echo "$MIGRATED_LAB_DIR/$1/log/migrated.out"
}

# logged NODE TEXT: there is a line with it
logged() {
    grep -F -- "$2" "$(log_of "$1")" | tail -n 3 | grep .
}

join() {
    ctl "$1" cluster join "$LUN"
}

leave() {
    ctl "$1" cluster leave
}

# "nodeA nodeB": that are up, as A sees it; each with a host id of its own, and no more slots than nodes
members() {
    status_of nodeA '[.nodes[] | select(.state == "up") | .name] | sort | join(" ")'
}

are_members() {
    [[ $(members) == "$*" ]]
}

ids_differ() {
    status_of nodeA '[.nodes[].host_id] | "\(.) of \(length) nodes", (unique | length) == length' |
        tee /dev/stderr | tail -n 1 | grep -q true
}

in_no_cluster() {
    refuses 55 ctl "$1" status
}

config_is() { # NODE
    local id
    id=$(status_of nodeA ".nodes[] | select(.name == \"$1\") | .host_id") || return 1
    on "$1" cat /etc/migrated/migrated.conf
    on "$1" grep -qx "name=$1" /etc/migrated/migrated.conf &&
        on "$1" grep -qx "host_id=$id" /etc/migrated/migrated.conf
}

removed_says() {
    ctl nodeD volume list --json | jq -e '.volumes == []' && logged nodeD "this node was removed from it"
}

# ---- coming in ----

cluster_up 4 --blank
ok "a host without configuration is in no cluster" in_no_cluster nodeA
ok "joining what is no volume is refused" refuses 41 ctl nodeB cluster join "$LUN"
create=(ctl nodeA cluster create "$LUN" --name "$VOLUME" --io-timeout $IO_TIMEOUT)
((!FULL)) || create+=(--max-nodes 5) # four host ids left
ok "the first node must say which networks" refuses 51 "${create[@]}"
ok "and is called as a node can be" refuses 50 "${create[@]}" --node '-x' \
    --management 10.77.0.1 --migration 10.77.1.1/24
ok "nothing was formatted so far" refuses 41 ctl nodeB cluster join "$LUN"
ok "a cluster is created" "${create[@]}" --management 10.77.0.1 --migration 10.77.1.1/24
((TAP_FAILED == 0)) || bail "no cluster, no test"
ok "its configuration says who it is" config_is nodeA
ok "its daemon, which began anew, has its name still" on nodeA pgrep -x migrated
ok "a second one is refused" refuses 20 "${create[@]}" --management 10.77.0.1 --migration 10.77.1.1/24
ok "a name that is taken is refused" refuses 20 ctl nodeB cluster join "$LUN" --node nodeA
ok "that host is still in no cluster" in_no_cluster nodeB

ok "three hosts join at the same instant" at_once join nodeB nodeC nodeD
((TAP_FAILED == 0)) || bail "no cluster, no test"
ok "all are members" retry 30 are_members nodeA nodeB nodeC nodeD
ok "their host ids differ" ids_differ
ok "and stand in their configuration" config_is nodeC
is "addresses were found in the networks of the others" \
    "$(status_of nodeA '.nodes[] | select(.name == "nodeB") | .management + " " + .migration')" \
    "10.77.0.2 10.77.1.2/24"

# ---- one dies; while it is not known to be dead, much goes on ----

ok "a living node is not removed" refuses 31 ctl nodeA node remove nodeD
ok "nor the one that is asked" refuses 31 ctl nodeA node remove nodeA
ok "nor one that nobody knows" refuses 11 ctl nodeA node remove nodeX
"$LAB" kill nodeD
killed_at=$SECONDS
ok "it is seen to be gone" retry 30 are_members nodeA nodeB nodeC
ok "it may be alive as long as sanlock has not called it dead" refuses 31 ctl nodeA node remove nodeD

for ((round = 1; round <= (FULL ? 2 : 1); round++)); do
    ok "two leave at the same instant ($round)" at_once leave nodeB nodeC
    ok "they are no members any more" retry 30 are_members nodeA
    ok "a host that left is in no cluster" in_no_cluster nodeB
    not_ok "nothing of it is left in its configuration" \
        on nodeB grep -E '^(name|host_id|management|migration)=.' /etc/migrated/migrated.conf
    ok "two join at the same instant ($round)" at_once join nodeB nodeC
    ok "they are members" retry 30 are_members nodeA nodeB nodeC
    ok "their host ids differ" ids_differ
done

# Whatever it had done when it was killed, it is a node after the next try, and has one slot.
killed_join() { # SECONDS
    local job
    join nodeC &
    job=$!
    sleep "$1"
    "$LAB" service nodeC migrated kill
    ! wait "$job" || echo "was done already"
}
joins_in_the_end() {
    [[ $(status_of nodeC .node) == nodeC ]] || join nodeC
}
for delay in 0.5 2 3.5; do
    ok "nodeC leaves again" leave nodeC
    retry 30 in_no_cluster nodeC >/dev/null || true
    ok "it is killed while it joins, after $delay s" killed_join $delay
    ok "and joins all the same" retry 60 joins_in_the_end
    ok "it is a member" retry 30 are_members nodeA nodeB nodeC
    is "and the three, and the dead one, have a slot each" "$(status_of nodeA '.nodes | length')" 4
    ok "of different host ids" ids_differ
done

# Joining the lockspace takes a node some renewals, of which the others see nothing at first; here sanlock is held up.
# Removed meanwhile it is no node, though it had asked before whether it is one.
sanlock_is() { # SIGNAL
    on nodeC sh -c "kill -$1 \$(pidof sanlock)"
}
removed_while_it_attaches() {
    local job failed=0
    ctl nodeC volume detach $VOLUME &&
        retry 15 status_of nodeA '.nodes[] | select(.name == "nodeC") | .sanlock == "free"' &&
        sanlock_is STOP || return 1
    cluster_attach nodeC >"$TMP/attach" 2>&1 &
    job=$!
    sleep 1
    ctl nodeA node remove nodeC || failed=1
    sanlock_is CONT
    ! wait $job || failed=1
    grep -F "this node was removed from it" "$TMP/attach" && ((!failed))
}
ok "a node is removed while it attaches, and refused" removed_while_it_attaches
ok "it is on no list" eval 'sleep 3; ! status_of nodeA ".nodes[] | select(.name == \"nodeC\")"'
ok "it leaves what it was in" leave nodeC
retry 30 in_no_cluster nodeC >/dev/null || true
ok "and joins anew" retry 30 join nodeC
ok "as a member like the others" retry 30 are_members nodeA nodeB nodeC

# It has a secret, which no other file, word or answer of the daemon's has (VNC takes eight characters).
SECRET=zq7x$((RANDOM % 9000 + 1000))
define_with_secret() {
    cluster_define "$VM" "${IP##*.}" --memory 256 && ctl nodeA vm undefine "$VM" || return 1
    sed -i "s,</devices>,<graphics type='vnc' autoport='yes' listen='127.0.0.1' passwd='$SECRET'/></devices>," "$TMP/$VM.xml"
    ctl nodeA vm define "$VOLUME" "$TMP/$VM.xml"
}
knows_secret() {
    on "$1" virsh dumpxml --security-info "$VM" | grep -F "$SECRET" >/dev/null
}
shows_secret() { # and what it shows
    local node what
    for node in nodeA nodeB nodeC; do
        for what in status "vm list" "vm show $VM" "job list" "image list" "volume list" "node list"; do
            # shellcheck disable=SC2086 # words
            on "$node" migratectl $what --json || true
        done
        on "$node" migratectl vm show "$VM" --xml || true
        on "$node" find /var/lib/migrated /run/migrated -type f -exec cat {} + || true
        cat "$(log_of "$node")"
    done >"$TMP/shown" 2>&1
    wc -c "$TMP/shown"
    grep -aF "$SECRET" "$TMP/shown"
}

ok "a VM is defined" define_with_secret
ok "and runs on a node that joined" ctl nodeA vm start "$VM" --node nodeC
ok "that node can't leave" refuses 26 ctl nodeC cluster leave
ok "it is still a member" are_members nodeA nodeB nodeC
ok "the VM moves to another one" ctl nodeA move "$VM" nodeB
ok "it runs once" runs_once nodeB
ok "its password has come along" knows_secret nodeB
ok "nodeC has ended that move" retry 20 vm_is_on nodeC nodeB
ok "then the node leaves" leave nodeC

sed "s,</devices>,<hostdev mode='subsystem' type='usb'/></devices>,; s,<name>$VM,<name>bad," "$TMP/$VM.xml" >"$TMP/bad.xml"
ok "a definition that names a host device is refused" refuses 52 ctl nodeA vm define $VOLUME "$TMP/bad.xml"
ctl nodeA vm stop "$VM" --force >/dev/null 2>&1 || true
not_ok "what it has as a password is in no log, no job and no answer" shows_secret
ok "where it is masked" grep -F "passwd=" "$TMP/shown"

# ---- who may do what, and what is written down of it ----

nobody() {
    on nodeA setpriv --reuid=65534 --regid=65534 --clear-groups migratectl "$@"
}
ok "others are refused" refuses 64 nobody status
ok "with user and method in the log" logged nodeA "refused uid 65534 pid "
ok "the cluster's making is in the log" logged nodeA "io.migrated.CreateCluster device=$LUN name=$VOLUME: ok"
ok "what was refused, too" logged nodeA "io.migrated.RemoveNode name=nodeX: NodeUnknown"
ok "and what one node asks of another" logged nodeB "audit: node node"
not_ok "no definition stands in a log" grep -rF "<domain" "$(log_of nodeA)" "$(log_of nodeB)"
keeps_few() {
    local caps
    caps=$(on nodeA sh -c 'sed -n "s/^CapBnd:[[:space:]]*//p" /proc/$(pidof migrated)/status')
    echo "$caps"
    ((!(0x$caps >> 16 & 1) && (0x$caps >> 21 & 1))) # CAP_SYS_MODULE, CAP_SYS_ADMIN
}
ok "the daemon has given up what it does not need" keeps_few

# ---- the dead node is removed ----

is_removed() {
    ctl nodeA node remove nodeD
}

dead_one_is_removed() {
    ok "once sanlock calls it dead it is removed" retry $DEAD_S is_removed
    note "removed $((SECONDS - killed_at)) s after it was killed"
    not_ok "it is on no list" status_of nodeA '.nodes[] | select(.name == "nodeD")'
    ok "it comes back" "$LAB" boot nodeD
    ok "and is no node any more" retry 60 removed_says
    not_ok "so says everybody" status_of nodeB '.nodes[] | select(.name == "nodeD")'
    ok "it leaves what it was in" leave nodeD
    ok "and joins anew" retry 30 join nodeD
    ok "as a member like the others" retry 30 are_members nodeA nodeB nodeD
}

((!FULL)) || dead_one_is_removed
ok "the volume is sound" volume_clean
done_testing
