#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A coordinator's node freezes in the middle of changes and wakes after another one has taken its role: it changes no sector
# of the catalogue any more. Once, or ten times (MIGRATED_TEST_FULL=1).
# takes: 70
# full-timeout: 1800
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"
# shellcheck source=../lib/failures.sh
. "$(dirname "$(readlink -f "$0")")/../lib/failures.sh"

ROUNDS=1
[[ -z ${MIGRATED_TEST_FULL:-} ]] || ROUNDS=10
TAKE_OVER_S=120
AWAKE_S=8 # in which what was under way would be written

# One change after the other over one connection, so that there is one under way at any time; what was acknowledged is kept.
changing() { # NODE
    on "$1" python3 -c '
import json, os, socket, sys
volume, number, stop, there = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.connect("/run/migrated/socket")
def asked(method, **parameters):
    s.sendall(json.dumps({"method": "io.migrated." + method, "parameters": dict(parameters, volume=volume)}).encode() + b"\0")
    data = b""
    while not data.endswith(b"\0"):
        more = s.recv(65536)
        if not more:
            sys.exit()
        data += more
    if "error" in json.loads(data[:-1]):
        sys.exit()
kept, count = [], 0
while not os.path.exists(stop):
    count += 1
    name = "r%s-%d" % (number, count)
    asked("CreateImage", name=name, size=1 << 20)
    kept.append(name)
    with open(there, "w") as file:
        file.write("\n".join(kept) + "\n")
    if count > 8:
        gone = kept.pop(0)
        with open(there, "w") as file: # whether it goes may not be told any more
            file.write("\n".join(kept) + "\n")
        asked("DeleteImage", name=gone)
' $VOLUME "$round" "$TMP/stop" "$TMP/there.$round"
}

# All VM and image slots, as the LUN has them
save_catalogue() { # NODE FILE
    on "$1" dd if=$LUN "of=$2" bs=1M "skip=$from_mib" "count=$mib" iflag=direct status=none
}

# Which blocks differ, if any, and who wrote them: the header's fields, see csv-format(5)
tell_changed() { # BEFORE AFTER
    python3 -c '
import struct, sys
before, after = (open(name, "rb").read() for name in sys.argv[1:])
BLOCK, failed = 4096, 0
for at in range(0, len(after), BLOCK):
    if before[at:at + BLOCK] != after[at:at + BLOCK]:
        address, generation, version, life, host = struct.unpack_from("<QQQQI", after, at + 32)
        print("%d: %r, generation %d, lease version %d of host %d.%d" % (at, after[at:at + 8], generation, version, host, life))
        failed = 1
sys.exit(failed)
' "$@"
}

# The slots lie between what csv-format(5) says: offsets in the superblock, little endian
find_catalogue() {
    local super
    super=$(on nodeA sh -c "dd if=$LUN bs=4096 count=1 iflag=direct status=none | od -A n -t u8 -j $((128 + 120)) -N 24 -w24")
    read -r vms images data <<<"$super"
    from_mib=$((vms / 1048576)) mib=$((data / 1048576 - vms / 1048576))
    echo "VM slots at $vms, image slots at $images, data at $data"
    ((vms > 0 && vms < images && images < data && vms % 1048576 == 0 && data % 1048576 == 0))
}

unchanged_for() { # SECONDS NODE
    local begun=$SECONDS
    while ((SECONDS - begun < $1)); do
        save_catalogue "$2" "$TMP/catalogue.now"
        tell_changed "$TMP/catalogue" "$TMP/catalogue.now" || return 1
        sleep 0.5
    done
}

# What the woken one had free, and was about to fill with zeroes, is the new one's now.
unchanged_image() { # NODE IMAGE
    rm -f "$TMP/back"
    on "$1" csvtool export $LUN "$2" "$TMP/back" && cmp "$TMP/random" "$TMP/back"
}

is_back() {
    ctl "$1" status --json | jq -e '[.volumes[0].state, (.nodes | map(select(.state == "up")) | length)] == ["attached", 3]' >/dev/null
}

all_there() {
    cat "$TMP"/there.* | sort >"$TMP/wanted"
    ctl nodeA image list $VOLUME --json | jq -r '.images[].name' | sort >"$TMP/listed"
    echo "$(wc -l <"$TMP/wanted") acknowledged, $(wc -l <"$TMP/listed") there"
    [[ -s $TMP/wanted && -z $(comm -23 "$TMP/wanted" "$TMP/listed") && -z $(uniq -d "$TMP/listed") ]]
}

one_round() {
    local was other changes
    ok "$round: one coordinates" retry 30 has_coordinator nodeA
    was=$(coordinator nodeA)
    other=$(other "$was")
    rm -f "$TMP/stop"
    changing "$was" &
    changes=$!
    sleep "1.$((RANDOM % 10))"
    # its LUN first: a change is in its middle then, and not at its beginning
    ok "$round: the LUN of $was stalls, which coordinates" "$LAB" disk "$was" stall
    sleep 0.5
    ok "$round: it freezes" "$LAB" freeze "$was"
    touch "$TMP/stop"
    ok "$round: another one takes over" retry $TAKE_OVER_S not_coordinated_by "$was" "$other"
    ok "$round: and changes the catalogue" ctl "$other" image import $VOLUME "after-$round" "$TMP/random" --format raw
    echo "after-$round" >>"$TMP/there.others"
    # what was in its kernel goes to the LUN, as from any host that has no reservation; its processes stand still
    ok "$round: its LUN goes on" "$LAB" disk "$was" ok
    sleep 1
    # what reached the LUN just now the new one makes whole with its next change, or seconds later by itself
    ok "$round: another change" ctl "$other" image create $VOLUME "whole-$round" 1M
    echo "whole-$round" >>"$TMP/there.others"
    # without a cable it can have nothing done by the new one, as it may
    ok "$round: its cables are out" cables "$was" down
    ok "$round: the catalogue is kept" save_catalogue "$other" "$TMP/catalogue"
    ok "$round: it wakes" "$LAB" thaw "$was"
    ok "$round: it changes no sector of the catalogue" unchanged_for $AWAKE_S "$other"
    ok "$round: nor of the new one's image" unchanged_image "$other" "after-$round"
    ok "$round: its cables are in" cables "$was" up
    kill -CONT $changes 2>/dev/null || true
    pkill -CONT -P $changes || true # its lab-on stopped with what it had started on the node
    wait $changes || true
    ok "$round: it is a member again" retry 120 is_back "$was"
    ok "$round: what was acknowledged is there" all_there
    ok "$round: the volume is in order" volume_clean
}

head -c 16M /dev/urandom >"$TMP/random"
cluster_up 3 --disk-faults --fence --io-timeout 2
# so the role is taken over in seconds, not when sanlock calls the host dead
ok "the fence agents lie: who is off goes on" set_mode lie
ok "all attach the volume" cluster_volume 2
ok "each sees all" retry 30 is_back nodeA
ok "the catalogue is found on the LUN" find_catalogue
for ((round = 1; round <= ROUNDS; round++)); do
    one_round
done
done_testing
