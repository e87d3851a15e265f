#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# csvtool on a file: backup and restore, check and repair, and what each says.
# usage: test-csvtool.sh CSVTOOL
set -u
# shellcheck source=../lib/tap.sh
. "$(dirname "$(readlink -f "$0")")/../lib/tap.sh"

TOOL=$1
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
LUN=$TMP/lun

# exits CODE ARGUMENTS...: csvtool ends with this code; what it says is in $TMP/out
exits() {
    local expected=$1 rc=0
    shift
    "$TOOL" "$@" >"$TMP/out" 2>&1 || rc=$?
    [[ $rc == "$expected" ]] || { echo "exit code $rc: $(cat "$TMP/out")"; return 1; }
}

says() {
    grep -q -- "$1" "$TMP/out" || { cat "$TMP/out"; return 1; }
}

# superblock VALUE: writes over the first one
spoil() {
    printf '%s' "$1" | dd of="$LUN" bs=1 seek="$2" conv=notrunc status=none
}

truncate -s 64M "$LUN"
ok "a volume is made" exits 0 format "$LUN" --name vol1 --nodes 4 --vms 4 --images 8 --extent-mib 1
ok "it is clean" exits 0 check "$LUN"
ok "nothing is to be mended" exits 0 check "$LUN" --repair
ok "and nothing is" says '^vol1: 0 errors'
ok "no volume is made where nobody knows what others see" exits 13 format /proc/self --name vol1
ok "which is named" says '/proc/self is on proc: '
ok "nor restored there" exits 13 restore /proc/self "$LUN"
ok "to look there is no harm" exits 3 check /proc/self
ok "--force goes with --repair only" exits 2 check "$LUN" --force
ok "a backup" exits 0 backup "$LUN" "$TMP/backup"
ok "does not replace a file" exits 10 backup "$LUN" "$TMP/backup"
spoil rotten 300
ok "a broken superblock is an error" exits 1 check "$LUN"
ok "which is named" says 'error superblock-copy: first superblock'
ok "it is mended" exits 0 check "$LUN" --repair
ok "and that is said" says '^mended superblock-copy: first superblock'
spoil 'another filesystem' 0
ok "what lies over a superblock is not overwritten" exits 7 check "$LUN" --repair
ok "unless by force" exits 0 check "$LUN" --repair --force
ok "a restore over a volume is refused" exits 8 restore "$LUN" "$TMP/backup"
dd if=/dev/zero of="$LUN" bs=1M count=20 conv=notrunc status=none
ok "a LUN that lost its metadata is no volume" exits 3 check "$LUN"
ok "it gets it back" exits 0 restore "$LUN" "$TMP/backup"
ok "and is clean" exits 0 check "$LUN"
truncate -s 4000 "$TMP/backup"
ok "half a backup is none" exits 3 restore "$LUN" "$TMP/backup" --force
ok "and has done nothing" exits 0 check "$LUN"
done_testing
