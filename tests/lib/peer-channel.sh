# SPDX-License-Identifier: LGPL-2.1-or-later
# peer-channel.sh - at nodeA's peer channel, from nodeB and nodeC: who they are, and what nodeA's log says of them.
# Source it after cluster.sh.

A=10.77.0.1
B=10.77.0.2
PORT=7420
ROGUE=$MIGRATED_BUILD/tests/integration/rogue.py
LEAF=$MIGRATED_BUILD/tests/integration/test-leaf
GOOD=$TMP/good.pem # what nodeB itself would show
MEMBER=urn:migrated:peer
mark=0

log_of() {
    echo "$MIGRATED_LAB_DIR/$1/log/migrated.out"
}

# What nodeA's daemon says from here on is looked at by since.
mark_log() {
    mark=$(wc -l <"$(log_of nodeA)")
}

# since TEXT: nodeA's log has a line with all of these words since the mark
since() {
    local text lines
    lines=$(tail -n "+$((mark + 1))" "$(log_of nodeA)")
    for text in "$@"; do
        lines=$(grep -F -- "$text" <<<"$lines") || return 1
    done
    echo "$lines"
}

# rogue NODE ARGUMENTS...: the client, on that node; its words are left in $SAID, too
rogue() {
    local node=$1 status=0
    shift
    on "$node" python3 "$ROGUE" "$@" >"$TMP/rogue" 2>&1 || status=$?
    SAID=$(tr -d '\0' <"$TMP/rogue")
    echo "$SAID"
    return $status
}

identity() { # NODE
    echo "$MIGRATED_LAB_DIR/$1/var/migrated/pki/identity.pem"
}

leaf() { # SIGNER-NODE OUT OPTIONS...
    local signer=$1 out=$2
    shift 2
    "$LEAF" "$(identity "$signer")" "$out" "$@"
}
