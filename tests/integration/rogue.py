# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the peer channel that does what no node does. Prints one line of what came of it.

usage: rogue.py [--cert PEM] ADDRESS PORT ACTION [ARGUMENT]...

  hello            shakes hands and asks who is there          "accepted" or "refused: WHY"
  hello12          the same with TLS 1.2 at most
  call METHOD JSON a call, and its answer as it came
  calls N METHOD JSON the same many times on one connection; the last answer
  plain            speaks without TLS
  hugehello BYTES  begins a handshake message of that length
  frame BYTES      a message of that length, and its answer
  drip-handshake   a byte a time                               "cut after N s"
  drip-frame       shakes hands, asks once, then a byte a time "cut after N s"
  stay             shakes hands, asks once, says "in", waits   "cut after N s"
  crowd N          N connections that shake hands and stay; how many got in
  tunnels N        the same with N tunnels to libvirt; how many are open
  attend           a connection to the unix socket ADDRESS: says "in", waits
  half N SECONDS   N connections that never say a word; what is closed is opened again, 500 a second
  serve SECONDS    is a node, at that address, and answers nothing; a line for each visitor
"""
import argparse
import errno
import json
import resource
import select
import socket
import ssl
import sys
import time

PATIENCE_S = 30


def context(args, server=False):
    kind = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
    made = ssl.SSLContext(kind)
    if not server:
        made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if args.action == 'hello12':
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    else:
        made.minimum_version = ssl.TLSVersion.TLSv1_3
    if args.cert:
        made.load_cert_chain(args.cert)
    return made


def connect(args):
    plain = socket.create_connection((args.address, args.port), PATIENCE_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    return plain


def secure(args):
    return context(args).wrap_socket(connect(args))


def frame(method, parameters='{}', length=0):
    text = '{"method":"%s","parameters":%s}' % (method, parameters)
    return text.ljust(length).encode() + b'\0'


INFO = frame('org.varlink.service.GetInfo')


def answer(stream):
    got = b''
    while not got.endswith(b'\0'):
        more = stream.recv(65536)
        if not more:
            raise ConnectionError('closed without an answer')
        got += more
    return got[:-1].decode()


def ask(stream, request=INFO):
    stream.sendall(request)
    return answer(stream)


def until_cut(stream, began):
    stream.settimeout(120)
    try:
        while stream.recv(4096):
            pass
    except OSError as error:
        if isinstance(error, TimeoutError):
            return 'not cut'
    return 'cut after %.1f s' % (time.monotonic() - began)


def is_cut(stream):
    """Of a socket that sends without looking: has the other end gone?"""
    stream.setblocking(False)
    try:
        return stream.recv(4096) == b''
    except (ssl.SSLWantReadError, BlockingIOError):
        return False
    except OSError:
        return True
    finally:
        stream.setblocking(True)


def drip(stream, data, began, pause):
    at = 0
    while time.monotonic() - began < 4 * PATIENCE_S:
        try:
            stream.sendall(data[at % len(data):][:1])
        except OSError:
            break
        at += 1
        time.sleep(pause)
        if is_cut(stream):
            break
    else:
        return 'not cut'
    return 'cut after %.1f s' % (time.monotonic() - began)


def hello(args):
    with secure(args) as stream:
        json.loads(ask(stream))
    return 'accepted'


def call(args):
    with secure(args) as stream:
        return ask(stream, frame(args.rest[0], args.rest[1]))


def calls(args):
    with secure(args) as stream:
        for _ in range(int(args.rest[0])):
            last = ask(stream, frame(args.rest[1], args.rest[2]))
    return last


def plain(args):
    with connect(args) as stream:
        return 'accepted: ' + ask(stream)


def hugehello(args):
    length = int(args.rest[0])
    body = b'\x01' + length.to_bytes(3, 'big') + b'\x03\x03' + bytes(length - 2)
    with connect(args) as stream:
        began = time.monotonic()
        for at in range(0, len(body), 16000):
            part = body[at:at + 16000]
            try:
                stream.sendall(b'\x16\x03\x01' + len(part).to_bytes(2, 'big') + part)
            except OSError:
                break
        return 'refused: ' + until_cut(stream, began)


def big_frame(args):
    with secure(args) as stream:
        said = ask(stream, frame('org.varlink.service.GetInfo', length=int(args.rest[0])))
        began = time.monotonic()
        if 'io.migrated.Protocol' in said:
            said += ', ' + until_cut(stream, began)
        return said


def drip_handshake(args):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(args).wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    with connect(args) as stream:
        return drip(stream, outgoing.read(), time.monotonic(), 0.1)


def drip_frame(args):
    with secure(args) as stream:
        ask(stream)
        return drip(stream, INFO[:-1], time.monotonic(), 0.1)


def stay(args):
    with secure(args) as stream:
        ask(stream)
        print('in', flush=True)
        return until_cut(stream, time.monotonic())


def crowd(args):
    inside = []
    for _ in range(int(args.rest[0])):
        try:
            stream = secure(args)
            ask(stream)
            inside.append(stream)
        except OSError:
            pass
    return '%d are in' % len(inside)


def tunnels(args):
    opened = []
    request = frame('io.migrated.Peer.OpenLibvirt')[:-2] + b',"upgrade":true}\0'
    for _ in range(int(args.rest[0])):
        stream = secure(args)
        ask(stream, request)
        opened.append(stream)
    time.sleep(1)
    return '%d are open' % sum(not is_cut(stream) for stream in opened)


def attend(args):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(args.address)
        print('in', flush=True)
        return until_cut(stream, time.monotonic())


def half(args):
    count, until = int(args.rest[0]), time.monotonic() + float(args.rest[1])
    limit = count + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    poll = select.epoll()
    sockets, opened, closed, most = {}, 0, 0, 0
    credit = float(count)
    last = time.monotonic()
    while time.monotonic() < until:
        now = time.monotonic()
        credit = min(credit + (now - last) * 500, count)
        last = now
        while len(sockets) < count and credit >= 1:
            one = socket.socket()
            one.setblocking(False)
            code = one.connect_ex((args.address, args.port))
            if code not in (0, errno.EINPROGRESS):
                one.close()
                break
            sockets[one.fileno()] = one
            poll.register(one.fileno(), select.EPOLLIN | select.EPOLLHUP)
            opened, credit = opened + 1, credit - 1
            if opened == count:
                print('all were opened after %.1f s' % (count and time.monotonic() - until +
                                                        float(args.rest[1])), flush=True)
        most = max(most, len(sockets))
        for fd, _ in poll.poll(0.05):
            poll.unregister(fd)
            sockets.pop(fd).close()
            closed += 1
    return '%d opened, %d closed by the other end, %d at once' % (opened, closed, most)


def serve(args):
    until = time.monotonic() + float(args.rest[0])
    listener = socket.create_server((args.address, args.port))
    print('ready', flush=True)
    while time.monotonic() < until:
        listener.settimeout(max(0.01, until - time.monotonic()))
        try:
            visitor, _ = listener.accept()
            visitor.settimeout(2)
            with context(args, server=True).wrap_socket(visitor, server_side=True) as stream:
                print('it said: %s' % stream.recv(4096), flush=True)
        except OSError as error:
            print('it went: %s' % error, flush=True)
    return 'done'


ACTIONS = {'hello': hello, 'hello12': hello, 'call': call, 'calls': calls, 'plain': plain,
           'hugehello': hugehello, 'frame': big_frame, 'drip-handshake': drip_handshake,
           'drip-frame': drip_frame, 'stay': stay, 'crowd': crowd, 'tunnels': tunnels,
           'attend': attend, 'half': half, 'serve': serve}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cert')
    parser.add_argument('address')
    parser.add_argument('port', type=int)
    parser.add_argument('action', choices=ACTIONS)
    parser.add_argument('rest', nargs='*')
    args = parser.parse_args()
    try:
        print(ACTIONS[args.action](args), flush=True)
    except OSError as error:
        print('refused: %s' % error, flush=True)
        sys.exit(1)


main()
