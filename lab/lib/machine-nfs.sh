# SPDX-License-Identifier: LGPL-2.1-or-later
# A server of NFS 4 for the machines: a directory of this machine, beside the LUN and on its network.
#
# It is ganesha, since it needs nothing of this machine's kernel, and runs in the switch's network as the LUN's target
# does. /share is as a volume needs it, /squashed the same for who comes as nobody special, as servers do by themselves.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

NFS_LEASE_S=20 # Linux has 90: a dead host's locks are kept so long

nfs_export() { # ID NAME SQUASH
    cat <<END
EXPORT {
    Export_Id = $1;
    Path = "$STORE/export";
    Pseudo = "/$2";
    Protocols = 4;
    Access_Type = RW;
    Squash = $3;
    SecType = sys;
    Transports = TCP;
    FSAL { Name = VFS; }
}
END
}

nfs_conf() {
    cat <<END
NFS_Core_Param { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 {
    Minor_Versions = 1, 2;
    Lease_Lifetime = $NFS_LEASE_S;
    Grace_Period = $NFS_LEASE_S;
    RecoveryBackend = fs;
    RecoveryRoot = "$STATE/nfs.d/recovery";
}
END
    nfs_export 1 share No_Root_Squash
    nfs_export 2 squashed Root_Squash
}

nfs_answers() {
    in_net switch bash -c ": </dev/tcp/$SAN_IP/2049" 2>/dev/null
}

start_nfs() {
    local begun=$SECONDS
    is_machine_up nfs && return 0
    mkdir -p "$STATE/nfs" "$STATE/nfs.d/recovery" "$STORE/export"
    chmod 711 "$STORE/export"
    nfs_conf >"$STATE/nfs.d/conf"
    start_process nfs ganesha.nfsd -F -f "$STATE/nfs.d/conf" -L "$STATE/nfs.d/log" -p "$STATE/nfs.d/pid"
    until nfs_answers; do
        is_machine_up nfs && ((SECONDS - begun < 60)) || die "the server of NFS does not come up, see $STATE/nfs.d/log"
        sleep 0.2
    done
}

cmd_nfs() {
    (($# == 1)) || die "usage: machines nfs up|down"
    need_lab
    case $1 in
    up) start_nfs && say "up: $SAN_IP:/share and :/squashed" ;;
    down) end_machine nfs ;;
    *) die "'$1' is not one of up, down" ;;
    esac
}
