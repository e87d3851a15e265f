#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Bad input: one clear line, an exit code of its own, and nothing changed.
# takes: 35
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

LONG=$(printf 'x%.0s' {1..300})
: >"${TMP:?}/codes"

# What is there, apart from what counts on by itself; others write to the file system of a directory, too
facts() {
    ctl nodeA status --json | jq --arg shared "${MIGRATED_TEST_DIRECTORY:-}" \
        'del(.nodes[] | .heartbeat, .memory_free, .[keys[] | select(endswith("age_ms"))])
        | if $shared != "" then del(.volumes[] | .size, .free, .largest_free, .map) else . end'
    ctl nodeA image list --json | jq .
    on nodeA virsh -q list --all
    on nodeA ls "/dev/csv/$VOLUME"
}

# Nodes that have just joined are seen as such only after a heartbeat, and sanlock calls them live after a
# renewal: before that the facts change by themselves.
has_settled() {
    status_of nodeA '[.nodes[] | select(.state == "up" and .sanlock == "live")] | length == 2' >/dev/null
}

# refused CODE SAYS CLAIM CMD...: with that code and one line matching SAYS, and nothing is changed
refused() {
    local code=$1 says=$2 claim=$3
    shift 3
    echo "$code" >>"$TMP/codes"
    ok "$claim: $code" is_refused "$code" "$says" "$@"
}

is_refused() {
    local code=$1 says=$2
    shift 2
    refuses "$code" "$@" || return 1
    grep -qiE -- "$says" "$TMP/stderr" || {
        echo "it does not say /$says/"
        return 1
    }
    # Control characters of a name must not reach a terminal.
    if LC_ALL=C grep -q '[[:cntrl:]]' "$TMP/stderr"; then
        echo "its line has control characters"
        return 1
    fi
    # A node that a busy machine holds up is suspect for a moment; what a command has changed stays changed.
    retry 10 same_facts || {
        diff "$TMP/facts" "$TMP/facts.now"
        return 1
    }
    volume_clean
}

same_facts() {
    facts >"$TMP/facts.now" && cmp -s "$TMP/facts" "$TMP/facts.now"
}

# loop_over LUN [LOSETUP OPTIONS]: that LUN seen through another device, on nodeA
loop_over() {
    local lun=$1
    shift
    on nodeA losetup -f --show --direct-io=on "$@" "/dev/lab/$lun"
}

# A next format's superblock: the version is told before the checksum, both copies say it.
make_future() {
    local tail
    on nodeA csvtool format /dev/lab/lun2 --name later >/dev/null || return 1
    tail=$(on nodeA od -A n -t u8 -j 152 -N 8 /dev/lab/lun2)
    # shellcheck disable=SC2016
    on nodeA sh -euc '
        for at in 0 "$1"; do
            printf "\143" | dd of=/dev/lab/lun2 bs=1 seek=$((at + 8)) conv=notrunc status=none
        done
        blockdev --flushbufs /dev/lab/lun2' sh "$tail"
}

make_luns() {
    on nodeA sh -c 'head -c 8M /dev/urandom | dd of=/dev/lab/lun1 bs=1M iflag=fullblock oflag=direct status=none' &&
        make_future && on nodeA csvtool format /dev/lab/lun3 --name other >/dev/null
}

# config CLAIM SAYS: standard input is the file
config() {
    cat >"$TMP/migrated.conf"
    echo 53 >>"$TMP/codes"
    ok "config: $1: 53" config_refused "$2"
}

config_refused() {
    refuses 53 "$MIGRATED_BUILD/migrated/migrated" --check-config --config "$TMP/migrated.conf" &&
        grep -qiE -- "$1" "$TMP/stderr"
}

# The good definition under another name: its console's file would be another VM's
renamed() {
    sed "s,<name>.*</name>,<name>$1</name>,; /$VM\.console/d" "$TMP/$VM.xml"
}

names() {
    local bad
    for bad in 'a/b' '../x' 'a b' "$LONG" $'a\nb' $'a\e[31mb' '.hidden'; do
        refused 50 'name' "image name '$(printf '%.20q' "$bad")'" ctl nodeA image create $VOLUME "$bad" 4M
    done
    refused 2 'empty' "empty image name" ctl nodeA image create $VOLUME '' 4M
    refused 2 'UTF-8' "image name that is no UTF-8" ctl nodeA image create $VOLUME $'\xff\xfe' 4M
    for bad in 'a/b' 'a b' "$LONG"; do
        renamed "$bad" | sed "s,$VM-disk,spare," >"$TMP/bad.xml"
        refused 50 'name' "VM name '$(printf '%.20q' "$bad")'" ctl nodeA vm define $VOLUME "$TMP/bad.xml"
    done
    for bad in 'a/b' 'a b' "$LONG"; do
        refused 50 'name' "volume name '$(printf '%.20q' "$bad")'" \
            ctl nodeA volume format /dev/lab/lun1 --name "$bad" --force
    done
}

definitions() {
    local xml=$TMP/bad.xml good=$TMP/$VM.xml
    echo 'not XML' >"$xml"
    refused 52 'XML' "a definition that is no XML" ctl nodeA vm define $VOLUME "$xml"
    head -c 300 "$good" >"$xml"
    refused 52 'XML|definition' "a definition cut short" ctl nodeA vm define $VOLUME "$xml"
    sed "s,<name>.*</name>,<name></name>," "$good" >"$xml"
    refused 52 'name' "a definition without a name" ctl nodeA vm define $VOLUME "$xml"
    renamed x | sed "s,/dev/csv/$VOLUME/$VM-disk,/dev/sda," >"$xml"
    refused 52 'disk|image' "a disk that is no image" ctl nodeA vm define $VOLUME "$xml"
    renamed x | sed "s,$VM-disk,nowhere," >"$xml"
    refused 13 'image' "a disk whose image is not there" ctl nodeA vm define $VOLUME "$xml"
    renamed x >"$xml"
    refused 25 'belongs|use' "another VM's disk" ctl nodeA vm define $VOLUME "$xml"
    refused 20 'already|exists' "a VM that is there" ctl nodeA vm define $VOLUME "$good"
}

luns() {
    local dev
    ok "LUNs of garbage, of the future and of another volume are made" make_luns
    refused 41 'volume format' "garbage" ctl nodeA volume attach /dev/lab/lun1
    refused 43 'version|newer|later' "formatted by a future version" ctl nodeA volume attach /dev/lab/lun2
    dev=$(loop_over lun3 --sizelimit 512M)
    refused 42 'bytes.*; ' "truncated" ctl nodeA volume attach "$dev"
    dev=$(loop_over lun3 --sector-size 4096)
    refused 44 'sector' "another sector size" ctl nodeA volume attach "$dev"
    dev=$(loop_over lun3 --sizelimit 8M --offset 1G)
    refused 48 'small' "too small to format" ctl nodeA volume format "$dev" --name tiny
    refused 47 'force' "formatted already" ctl nodeA volume format /dev/lab/lun3 --name again
    refused 26 'use|attached' "in use, even with --force" ctl nodeA volume format $LUN --name again --force
    refused 49 'on proc: ' "a directory that others do not see" ctl nodeA volume format /proc/self --name other
    refused 46 'no such|open' "no such device" ctl nodeA volume attach /dev/lab/nope
}

configs() {
    local good
    good=$'[node]\nname=nodeA\nhost_id=1\n[network]\nmanagement=10.0.0.1\nmigration=10.0.1.1/24\n'
    printf '%s' "$good" >"$TMP/good.conf"
    ok "config: a good one passes" "$MIGRATED_BUILD/migrated/migrated" --check-config --config "$TMP/good.conf"
    config "a key misspelt" 'host_id' <<<"${good/host_id/hots_id}"
    config "a group misspelt" 'network' <<<"${good/\[network\]/[netwrok]}"
    config "a value out of range" 'host_id.*1 to' <<<"${good/host_id=1/host_id=999}"
    config "a word where a number belongs" 'host_id' <<<"${good/host_id=1/host_id=one}"
    config "a key missing" 'management.*missing' <<<"${good/management=10.0.0.1/}"
    config "no address" 'address' <<<"${good/10.0.0.1/10.0.0.300}"
    config "no prefix length" 'prefix' <<<"${good/10.0.1.1\/24/10.0.1.1}"
    config "a line that is nothing" '.' <<<"$good"'what is this'
    config "an empty file" 'missing' </dev/null
}

cluster_up 2 --luns 4 --lun-size 2048
ok "both attach the volume" cluster_volume
ok "a VM is defined" cluster_define $VM "${IP##*.}"
ok "an image is nobody's" ctl nodeA image create $VOLUME spare 4M
ok "all nodes are seen" retry "$WAIT_S" has_settled
facts >"$TMP/facts"

refused 10 'vm list' "unknown VM" ctl nodeA vm start nope
refused 10 'vm list' "move of an unknown VM" ctl nodeA move nope nodeB
refused 11 'node list' "move to an unknown node" ctl nodeA move $VM nodeZ
refused 11 'node list' "unknown node" ctl nodeA node show nodeZ
refused 12 'volume list' "unknown volume" ctl nodeA image create nope x 4M
refused 13 'image' "unknown image" ctl nodeA image delete $VOLUME nope
refused 14 'job list' "unknown job" ctl nodeA job show nodeA-999
refused 22 'start' "move of a stopped VM" ctl nodeA move $VM nodeB
refused 22 'stopped|not run' "stop of a stopped VM" ctl nodeA vm stop $VM
refused 20 'already|exists' "an image that is there" ctl nodeA image create $VOLUME $VM-disk 4M
refused 25 'belongs' "delete of a VM's image" ctl nodeA image delete $VOLUME $VM-disk
refused 40 'room|free|full' "LUN full" ctl nodeA image create $VOLUME big 1T
refused 40 'room|free|full' "LUN full, asked on the other node" ctl nodeB image create $VOLUME big ${MIGRATED_TEST_DIRECTORY:+900}3G
refused 51 'size' "a size that is none" ctl nodeA image create $VOLUME x lots
refused 51 'size' "a negative size" ctl nodeA image create -- $VOLUME x -5M
refused 2 'help' "an unknown command" ctl nodeA frobnicate
names
definitions
luns
configs

ok "the VM starts" ctl nodeA vm start $VM
ok "all nodes are seen" retry "$WAIT_S" has_settled
facts >"$TMP/facts"
refused 21 'already' "move to itself" ctl nodeA move $VM nodeA
refused 21 'already' "move to itself, asked elsewhere" ctl nodeB move $VM nodeA
refused 23 'running' "start of a running VM" ctl nodeB vm start $VM
refused 23 'stop' "undefine of a running VM" ctl nodeA vm undefine $VM
refused 26 'stop|move' "detach of a volume in use" ctl nodeA volume detach $VOLUME
refused 23 'stop' "export of a running VM's disk" ctl nodeA image export $VOLUME $VM-disk "$TMP/x.img"
echo "# exit codes seen: $(sort -nu "$TMP/codes" | paste -sd' ')"
done_testing
