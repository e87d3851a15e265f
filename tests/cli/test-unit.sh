#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-unit.sh - migrated.service: systemd takes it, it is as closed as it was, and the daemon agrees.
# usage: test-unit.sh SERVICE-AS-BUILT SOURCE-ROOT MIGRATED
set -u
UNIT=$1
ROOT=$2
MIGRATED=$3
# What 'systemd-analyze security' may give at most, in tenths. Each thing that is opened has to be argued.
EXPOSURE=35
# shellcheck source=../lib/tap.sh
. "$ROOT/tests/lib/tap.sh"

# where it will be installed there is nothing yet: the built one stands for it
sed "s,^ExecStart=[^ ]*,ExecStart=$MIGRATED," "$UNIT" >"$TMP/migrated.service"

said=$(systemd-analyze verify --man=no "$TMP/migrated.service" 2>&1 | grep -F migrated.service)
ok "systemd understands every line of the unit" test -z "$said"
[ -z "$said" ] || note "$said"

systemd-analyze security --offline=true --no-pager "$TMP/migrated.service" >"$TMP/security" 2>&1
figure=$(sed -n 's/.*Overall exposure level for migrated.service: \([0-9.]*\).*/\1/p' "$TMP/security")
note "exposure ${figure:-unknown}"
ok "its exposure is ${EXPOSURE%?}.${EXPOSURE#?} at most" \
    test "$(tr -d . <<<"${figure:-99.9}")" -le $EXPOSURE
note "$(grep '^✗' "$TMP/security")"

sed -n 's/^CapabilityBoundingSet=//p' "$UNIT" | tr ' ' '\n' | sort >"$TMP/unit"
sed -n '/ kept\[\] = {/,/}/p' "$ROOT/migrated/privileges.c" | grep -o 'CAP_[A-Z_]*' | sort >"$TMP/code"
ok "the daemon keeps the capabilities that the unit grants" diff "$TMP/unit" "$TMP/code"
grep -o 'CAP_[A-Z_]*' "$ROOT/migrated/privileges.h" | sort >"$TMP/text"
ok "and each is argued" diff "$TMP/unit" "$TMP/text"
done_testing
