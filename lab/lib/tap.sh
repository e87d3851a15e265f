# SPDX-License-Identifier: LGPL-2.1-or-later
# What the lab's tests share: TAP lines, a lab of their own, waiting.
#
# A test script sources this, calls use_own_lab if it needs one, then check and check_not for each
# claim, then tap_done. Its lab lies in a directory of its own, so that it disturbs no lab that is
# up already.
# shellcheck shell=bash

tap_tree=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
LAB=$tap_tree/lab/lab
export MIGRATED_BUILD=${MIGRATED_BUILD:-$tap_tree/build}
tap_count=0
tap_failed=0
tap_work=$(mktemp -d)

tap_cleanup() {
    if [[ -n ${MIGRATED_LAB_DIR:-} && $MIGRATED_LAB_DIR == "$tap_work"/* ]]; then
        "$LAB" down || echo "# the lab in $MIGRATED_LAB_DIR could not be taken down"
    fi
    rm -rf "$tap_work"
}
trap tap_cleanup EXIT
trap 'exit 130' INT TERM

use_own_lab() {
    if ((EUID != 0)); then
        echo "1..0 # SKIP the lab needs root"
        exit 0
    fi
    export MIGRATED_LAB_DIR=$tap_work/lab
}

tap_result() {
    tap_count=$((tap_count + 1))
    if (($1 == 0)); then
        echo "ok $tap_count - $2"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $2"
        sed 's/^/# /' "$tap_work/output" 2>/dev/null || true
    fi
}

# check CLAIM CMD...: holds if the command succeeds; its output is shown where it does not.
check() {
    local claim=$1 status=0
    shift
    "$@" >"$tap_work/output" 2>&1 || status=1
    tap_result "$status" "$claim"
}

check_not() {
    local claim=$1 status=0
    shift
    "$@" >"$tap_work/output" 2>&1 && status=1
    tap_result "$status" "$claim"
}

# wait_for SECONDS CMD...: until the command succeeds
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS <= until)) || return 1
        sleep 0.1
    done
}

tap_done() {
    echo "1..$tap_count"
    ((tap_failed == 0)) || exit 1
    exit 0
}
