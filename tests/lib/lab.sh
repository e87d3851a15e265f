# SPDX-License-Identifier: LGPL-2.1-or-later
# lab.sh - what tests that need the lab share: tap.sh, and a lab of their own.
#
# A script sources this and calls use_own_lab before the first "lab up". Its lab lies in a directory
# of its own, so that it disturbs no lab that is up already, and goes down with the script.
# shellcheck shell=bash

lab_tree=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
LAB=$lab_tree/lab/lab
export MIGRATED_BUILD=${MIGRATED_BUILD:-$lab_tree/build}
LAB_ON=$MIGRATED_BUILD/lab/lab-on # what "lab on" runs
# shellcheck source=tap.sh
. "$lab_tree/tests/lib/tap.sh"

use_own_lab() {
    ((EUID == 0)) || bail "the lab needs root"
    export MIGRATED_LAB_DIR=$TMP/lab
    at_exit "$LAB" down
}
