#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# takes: 80
# Past us, with virsh: what breaks a rule is refused in virsh's own words, what breaks none works like a move of ours.
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

TWO=two
TWO_IP=10.77.2.11
DEADLINE_S=5     # hooks/hook.c, for a start
SLOW_MIB_S=4     # a move that takes some seconds
FOREIGN_MS=4000 # a QEMU comes and goes, on a machine that may be busy
KNOWN_MS=1500

virsh_on() {
    "$LAB" on "$1" virsh -q "${@:2}"
}

# by_hand FROM VM TO [OPTIONS]
by_hand() {
    local from=$1 vm=$2 to=$3
    shift 3
    virsh_on "$from" migrate --live --p2p "$@" "$vm" "$(libvirt_of "$to")"
}

# refused_by REGEX CMD...: fails, and virsh's error matches
refused_by() {
    local wanted=$1 status=0
    shift
    "$@" >"$TMP/refused" 2>&1 || status=$?
    cat "$TMP/refused"
    ((status > 0)) && grep -qE "$wanted" "$TMP/refused"
}

create_on() {
    on "$1" sh -c 'cat >/run/by-hand.xml' <"$2" && virsh_on "$1" create /run/by-hand.xml
}

no_devices_on() {
    [[ -z $(on "$1" ls /dev/csv/$VOLUME) ]]
}

# both daemons say so, with images active there and nowhere else
all_agree() {
    local node
    runs_once "$1" || return 1
    for node in "${NODES[@]}"; do
        retry 4 vm_is_on "$node" "$1" || return 1
    done
    [[ $1 == nodeA ]] && retry 10 no_devices_on nodeB || retry 10 no_devices_on nodeA
}

# A move of ours that may not wait: exit code 28, for the pair
no_turn() {
    local status=0
    ctl "$1" move "$2" "$3" --no-wait 2>&1 | tail -n 1 >"$TMP/no-turn" || status=${PIPESTATUS[0]}
    cat "$TMP/no-turn"
    [[ $status == 28 ]] && grep -q 'pair-free: it would wait for move' "$TMP/no-turn"
}

runs_once_as() {
    look
    [[ $(seen_with running "$1") == "$2" && $(seen_with any "$1") == "$2" && $(seen_holding "$1") == "$2" ]]
}

both_say() {
    vm_is_on nodeA "$1" && vm_is_on nodeB "$1"
}

both_answer() {
    has_volume nodeA && has_volume nodeB
}

has_volume() {
    status_of "$1" ".volumes[] | select(.name == \"$VOLUME\" and .state == \"attached\")"
}

is_transient() { # NODE VM
    [[ $(virsh_on "$1" dominfo "$2" | awk '/^Persistent/ { print $2 }') == no ]]
}

no_definitions() {
    [[ -z $(virsh_on nodeA list --all --persistent) && -z $(virsh_on nodeB list --all --persistent) ]]
}

last_job_is() {
    [[ $(last_job "$1" '"\(.kind) \(.state) \(.target)"') == "$2" ]]
}

no_device_of() {
    ! on nodeA ls /dev/csv/$VOLUME | grep -q "^$1-disk"
}

told_why() {
    ctl nodeA why "$1" | tee /dev/stderr | grep -q 'its QEMU on nodeA has ended'
}

ended_without_daemon() {
    "$LAB" service nodeB migrated stop && within 4000 virsh_on nodeB destroy $TWO &&
        "$LAB" service nodeB migrated start
}

# of $VM, that node's
last_job() {
    ctl "$1" job list --json | jq -er "[.jobs[] | select(.vm == \"$VM\")][-1] | $2"
}

job_waits() {
    ctl "$1" job list --json | jq -e '[.jobs[] | select(.state == "waiting")] | length == 1'
}

is_moving() {
    virsh_on "$1" domjobinfo "$2" | grep -q '^Memory remaining'
}

stop_daemon() {
    on "$1" sh -c 'kill -STOP "$(pgrep -o -x migrated)"'
}

go_on() {
    on "$1" sh -c 'kill -CONT "$(pgrep -o -x migrated)"'
}

# within LIMIT_S CMD...
within() {
    local limit=$1 start=${EPOCHREALTIME/./} took
    shift
    "$@" || return 1
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
    echo "took $took ms, $limit ms are allowed"
    ((took <= limit))
}

make_foreign() {
    cat >"$TMP/foreign.xml" <<END
<domain type='qemu'>
  <name>foreign</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
</domain>
END
}

foreign_lives() {
    create_on nodeB "$TMP/foreign.xml" && virsh_on nodeB destroy foreign
}

state_is() {
    status_of "$1" ".vms[] | select(.name == \"$2\") | select(.state == \"$3\")" >/dev/null
}

cluster_run 2
ok "the relays run" relays_up
ok "each node has the hook" on nodeB test -x /etc/libvirt/hooks/qemu.d/50-migrated
virsh_on nodeA dumpxml $VM >"$TMP/web.live.xml"
make_foreign

# ---- refused ----
ok "a second start elsewhere is refused, by name of the node" \
    refused_by 'web runs on nodeA, which has its lease' create_on nodeB "$TMP/web.live.xml"
sed 's/^/# /' "$TMP/refused"
ok "it runs on nodeA alone" runs_once nodeA
sed 's/<name>web</<name>spider</; /<uuid>/d; s/<domain type=.\([a-z]*\).*/<domain type="\1">/' "$TMP/web.live.xml" >"$TMP/renamed.xml"
ok "another domain with its lease is refused" \
    refused_by 'domain spider has the lease of VM web' create_on nodeB "$TMP/renamed.xml"
sed '/<lease>/,/<\/lease>/d' "$TMP/renamed.xml" >"$TMP/leaseless.xml"
ok "so is one that has its image and no lease" \
    refused_by 'spider uses an image of a volume and has no lease' create_on nodeB "$TMP/leaseless.xml"
ok "a move under another name is refused" \
    refused_by 'keeps its name' by_hand nodeA $VM nodeB --dname spider
ok "it still runs on nodeA alone" runs_once nodeA

# ---- allowed ----
ok "a plain virsh migrate works" by_hand nodeA $VM nodeB
ok "all agree that it is on nodeB" all_agree nodeB
ok "it is a job that was done" last_job_is nodeA "virsh done nodeB"
ok "and back, over the client instead of peer to peer" \
    virsh_on nodeB migrate --live $VM "$(libvirt_of nodeA)"
ok "all agree that it is on nodeA" all_agree nodeA
ok "with --persistent, too" by_hand nodeA $VM nodeB --persistent
ok "all agree that it is on nodeB again" all_agree nodeB
ok "and no definition is left there" retry 5 is_transient nodeB $VM
ok "back with --persistent over the client" \
    virsh_on nodeB migrate --live --persistent $VM "$(libvirt_of nodeA)"
ok "all agree on that, too" all_agree nodeA
ok "and no definition is left on either" no_definitions
ok "moves of ours pass as well" ctl nodeA move $VM nodeB
ok "all agree on that" all_agree nodeB

# ---- the pair ----
ok "a second VM is defined" cluster_define $TWO "${TWO_IP##*.}"
ok "and starts on nodeA" ctl nodeA vm start $TWO --node nodeA
virsh_on nodeA dumpxml $TWO >"$TMP/two.live.xml"
ctl nodeB move $VM nodeA --bandwidth $SLOW_MIB_S >"$TMP/slow" 2>&1 &
mover=$!
ok "a slow move of ours is under way" retry 20 is_moving nodeB $VM
ok "virsh is refused while our move has the pair" \
    refused_by 'pair-free: it would wait for move nodeB-[0-9]+ between nodeB and nodeA' by_hand nodeA $TWO nodeB
sed 's/^/# /' "$TMP/refused"
virsh_on nodeB migrate-setspeed $VM 4096
ok "our move ends well" wait $mover
ok "all agree that both are on nodeA" all_agree nodeA

by_hand nodeA $TWO nodeB --bandwidth $SLOW_MIB_S >"$TMP/slow" 2>&1 &
mover=$!
ok "a slow move by hand is under way" retry 20 is_moving nodeA $TWO
ok "a move of ours that may not wait is refused" no_turn nodeA $VM nodeB
sed 's/^/# /' "$TMP/no-turn"
ok "nor may it be stopped meanwhile" refuses 24 ctl nodeA vm stop $TWO
ctl nodeA move $VM nodeB >"$TMP/ours" 2>&1 &
ours=$!
ok "one that may waits for it" retry 5 job_waits nodeA
sleep 1
ok "and goes on waiting" job_waits nodeA
virsh_on nodeA migrate-setspeed $TWO 4096
ok "the move by hand ends well" wait $mover
ok "then ours begins, and ends well" wait $ours
ok "$TWO is on nodeB alone" runs_once_as $TWO nodeB
ok "all agree that $VM is, too" all_agree nodeB

by_hand nodeB $VM nodeA --bandwidth $SLOW_MIB_S >"$TMP/slow" 2>&1 &
mover=$!
ok "one more by hand is under way" retry 20 is_moving nodeB $VM
ok "it can be cancelled like any job" ctl nodeA job cancel "$(last_job nodeB .id)"
not_ok "virsh says that it failed" wait $mover
ok "it runs on nodeB alone, and nothing is left on nodeA" all_agree nodeB
ok "that job has ended" retry 10 last_job_is nodeB "virsh cancelled nodeA"

# ---- daemons that end, hang, are away ----
by_hand nodeB $VM nodeA --bandwidth $SLOW_MIB_S >"$TMP/slow" 2>&1 &
mover=$!
ok "another slow one is under way" retry 20 is_moving nodeB $VM
ok "the target's daemon is killed meanwhile" "$LAB" service nodeA migrated kill
ok "and the source's" "$LAB" service nodeB migrated kill
ok "both come back" retry 30 both_answer
ok "the pair is still taken" retry 10 no_turn nodeB $TWO nodeA
virsh_on nodeB migrate-setspeed $VM 4096
ok "it ends well all the same" wait $mover
ok "it runs on nodeA alone" runs_once nodeA
ok "both say so" retry 10 both_say nodeA
ok "the job was taken up, and is done" retry 10 last_job_is nodeB "virsh done nodeA"
ok "the other VM moves as if nothing had been" ctl nodeB move $TWO nodeA
ok "no image is left active on nodeB" retry 10 no_devices_on nodeB

ok "a domain that is not ours comes and goes" foreign_lives
ok "nodeB's daemon hangs" stop_daemon nodeB
ok "a domain that is not ours does not notice" within $FOREIGN_MS foreign_lives
sed -n 's/^took/# with a hung daemon: took/p' "$TMP/said"
ok "one of ours is refused when the time is over" \
    within $(((DEADLINE_S + 2) * 1000)) refused_by 'has not answered within 5 s' create_on nodeB "$TMP/web.live.xml"
sed -n 's/^took/# took/p' "$TMP/said"
ok "it goes on" go_on nodeB
ok "nodeB's daemon is away" "$LAB" service nodeB migrated stop
ok "a start is refused" refused_by 'cannot be asked' create_on nodeB "$TMP/web.live.xml"
ok "and a move to there" refused_by 'cannot be asked' by_hand nodeA $VM nodeB
sed 's/^/# /' "$TMP/refused"
ok "it comes back" "$LAB" service nodeB migrated start
ok "and has its volume" retry 30 has_volume nodeB
ok "without it no VM comes" ctl nodeB volume detach $VOLUME
ok "a move to there is refused" refused_by 'volume vol1 of VM web is not attached on nodeB' by_hand nodeA $VM nodeB
ok "it is attached again" cluster_attach nodeB
ok "and seen to be up" retry 30 status_of nodeA '.nodes[] | select(.name == "nodeB" and .state == "up")'
ok "nodeB is drained" ctl nodeA drain nodeB
ok "a move to there is refused for that, too" refused_by 'target-not-draining: nodeB is draining' by_hand nodeA $VM nodeB
ok "until that is over" ctl nodeA undrain nodeB
ok "$VM runs on nodeA alone after all that" runs_once nodeA
ok "and so does $TWO" runs_once_as $TWO nodeA

# ---- ends ----
ok "its QEMU dies" on nodeA sh -c "kill -9 \"\$(cat /run/libvirt/qemu/$TWO.pid)\""
ok "the daemon knows at once" within $KNOWN_MS retry 3 state_is nodeA $TWO stopped
sed -n 's/^took/# from the kill to the status: took/p' "$TMP/said"
ok "its image is no longer active" retry 10 no_device_of $TWO
ok "the time line has it" retry 3 told_why $TWO
ok "a start by hand is refused, with the command that does it" \
    refused_by "migratectl vm start two --node nodeB" create_on nodeB "$TMP/two.live.xml"
ok "which does" ctl nodeB vm start $TWO --node nodeB
ok "virsh ends it while no daemon can be asked" ended_without_daemon
ok "the volume is in order" volume_clean
done_testing
