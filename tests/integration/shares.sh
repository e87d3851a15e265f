#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What moves share: the memory of a target, which is given once, and the bandwidth of a link.
#
# The guests have no system to boot. Their boot sector fills as much of their memory as makes a move at one or two MiB/s
# last longer than any step here waits. This machine must have all of it: QEMU's look at what a guest dirties reads pages
# here and there, and on some kernels (seen with Linux 6.18) that takes two MiB each.
# takes: 80
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

MEMORY_MIB=1024
FILLED_MIB=320

# filler FILE: a disk whose boot sector writes a word into each page of FILLED_MIB, from 1 MiB on, and halts. It gets at
# that memory from real mode by a segment whose limit it lifted in protected mode. The firmware has opened A20.
filler() {
    as --32 -o "$TMP/filler.o" - <<END && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$1" "$TMP/filler.o" && truncate -s 16M "$1"
.code16
.globl _start
_start: cli
        xorw %ax, %ax
        movw %ax, %ds
        lgdt table
        movl %cr0, %eax
        orb \$1, %al
        movl %eax, %cr0
        movw \$8, %bx
        movw %bx, %es
        andb \$0xfe, %al
        movl %eax, %cr0
        movl \$0x100000, %edi
        movl \$$((FILLED_MIB * 256)), %ecx
fill:   movl %edi, %es:(%edi)
        addl \$0x1000, %edi
        decl %ecx
        jnz fill
rest:   hlt
        jmp rest
table:  .word 15
        .long entries
entries: .quad 0, 0x00cf92000000ffff
.org 510
.word 0xaa55
END
}

# setting NODE GROUP LINE: its migrated starts again with that in its configuration
setting() {
    on "$1" sh -c "printf '[%s]\n%s\n' '$2' '$3' >>/etc/migrated/migrated.conf"
    "$LAB" service "$1" migrated restart >/dev/null
    retry 30 is_back "$1"
}

is_back() {
    [[ $(status_of "$1" '.volumes[0].state') == attached ]] &&
        [[ $(status_of nodeA '[.nodes[] | select(.state == "up")] | length') == 3 ]]
}

starts() { # VM NODE NUMBER
    "$LAB" vm-xml "$1" "/dev/csv/$VOLUME/$1-disk" --memory $MEMORY_MIB --ip-suffix "$3" >"$TMP/$1.xml"
    ctl nodeA image import "$VOLUME" "$1-disk" "$TMP/filler" --format raw && ctl nodeA vm define "$VOLUME" "$TMP/$1.xml" &&
        ctl nodeA vm start "$1" --node "$2"
}

all_start() {
    filler "$TMP/filler" && starts one nodeA 11 && starts two nodeB 12 && starts three nodeA 13 && starts four nodeA 14
}

cluster_up 3 --io-timeout 2
ok "all attach the volume" cluster_volume
ok "and see one another" retry 30 is_back nodeA
ok "four VMs of $MEMORY_MIB MiB run" all_start
((TAP_FAILED == 0)) || bail "the VMs do not run"

# ---- memory: nodeC has room for one and a half ----
# All nodes have this machine's memory, and what else runs here takes more of it, or gives more of it back, than one VM
# has: to nodeC it is what it was at this moment.
hold_memory() {
    on nodeC sh -c 'cat /proc/meminfo >/run/meminfo && mount --bind /run/meminfo /proc/meminfo'
}
ok "nodeC's memory is what it is now" hold_memory
free_mib=$(on nodeC awk '/^(MemFree|Buffers|Cached):/ { s += $2 } END { print int(s / 1024) }' /proc/meminfo)
ok "nodeC keeps all but what one and a half VMs need" setting nodeC limits \
    "memory_reserve_mib=$((free_mib - MEMORY_MIB * 3 / 2))"
ok "each sees the others" retry 30 all_up
ok "the one fits alone" ctl nodeA check one nodeC
ok "the other fits alone" ctl nodeA check two nodeC

first=0 second=0
ctl nodeA move one nodeC --bandwidth 16 >/dev/null 2>"$TMP/first" &
first_pid=$!
ctl nodeB move two nodeC --bandwidth 16 >/dev/null 2>"$TMP/second" &
wait $! || second=$?
wait $first_pid || first=$?
echo "# exit codes $first and $second; $(grep -h memory-fits "$TMP/first" "$TMP/second" | tail -n 1)"
is "exactly one of them moves, the other one is refused" "$(printf '%s\n' $first $second | sort -n | paste -sd' ')" "0 28"
ok "for its memory" grep -qh memory-fits "$TMP/first" "$TMP/second"
where() { # VM EXIT-CODE NODE: where it must be
    (($2 == 0)) && echo nodeC || echo "$3"
}
VM=one
ok "the one runs where it must, and nowhere else" retry 10 runs_once "$(where one $first nodeA)"
VM=two
ok "the other, too" retry 10 runs_once "$(where two $second nodeB)"
ok "nodeC's memory is this machine's again" on nodeC umount /proc/meminfo
is "nodeC has the disk of one VM" "$(on nodeC ls "/dev/csv/$VOLUME" | wc -l)" 1

# ---- bandwidth: two MiB/s for all that nodeA sends ----
ok "nodeC takes more again" setting nodeC limits memory_reserve_mib=64
speed_is() { # VM MIB [NODE]
    local got
    got=$(on "${3:-nodeA}" virsh -q migrate-getspeed "$1")
    echo "$1 is sent with ${got//[[:space:]]/} MiB/s, wanted $2; $(ctl nodeA job list | grep -E " perform |waiting")"
    [[ ${got//[[:space:]]/} == "$2" ]]
}
speeds_are() {
    speed_is three "$1" && speed_is four "$2"
}
ok "nodeA has two MiB/s for its moves" setting nodeA network migration_mib_s=2
job3=$(ctl nodeA move three nodeB --detach 2>"$TMP/refused") || sed "s/^/# /" "$TMP/refused"
ok "the only move has all of it" retry 60 speed_is three 2
job4=$(ctl nodeA move four nodeC --detach 2>"$TMP/refused") || sed "s/^/# /" "$TMP/refused"
ok "two have half of it each" retry 60 speeds_are 1 1
ok "one of them is cancelled" ctl nodeA job cancel "$job3"
ok "who is left has all of it again" retry 60 speed_is four 2
ok "the other one, too" ctl nodeA job cancel "$job4"
VM=three
ok "both stay where they are" retry 10 runs_once nodeA

# ---- the same for what a node receives: nodeB, from nodeA and from nodeC, which send as they like ----
both_come_with() {
    speed_is three "$1" && speed_is "$comer" "$1" nodeC
}
((first == 0)) && comer=one || comer=two
ok "nodeA has no limit any more" setting nodeA network migration_mib_s=0
ok "nodeB takes two MiB/s of moves that come" setting nodeB network migration_mib_s=2
job3=$(ctl nodeA move three nodeB --detach 2>"$TMP/refused") || sed "s/^/# /" "$TMP/refused"
ok "the only one that comes has all of it" retry 60 speed_is three 2
job4=$(ctl nodeC move "$comer" nodeB --detach 2>"$TMP/refused") || sed "s/^/# /" "$TMP/refused"
ok "two that come from different nodes have half of it each" retry 60 both_come_with 1
ok "the second one is cancelled" ctl nodeC job cancel "$job4"
ok "who still comes has all of it again" retry 60 speed_is three 2
ok "and is cancelled" ctl nodeA job cancel "$job3"
ok "it stays, too" retry 10 runs_once nodeA
VM=$comer
ok "and so does the other one" retry 10 runs_once nodeC
ok "the volume is in order" volume_clean
done_testing
