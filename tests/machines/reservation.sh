#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A fence by SCSI-3 persistent reservations: of machines without power, and of one that was frozen and goes on.
# alone
# takes: 900
# timeout: 2400
set -euo pipefail
# shellcheck source=../lib/machines.sh
. "$(dirname "$(readlink -f "$0")")/../lib/machines.sh"

ROUNDS=${MIGRATED_ROUNDS:-5}
plugs=()

reservations_on() {
    # shellcheck disable=SC2016
    on "$1" bash -ec '
        mkdir -p /etc/migrated/fence.d
        for node in nodeA:a1 nodeB:b2; do
            printf "[reservation]\nagent=fence_scsi\nkey=%s\ndevices=/dev/lab/lun0\nsg_persist_path=/usr/local/sbin/sg_persist_lab\nunfence=yes\n" \
                "${node#*:}" >"/etc/migrated/fence.d/${node%:*}.conf"
        done
        chmod 600 /etc/migrated/fence.d/*
        mkdir -p /etc/systemd/system/migrated.service.d
        printf "[Service]\nCapabilityBoundingSet=CAP_SYS_RAWIO\n" >/etc/systemd/system/migrated.service.d/override.conf
        systemctl daemon-reload
        systemctl restart migrated
        sync'
}

# A node is let in after each start of its host, before it has a volume. Let go of in order: sanlock waits for the host id
# of one that has died. Both, before one of them makes a reservation that the other one has no key for.
reservations_everywhere() {
    local node
    reservations_on nodeA && reservations_on nodeB || return 1
    in_cluster nodeA || return 0
    retry "$WAIT_S" attached nodeA && retry "$WAIT_S" attached nodeB && tidy || return 1
    for node in nodeB nodeA; do
        ctl $node volume detach "$VOLUME" && "$LAB" kill $node || return 1
    done
    "$LAB" up 2 --blank && at_once attach nodeA nodeB && retry "$WAIT_S" is_member nodeA && retry "$WAIT_S" is_member nodeB
}

attach() { # NODE
    ctl "$1" volume attach "$LUN"
}

# keys NODE: that the array has, as that node reads them
keys() {
    on "$1" sg_persist --no-inquiry --in --read-keys /dev/lab/lun0 | sed -n 's/^ *0x//p' | sort | paste -sd' '
}

has_keys() {
    [[ $(keys "$1") == "$2" ]]
}

refuses_others() {
    on nodeA sg_persist --no-inquiry --in --read-reservation /dev/lab/lun0 | grep -q 'Write Exclusive, registrants only'
}

# plug NODE: the VM runs there; its machine loses its power, and boots as soon as the array has let go of it, beside the VM
# that starts elsewhere. plugs+=(ms until that answers)
plug() {
    local node=$1 next t0 t booting
    next=$(other "$node")
    acks_start
    t0=$(now_ms)
    "$LAB" kill "$node"
    ok "$node is fenced by its reservation" retry "$WAIT_S" told_since "$t0" "$next" "$node" fence-confirmed
    ok "the array has one key less" has_keys "$next" "$([[ $node == nodeA ]] && echo b2 || echo a1)"
    "$LAB" boot "$node" >"$TMP/boot" 2>&1 &
    booting=$!
    ok "its VM answers elsewhere" retry "$WAIT_S" answers
    t=$(now_ms)
    plugs+=($((t - t0)))
    timeline "$t0" "suspect" "$(first_at "$next" "$node" suspect "$t0")" \
        "fencing" "$(first_at "$next" "$node" fencing "$t0")" \
        "fence-confirmed" "$(first_at "$next" "$node" fence-confirmed "$t0")" \
        "leases-freed" "$(first_at "$next" "$node" leases-freed "$t0")" \
        "the VM is to start" "$(first_at "$next" "$VM" restart "$t0")" "it answers" "$t"
    acks_stop
    ok "no record is lost that the client saw acknowledged" lost_nothing
    ok "$node boots" wait $booting
    ok "it is let in again" retry "$WAIT_S" is_member "$node"
    ok "the array has its key" has_keys "$next" "a1 b2"
}

told_again() { # COUNT NODE SUBJECT WHAT
    [[ $(count_told "$2" "$3" "$4") -gt $1 ]]
}

anew() {
    "$LAB" kill "$1" && "$LAB" boot "$1"
}

machines_run reservations_everywhere
ok "the array has both keys" has_keys nodeA "a1 b2"
ok "it refuses what others write" refuses_others

node=nodeA
for ((i = 0; i < ROUNDS; i++)); do
    plug $node
    node=$(other $node)
done
note "plug to answer: $(printf '%s\n' "${plugs[@]}" | median) ms, of ${plugs[*]}"
note "beside it: the lab's guests, emulated once and not twice, run elsewhere after 4.9 s (tests/bench/failover, see README)"

# The VM runs on $node. Its machine stands still with its kernel and its clocks, so neither sanlock nor the watchdog
# there knows of it; the reservation is what is left.
next=$(other $node)
before=$(count_told $node $node was-fenced)
acks_start
t0=$(now_ms)
"$LAB" freeze $node
ok "the VM of a frozen machine answers elsewhere" retry "$WAIT_S" answers
ok "it was fenced" told_since "$t0" "$next" $node fence-confirmed
# past all that its leases can be good for, by the clocks of those that were awake
past=$((8 * IO_TIMEOUT + 60 + 1))
ok "it stays so until its leases have long run out" eval 'while (($(now_ms) - t0 < past * 1000)); do sleep 1; done'
thawed=$(now_ms)
"$LAB" thaw $node
# its own clock stands as far behind as it was frozen: what it tells is not asked for by time
ok "it finds that it was" retry 60 told_again "$before" $node $node was-fenced
found=$(now_ms)
ok "and ends what ran on it" retry 60 none_here $node
ok "the array has refused what its guest wrote" on $node sh -c 'dmesg | grep "reservation conflict"'
timeline "$t0" "fence-confirmed" "$(first_at "$next" $node fence-confirmed "$t0")" "thawed" "$thawed" \
    "was-fenced" "$found" "nothing runs there" "$(now_ms)"
ok "its daemon is started anew" on $node systemctl restart migrated
sleep 20
ok "that does not let it in" has_keys "$next" "$([[ $node == nodeA ]] && echo b2 || echo a1)"
ok "the VM runs, with one key there" retry 20 answers
anew $node >"$TMP/anew" 2>&1 & # beside the verifying
starting=$!
ok "not one write of before is among those of after" stop_and_verify "$next"
ok "though both have written" verified_boots 2
ok "its machine starts anew" wait $starting
ok "that lets it in" retry "$WAIT_S" is_member $node
ok "the volume is in order" volume_clean

# what 'setup' has done to files of other packages; its units are among these
is_as_installed() {
    local changed
    # moves.sh has had libvirtd.conf
    changed=$(on "$1" sh -c 'dpkg -V libvirt-daemon-system libvirt-sanlock sanlock; true' |
        awk '$NF ~ "^/etc/" && $NF != "/etc/libvirt/libvirtd.conf" { print $NF }')
    echo "$changed"
    [[ -z $changed && ! $(on "$1" systemctl is-enabled libvirt-guests) =~ disabled ]]
}
not_ok "a host that is set up is not as Debian installs it" is_as_installed nodeB
ok "it is taken back" on nodeB migratectl setup --undo
ok "and then it is" is_as_installed nodeB
done_testing
