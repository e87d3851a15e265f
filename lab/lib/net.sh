# SPDX-License-Identifier: LGPL-2.1-or-later
# The three networks of the lab.
#
# A machine called 'switch' is nothing but a network namespace with three bridges that do not know
# each other: management, migration, guest. A cable is a veth pair, made inside the namespaces so
# that nothing ever shows on the host. On a node the guest cable ends in br-guest, to which libvirt
# adds the guests' taps; nodes have no address there.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

NETWORKS=(mgmt mig guest)
CARD_PREFIX=02:77:00:00

wire_switch() {
    local pid net script=""
    in_net switch ip link show guest >/dev/null 2>&1 && return 0
    pid=$(machine_pid switch)
    quiet_ipv6 "$pid"
    for net in "${NETWORKS[@]}"; do
        # A guest that moved is announced once and must be heard at once: no listening phase, no
        # multicast filter.
        script+="link add $net type bridge stp_state 0 forward_delay 0 mcast_snooping 0"$'\n'
        script+="link set $net up"$'\n'
    done
    in_net switch ip -batch - <<<"$script" || die "cannot make the bridges"
}

# No IPv6 in the lab: its address checks only add delays and noise.
quiet_ipv6() {
    nsenter --target "$1" --net -- sh -c \
        'cd /proc/sys/net/ipv6/conf && echo 1 >all/disable_ipv6 && echo 1 >default/disable_ipv6' \
        2>/dev/null || true
}

# cable MACHINE PID INSIDE-NAME SWITCH-BRIDGE: what "ip -batch" in the switch is to do
cable() {
    local port=$1-$4
    echo "link add $port type veth peer name $3 netns $2"
    echo "link set $port master $4 up"
}

wire_client() {
    local pid
    in_net client ip link show guest0 >/dev/null 2>&1 && return 0
    pid=$(machine_pid client)
    quiet_ipv6 "$pid"
    cable client "$pid" guest0 guest | in_net switch ip -batch - || die "cannot wire the client"
    in_net client ip -batch - <<END
link set lo up
addr add $CLIENT_IP/24 dev guest0
link set guest0 up
END
    # who looks for a guest before it has booted shall not wait for seconds
    in_net client sysctl -q -w net.ipv4.neigh.guest0.retrans_time_ms=200 || true
}

wire_node() {
    local name=$1 id pid card
    id=$(node_id "$name")
    card=$(printf %02x "$id")
    in_net "$name" ip link show br-guest >/dev/null 2>&1 && return 0
    pid=$(machine_pid "$name")
    quiet_ipv6 "$pid"
    # A dead node's cables vanish a little after the node: a left-over end would be in the way.
    in_net switch sh -c "for n in ${NETWORKS[*]}; do ip link del $name-\$n 2>/dev/null; done; true"
    {
        cable "$name" "$pid" mgmt0 mgmt
        cable "$name" "$pid" mig0 mig
        cable "$name" "$pid" guest0 guest
    } | in_net switch ip -batch - || die "cannot wire $name"
    # A machine that boots again has the network cards that it had: with other addresses its peers
    # would go on sending to the old ones for seconds.
    in_net "$name" ip -batch - <<END || die "cannot set up the network of $name"
link set lo up
link set mgmt0 address $CARD_PREFIX:00:$card
link set mig0 address $CARD_PREFIX:01:$card
addr add $MGMT_NET.$id/24 dev mgmt0
link set mgmt0 up
addr add $MIG_NET.$id/24 dev mig0
link set mig0 up
link add br-guest type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set guest0 master br-guest up
link set br-guest up
END
}

# Pulls or plugs a cable at the switch's end: the node loses its carrier, as with a real one.
cmd_net() {
    (($# == 3)) || die "usage: lab net NODE mgmt|mig|guest up|down"
    need_node "$1"
    [[ " ${NETWORKS[*]} " == *" $2 "* ]] || die "'$2' is not one of ${NETWORKS[*]}"
    [[ $3 == up || $3 == down ]] || die "'$3' is neither up nor down"
    in_net switch ip link set "$1-$2" "$3"
}
