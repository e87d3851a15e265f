#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 145
# timeout: 400
# full-timeout: 1500
# A guest that dirties its memory faster than the link carries it goes over by post-copy; a link that is lost meanwhile is
# taken up again; and what comes of that, of a daemon that is killed, and of a node that is, while one half of its memory
# is here and one there.
#
# MIGRATED_TEST_FULL=1: the other node dies instead; the disk of the half that runs fails, also with the daemons stopped
# until it is whole, and with its other half gone; its guest powers itself off; and the host whose half was ended boots before the
# VM runs again, with no other there.
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

# begins FROM TO: a move that the target runs by now, with some seconds' worth of memory still to come; $job is its id,
# $boot the guest's
begins() {
    boot=$("$LAB" http $IP /stats | jq -er .boot_id) || return 1
    job=$(ctl "$1" move $VM "$2" --policy gentle --detach)
    retry 60 job_is "$1" '.state == "perform" and .iteration >= 2 and .can_postcopy' && slow_links 3 &&
        ctl "$2" job set "$job" --bandwidth 1 --postcopy-now && retry 30 job_is "$1" '.state == "postcopy"' &&
        retry 30 runs_half_on "$2"
}

# The guest runs there, its lease is there, and the other half is on the other node still.
runs_half_on() {
    look
    echo "running on: $(seen_with running | paste -sd' '); known to: $(seen_with any | paste -sd' '); lease: $(seen_holding | paste -sd' ')"
    [[ $(seen_with running) == "$1" && $(seen_with any | wc -l) == 2 && $(seen_holding) == "$1" ]]
}

# ---- one half is gone for good ----

# has_booted_on NODE: it runs there alone, and has begun anew
has_booted_on() {
    local now
    runs_once "$1" && now=$("$LAB" http $IP /stats | jq -er .boot_id) && echo "boot $boot, now $now" && [[ $now != "$boot" ]]
}

# dies TEXT NODE [killed|booted]: the node that has one half; the VM starts on the other one, $here from then on. killed: its
# daemon, too, as soon as it has ended the other half there, before it has asked anybody to start the VM again. booted: all
# of that node then.
dies() {
    local text=$1 node=$2
    since=$(now_ms)
    here=$(other "$node") there=$node
    ok "$text: the plug of $node is pulled" "$LAB" kill "$node"
    # a node whose own cable is out takes nobody for dead before sanlock does
    ok "$text: the link of $here is mended" "$LAB" net "$here" mig up
    [[ -z ${3:-} ]] || ok "$text: what is left of it is ended" retry 60 told_since "$since" "$here" $VM ended-here
    case ${3:-} in
    killed)
        ok "$text: and then migrated is killed" "$LAB" service "$here" migrated kill
        ok "$text: it has noted that" on "$here" grep -qx $VOLUME /var/lib/migrated/again/$VM
        ok "$text: it is started again" retry 30 "$LAB" service "$here" migrated start
        ;;
    booted)
        ok "$text: and then $here loses its power, too" "$LAB" kill "$here"
        ok "$text: it boots" "$LAB" boot "$here"
        ok "$text: its daemon has noted that before" on "$here" grep -qx $VOLUME /var/lib/migrated/again/$VM
        ;;
    esac
    ok "$text: the VM is started on $here" retry 60 told_since "$since" "$here" $VM started
    ok "$text: after that node was fenced" told_since "$since" "$here" "$node" fence-confirmed
    ok "$text: the node comes back" comes_back "$node"
    ok "$text: the VM has booted anew, and runs once" retry "$WAIT_S" has_booted_on "$here"
    is "$text: by one start" "$(ctl "$here" why $VM --json |
        jq --argjson since "$since" '[.events[] | select(.what == "started" and .at >= $since)] | length')" 1
    ok "$text: nothing is left on $node" retry 60 nothing_on "$node"
    not_ok "$text: no record is lost" went_back
    ok "$text: nothing is noted any more" retry 30 on "$here" test ! -e /var/lib/migrated/again/$VM
}

# ended_by_its_node TEXT: the half that ran, by the node that is $here now; and the job on the one that had died
ended_by_its_node() {
    ok "$1: the half there was ended for that" told_since "$since" "$here" $VM ended-here
    ok "$1: the job says so" job_is "$there" '.state == "failed" and (.message | test("half of '$VM' was lost.*started anew"))'
}

# ---- the long form ----

# ready TEXT: for the next move
ready() {
    ok "$1: the guest works again" eval 'slow_links $LINK_MIB_S && retry "$WAIT_S" works && retry "$WAIT_S" dirties'
    ok "$1: all nodes are up" retry 60 all_up
}

works() {
    "$LAB" http $IP '/writer?rate=20' >/dev/null && "$LAB" http $IP "/load?rate=$RATE_MIB_S&set=$SET_MIB" >/dev/null
}

stands_on() {
    local state
    state=$(on "$1" virsh -q domstate $VM --reason)
    echo "$state"
    [[ $state == "paused ($2)" ]]
}

target_dies() {
    local text="the target dies" source
    ready "$text"
    ok "$text: begun by hand" begins $here $there
    source=$here
    dies "$text" $there
    ok "$text: the job says so" job_is "$source" '.state == "failed" and (.message | test("one half of '$VM' was lost"))'
}

source_dies() {
    local text="the source dies"
    ready "$text"
    ok "$text: begun by hand" begins $here $there
    dies "$text" $here
    ended_by_its_node "$text"
}

# The host whose half was ended boots before the VM runs again; nobody else is there.
source_and_boot() {
    local text="the source dies, and the target boots"
    ready "$text"
    ok "$text: begun by hand" begins $here $there
    dies "$text" $here booted
    ended_by_its_node "$text"
}

# disk_fails TEXT: of the half that runs; it comes back before leases are lost
disk_fails() {
    ready "$1"
    ok "$1: begun by hand" begins $here $there
    since=$(now_ms)
    ok "$1: the disk fails" "$LAB" disk $there error
    ok "$1: the half stands still for that" retry 10 stands_on $there "I/O error"
    ok "$1: which is told" retry 10 told_since "$since" $there $VM io-error
    [[ ${2:-} != stopped ]] || ok "$1: both daemons are stopped" eval \
        '"$LAB" service $there migrated stop && "$LAB" service $here migrated stop'
    ok "$1: the disk is back" "$LAB" disk $there ok
    ok "$1: the half is no VM that could go on" stays 4 stands_on $there "I/O error"
}

# goes_on TEXT: what was a half with a failed disk
goes_on() {
    ok "$1: it goes on, there alone" retry 90 runs_once $there
    is "$1: and has not begun anew" "$("$LAB" http $IP /stats | jq -r .boot_id)" "$boot"
    is "$1: the guest saw no error" "$("$LAB" http $IP /stats | jq .writer.errors)" 0
    not_ok "$1: no record is lost" went_back
}

moved() {
    ok "$1: the job is done" retry 90 job_is $here '.state == "done"'
    ok "$1: nothing is left of it where it was" retry 30 nothing_on $here
    local before=$here
    here=$there there=$before
}

disk_of_half() {
    local text="a half's disk"
    disk_fails "$text"
    goes_on "$text"
    moved "$text"
}

# Whole, with nobody looking, it stands still; libvirt calls that suspended by its user from then on.
disk_unwatched() {
    local text="a half's disk, unwatched"
    disk_fails "$text" stopped
    ok "$text: the rest of it follows" retry 90 stands_on $there user
    ok "$text: the target's daemon is started" retry 30 "$LAB" service $there migrated start
    goes_on "$text"
    ok "$text: the source's daemon is started" retry 30 "$LAB" service $here migrated start
    moved "$text"
}

disk_and_source() {
    local text="a half's disk, and the source"
    disk_fails "$text"
    dies "$text" $here
    ended_by_its_node "$text"
}

# off: asked until it is
off() {
    "$LAB" http $IP /off >/dev/null 2>&1
    [[ -z $(nodes_with any) ]]
}

guest_off() {
    local text="the guest goes off"
    ready "$text"
    ok "$text: begun by hand" begins $here $there
    ok "$text: it is told to" retry 60 off
    ok "$text: the job says so" retry 60 job_is $here \
        '.state == "failed" and (.message | test("'$VM' stopped during the move and runs nowhere"))'
    ok "$text: nothing is left of it" eval 'retry 30 nothing_on $here && retry 30 nothing_on $there'
    ok "$text: and nobody starts it" stays 10 eval '[[ -z $(nodes_with any) && -z $(lease_holders) ]]'
    ok "$text: somebody does" ctl $here vm start $VM --node $here
    not_ok "$text: no record is lost" went_back
}

before=$(<$USERFAULTFD)
set_back() {
    echo "$before" >$USERFAULTFD
}
at_exit set_back

cluster_run 2 2 --fence --disk-faults
ok "its policy is must-finish" ctl nodeA vm set $VM move_policy=must-finish
echo 0 >$USERFAULTFD
ok "a target that cannot receive that way is a warning" check_is warn
echo 1 >$USERFAULTFD
ok "and one that can is none" check_is pass
ok "the links carry $LINK_MIB_S MiB/s" slow_links $LINK_MIB_S
ok "the guest writes to $SET_MIB MiB" retry "$WAIT_S" "$LAB" http $IP "/load?rate=$RATE_MIB_S&set=$SET_MIB"
ok "far faster than that" retry "$WAIT_S" dirties
((TAP_FAILED == 0)) || bail "not the guest that is needed"
ACKS_RATE=20
acks_start

# ---- by its policy ----

# The first round, which carries all of the memory, tells nothing of what the guest dirties: it has a fast link, unless a
# move was over before it was seen to be in its second one.
first=64
in_second_round() {
    ctl nodeA job list --json | jq -e '.jobs[-1] | .state == "perform" and .iteration >= 2' >/dev/null
}
moves_watched() {
    local probe slower
    rm -f "$TMP/enough"
    "$LAB" probe $IP --interval 10 --until-file "$TMP/enough" >"$TMP/probe.json" &
    probe=$!
    slow_links $first
    { retry 60 in_second_round && slow_links "$link"; } >/dev/null 2>&1 &
    slower=$!
    exits "must-finish: moved" 0 ctl nodeA move $VM nodeB
    kill $slower 2>/dev/null || true
    wait $slower || note "nobody saw it in its second round"
    sleep 0.5
    touch "$TMP/enough"
    wait $probe || true
    job=$(ctl nodeA job list --json | jq -r '.jobs[-1].id')
}

by_postcopy() {
    job_is nodeA '.state == "done" and any(.phases[]; .state == "postcopy")'
}

# Before post-copy the policy slows the guest down: on a busy machine it may dirty less then than even this link carries,
# and all of it goes over as it should. Then once more, over one that carries less.
link=$LINK_MIB_S
moves_watched
for try in 2 3; do
    ! by_postcopy >/dev/null || break
    link=$((link / 2))
    first=$link
    note "the slowed guest went over by pre-copy: try $try, with $link MiB/s"
    ok "must-finish: back" eval "slow_links 400 && ctl nodeB move $VM nodeA && runs_once nodeA"
    moves_watched
done
ok "must-finish: by post-copy" by_postcopy
slow_links $LINK_MIB_S
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
    retry "$WAIT_S" "$LAB" http $IP "/load?rate=$RATE_MIB_S&set=$SET_MIB" >/dev/null
    retry "$WAIT_S" dirties >/dev/null
done
ok "resume: taken up" test $status = 0
on $here virsh migrate-setspeed $VM 1000 --postcopy >/dev/null 2>&1 || true # it may be quick now, or is over
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
# ---- and then the source's node dies ----

dies "a lone half" $there killed
ended_by_its_node "a lone half"

if [[ ${MIGRATED_TEST_FULL:-0} == 1 || -n ${MIGRATED_CASES:-} ]]; then
    read -r -a cases <<<"${MIGRATED_CASES:-target_dies disk_of_half disk_unwatched guest_off disk_and_source source_dies source_and_boot}"
    for one in "${cases[@]}"; do
        begun=$SECONDS
        $one
        ctl $here node pardon $there >/dev/null 2>&1 || true
        echo "# $one: $((SECONDS - begun)) s"
    done
fi
ok "the guest has lost no record" stop_and_verify $here
ok "the volume is clean" volume_clean $here
done_testing
