#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 140
# A guest that dirties its memory faster than the link carries it goes over by post-copy; a link that is lost meanwhile is
# taken up again; and what comes of that and of a daemon that is killed while one half of its memory is here and one there.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

LINK_MIB_S=16
SET_MIB=32
RATE_MIB_S=400
USERFAULTFD=/proc/sys/vm/unprivileged_userfaultfd

slow_links() {
    local node
    for node in "${NODES[@]}"; do
        on "$node" tc qdisc replace dev mig0 root tbf rate $(($1 * 8388608)) burst 256k latency 400ms || return 1
    done
}

dirties() {
    "$LAB" http $IP /stats >"$TMP/stats" && jq -c .load "$TMP/stats" &&
        jq -e ".load.achieved_mib_s > $((LINK_MIB_S * 2))" "$TMP/stats"
}

job_is() {
    ctl "$1" job show "$job" --json >"$TMP/job" && jq -c '.job | [.state, .message, .transferred, .remaining]' "$TMP/job" &&
        jq -e ".job | $2" "$TMP/job" >/dev/null
}

check_is() {
    ctl nodeA check $VM nodeB --json | jq -e ".verdicts[].checks[] | select(.name == \"postcopy\") | .verdict == \"$1\""
}

# begins FROM TO: a move that the target runs by now, with some seconds' worth of memory still to come; $job is its id
begins() {
    job=$(ctl "$1" move $VM "$2" --policy gentle --detach)
    retry 60 job_is "$1" '.state == "perform" and .iteration >= 2 and .can_postcopy' && slow_links 3 &&
        ctl "$2" job set "$job" --bandwidth 1 --postcopy-now && retry 30 job_is "$1" '.state == "postcopy"' &&
        retry 30 runs_half_on "$2"
}

# The guest runs there, its lease is there, and the other half is on the other node still.
runs_half_on() {
    echo "running on: $(nodes_with running | paste -sd' '); known to: $(nodes_with any | paste -sd' '); lease: $(lease_holders | paste -sd' ')"
    [[ $(nodes_with running) == "$1" && $(nodes_with any | wc -l) == 2 && $(lease_holders) == "$1" ]]
}

before=$(<$USERFAULTFD)
set_back() {
    echo "$before" >$USERFAULTFD
}
at_exit set_back

cluster_run 2
ok "its policy is must-finish" ctl nodeA vm set $VM move_policy=must-finish
echo 0 >$USERFAULTFD
ok "a target that cannot receive that way is a warning" check_is warn
echo 1 >$USERFAULTFD
ok "and one that can is none" check_is pass
ok "the links carry $LINK_MIB_S MiB/s" slow_links $LINK_MIB_S
ok "the guest writes to $SET_MIB MiB" retry "$WAIT_S" "$LAB" http $IP "/load?rate=$RATE_MIB_S&set=$SET_MIB"
ok "far faster than that" retry "$WAIT_S" dirties
((TAP_FAILED == 0)) || bail "not the guest that is needed"
acks_start

# ---- by its policy ----

"$LAB" probe $IP --interval 10 --until-file "$TMP/enough" >"$TMP/probe.json" &
probe=$!
exits "must-finish: moved" 0 ctl nodeA move $VM nodeB
sleep 0.5
touch "$TMP/enough"
wait $probe || true
job=$(ctl nodeA job list --json | jq -r '.jobs[-1].id')
ok "must-finish: by post-copy" job_is nodeA '.state == "done" and any(.phases[]; .state == "postcopy")'
ok "must-finish: it runs on nodeB alone" runs_once nodeB
not_ok "must-finish: no record is lost" went_back
note "must-finish: $(jq -r '.job | "\(.elapsed_ms) ms, of these in post-copy \([.phases[] | select(.state == "postcopy") | .took_ms] | add) ms; blackout \(.blackout_ms) ms, sent \(.transferred / 1048576 | floor) MiB"' "$TMP/job")" \
    "a client saw a gap of $(jq .longest_gap_ms "$TMP/probe.json") ms"

# ---- the link is lost, mended, and taken up again ----

# loses_and_mends FROM TO: the guest goes on for a while first, so that what its interrupts need has come
loses_and_mends() {
    sleep 2
    "$LAB" net "$2" mig down && retry 60 job_is "$1" '.state == "postcopy-paused"' && runs_half_on "$2" &&
        "$LAB" net "$2" mig up && slow_links $LINK_MIB_S
}

# An emulated CPU may have been taking an interrupt all the same: then its QEMU hears nobody, which has to be
# said at once. Such a VM is given up by hand, and the whole is done once more.
here=nodeB there=nodeA
for try in 1 2 3 4; do
    ok "resume $try: begun by hand" begins $here $there
    ok "resume $try: the link is lost, and mended" loses_and_mends $here $there
    took_ms=$(date +%s%3N)
    status=0
    ctl $here job resume "$job" >"$TMP/resumed" 2>&1 || status=$?
    took_ms=$(($(date +%s%3N) - took_ms))
    ok "resume $try: answered within 10 s" test $took_ms -lt 10000
    ((status)) || break
    like "resume $try: or refused in words" "$(<"$TMP/resumed")" "hears no order; both halves are kept"
    ok "resume $try: both halves are there" runs_half_on $there
    ok "resume $try: it is given up by hand" on $there virsh -q destroy $VM
    ok "resume $try: the job says so" retry 60 job_is $here '.state == "failed" and (.message | test("was lost in the post"))'
    ok "resume $try: it is started again" retry "$WAIT_S" answers
    here=$(vm_node nodeA)
    [[ $here == nodeA ]] && there=nodeB || there=nodeA
    "$LAB" http $IP "/load?rate=$RATE_MIB_S&set=$SET_MIB" >/dev/null
    retry "$WAIT_S" dirties >/dev/null
done
ok "resume: taken up" test $status = 0
ok "resume: the rest of it follows" retry 90 job_is $here '.state == "done"'
ok "resume: it runs on $there alone" runs_once $there
not_ok "resume: no record is lost" went_back
note "resume: $(jq -r '.job | [.phases[] | "\(.state) \(.took_ms) ms"] | join(", ")' "$TMP/job")"

# ---- the link is lost, and the source's daemon is killed ----

ok "post-copy: begun by hand" begins $there $here
exits "post-copy: a cancel is refused" 51 ctl $here job cancel "$job"
like "post-copy: and says why" "$ERR" "has passed the point of no return"
ok "the link is cut" "$LAB" net $here mig down
ok "migrated on the source is killed" "$LAB" service $there migrated kill
ok "and started again" retry 30 "$LAB" service $there migrated start
ok "post-copy: it waits" retry 60 job_is $there '.state == "postcopy-paused" and (.message | test("job resume"))'
ok "post-copy: both halves are there" runs_half_on $here
exits "post-copy: a cancel is still refused" 51 ctl $here job cancel "$job"
ok "the volume is clean" volume_clean
done_testing
