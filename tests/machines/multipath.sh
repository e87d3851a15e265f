#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One node has the LUN by two paths and multipathd, the other one by one: the same volume. A path goes while a VM runs
# on it, and nobody notices but multipathd.
# alone
# takes: 500
# timeout: 2400
set -euo pipefail
# shellcheck source=../lib/machines.sh
. "$(dirname "$(readlink -f "$0")")/../lib/machines.sh"

SECOND=10.77.3.253
MAP=/dev/mapper/mpatha
# what multipath-tools needs that Debian's smallest system may not have
PACKAGES=(multipath-tools kpartx sg3-utils-udev libaio1 libedit2 libbsd0 libmd0 liburcu8)

# Machines have no way out, so this one fetches.
install_multipath() {
    mkdir -p "$TMP/debs"
    (cd "$TMP/debs" && apt-get download -qq -o APT::Sandbox::User=root "${PACKAGES[@]}") || return 1
    tar -C "$TMP" -cf - debs | on nodeB tar -C /var/tmp -xf - &&
        on nodeB sh -c 'DEBIAN_FRONTEND=noninteractive dpkg -i /var/tmp/debs/*.deb && rm -r /var/tmp/debs'
}

# configure NO_PATH_RETRY
configure() {
    # shellcheck disable=SC2016
    on nodeB sh -ec 'printf "defaults {\n\tfind_multipaths yes\n\tuser_friendly_names yes\n\tpath_grouping_policy multibus\n\tpolling_interval 2\n\tno_path_retry %s\n}\n" "$1" >/etc/multipath.conf
        systemctl restart multipathd' configure "$1"
}

log_in_twice() {
    on nodeB sh -ec "iscsiadm -m discovery -t sendtargets -p $SECOND
        iscsiadm -m node -p $SECOND --op update -n node.startup -v manual
        iscsiadm -m node -p $SECOND --login"
}

# paths N: the map has so many that are in use
paths() {
    local n
    n=$(on nodeB multipathd show paths format '%m %t' | grep -cE '^mpatha +active') || true
    echo "$n paths are active"
    ((n == $1))
}

path_of_it() {
    # shellcheck disable=SC2016
    on nodeB sh -c 'echo /dev/$(ls /sys/block/$(basename "$(readlink -f /dev/mapper/mpatha)")/slaves | head -n 1)'
}

queues() { # REGEX: so multipathd says for the map, in its own words
    on nodeB multipathd show maps format '%n %Q' | grep -E "^mpatha +$1"
}

attached_by() { # NODE DEVICE: its one volume, so it says
    [[ $(ctl "$1" volume list --json | jq -r '[.volumes[] | "\(.state) \(.device)"] | join(" ")') == "attached $2" ]]
}

has_acked() { # N: records, by now
    (($(acked) >= $1))
}

lies_on_map() { # the VM's disk is a device on top of the map, not of a path
    # shellcheck disable=SC2016
    on nodeB sh -ec 'map=$(stat -L -c "%Hr, %Lr" /dev/mapper/mpatha); deps=$(dmsetup deps "$1")
        echo "$deps; the map is $map"; case $deps in *"($map)"*) ;; *) exit 1 ;; esac' deps "csv-$VOLUME-$VM--disk"
}

# Also where the script is ended in its middle: others run on these machines. The configuration goes last, by it one knows.
as_it_was() {
    "$LAB" portal up >/dev/null 2>&1 || true
    # shellcheck disable=SC2016
    on nodeB sh -c 'systemctl disable -q --now multipathd multipathd.socket
        multipath -f mpatha
        iscsiadm -m node -p "$1" --logout
        iscsiadm -m node -p "$1" --op delete
        dpkg --purge multipath-tools kpartx sg3-utils-udev
        rm -rf /etc/multipath.conf /etc/multipath
        udevadm settle
        [ ! -e /dev/mapper/mpatha ] && [ "$(iscsiadm -m session | wc -l)" = 1 ] && test -b "$2"' as_it_was $SECOND "$LUN"
}

# A VM that is there goes with its disk.
as_it_was_at_last() {
    on nodeB sh -c 'dpkg -s multipath-tools || [ -e /etc/multipath.conf ]' >/dev/null 2>&1 || return 0
    ctl nodeB vm stop "$VM" --force || true
    ctl nodeB volume detach "$VOLUME" || true
    as_it_was || true
    ctl nodeB volume attach "$LUN"
}

machines_run
at_exit as_it_was_at_last
ok "nodeB lets go of the volume" ctl nodeB volume detach "$VOLUME"
ok "the LUN has a second portal" "$LAB" portal up
ok "Debian's multipath-tools are installed on nodeB" install_multipath
ok "without paths they shall wait for ever" configure queue
ok "nodeB logs in by the second portal, too" log_in_twice
ok "multipathd makes a device of both" retry "$WAIT_S" paths 2
ok "which udev has named" retry "$WAIT_S" on nodeB test -b $MAP
ok "and says that it waits for ever" retry 30 queues on

ok "so the volume is not attached there" refuses 53 ctl nodeB volume attach $MAP
like "and it is said why" "$(cat "$TMP/stderr")" ".*queues I/O for ever.*no_path_retry.*"
ok "no longer than the lease is said" configure 60
ok "multipathd says so" retry 30 queues '60 chk'
ok "that is refused, too" refuses 53 ctl nodeB volume attach $MAP
like "with both times" "$(cat "$TMP/stderr")" ".*queues I/O for 120 s.*lasts only $((8 * IO_TIMEOUT)) s.*"
ok "a few seconds are enough" configure 3
ok "multipathd says so" retry 30 queues '3 chk'
ok "now it is attached" ctl nodeB volume attach $MAP
ok "by that device" retry "$WAIT_S" attached_by nodeB $MAP
ok "each sees both" retry "$WAIT_S" sees nodeA
ok "the other one, too" retry "$WAIT_S" sees nodeB
ok "by one of its paths it is recognised" ctl nodeB volume attach "$(path_of_it)"
ok "and stays what it was" attached_by nodeB $MAP
ok "the LUN is the same one: nodeB makes an image" ctl nodeB image create "$VOLUME" twice 8M
ok "and nodeA has it" ctl nodeA image delete "$VOLUME" twice

# ---- a path goes ----

ok "the VM moves to nodeB" ctl nodeA move "$VM" nodeB
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeB
ok "its disk lies on both paths" lies_on_map
boot=$(boot_of nodeB)
acks_start
sleep 5
before=$(acked)
t0=$(now_ms)
ok "one of them goes" "$LAB" portal down
ok "multipathd notices" retry "$WAIT_S" paths 1
note "after $(($(now_ms) - t0)) ms"
gone=$(acked)
ok "the guest's disk takes writes" retry "$WAIT_S" has_acked $((gone + 20))
note "$before records before, $gone when that was noticed, $(acked) after $(($(now_ms) - t0)) ms"
ok "the machine was not reset" same_boot nodeB "$boot"
ok "and is a member" state_is nodeA nodeB up
ok "nobody took it for dead" not_told_since "$t0" nodeA nodeB dead
ok "it comes back" "$LAB" portal up
ok "and is used again" retry "$WAIT_S" paths 2
ok "the VM moves back" ctl nodeB move "$VM" nodeA
ok "it runs once, and there" retry "$WAIT_S" runs_once nodeA
ok "no record is lost that the client saw acknowledged" stop_and_verify nodeA
ok "the volume is in order" volume_clean

# ---- as it was ----

ok "nodeB lets go of it" ctl nodeB volume detach "$VOLUME"
ok "one path is enough again" as_it_was
ok "nodeB has the volume by that" ctl nodeB volume attach "$LUN"
ok "each sees both" retry "$WAIT_S" sees nodeA
ok "the other one, too" retry "$WAIT_S" sees nodeB
done_testing
