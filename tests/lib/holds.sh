# SPDX-License-Identifier: LGPL-2.1-or-later
# holds.sh - what tests share that stop a move in a state of it, in a lab brought up with --holds.
#
# A script sources cluster.sh, then this. What can be held, and how, says lab/lab-hold-shim.c.
# shellcheck shell=bash disable=SC2154 # cluster.sh has what is not assigned here

# hold NODE NAME: from now on
hold() {
    mkdir -p "$MIGRATED_LAB_DIR/$1/tmp/hold"
    rm -f "$MIGRATED_LAB_DIR/$1/tmp/hold/$2.reached"
    : >"$MIGRATED_LAB_DIR/$1/tmp/hold/$2"
}

# held NODE NAME: it has come there
held() {
    [[ -e $MIGRATED_LAB_DIR/$1/tmp/hold/$2.reached ]]
}

# let_go NODE: all that is held there
let_go() {
    rm -rf "$MIGRATED_LAB_DIR/$1/tmp/hold"
}
