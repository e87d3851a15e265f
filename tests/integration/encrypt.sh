#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What goes over the migration network: a text in the guest's memory is seen there with encrypt=no, and never by
# default; two nodes that do not agree move nothing.
# takes: 55
set -euo pipefail
# shellcheck source=../lib/cluster.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cluster.sh"

MARK=marker-$RANDOM$RANDOM$RANDOM-in-the-guests-memory
MIB_S=40 # slow enough for tcpdump to see all of it
TLS_DIR=/etc/pki/qemu/migrated
AWAIT_PORT=49900
LEAF=$MIGRATED_BUILD/tests/integration/test-leaf
dump_pid=""

log_of() {
    echo "$MIGRATED_LAB_DIR/$1/log/migrated.out"
}

# capture_start NAME: all of the migration network, at the switch
capture_start() {
    "$LAB" on switch tcpdump -Z root -i mig -s 0 -B 65536 -U -w "$TMP/$1.pcap" tcp >/dev/null 2>"$TMP/$1.dump" &
    dump_pid=$!
    retry 10 grep -q listening "$TMP/$1.dump"
}

capture_end() {
    sleep 0.5 # what is in its buffer yet
    kill -TERM "$(pgrep -P $dump_pid tcpdump || echo $dump_pid)"
    wait $dump_pid || true
    dump_pid=""
}

# Nothing of that capture was lost, and it holds at least so many bytes
is_complete() { # NAME BYTES
    cat "$TMP/$1.dump"
    ls -l "$TMP/$1.pcap"
    grep -q '^0 packets dropped by kernel' "$TMP/$1.dump" &&
        (($(stat -c %s "$TMP/$1.pcap") > $2))
}

marks_in() { # NAME
    grep -aoF "$MARK" "$TMP/$1.pcap" | wc -l
}

# What the last move from that node has sent; a tenth of it may not have been on the wire, as libvirt counts
sent() {
    echo $(($(job_says "$1" '.transferred // 0') / 10 * 9))
}

move() { # FROM TO
    ctl "$1" move "$VM" "$2" --bandwidth $MIB_S
}

# An attribute of the last job on that node
job_says() { # NODE FILTER
    ctl "$1" job show "$(ctl "$1" job list --json | jq -r '.jobs[-1].id')" --json | jq -r ".job | $2"
}

checks_say() { # NODE VERDICT
    job_says "$1" '.checks[] | select(.name == "encryption") | "\(.verdict): \(.text); \(.advice)"' |
        tee /dev/stderr | grep -q "^$2: "
}

# set_encrypt NODE yes|no: and its daemon starts anew
set_encrypt() {
    on "$1" sed -i "/^\[moves\]/d; /^encrypt=/d; \$a [moves]\nencrypt=$2" /etc/migrated/migrated.conf
    "$LAB" service "$1" migrated stop
    "$LAB" service "$1" migrated start
    retry "$WAIT_S" encrypts nodeA "$1" "$2" && retry "$WAIT_S" encrypts nodeB "$1" "$2" &&
        retry "$WAIT_S" all_up nodeA && retry "$WAIT_S" all_up nodeB
}

all_up() {
    [[ $(status_of "$1" '[.nodes[] | select(.state == "up")] | length') == 2 ]]
}

encrypts() { # ASKED NODE yes|no
    [[ $(status_of "$1" ".nodes[] | select(.name == \"$2\") | select(.state == \"up\") | if .encrypts then \"yes\" else \"no\" end") == "$3" ]]
}

files_right() {
    on "$1" sh -euc 'cd "$1"; stat -c "%n %F %a %U" . *
        test "$(stat -c "%a %u" .)" = "750 0"
        test "$(stat -c "%a %u" leaf.pem)" = "400 0"
        test "$(stat -c "%a %u" ca-cert.pem)" = "640 0"
        test "$(grep -c "BEGIN CERTIFICATE" ca-cert.pem)" = 2' sh "$TLS_DIR"
}

files_gone() {
    ! on "$1" sh -c "ls $TLS_DIR | grep ."
}

# A QEMU that waits as one on which a VM is awaited, with what nodeA has for it now
await_start() {
    on nodeA qemu-system-x86_64 -machine none -nodefaults -display none -pidfile "$TMP/await.pid" -daemonize \
        -object "tls-creds-x509,id=tls,dir=$TLS_DIR,endpoint=server,verify-peer=yes" \
        -chardev "socket,id=c,host=10.77.1.1,port=$AWAIT_PORT,server=on,wait=off,tls-creds=tls"
}

await_end() {
    # shellcheck disable=SC2016
    on nodeA sh -c 'kill "$(cat "$1")"' sh "$TMP/await.pid"
    retry 10 eval '! on nodeA pgrep -F "$TMP/await.pid" >/dev/null 2>&1'
}

# knock PORT [PEM]: what a QEMU of nodeA's, at its migration address, says to somebody on nodeB with this certificate, or
# with none. 'refused' is the word of a QEMU that speaks TLS; that nobody listens there, or no TLS, is another one.
knock() {
    knock_at nodeB 10.77.1.1 "$@"
}

knock_at() { # FROM ADDRESS PORT [PEM]
    local from=$1
    shift
    on "$from" python3 - "$@" <<'END'
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if len(sys.argv) > 3:
    context.load_cert_chain(sys.argv[3])
def end(word):
    print(word)
    sys.exit()
try:
    plain = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
except OSError as e:
    end('nobody listens: %s' % e)
try:
    stream = context.wrap_socket(plain)
except ssl.SSLError as e:
    end('refused' if 'ALERT' in (e.reason or '') else 'no TLS: %s' % e)
except OSError as e:
    end('no TLS: %s' % e)
try:
    stream.settimeout(2) # with TLS 1.3 it is the first answer that tells
    print('accepted' if stream.recv(1) else 'refused')
except socket.timeout:
    print('accepted')
except (ssl.SSLError, OSError):
    print('refused')
END
}

# hold on|off: QEMU on nodeA does not get through to one that awaits its VM; nodeB itself does
hold() {
    local what=-A
    [[ $1 == on ]] || what=-D
    on nodeB iptables $what INPUT -i mig0 -p tcp --dport 49152:49215 -j DROP
}

# The port on which the QEMU that libvirt has started awaits the VM on nodeB; empty: on none
awaits() {
    on nodeB ss -Hltn | awk '{ sub(".*:", "", $4); if ($4 >= 49152 && $4 <= 49215) print $4 }' | grep .
}

knows_roots() { # NODE COUNT
    [[ $(on "$1" grep -c 'BEGIN CERTIFICATE' $TLS_DIR/ca-cert.pem) == "$2" ]]
}

cluster_run 2 2
ok "its memory holds a text" "$LAB" http $IP "/mark?text=$MARK"
ok "both nodes encrypt" encrypts nodeA nodeB yes
ok "QEMU's folder is closed, and knows both nodes" files_right nodeA
ok "and on the other one" files_right nodeB

# ---- by default ----

ok "all of the migration network is captured" capture_start default
ok "the VM moves" move nodeA nodeB
capture_end
ok "the capture is complete" is_complete default "$(sent nodeA)"
is "the text is not to be seen" "$(marks_in default)" 0
is "the job says so" "$(job_says nodeA .encrypted)" true
ok "so does its check" checks_say nodeA pass
ok "it runs once" runs_once nodeB

# ---- the two do not agree ----

ok "nodeA says encrypt=no" set_encrypt nodeA no
ok "the key for QEMU is gone there" files_gone nodeA
ok "status warns of it" sh -c "'$LAB' on nodeB migratectl status | grep 'nodeA does not encrypt'"
exits "a move to it is refused" 28 ctl nodeB move "$VM" nodeA
like "by the check of that name" "$ERR" 'encryption: nodeB encrypts .* nodeA does not'
ok "it runs on" runs_once nodeB

# ---- in clear text ----

ok "nodeB says encrypt=no too" set_encrypt nodeB no
ok "all of the migration network is captured" capture_start clear
ok "the VM moves" move nodeB nodeA
capture_end
ok "the capture is complete" is_complete clear "$(sent nodeB)"
note "the text is to be seen $(marks_in clear) times"
ok "the text is to be seen" test "$(marks_in clear)" -gt 1000
is "the job says so" "$(job_says nodeB '.encrypted // false')" false
ok "so does its check" checks_say nodeB warn
ok "and the log" grep "the memory of $VM goes to nodeA in clear text" "$(log_of nodeB)"
ok "it runs once" runs_once nodeA

# ---- it cannot be done ----

ok "both encrypt again" set_encrypt nodeA yes
ok "both" set_encrypt nodeB yes
on nodeB sed -i 's/^migrate_tls_x509_cert_dir/#&/' /etc/libvirt/qemu.conf
exits "where libvirt does not know the folder, a move is refused" 28 ctl nodeA move "$VM" nodeB
like "by the same check" "$ERR" "encryption: nodeB cannot encrypt: .*'migratectl setup'"
on nodeB sed -i 's/^#migrate_tls_x509_cert_dir/migrate_tls_x509_cert_dir/' /etc/libvirt/qemu.conf
on nodeB sed -i 's/^migrate_tls_x509_verify.*/migrate_tls_x509_verify = 0/' /etc/libvirt/qemu.conf
exits "where anybody could send memory, a move is refused, too" 28 ctl nodeA move "$VM" nodeB
like "by the same check" "$ERR" "encryption: nodeB cannot encrypt: .* switches migrate_tls_x509_verify off"
on nodeB sed -i 's/^migrate_tls_x509_verify.*/migrate_tls_x509_verify = 1/' /etc/libvirt/qemu.conf
on nodeB sh -c "rm $TLS_DIR/*"
ok "files that somebody has removed are made again" move nodeA nodeB
ok "it runs once" runs_once nodeB

# ---- who gets at the port ----

# libvirt's own QEMU, between "prepare" and the source's call: for as long as that is held up
ok "the VM moves back" move nodeB nodeA
"$LEAF" "$MIGRATED_LAB_DIR/nodeB/var/migrated/pki/identity.pem" "$TMP/strange.pem" --own --name nodeA --dns nodeA
hold on
move nodeA nodeB >/dev/null 2>&1 &
held=$!
ok "a VM is awaited on nodeB" retry 30 awaits
port=$(awaits | head -n 1)
is "who has no certificate is refused there" "$(knock_at nodeB 10.77.1.2 "$port")" refused
is "so is who signed its own" "$(knock_at nodeB 10.77.1.2 "$port" "$TMP/strange.pem")" refused
ok "it is still awaited" awaits
hold off
status=0
wait $held || status=$?
is "then its own source gets in" $status 0
ok "it runs once" runs_once nodeB
like "and a port where nobody listens is none that refuses" "$(knock_at nodeB 10.77.1.2 "$port")" '^nobody listens'

# and one with nodeA's files that waits as long as we like, for who is let in would be the source
ok "the VM moves back" move nodeB nodeA
on nodeB cat $TLS_DIR/leaf.pem >"$TMP/leaf.pem"
ok "a QEMU waits as for a VM" await_start
is "it does not let in who has no certificate" "$(knock $AWAIT_PORT)" refused
is "it lets the QEMU of the other node in" "$(knock $AWAIT_PORT "$TMP/leaf.pem")" accepted
await_end
# shellcheck disable=SC2016
on nodeA sh -c 'kill -STOP "$(pgrep -o -x libvirtd)"' # which nothing here may wait for
ok "the other node leaves the cluster" ctl nodeB cluster leave
ok "its root is known here no more, though libvirt hangs" retry 15 knows_roots nodeA 1
# shellcheck disable=SC2016
on nodeA sh -c 'kill -CONT "$(pgrep -o -x libvirtd)"'
ok "its key is gone there" files_gone nodeB
ok "a QEMU waits again" await_start
is "it does not let in the one that was there" "$(knock $AWAIT_PORT "$TMP/leaf.pem")" refused
await_end
done_testing
