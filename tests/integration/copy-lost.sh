#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 85
# A node loses the LUN for good in the middle of an import, and its network stays up: nobody else gives the half
# image's space away while the copy may go on, and it does not go on when the LUN is back.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

half() {
    ctl nodeB image list "$VOLUME" --json | jq -r '.images[].name | select(startswith("import-"))'
}
is_begun() {
    [[ -n $(half) ]] && on nodeA pgrep -x qemu-img
}
# used 0|1: does nodeA's sanlock wait for something that has no lease?
used() {
    on nodeA sanlock client status -D | grep -q "external_used=$1"
}
is_over() {
    ! kill -0 "$import" 2>/dev/null
}

cluster_up 2 --io-timeout 1 --disk-faults
ok "all attach the volume" cluster_volume 1
ok "all nodes are up" retry 30 all_up
((TAP_FAILED == 0)) || bail "no cluster, no test"
head -c 768M /dev/urandom >"$TMP/big.img"

ok "sanlock waits for leases only" used 0
ctl nodeA image import "$VOLUME" big "$TMP/big.img" >"$TMP/import" 2>&1 &
import=$!
ok "an import has begun" retry 60 is_begun
ok "its LUN stalls" "$LAB" disk nodeA stall
name=$(half)
like "the half's name tells of it" "$name" '^import-1-w[0-9a-f]{8}$'
ok "nodeA's sanlock waits for the copy, too" used 1
ok "the other one calls it dead" retry 120 state_is nodeB nodeA dead
exits "the half image is not deleted there" 25 ctl nodeB image delete "$VOLUME" "$name"
like "for the copy may go on" "$ERR" "may still write to it"
ok "nodeA has not given the lockspace up: its copy hangs in its I/O" used 1

ok "the LUN is back" "$LAB" disk nodeA ok
ok "the import has ended" retry 60 is_over
rc=0
wait "$import" || rc=$?
not_ok "and has failed" test "$rc" = 0
# told by migrated, or by its end where sanlock has ended that, too: it may have coordinated the volume
like "since the node had lost the volume" "$(tail -n 3 "$TMP/import")" "lost to this node|closed the connection"
ok "nothing copies any more" not on nodeA pgrep -x qemu-img
ok "the node is back" retry 90 all_up
ok "sanlock waits for leases only, again" retry 30 used 0
[[ -z $(half) ]] || ok "nodeA deletes what is left" retry 60 ctl nodeA image delete "$VOLUME" "$name"
# its heartbeat moves before its sanlock has joined again, and till then nothing is copied
truncate -s 64M "$TMP/big.img"
ok "an import works again" retry 60 ctl nodeA image import "$VOLUME" big "$TMP/big.img"
ok "the volume is clean" volume_clean
done_testing
