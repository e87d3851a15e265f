#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No fence agent: what ends a VM whose machine lost the LUN, or its sanlock, is the watchdog there, where the VM does
# not stand still before. Nothing starts elsewhere before.
# alone
# takes: 700
# timeout: 2400
set -euo pipefail
# shellcheck source=../lib/machines.sh
. "$(dirname "$(readlink -f "$0")")/../lib/machines.sh"

FAILS_S=$((8 * IO_TIMEOUT))   # sanlock counts renewals as failed
DEAD_S=$((FAILS_S + 60))      # its watchdog has fired
LATE_S=25                     # of an emulated machine: its clocks, its kernel's reset, and looks that come late

# in time MS FROM_S TO_S: that many ms
in_time() {
    echo "$1 ms, to be between $2 and $3 s"
    (($1 >= $2 * 1000 && $1 <= $3 * 1000))
}

# break_and_watch NODE BREAK MEND: what takes the machine its LUN, or what guards it, and what gives it back; sets t0, reset,
# dead, restart. The machine is a member late: nobody gave its host id back, so sanlock waits until that is dead.
break_and_watch() {
    local node=$1 next boot answered
    next=$(other "$node")
    boot=$(boot_of "$node")
    acks_start
    pings_start "$node"
    t0=$(now_ms)
    $2
    ok "the VM is to start elsewhere" retry "$WAIT_S" told_since "$t0" "$next" "$VM" restart
    $3 # its guest boots meanwhile
    ok "it answers there" retry "$WAIT_S" runs_at "$next"
    answered=$(now_ms)
    ok "the machine comes back by itself, anew" retry "$WAIT_S" booted_anew "$node" "$boot"
    pings_end "$t0"
    dead=$(first_at "$next" "$node" dead "$t0")
    restart=$(first_at "$next" "$VM" restart "$t0")
    timeline "$t0" "$node is reset" "$reset" "$node is dead, for $next" "$dead" "$VM is to start on $next" "$restart" \
        "it answers" "$answered"
    ok "as a member" retry "$WAIT_S" is_member "$node"
    ok "with nothing of before on it" none_here "$node"
    ok "nobody was fenced" not_told_since "$t0" "$next" "$node" fencing
}

cut_san() {
    "$LAB" net "${1:-nodeA}" san down
}

mend_san() {
    "$LAB" net "${1:-nodeA}" san up
}

kill_sanlock() {
    "$LAB" service nodeA sanlock kill
}

runs_at() {
    on "$1" virsh -q list --state-running 2>/dev/null | grep -qw "$VM" && answers
}

# By the daemon itself, from timeouts.c
is_reckoned() { # NAME S
    local ms
    ms=$(ctl nodeB timeouts --json | jq -er --arg name "$1" '[.times[] | select(.name == $name) | .ms] | max') || return 1
    echo "$1: $ms ms"
    ((ms == $2 * 1000))
}

# Where a path that is lost is an error to QEMU before its lease runs out, the VM stands still, and libvirt gives its lease back:
# sanlock finds nothing to kill. open-iscsi waits for 120 s, in which a process that waits for the disk cannot be killed.
stands_still() {
    on "$1" virsh -q list --state-paused 2>/dev/null | grep -qw "$VM"
}

errors_after() { # NODE SECONDS
    # shellcheck disable=SC2016
    on "$1" sh -c 'for file in /sys/class/iscsi_session/*/recovery_tmo; do echo "$1" >"$file" && cat "$file"; done' errors "$2"
}

machines_run
ok "sanlock counts its renewals as failed after $FAILS_S s" is_reckoned renewal-fails $FAILS_S
ok "and calls it dead after $DEAD_S s" is_reckoned host-dead $((DEAD_S))

# ---- its LUN ----

break_and_watch nodeA cut_san mend_san
ok "the machine was reset, its QEMU with it, before the VM started elsewhere" in_order reset "$reset" dead "$dead" restart "$restart"
ok "the watchdog bit when sanlock's time and its own were over" in_time $((reset - t0)) $FAILS_S $((DEAD_S + LATE_S))
ok "nobody started it earlier than timeouts.c allows" in_time $((restart - t0)) $((DEAD_S - 2 * IO_TIMEOUT)) $((DEAD_S + 4 * IO_TIMEOUT + LATE_S))
acks_stop
ok "no record is lost that the client saw acknowledged" lost_nothing

# ---- the daemons of where it runs now, one by one ----

since=$(now_ms)
ok "migrated is killed" "$LAB" service nodeB migrated kill
ok "the guest runs on" answers
ok "systemd starts it anew, and it knows the VM" retry "$WAIT_S" vm_is_on nodeB nodeB
ok "libvirtd is killed" "$LAB" service nodeB libvirtd kill
ok "the guest runs on" answers
ok "libvirt is back, and has it" retry "$WAIT_S" runs_once nodeB
ok "the node is a member" is_member nodeB
ok "and never was dead for the other one" not_told_since "$since" nodeA nodeB dead

# ---- its LUN, with errors that come soon ----

ok "errors of its LUN come after 5 s" errors_after nodeB 5
boot=$(boot_of nodeB)
acks_start
t0=$(now_ms)
cut_san nodeB
ok "the VM stands still there" retry "$WAIT_S" stands_still nodeB
gone=$(now_ms)
ok "the VM is to start elsewhere" retry "$WAIT_S" told_since "$t0" nodeA "$VM" restart
mend_san nodeB # its guest boots meanwhile
ok "it answers there" retry "$WAIT_S" runs_at nodeA
restart=$(first_at nodeA $VM restart "$t0")
timeline "$t0" "it stands still" "$gone" "$VM is to start on nodeA" "$restart" "it answers" "$(now_ms)"
ok "before its lease had run out" in_time $((gone - t0)) 1 $FAILS_S
ok "and before the VM started elsewhere" in_order gone "$gone" restart "$restart"
ok "so the machine was not reset" same_boot nodeB "$boot"
ok "it is a member again" retry "$WAIT_S" is_member nodeB
ok "what stood still there is ended" retry 60 none_here nodeB
acks_stop
ok "no record is lost that the client saw acknowledged" lost_nothing
ok "it runs once" retry "$WAIT_S" runs_once nodeA
ok "errors take as long as before" errors_after nodeB 120

# ---- its sanlock ----

break_and_watch nodeA kill_sanlock true
ok "without sanlock nobody feeds the watchdog: the machine was reset before the VM started elsewhere" \
    in_order reset "$reset" dead "$dead" restart "$restart"
# wdmd goes by what a sanlock that is gone had promised last: until its leases have run out
ok "the watchdog bit when the time of its last renewal and its own were over" in_time $((reset - t0)) $FAILS_S $((DEAD_S + LATE_S))
ok "not one write of before is among those of after" stop_and_verify nodeB
ok "the volume is in order" volume_clean
done_testing
