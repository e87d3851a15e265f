#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The verifier tells lost, doubled, reordered, corrupt and foreign records from good ones.
# takes: 5
set -euo pipefail
# shellcheck source=../lib/lab.sh
. "$(dirname "$(readlink -f "$0")")/../lib/lab.sh"

verify=$MIGRATED_BUILD/lab/lab-verify
ring=$TMP/ring
slots=64

# A ring that went round: records 1 to 200, of which 137 to 200 are left; record N lies in slot (N -
# 1) % 64.
fresh() {
    "$verify" --make "$ring" $slots
    "$verify" --fill "$ring" 136
    cp "$ring" "$ring.old"
    "$verify" --fill "$ring" 64
}

# copy_slot FROM-FILE RECORD TO-RECORD
copy_record() {
    dd if="$1" of="$ring" bs=4096 count=1 conv=notrunc status=none \
        skip=$((($2 - 1) % slots)) seek=$((($3 - 1) % slots))
}

damage() {
    printf 'X' | dd of="$ring" bs=1 conv=notrunc status=none seek=$((($1 - 1) % slots * 4096 + $2))
}

finds() {
    local name=$1 status=0
    shift
    "$verify" "$ring" "$@" >"$TMP/json" 2>"$TMP/findings" || status=$?
    cat "$TMP/json" "$TMP/findings"
    ((status == 1)) && grep -q "^$name slot=" "$TMP/findings"
}

"$verify" --make "$ring" $slots
ok "an empty ring is good" "$verify" "$ring"
ok "an acknowledged record in an empty ring is lost" finds lost --acked 1
"$verify" --fill "$ring" 10
ok "a ring not yet full is good" "$verify" "$ring" --acked 10
fresh
ok "a ring that went round is good" "$verify" "$ring" --acked 200
ok "a record acknowledged but not there is lost" finds lost --acked 201

damage 170 100
ok "a flipped byte is corrupt" finds corrupt
fresh
damage 170 4095
ok "a flipped byte of the checksum is corrupt" finds corrupt
fresh
copy_record "$ring.old" 106 170
ok "a write that never arrived is lost" finds lost
fresh
copy_record "$ring" 169 170
ok "a record written twice is doubled" finds doubled
fresh
cp "$ring" "$ring.copy"
copy_record "$ring.copy" 169 170
copy_record "$ring.copy" 170 169
ok "two records swapped are reordered" finds reordered
fresh
dd if=/dev/zero of="$ring" bs=4096 count=1 seek=5 conv=notrunc status=none
ok "a zeroed slot is corrupt" finds corrupt

# The newest one: gone without a trace unless its acknowledgement is known.
fresh
copy_record "$ring.old" 136 200
ok "a lost newest record shows by its acknowledgement" finds lost --acked 200

# The write after the newest record may be cut in the middle: it was not acknowledged.
fresh
damage 137 100
ok "a torn write after the newest record is allowed" "$verify" "$ring" --acked 200
ok "a torn write that was acknowledged is not" finds lost --acked 201

# The same number out of another history: sound by itself, but not the link that follows here.
fresh
cp "$ring" "$ring.copy"
MIGRATED_LAB_BOOT_ID=other "$verify" --fill "$ring.copy" 64
cp "$ring" "$ring.good"
"$verify" --fill "$ring.good" 64
cp "$ring.good" "$ring"
copy_record "$ring.copy" 230 230
ok "a record out of another history breaks the chain" finds chain
# Each boot of a guest is an epoch: they follow one another.
# fill WHO N
fill() {
    MIGRATED_LAB_BOOT_ID=$1 "$verify" --fill "$ring" "$2"
}

# boot_of WHO: as an acknowledgement names it
boot_of() {
    printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/$/00000000000000000000000000000000/' | cut -c1-32
}

fresh
fill first 10
fill second 10
ok "boots that follow one another are good" bash -c "'$verify' '$ring' --acked '220:$(boot_of second)' | grep '\"boots\":3'"
ok "an acknowledged record of another boot is found" finds epoch --acked "220:$(boot_of first)"
ok "one whose boot is not known is not judged by it" "$verify" "$ring" --acked 220
fill first 1
ok "an older boot's record behind those of a newer one is interleaved" finds interleaved
fill second 10
ok "also where the newer one goes on" finds interleaved
ok "a boot id that is none is refused" bash -c "'$verify' '$ring' --acked 220:xyz; [[ \$? == 2 ]]"

fresh
ok "a ring with an older half is lost" bash -c "
    dd if='$ring.old' of='$ring' bs=4096 count=32 conv=notrunc status=none
    ! '$verify' '$ring' 2>'$TMP/findings' && grep -q '^lost slot=' '$TMP/findings'"
ok "a truncated ring is refused" bash -c "truncate -s 4000 '$ring'; '$verify' '$ring'; [[ \$? == 2 ]]"
done_testing
