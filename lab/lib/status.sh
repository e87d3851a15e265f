# SPDX-License-Identifier: LGPL-2.1-or-later
# lab status: what is there, for people and as JSON.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

# "name state" of each service, e.g. "sanlock running"
node_services() {
    if is_machine_up "$1"; then
        machine_ctl "$1" status 2>/dev/null | cut -d' ' -f1,2 || true
    fi
}

# LUN devices and what stands on them
node_loops() {
    local dev
    [[ -f $STATE/$1/loops ]] || return 0
    while read -r _ dev; do
        echo "$dev"
        "$BUILD/lab/lab-loops" "$dev"
    done <"$STATE/$1/loops"
}

status_json() {
    local i name pid service state sep="" inner
    if ! load_settings; then
        echo '{"up":false,"nodes":[]}'
        return
    fi
    printf '{"up":true,"luns":%d,"sector":%d,"lun_mib":%d,"io_timeout":%d,"nodes":[' \
        "$N_LUNS" "$SECTOR" "$LUN_MIB" "$IO_TIMEOUT"
    for ((i = 1; i <= N_NODES; i++)); do
        name=$(node_name "$i")
        pid=$(machine_pid "$name") || pid=null
        printf '%s{"name":"%s","host_id":%d,"pid":%s,"services":{' "$sep" "$name" "$i" "$pid"
        inner=""
        while read -r service state; do
            [[ -n $service ]] || continue
            printf '%s"%s":"%s"' "$inner" "$service" "$state"
            inner=,
        done < <(node_services "$name")
        printf '},"loops":[%s]}' "$(node_loops "$name" | sed 's/.*/"&"/' | paste -sd,)"
        sep=,
    done
    printf ']}\n'
}

status_table() {
    local i name pid
    load_settings || {
        echo "the lab is down"
        return
    }
    echo "$N_NODES nodes, $N_LUNS LUN(s) of $LUN_MIB MiB, $SECTOR byte sectors; state in $STATE, LUNs in $STORE"
    {
        echo "NODE|PID|MANAGEMENT|SERVICES|DEVICES"
        for ((i = 1; i <= N_NODES; i++)); do
            name=$(node_name "$i")
            pid=$(machine_pid "$name") || pid=dead
            printf '%s|%s|%s|%s|%s\n' "$name" "$pid" "$MGMT_NET.$i" \
                "$(node_services "$name" | tr ' ' = | paste -sd' ')" \
                "$(node_loops "$name" | paste -sd' ')"
        done
        for name in client switch; do
            pid=$(machine_pid "$name") || pid=dead
            echo "$name|$pid|||"
        done
    } | column -t -s '|'
}

cmd_status() {
    need_root
    need_tools lab-init lab-loops
    case ${1:-} in
    --json) status_json ;;
    "") status_table ;;
    *) die "usage: lab status [--json]" ;;
    esac
}
