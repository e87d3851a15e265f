#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A KVM guest moves back and forth between machines, ten times by us, between them by plain virsh; a client watches.
# alone
# takes: 900
# timeout: 2400
set -euo pipefail
# shellcheck source=../lib/machines.sh
. "$(dirname "$(readlink -f "$0")")/../lib/machines.sh"

ROUNDS=${MIGRATED_ROUNDS:-5}
: >"$TMP/ours"

ours() {
    ctl "$1" move "$VM" "$2" >"$TMP/output" 2>&1
}

virsh_migrate() {
    on "$1" virsh migrate --live "$VM" "$(libvirt_of "$2")" "tcp://10.77.1.$(($(printf '%d' "'${2: -1}") - 64))" >"$TMP/output" 2>&1
}

# one WHO FROM TO: moves it, and keeps wall and longest silence in ms
one() {
    local who=$1 from=$2 to=$3 begun wall probe status=0
    rm -f "$TMP/moved"
    "$LAB" probe $IP --ping --interval 50 --threshold 150 --until-file "$TMP/moved" >"$TMP/probe" &
    probe=$!
    sleep 1
    begun=$(now_ms)
    "$who" "$from" "$to" || status=$?
    wall=$(($(now_ms) - begun))
    sleep 2
    touch "$TMP/moved"
    wait $probe || return 1
    cat "$TMP/output"
    ((status == 0)) || return 1
    echo "$wall $(jq '.longest_gap_ms | floor' "$TMP/probe")" >>"$TMP/$who"
    retry "$WAIT_S" runs_once "$to"
}

both() { # N: the median of that column, ours beside virsh's
    local ours virsh
    ours=$(cut -d' ' -f"$1" "$TMP/ours" | median)
    virsh=$(cut -d' ' -f"$1" "$TMP/virsh" | median)
    echo "ours $ours ms, virsh $virsh ms"
}

machines_run
ok "migration by hand has its way" relays_up
ok "it runs once" retry "$WAIT_S" runs_once nodeA
acks_start
for ((i = 1; i <= ROUNDS; i++)); do
    ok "move $((2 * i - 1))" one ours nodeA nodeB
    ok "move $((2 * i))" one ours nodeB nodeA
    if ((i == 1)); then
        ok "by virsh" one virsh_migrate nodeA nodeB
        ok "by virsh, back" one virsh_migrate nodeB nodeA
    fi
done
mv "$TMP/virsh_migrate" "$TMP/virsh"
note "wall: $(both 1); $(cut -d' ' -f1 "$TMP/ours" | paste -sd' ') and $(cut -d' ' -f1 "$TMP/virsh" | paste -sd' ')"
note "longest silence: $(both 2); $(cut -d' ' -f2 "$TMP/ours" | paste -sd' ') and $(cut -d' ' -f2 "$TMP/virsh" | paste -sd' ')"
ok "no record is lost that the client saw acknowledged" stop_and_verify nodeA
ok "the volume is in order" volume_clean
done_testing
