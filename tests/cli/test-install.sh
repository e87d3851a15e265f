#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-install.sh - 'meson install' brings all that a host needs, to where it is looked for, and leaves
# the administrator's configuration alone.
# usage: test-install.sh BUILD-ROOT SOURCE-ROOT
set -u
BUILD=$1
ROOT=$2
# shellcheck source=../lib/tap.sh
. "$ROOT/tests/lib/tap.sh"

prefix=$(meson introspect --buildoptions "$BUILD" |
    python3 -c 'import json, sys; print({o["name"]: o["value"] for o in json.load(sys.stdin)}["prefix"])')

install_into() {
    DESTDIR=$1 meson install -C "$BUILD" --no-rebuild
}

ok "the tree is installed" install_into "$TMP/host"
for path in bin/migratectl sbin/migrated sbin/csvtool lib/systemd/system/migrated.service lib/sysusers.d/migrated.conf \
    lib/systemd/system/wdmd.service.d/50-migrated.conf \
    lib/tmpfiles.d/migrated.conf share/bash-completion/completions/migratectl share/man/man1/migratectl.1 \
    share/man/man8/migrated.8 share/man/man5/migrated.conf.5 share/doc/migrated/migrated.conf; do
    ok "there is $path" test -s "$TMP/host$prefix/$path"
done
if [[ $prefix == /usr || $prefix == /usr/local ]]; then
    etc=$TMP/host/etc
else
    etc=$TMP/host$prefix/etc
fi
ok "the hook is where libvirt looks" test -x "$etc/libvirt/hooks/qemu.d/50-migrated"
ok "the unit starts the daemon that is there" \
    test -x "$TMP/host$(sed -n 's/^ExecStart=//p' "$TMP/host$prefix/lib/systemd/system/migrated.service")"
ok "a host is in no cluster yet: the configuration names none" \
    cmp "$etc/migrated/migrated.conf" "$ROOT/conf/migrated.conf"
echo "name=kept" >"$etc/migrated/migrated.conf"
ok "a newer one is installed over it" install_into "$TMP/host"
is "the configuration is as it was" "$(cat "$etc/migrated/migrated.conf")" "name=kept"
ok "nothing is installed for the lab or for tests" \
    test -z "$(find "$TMP/host" -name '*lab*' -o -name '*test*' -o -name '*.a')"
done_testing
