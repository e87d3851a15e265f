#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Six volumes on three nodes, or ten on five (MIGRATED_TEST_FULL=1): each coordinates two of them, whoever comes or goes, and
# nothing goes to and fro. A node leaves in an orderly way, and one loses its power: with fence agents that work and, in the
# long form, once more with such that do not.
# takes: 120
# full-timeout: 900
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

SETTLE_S=90
if [[ -n ${MIGRATED_TEST_FULL:-} ]]; then
    COUNT=5 VOLUMES=10 ALL="2 2 2 2 2" WITHOUT_ONE="3 3 2 2"
    STILL_S=20
else
    COUNT=3 VOLUMES=6 ALL="2 2 2" WITHOUT_ONE="3 3"
    STILL_S=8 # after nodes have come or gone a volume of a node goes over every 3 s
fi

attach_all() { # NODE
    local i
    for ((i = 0; i < VOLUMES; i++)); do
        ctl "$1" volume attach "/dev/lab/lun$i" || return 1
    done
}

make_volumes() {
    local i
    for ((i = 0; i < VOLUMES; i++)); do
        ctl nodeA volume format "/dev/lab/lun$i" --name "vol$i" --io-timeout 2 || return 1
    done
    at_once attach_all "${NODES[@]}"
}

# coordinators [NODE]: who coordinates what, as that node sees it; a volume a line
coordinators() {
    local i
    for ((i = 0; i < VOLUMES; i++)); do
        echo "vol$i $(coordinator "${1:-nodeA}" "vol$i")"
    done
}

# shared_out "2 2 2": so many have those that have any, no other node has one
shared_out() {
    local seen
    seen=$(coordinators)
    paste -sd' ' <<<"$seen"
    [[ $(cut -d' ' -f2 <<<"$seen" | sort | uniq -c | awk '{ print $1 }' | sort -rn | paste -sd' ') == "$1" ]] && ! grep -q none <<<"$seen"
}

# for_all COMMAND...: on each node, after its name
for_all() {
    local node
    for node in "${NODES[@]}"; do
        echo "$node:"
        on "$node" "$@"
    done
}

still_for() { # SECONDS
    local begun=$SECONDS first now
    first=$(coordinators)
    while ((SECONDS - begun < $1)); do
        sleep 1
        now=$(coordinators)
        [[ $now == "$first" ]] || { diff <(echo "$first") <(echo "$now"); return 1; }
    done
}

unanswered() {
    for_all grep -c "coordinator of volume .* its LUN does not answer" /var/log/migrated.out || true
}

# stays_for SECONDS "2 2 2": nothing goes over. A LUN that does not answer, on a machine whose disk is busy, is a reason to,
# twice.
stays_for() {
    local before tries=3
    before=$(unanswered)
    until still_for "$1"; do
        for_all sh -c 'grep coordinat /var/log/migrated.out | tail -n 12' || true
        ((--tries)) && [[ $(unanswered) != "$before" ]] || return 1
        note "a LUN did not answer: once more"
        before=$(unanswered)
        retry $SETTLE_S shared_out "$2" || return 1
    done
}

all_see_the_same() {
    local node first
    first=$(coordinators nodeA)
    for node in "${NODES[@]:1}"; do
        [[ $(coordinators "$node") == "$first" ]] || return 1
    done
}

# A change of each volume's catalogue, asked of a node that stays
changes_all() { # NAME
    local i
    for ((i = 0; i < VOLUMES; i++)); do
        ctl nodeA image create "vol$i" "$1" 1M || return 1
    done
}

cluster_up $COUNT --luns $VOLUMES --fence
ok "all attach all volumes" make_volumes
ok "each node coordinates two" retry $SETTLE_S shared_out "$ALL"
ok "so it stays" stays_for $STILL_S "$ALL"
ok "and so they all see it" retry 20 all_see_the_same
ok "all catalogues can be changed from one node" changes_all first

ok "one node's daemon ends in an orderly way" "$LAB" service "${NODES[-1]}" migrated stop
ok "the others share what it had" retry $SETTLE_S shared_out "$WITHOUT_ONE"
ok "so it stays" stays_for $STILL_S "$WITHOUT_ONE"
ok "it comes back" "$LAB" service "${NODES[-1]}" migrated start
ok "and has two again" retry $SETTLE_S shared_out "$ALL"
ok "so it stays" stays_for $STILL_S "$ALL"

# Another one's plug, with changes under way: their coordinator goes away with its node.
plug_pulled() { # NAME OF CHANGES
    local changes
    changes_all "$1" >"$TMP/changes" 2>&1 &
    changes=$!
    ok "$1: one node's plug is pulled" "$LAB" kill "${NODES[-2]}"
    ok "$1: changes under way are done, all of them" wait $changes
    ok "$1: the others share what it had" retry $SETTLE_S shared_out "$WITHOUT_ONE"
    ok "$1: it starts again" "$LAB" boot "${NODES[-2]}"
    ok "$1: and has two again" retry $SETTLE_S shared_out "$ALL"
    ok "$1: so it stays" stays_for $STILL_S "$ALL"
}

wanted="first$VOLUMES second$VOLUMES"
plug_pulled second
if [[ -n ${MIGRATED_TEST_FULL:-} ]]; then
    ok "no fence agent works" set_mode error
    plug_pulled third
    wanted+=" third$VOLUMES"
fi
is "each change is there once" "$(for ((i = 0; i < VOLUMES; i++)); do ctl nodeA image list "vol$i" --json | jq -r '.images[].name'; done | sort | uniq -c | awk '{ print $2 $1 }' | paste -sd' ')" "$wanted"
for ((i = 0; i < VOLUMES; i++)); do
    ok "vol$i is in order" on nodeA csvtool check "/dev/lab/lun$i"
done
done_testing
