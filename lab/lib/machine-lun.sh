# SPDX-License-Identifier: LGPL-2.1-or-later
# The LUN of the machines: one file, served over iSCSI on a network of its own.
#
# The target runs in the switch's network, at SAN_IP, and belongs to this lab alone. A machine's kernel sees a SCSI
# disk, and knows it by the link /dev/lab/lun0. To take the LUN from one machine, pull its cable 'san'. A second portal is a
# second path for who logs in there, and can be taken away by itself.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

SAN_NET=10.77.3
SAN_IP=$SAN_NET.254
SAN_IP_2=$SAN_NET.253
LUN_TARGET=iqn.2026-01.migrated.lab:lun0
TARGET_SOCKET=1

# The target's admin tool finds its daemon by this.
target_admin() {
    TGT_IPC_SOCKET=$STATE/target tgtadm -C $TARGET_SOCKET --lld iscsi "$@"
}

target_up() {
    is_machine_up target
}

start_target() {
    local tries shim=""
    target_up && target_admin --op show --mode target 2>/dev/null | grep -q "LUN: 1" && return 0
    end_machine target # one that was left without its LUN
    mkdir -p "$STATE/target.d" "$STORE"
    [[ -f $STORE/lun0.img ]] || truncate -s "${LUN_MIB}M" "$STORE/lun0.img"
    # where the limits of this machine are not ours to raise
    can_raise_limits || shim=$BUILD/lab/liblab-rlimit-shim.so
    start_process target env TGT_IPC_SOCKET="$STATE/target" LD_PRELOAD="$shim" \
        tgtd -f -C $TARGET_SOCKET --iscsi "portal=$SAN_IP:3260"
    for ((tries = 0; tries < 600; tries++)); do
        target_admin --op show --mode sys >/dev/null 2>&1 && break
        sleep 0.1
    done
    target_admin --op new --mode target --tid 1 --targetname $LUN_TARGET &&
        target_admin --op new --mode logicalunit --tid 1 --lun 1 --bstype rdwr --blocksize "$SECTOR" \
            --backing-store "$STORE/lun0.img" &&
        target_admin --op bind --mode target --tid 1 --initiator-address ALL ||
        die "the iSCSI target does not come up, see $STATE/target.d/log"
}

# The address goes, and what is sent there is heard by nobody, as where a cable is pulled; the target does not notice.
cmd_portal() {
    (($# == 1)) || die "usage: machines portal up|down"
    need_lab
    case $1 in
    up)
        in_net switch ip address replace $SAN_IP_2/24 dev san
        target_admin --op show --mode portal | grep -q "$SAN_IP_2:" ||
            target_admin --op new --mode portal --param portal=$SAN_IP_2:3260 || die "the target has no second portal"
        say "up: $SAN_IP_2:3260"
        ;;
    down) in_net switch ip address del $SAN_IP_2/24 dev san 2>/dev/null || true ;;
    *) die "'$1' is not one of up, down" ;;
    esac
}

# In place of lib/lun.sh's, for lib/proc.sh: what waited for the LUN goes with its QEMU.
drop_waiting_io() {
    :
}
