#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-migratectl.sh - migratectl against no daemon, and against a fake one.
# usage: test-migratectl.sh MIGRATECTL FAKE-DAEMON SOURCE-ROOT
set -u
CTL=$(realpath "$1") FAKE=$(realpath "$2") ROOT=$(realpath "$3")
# shellcheck source=../lib/tap.sh
. "$ROOT/tests/lib/tap.sh"
unset MIGRATED_SOCKET
export LC_ALL=C.UTF-8

one_line() { # of stderr
    is "$1: one line on stderr" "$(printf '%s\n' "$ERR" | wc -l)" 1
    like "$1: it says who speaks" "$ERR" '^migratectl: .'
}

stop() { kill "$1" 2>/dev/null; }

ESCAPE=$(printf '\033')

# ---- the command line ----
exits "no command" 2 "$CTL"
one_line "no command"
exits "unknown command" 2 "$CTL" frobnicate
one_line "unknown command"
exits "unknown verb" 2 "$CTL" vm destroy
like "unknown verb: names the known ones" "$ERR" 'start.*undefine'
exits "missing verb" 2 "$CTL" vm
exits "too few arguments" 2 "$CTL" move web
like "too few: shows the form" "$ERR" 'migratectl move VM NODE'
exits "too many arguments" 2 "$CTL" move a b c
exits "unknown option" 2 "$CTL" move --fast a b
exits "option without value" 2 "$CTL" move a b --timeout
exits "option of another command" 2 "$CTL" vm list --force
exits "not a number" 2 "$CTL" move a b --timeout 1x
exits "empty argument" 2 "$CTL" vm show ""
exits "not UTF-8" 2 "$CTL" vm show "$(printf 'a\377')"
exits "format without name" 2 "$CTL" volume format /dev/null
exits "create without name" 2 "$CTL" cluster create /dev/null
exits "create with a bad range" 51 "$CTL" cluster create /dev/null --name v --max-nodes 251
exits "bad size" 51 "$CTL" image create v i 10X
one_line "bad size"
exits "bad range" 51 "$CTL" move a b --max-downtime -5
exits "name with an escape in an error" 2 "$CTL" "x${ESCAPE}[31m"
unlike "no raw escape in an error" "$ERR" "$ESCAPE"
exits "help" 0 "$CTL" --help
like "help: has the commands" "$OUT" 'move VM NODE'
is "help: fits 80 columns" "$(printf '%s\n' "$OUT" | awk 'length > 80' | wc -l)" 0
exits "version" 0 "$CTL" --version
like "version: shown" "$OUT" '^migratectl [0-9]'
exits "help of a noun" 0 "$CTL" vm --help
while read -r noun verb; do
    # shellcheck disable=SC2086
    exits "help of $noun $verb" 0 "$CTL" $noun $verb --help
    like "help of $noun $verb: usage" "$OUT" "^Usage: migratectl $noun"
    is "help of $noun $verb: fits 80 columns" "$(printf '%s\n' "$OUT" | awk 'length > 80' | wc -l)" 0
done <<LIST
status
setup
node list
node show
volume format
volume attach
node pardon
node remove
node rotate-key
cluster create
cluster join
cluster leave
volume detach
volume coordinator
volume list
volume show
image create
image import
image export
image list
image delete
image rename
image clone
image grow
volume plan
volume grow
volume backup
vm define
vm adopt
vm start
vm stop
vm list
vm show
vm undefine
vm set
why
timeouts
whatif
check
cpu baseline
move
job list
job show
job watch
job cancel
job set
job resume
job stats
LIST

# ---- setup: files of others, without a daemon ----
mkdir -p "$TMP/host/etc/libvirt" "$TMP/host/etc/default"
exits "setup without the packages" 1 "$CTL" setup --root "$TMP/host"
one_line "setup without the packages"
like "setup without the packages: names one" "$ERR" 'install the package libvirt-daemon-system'
printf '# lock_manager = "lockd"\n' >"$TMP/host/etc/libvirt/qemu.conf"
printf 'auto_disk_leases = 1' >"$TMP/host/etc/libvirt/qemu-sanlock.conf"
printf 'enabled=1\nsanlock_opts="-w 0"\n' >"$TMP/host/etc/default/sanlock"
cp -r "$TMP/host/etc" "$TMP/host/before"
exits "setup --check before" 1 "$CTL" setup --check --root "$TMP/host"
ok "setup --check: nothing is changed" diff -r "$TMP/host/etc" "$TMP/host/before"
exits "setup" 0 "$CTL" setup --root "$TMP/host"
is "setup: the watchdog is on" "$(. "$TMP/host/etc/default/sanlock" && echo "<$sanlock_opts>")" "<>"
is "setup: one lock manager" "$(grep -c '^ *lock_manager' "$TMP/host/etc/libvirt/qemu.conf")" 1
is "setup: QEMU may receive by post-copy" "$(grep -v '^#' "$TMP/host/etc/sysctl.d/60-migrated.conf")" \
    "vm.unprivileged_userfaultfd = 1"
exits "setup --check behind it" 0 "$CTL" setup --check --root "$TMP/host"
exits "setup again" 0 "$CTL" setup --root "$TMP/host" --no-watchdog
is "setup: the watchdog is off" "$(. "$TMP/host/etc/default/sanlock" && echo "<$sanlock_opts>")" "<-w 0>"
exits "setup --check sees the missing watchdog" 1 "$CTL" setup --check --root "$TMP/host"
echo "vm.unprivileged_userfaultfd = 0" >"$TMP/host/etc/sysctl.d/60-migrated.conf"
exits "setup --check sees another setting" 1 "$CTL" setup --check --root "$TMP/host"
like "setup --check: names the file" "$OUT" '/etc/sysctl.d/60-migrated.conf *to be changed'
rm "$TMP/host/etc/sysctl.d/60-migrated.conf"
"$CTL" setup --root "$TMP/host" >/dev/null
exits "setup --check --undo" 2 "$CTL" setup --check --undo --root "$TMP/host"
exits "setup --undo" 0 "$CTL" setup --undo --root "$TMP/host"
printf '\n' >>"$TMP/host/before/libvirt/qemu-sanlock.conf" # a last line gets its newline
ok "setup --undo: all as it was" diff -r "$TMP/host/etc" "$TMP/host/before"
ok "setup once more" eval '"$CTL" setup --root "$TMP/host" >/dev/null'
rm "$TMP/host/etc/libvirt/qemu-sanlock.conf"
exits "setup --undo: the plugin's package is gone" 0 "$CTL" setup --undo --root "$TMP/host"
ok "setup --undo: qemu.conf names it no more" cmp "$TMP/host/etc/libvirt/qemu.conf" "$TMP/host/before/libvirt/qemu.conf"
cp -a "$TMP/host/before/libvirt/qemu-sanlock.conf" "$TMP/host/etc/libvirt/"

# ---- nobody answers ----
exits "no daemon" 60 "$CTL" --socket "$TMP/none" status
one_line "no daemon"
like "no daemon: says where and what to do" "$ERR" "$TMP/none; start it"
MIGRATED_SOCKET=$TMP/env exits "socket from the environment" 60 "$CTL" status
like "socket from the environment: used" "$ERR" "$TMP/env"
exits "socket path too long" 51 "$CTL" --socket "/$(printf '%0200d' 0)" status
exits "a file is no socket" 60 "$CTL" --socket "$ROOT/COPYING" status

# ---- the fake daemon ----
SOCKET=$TMP/socket
"$FAKE" "$SOCKET" 2>"$TMP/fake.log" &
FAKE_PID=$!
at_exit stop "$FAKE_PID"
retry 5 test -S "$SOCKET" || bail "the fake daemon does not start"
export MIGRATED_SOCKET=$SOCKET

exits "status" 0 "$CTL" status
like "status: the VM and its node" "$OUT" '^web +running +running +nodeA +512 MiB'
like "status: the answering node has a star" "$OUT" '^nodeA\*'
like "status: the running job" "$OUT" '^17 +web +nodeA +nodeB +perform +40%'
like "status: the warning" "$OUT" '^Warning: node nodeC'
is "status: nothing on stderr" "$ERR" ""
unlike "status: no raw escape" "$OUT" "$ESCAPE"
unlike "status: no raw C1" "$OUT" "$(printf '\302\233')"
unlike "status: no bidi override" "$OUT" "$(printf '\342\200\256')"
like "status: they are shown instead" "$OUT" 'evil\\x1b\[31m\\xc2\\x9b2J'
exits "status --json" 0 "$CTL" --json status
ok "status --json: is JSON" python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$TMP/out"
unlike "status --json: no raw escape" "$OUT" "$ESCAPE"
unlike "status --json: no raw C1" "$OUT" "$(printf '\302\233')"
unlike "status --json: no raw DEL" "$OUT" "$(printf '\177')"
is "status --json: the name is what it was" \
    "$(python3 -c 'import json,sys; print(ascii(json.load(open(sys.argv[1]))["vms"][1]["name"]))' "$TMP/out")" \
    "'evil\\x1b[31m\\x9b2J\\u202e\\n\\x7f'"
exits "status on a terminal" 0 script -qec "stty cols 80 2>/dev/null; '$CTL' status" /dev/null
is "status: fits 80 columns" \
    "$(printf '%s\n' "$OUT" | tr -d '\r' | awk 'length > 80' | wc -l)" 0
exits "global option behind the command" 0 "$CTL" status --json
like "global option behind the command: obeyed" "$OUT" '^\{'

# every error of the table has its own exit status and arrives as one line
sed -n 's/^ *X(MIG_ERROR_[A-Z_]*, "\([A-Za-z]*\)", \([0-9]*\)).*/\1 \2/p' "$ROOT/common/base/error.h" \
    >"$TMP/errors"
ok "the table of errors was found" test "$(wc -l <"$TMP/errors")" -ge 38
while read -r name status; do
    exits "error $name" "$status" "$CTL" vm show "$name"
    is "error $name: its text, alone" "$ERR" "migratectl: $name: that is how it is; do otherwise"
    is "error $name: nothing on stdout" "$OUT" ""
done <"$TMP/errors"

exits "method of another version" 65 "$CTL" node list
like "method of another version: said so" "$ERR" 'another version'
exits "vm show" 0 "$CTL" vm show web
like "vm show: node" "$OUT" '^Node: +nodeA'
exits "vm show --xml" 0 "$CTL" vm show --xml web
is "vm show --xml: only that" "$(head -n 1 "$TMP/out")" "<domain>"
exits "vm start" 0 "$CTL" vm start web --node nodeB
is "vm start: talk goes to stderr" "$OUT$ERR" "VM web runs on nodeB"
exits "volume show" 0 "$CTL" volume show vol1
like "volume show: free" "$OUT" '^Free: +9.5 GiB'
like "volume show: in how many pieces" "$OUT" '^Free pieces: +3, 50% of it not in the largest'
like "volume show: a LUN that has grown" "$OUT" '^LUN: +1.0 GiB larger'
like "volume show: whose file system it is in" "$OUT" '^Shared: +only where others see'
like "volume show: a picture" "$OUT" '^Space: +##\+\.-$'
exits "volume format" 0 "$CTL" volume format /dev/null --name vol9 --extent 8M
like "volume format: said" "$ERR" '^volume vol9 formatted'
exits "volume format refused" 47 "$CTL" volume format /dev/null --name AlreadyFormatted
exits "volume detach --json" 0 "$CTL" volume detach vol1 --json
is "volume detach --json: empty object" "$(tr -d ' \n' <"$TMP/out")" "{}"
exits "volume coordinator" 0 "$CTL" volume coordinator vol1 nodeB
like "volume coordinator: says so" "$ERR" "volume vol1 is coordinated by nodeB"
exits "volume coordinator --json" 0 "$CTL" volume coordinator vol1 nodeB --json
like "volume coordinator --json: the volume" "$OUT" '"coordinator": *"nodeA"'
exits "volume coordinator to nobody" 11 "$CTL" volume coordinator NodeUnknown nodeB
exits "node remove" 0 "$CTL" node remove nodeC
like "node remove: says so" "$ERR" "node nodeC is removed"
exits "a living node is not removed" 31 "$CTL" node remove NodeAlive
exits "vm set" 0 "$CTL" vm set web restart=always start_after=db,mail
like "vm set: says what it is now" "$ERR" "restart=always .* affinity=none .* start_after=db,mail"
exits "vm set move_policy" 0 "$CTL" vm set web restart=always move_policy=gentle
like "vm set move_policy: says it" "$ERR" "move_policy=gentle"
exits "vm set --json" 0 "$CTL" vm set web start_after=db --json
like "vm set --json: a list" "$(tr -d ' \n' <"$TMP/out")" '"start_after":\["db"\]'
exits "vm set without a setting" 2 "$CTL" vm set web
exits "timeouts" 0 "$CTL" timeouts
like "timeouts: of a volume" "$OUT" "vol1 +host-dead .*of a reason"
exits "timeouts --json" 0 "$CTL" timeouts --json
like "timeouts --json: ms" "$(tr -d ' \n' <"$TMP/out")" '"volume":"vol1","ms":68000'
exits "whatif" 0 "$CTL" whatif node-down nodeA
like "whatif: where, and why" "$OUT" "web .*512.* nowhere .*no node has memory"
exits "whatif what" 2 "$CTL" whatif disk-down nodeA
exits "node pardon" 0 "$CTL" node pardon nodeC
like "node pardon: says so" "$ERR" "node nodeC gets VMs"
exits "node pardon --json" 0 "$CTL" node pardon nodeC --json
exits "node rotate-key" 0 "$CTL" node rotate-key
like "node rotate-key: says what goes on" "$ERR" "2 connections"
exits "node rotate-key --json" 0 "$CTL" node rotate-key --json
like "node rotate-key --json: the certificate" "$OUT" '0123abcd'
exits "image create" 0 "$CTL" --json image create vol1 disk 3G
like "image create: bytes" "$OUT" '"size":3221225472'
exits "volume full" 40 "$CTL" image create VolumeFull disk 3G
cd "$TMP" || bail "no $TMP"
exits "image import" 0 "$CTL" image import vol1 disk ./some//file --json
like "image import: the path is absolute" "$OUT" "\"owner\":\"$TMP/some/file\""
is "image import --json: a line for each answer" "$(wc -l <"$TMP/out")" 2
exits "image list of one volume" 0 "$CTL" image list vol7
like "image list: asked for that one" "$OUT" '^vol7 +disk1 +4.0 MiB'
exits "image rename" 0 "$CTL" image rename vol1 disk other
like "image rename: says so" "$ERR" "image vol1/disk is other now"
exits "image rename --json" 0 "$CTL" image rename vol1 disk other --json
exits "image clone" 0 "$CTL" image clone vol1 disk other --json
like "image clone: the new one" "$OUT" '"name":"other"'
is "image clone --json: a line for each answer" "$(wc -l <"$TMP/out")" 2
exits "image grow" 0 "$CTL" image grow vol1 disk 5G --json
like "image grow: bytes" "$OUT" '"size":5368709120'
exits "image grow: a size that is none" 51 "$CTL" image grow vol1 disk large
exits "volume grow" 0 "$CTL" volume grow vol1
like "volume grow: says so" "$ERR" "volume vol1 is as large as its LUN"
exits "volume grow --json" 0 "$CTL" volume grow vol1 --json
like "volume grow --json: the volume" "$OUT" '"vol1"'
exits "volume backup" 0 "$CTL" volume backup vol1 ./some//file
like "volume backup: the path is absolute" "$ERR" "metadata of volume vol1 is in $TMP/some/file"
exits "volume backup --json" 0 "$CTL" volume backup vol1 file --force --json
exits "volume plan" 0 "$CTL" volume plan vol7 1G
like "volume plan: what has to go" "$OUT" '^vol7 +disk1'
exits "volume plan: nothing to do" 0 "$CTL" volume plan vol1 1M
like "volume plan: says so" "$ERR" "volume vol1 has 1.0 MiB in one piece"
exits "volume plan --json" 0 "$CTL" volume plan vol7 1G --json
like "volume plan --json: the images" "$OUT" '"images"'
printf '<domain/>' >"$TMP/vm.xml"
exits "vm define from a file" 0 "$CTL" vm define vol1 "$TMP/vm.xml"
exits "vm define from stdin" 0 "$CTL" vm define vol1 - <"$TMP/vm.xml"
exits "vm adopt" 0 "$CTL" vm adopt web
like "vm adopt: says where the old disks are" "$ERR" '^old disk, left where it is: vda: /srv/web.qcow2'
like "vm adopt: takes the only volume" "$ERR" '^VM web is on volume vol1 now'
exits "vm adopt --volume --json" 0 "$CTL" --json vm adopt web --volume vol7
is "vm adopt --json: a line for each answer" "$(wc -l <"$TMP/out")" 2
like "vm adopt --volume: asked for that one" "$OUT" '"volume":"vol7"'
exits "vm adopt that is refused" 52 "$CTL" vm adopt BadDefinition
exits "vm adopt without a domain" 2 "$CTL" vm adopt
exits "vm define of a missing file" 46 "$CTL" vm define vol1 "$TMP/none.xml"
exits "vm define of a directory" 51 "$CTL" vm define vol1 "$TMP"
exits "vm define of no XML" 52 "$CTL" vm define vol1 - </dev/null
printf '<a\377>' >"$TMP/bad.xml"
exits "vm define of no UTF-8" 52 "$CTL" vm define vol1 "$TMP/bad.xml"
exits "full disk" 46 bash -c "'$CTL' status >/dev/full"

# ---- checks ----
exits "check" 0 "$CTL" check web nodeB
like "check: the whole" "$OUT" '^web from nodeA to nodeB: warn'
like "check: a line for each" "$OUT" '^  vm-idle +pass  512 MiB needed'
like "check: what to do" "$OUT" '^ +-> do something'
unlike "check: no raw escape" "$OUT" "$ESCAPE"
exits "check of every node" 28 "$CTL" check web
like "check of every node: nodeC too" "$OUT" '^web from nodeA to nodeC: fail'
like "check of every node: which failed" "$ERR" '1 check failed, the first is memory-fits'
one_line "check of every node"
exits "check --all" 28 "$CTL" check --all
like "check --all: the nodes" "$OUT" '^VM +nodeA +nodeB +nodeC'
like "check --all: a line for each VM" "$OUT" '^db +here +pass +fail memory-fits'
like "check --all: a warning" "$OUT" '^web +here +warn pair-free +fail memory-fits'
exits "check --json" 28 "$CTL" check --json web nodeC
like "check --json: the verdict" "$OUT" '"verdict": ?"fail"'
exits "check of nothing" 2 "$CTL" check
exits "check of a VM and all" 2 "$CTL" check web --all
exits "check that is refused" 22 "$CTL" check VmStopped

exits "cpu baseline" 0 "$CTL" cpu baseline
is "cpu baseline: nothing but XML" "$(head -n 1 "$TMP/out")" "<cpu mode='custom'>"
unlike "cpu baseline: no raw escape" "$OUT" "$ESCAPE"
like "cpu baseline: who is not in it" "$ERR" 'nodeC does not answer'
exits "cpu baseline --json" 0 "$CTL" cpu baseline --json
like "cpu baseline --json: the nodes" "$OUT" '"nodes"'

# ---- moves ----
exits "move" 0 "$CTL" move web nodeB
is "move: the summary" "$OUT" \
    "web moved from nodeA to nodeB in 300 ms; downtime 43 ms, blackout 55 ms, sent 512 MiB"
like "move: a line for each state" "$ERR" '^ +0% checking'
is "move: not a line for each step" "$(grep -c perform <<<"$ERR")" 1
like "move: all that one wants to know" "$ERR" \
    '40% perform  sent 205M left 307M  95M/s dirty 20M/s  pass 2  0\.1s'
exits "move --json" 0 "$CTL" --json move web nodeB
is "move --json: a line for each answer" "$(wc -l <"$TMP/out")" 6
ok "move --json: each is JSON" python3 -c '
import json, sys
jobs = [json.loads(line)["job"] for line in open(sys.argv[1])]
assert [j["ended"] for j in jobs] == [False] * 5 + [True], jobs' "$TMP/out"
exits "move on a terminal" 0 script -qec "stty cols 80 2>/dev/null; '$CTL' move web nodeB" /dev/null
like "move on a terminal: a bar" "$OUT" '\[#+\.+\] +40% perform'
like "move on a terminal: repaints one line" "$OUT" "$(printf '\r')\["
is "move on a terminal: never wider than it" \
    "$(tr '\r' '\n' <"$TMP/out" | sed "s/$ESCAPE\[K//" | awk '/%/ && length > 80' | wc -l)" 0
exits "move --dry-run" 0 "$CTL" move web nodeB --dry-run
like "move --dry-run: time and standstill" "$OUT" 'takes 4\.20 s \(2\.10 s to 8\.40 s\), stands still for 60 ms \(30 ms to 120 ms\)'
like "move --dry-run: what it is made of" "$OUT" 'in use 310 MiB, dirtied 20\.0 MiB/s and 50\.0 MiB in 4\.00 s, link unknown; learnt from 7 moves'
exits "move --dry-run: what cannot be" 28 "$CTL" move web nodeC --dry-run
exits "move --dry-run --json" 0 "$CTL" --json move web nodeB --dry-run
like "move --dry-run --json: the forecast" "$OUT" '"learnt_from": ?7'
exits "move --policy" 0 "$CTL" --json move web nodeB --policy must-finish
like "move --policy: asked for that one" "$OUT" '"policy":"must-finish"'
exits "move that is refused" 24 "$CTL" move VmBusy nodeB
exits "move that fails" 28 "$CTL" move web nodeC
like "move that fails: the check and its advice" "$ERR" \
    '^check memory: fail: 512 MiB needed, 100 MiB free; stop or move another VM there'
like "move that fails: why" "$ERR" '^migratectl: web was not moved: nodeC has too little memory'
exits "move --detach" 0 "$CTL" move web nodeB --detach
is "move --detach: the job" "$OUT" 17
exits "job watch" 0 "$CTL" job watch 17
exits "job show" 0 "$CTL" job show 17
like "job show: the blackout, and how well it is known" "$OUT" '^Blackout: +55 ms, give or take 2 ms'
like "job show: a moment" "$OUT" '^stopped +nodeA +0\.0 ms'
like "job show: one that is known between bounds" "$OUT" '^running +nodeB +53\.4 to 56\.6 ms'
like "job show: what was expected" "$OUT" '^Expected time: +4\.20 s \(2\.10 s to 8\.40 s\)'
exits "job stats" 0 "$CTL" job stats
like "job stats: how far off" "$OUT" '^duration +9 +8 +7% +31% +110 ms +2\.40 s'
like "job stats: nothing to tell" "$OUT" '^downtime +0 +0 +- +- +- +-'
exits "job cancel of an ended one" 27 "$CTL" job cancel JobEnded
exits "job cancel" 0 "$CTL" job cancel 17
like "job cancel: says what will be" "$ERR" 'is being cancelled; VM web stays on nodeA unless'
exits "job cancel, too late" 0 "$CTL" job cancel 18
like "job cancel, too late: does not promise what cannot be" "$ERR" 'past the point of no return'
exits "job set" 0 "$CTL" job set 17 --bandwidth 80
like "job set: says what counts now" "$ERR" '^job 17: bandwidth 80.0 MiB/s, downtime at most 300 ms'
exits "job set --json" 0 "$CTL" --json job set 17 --bandwidth 0 --max-downtime 1000
like "job set --json: what was asked" "$OUT" '"max_downtime_ms": ?1000'
exits "job set of nothing" 2 "$CTL" job set 17
exits "job set out of range" 51 "$CTL" job set 17 --max-downtime 60001
exits "job set of an ended one" 27 "$CTL" job set JobEnded --bandwidth 1
exits "job set --postcopy-now" 0 "$CTL" job set 17 --postcopy-now
like "job set --postcopy-now: says so" "$ERR" 'post-copy now$'
exits "job resume" 0 "$CTL" job resume 17
like "job resume: says how it is followed" "$ERR" "^job 17 takes its link up again; 'migratectl job watch 17'"
exits "job resume of an ended one" 27 "$CTL" job resume JobEnded
exits "job resume --json" 0 "$CTL" --json job resume 17
like "job resume --json: the job" "$OUT" '"state": ?"postcopy"'

# has_int PID SET: SIGINT is in that set of the process's. Before it is blocked nobody waits for it, and it is lost; two that
# are pending are one.
has_int() {
    (($(awk -v set="$2:" '$1 == set { print "0x" $2 }' "/proc/$1/status") & 2))
}
not_has_int() {
    ! has_int "$@"
}

# Ctrl-C: the first cancels and waits for the end, the second leaves
"$CTL" move web nodeS >"$TMP/out" 2>"$TMP/err" &
pid=$!
ok "slow move: is under way" retry 5 grep -q perform "$TMP/err"
kill -INT $pid
wait $pid
is "Ctrl-C: exit status" $? 63
like "Ctrl-C: says what happened" "$(cat "$TMP/err")" 'job 17 cancelled; web runs on nodeA'
kill -STOP $FAKE_PID # it will not answer the cancelling
"$CTL" move web nodeS >"$TMP/out" 2>"$TMP/err" &
pid=$!
ok "second Ctrl-C: it is listening" retry 10 has_int $pid SigBlk
kill -INT $pid
ok "second Ctrl-C: it has heard the first" retry 10 not_has_int $pid ShdPnd
kill -INT $pid
wait $pid
is "second Ctrl-C: exit status" $? 63
like "second Ctrl-C: says that the job may run" "$(cat "$TMP/err")" 'left; the job may still run'
kill -CONT $FAKE_PID

# ---- names for completion ----
exits "_names vm" 0 "$CTL" _names vm
is "_names vm: no odd ones" "$OUT" web
exits "_names image" 0 "$CTL" _names image vol1
is "_names image: of the volume" "$OUT" disk1
MIGRATED_SOCKET=$TMP/none exits "_names without a daemon" 0 "$CTL" _names vm
is "_names without a daemon: silent" "$OUT$ERR" ""
complete_words() {
    bash -c '
        . "$1/conf/completion/migratectl"
        PATH=$2:$PATH
        shift 2
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _migratectl
        printf "%s\n" "${COMPREPLY[@]}" | sort | tr "\n" " "' - "$ROOT" "$(dirname "$CTL")" "$@"
}
is "completion: verbs" "$(complete_words migratectl job '')" "cancel list resume set show stats watch "
is "completion: VMs" "$(complete_words migratectl move '')" "web "
is "completion: nodes" "$(complete_words migratectl move web n)" "nodeA nodeB "
is "completion: policies" "$(complete_words migratectl move --policy '')" \
    "fast gentle must-finish never-postcopy "
is "completion: options" "$(complete_words migratectl vm stop --)" \
    "--force --help --json --socket --timeout "
is "completion: images" "$(complete_words migratectl image delete vol1 d)" "disk1 "

# ---- a daemon that dies under a move; what it started goes on, and is found again ----
(
    wait_died() { [ -e "$SOCKET.died" ]; }
    retry 10 wait_died
    sleep 0.5
    exec "$FAKE" "$SOCKET" 2>>"$TMP/fake.log"
) &
at_exit stop $!
exits "the daemon restarts during a move" 0 "$CTL" move web nodeD
like "restart: said so" "$ERR" 'lost migrated; the move goes on'
like "restart: the end is known" "$OUT" '^web moved from nodeA'

done_testing
