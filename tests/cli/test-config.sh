#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-config.sh - migrated --check-config: what contradicts itself is refused by its name.
# usage: test-config.sh MIGRATED SOURCE-ROOT
set -u
MIGRATED=$1
# shellcheck source=../lib/tap.sh
. "$2/tests/lib/tap.sh"

conf() {
    printf '[node]\nname=nodeA\nhost_id=1\n[network]\nmanagement=10.0.0.1\nmigration=10.0.1.1/24\n' >"$TMP/conf"
    printf '%s\n' "$@" >>"$TMP/conf"
}

conf '[failover]' suspect_after_ms=4000 isolated_after_ms=4000
exits "a configuration that is one" 0 "$MIGRATED" --check-config --config "$TMP/conf"
conf '[failover]' suspect_after_ms=4001 isolated_after_ms=4000
exits "isolation before suspicion" 53 "$MIGRATED" --check-config --config "$TMP/conf"
like "isolation before suspicion: both are named" "$ERR" "$TMP/conf: .*isolated_after_ms=4000 .*suspect_after_ms=4001"
is "isolation before suspicion: one line" "$(printf '%s\n' "$ERR" | wc -l)" 1
exits "nor does the daemon start with it" 53 timeout 20 "$MIGRATED" --config "$TMP/conf"
done_testing
