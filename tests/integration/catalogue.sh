#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two nodes change one catalogue at the same time: every acknowledged change is there, once. Nobody stays coordinator here:
# each node takes the lease for each change. With one that stays: coordinator.sh
#
# Four workers on each of two nodes create and delete images and define and undefine VMs for a
# while, each under names of its own, and write down what was acknowledged; one name is fought for by
# all. An argument is another number of seconds.
# takes: 30
# machines
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

DURATION_S=${1:-$((20 * ${SLOWER:-1}))}
WORKERS=4

# Changes are refused while others are at it for too long (30); nothing else may go wrong.
change() {
    local kind=$1 name=$2 status=0
    shift 2
    ctl "$node" "$@" >/dev/null 2>"$log.error" || status=$?
    case $status in
    0) echo "$kind $name" >>"$log" ;;
    30) echo "busy" >>"$log.busy" ;;
    *) echo "$node $*: exit code $status: $(<"$log.error")" >>"$log.bad" ;;
    esac
    return $status
}

# Each round leaves one image and one VM with its image; every other round takes both away again.
work() {
    local node=$1 name end=$((SECONDS + DURATION_S)) round=0
    log=$TMP/log.$1.$2
    : >"$log"
    while ((SECONDS < end)); do
        ((++round))
        name=$1-$2-$round
        change image "$name" image create $VOLUME "$name" 4M || continue
        change image "$name-disk" image create $VOLUME "$name-disk" 4M || continue
        "$LAB" vm-xml "$name" "/dev/csv/$VOLUME/$name-disk" >"$log.xml"
        change vm "$name" vm define $VOLUME - <"$log.xml" || continue
        if ((round % 2)); then
            change -image "$name" image delete $VOLUME "$name" || continue
            change -vm "$name" vm undefine "$name" || continue
            change -image "$name-disk" image delete $VOLUME "$name-disk" || true
        fi
    done
}

# All want the same name; only one may be told that it is theirs.
fight() {
    local node=$1 end=$((SECONDS + DURATION_S)) round=0 status
    log=$TMP/fight.$1
    : >"$log"
    while ((SECONDS < end)); do
        ((++round))
        status=0
        ctl "$node" image create $VOLUME "prize-$round" 4M >/dev/null 2>"$log.error" || status=$?
        case $status in
        0) echo "prize-$round" >>"$log" ;;
        20 | 30) ;;
        *) echo "$node prize-$round: exit code $status: $(<"$log.error")" >>"$log.bad" ;;
        esac
    done
}

run_workers() {
    local node i job failed=0
    local -a jobs=()
    for node in nodeA nodeB; do
        for ((i = 1; i < WORKERS; i++)); do
            work $node $i &
            jobs+=($!)
        done
        fight $node &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do
        wait "$job" || failed=1
    done
    return $failed
}

# What the logs say must be there. With equal numbers of coming and going a name is gone.
wanted() {
    awk -v kind="$1" '$1 == kind { n[$2]++ } $1 == "-" kind { n[$2]-- }
        END { for (name in n) if (n[name]) print name }' "$TMP"/log.node?.? | sort
    [[ $1 != image ]] || cat "$TMP"/fight.node? | sort
}

# listed NODE KIND: as that node's daemon sees it
listed() {
    if [[ $2 == image ]]; then
        ctl "$1" image list $VOLUME --json | jq -r '.images[].name'
    else
        ctl "$1" vm list --json | jq -r '.vms[].name'
    fi | sort
}

same_as_acknowledged() {
    wanted "$2" | sort >"$TMP/wanted"
    listed "$1" "$2" >"$TMP/listed"
    echo "$(wc -l <"$TMP/wanted") wanted, $(wc -l <"$TMP/listed") listed"
    diff "$TMP/wanted" "$TMP/listed"
}

nothing_bad() {
    cat "$TMP"/*.bad 2>/dev/null && return 1
    return 0
}

won_once() {
    [[ -z $(sort "$TMP"/fight.node? | uniq -d | tee /dev/stderr) ]]
}

no_slot_twice() {
    local kind twice=0
    on nodeA csvtool dump $LUN >"$TMP/dump.json" || return 1
    for kind in images vms; do
        [[ -z $(jq -r ".${kind}[].name" "$TMP/dump.json" | sort | uniq -d | tee /dev/stderr) ]] || twice=1
    done
    return $twice
}

# Back to what a node has by itself.
anybody_stays() {
    local node
    for node in "${NODES[@]}"; do
        on "$node" sed -i '/^\[volumes\]$/d; /^standing_coordinator=no$/d' /etc/migrated/migrated.conf &&
            "$LAB" service "$node" migrated restart >/dev/null || return 1
    done
}

# Before anything is attached.
nobody_stays() {
    local node
    for node in "${NODES[@]}"; do
        on "$node" sh -c "printf '[volumes]\nstanding_coordinator=no\n' >>/etc/migrated/migrated.conf" &&
            "$LAB" service "$node" migrated restart >/dev/null || return 1
    done
}

# Also one that is in no cluster yet
daemon_answers() {
    ctl "$1" status >/dev/null 2>"$TMP/status" || grep -q 'in no cluster yet' "$TMP/status"
}

cluster_up 2
ok "nobody stays coordinator" nobody_stays
at_exit anybody_stays
ok "daemons are back" retry 30 eval 'daemon_answers nodeA && daemon_answers nodeB'
ok "both attach the volume" cluster_volume
ok "both change the catalogue for $DURATION_S s" run_workers
ok "nothing was refused but for a catalogue that is busy" nothing_bad
echo "# acknowledged: $(cat "$TMP"/log.node?.? | wc -l) changes, and $(cat "$TMP"/fight.node? |
    wc -l) names won; refused as busy: $(cat "$TMP"/*.busy 2>/dev/null | wc -l)"
ok "both nodes had their turns" bash -c "for log in '$TMP'/log.node?.1; do test -s \"\$log\" || exit 1; done"
exits "the role is given to nobody" 30 ctl nodeA volume coordinator $VOLUME nodeB
like "as is said" "$ERR" "standing_coordinator=no"
ok "the volume is in order" volume_clean
for node in nodeA nodeB; do
    ok "$node lists all acknowledged images, and no other" same_as_acknowledged $node image
    sed -n '1s/^/# /p' "$TMP/said"
    ok "$node lists all acknowledged VMs, and no other" same_as_acknowledged $node vm
done
ok "no name was won twice" won_once
ok "no name is there twice" no_slot_twice
done_testing
