"""A collector that is wrong in one way: a proxy in front of a right one, whose messages it changes.

    python3 collector.py FAULT TCP_ADDRESS UDP_ADDRESS

Prints `listening tcp=... udp=...`, and goes on until it is killed. The fault `none` changes nothing.
"""
import binascii
import selectors
import socket
import struct
import sys

RETRY, WELCOME, CLOSE, ACK, NACK, PONG = 0x02, 0x03, 0x0F, 0x20, 0x21, 0x43


def frame(first, kind, session, seq, body):
    message = struct.pack('>BBHII', first, kind, 16 + len(body), session, seq) + body
    return message + struct.pack('>I', binascii.crc32(message))


class Right:
    """Passes everything on. What comes from the collector may be changed, what comes from a device answered."""
    one_upstream = False

    def down(self, first, kind, session, seq, body):
        return [frame(first, kind, session, seq, body)]

    def up(self, datagram):
        return []


class ChangesWelcome(Right):
    count = 0

    def down(self, first, kind, session, seq, body):
        if kind == WELCOME:
            self.count += 1
            body = body[:16] + struct.pack('>q', self.count) + body[24:]
        return super().down(first, kind, session, seq, body)


class TalksLong(Right):
    def down(self, first, kind, session, seq, body):
        if kind == CLOSE:
            body = body[:6] + bytes([200]) + b'x' * 200
        return super().down(first, kind, session, seq, body)


class OtherToken(Right):
    def down(self, first, kind, session, seq, body):
        return super().down(first, kind, session, seq, body[::-1] if kind == PONG else body)


class AnswersNoise(Right):
    def up(self, datagram):
        if len(datagram) > 16 and struct.pack('>I', binascii.crc32(datagram[:-4])) != datagram[-4:]:
            return [frame(0xA1, CLOSE, 0, 0, struct.pack('>HIB', 406, 0, 0))]
        return []


class AcksTheUnknown(Right):
    def down(self, first, kind, session, seq, body):
        if kind == NACK and body[1:3] == struct.pack('>H', 201):
            return [frame(first, ACK, session, seq + 2, b'')]
        return super().down(first, kind, session, seq, body)


class RefusesLate(Right):
    held = None

    def down(self, first, kind, session, seq, body):
        message = super().down(first, kind, session, seq, body)
        if kind == NACK:
            self.held = message
            return []
        if kind == ACK and self.held:
            message, self.held = message + self.held, None
        return message


class AcksOverGaps(Right):
    def down(self, first, kind, session, seq, body):
        if kind == ACK and len(body) > 10 and body[9]:
            seq, body = struct.unpack('>I', body[-4:])[0], b''
        return super().down(first, kind, session, seq, body)


class AnswersCloses(Right):
    def up(self, datagram):
        if datagram[1] == CLOSE:
            return [frame(0xA1, CLOSE, 0, 0, struct.pack('>HIB', 407, 0, 0))]
        return []


class OtherFlags(Right):
    def down(self, first, kind, session, seq, body):
        return super().down(first | 4 if kind == ACK else first, kind, session, seq, body)


class SpeaksTwo(Right):
    def down(self, first, kind, session, seq, body):
        if kind == CLOSE and body[:2] == struct.pack('>H', 404):
            body = body[:6] + b'\x012'
        return super().down(first, kind, session, seq, body)


class CookiesForAll(Right):
    """To the collector behind it every device has one address."""
    one_upstream = True


class Amplifies(Right):
    def down(self, first, kind, session, seq, body):
        return super().down(first, kind, session, seq, body) * (5 if kind == RETRY else 1)


class LongRetry(Right):
    def down(self, first, kind, session, seq, body):
        return super().down(first, kind, session, seq, bytes([64]) + b'c' * 64 if kind == RETRY else body)


class KeepsTheOlder(Right):
    def down(self, first, kind, session, seq, body):
        replaced = kind == CLOSE and body[:2] == struct.pack('>H', 402)
        return [] if replaced else super().down(first, kind, session, seq, body)


class RefusesSilently(Right):
    def down(self, first, kind, session, seq, body):
        refused = kind == NACK and body[1:3] == struct.pack('>H', 301)
        return [] if refused else super().down(first, kind, session, seq, body)


class LongBodies(Right):
    def down(self, first, kind, session, seq, body):
        return super().down(first, kind, session, seq, body + b'\0' if kind == ACK else body)


FAULTS = {
    'none': Right, 'changes-welcome': ChangesWelcome, 'talks-long': TalksLong, 'other-token': OtherToken,
    'answers-noise': AnswersNoise, 'acks-the-unknown': AcksTheUnknown, 'refuses-late': RefusesLate,
    'acks-over-gaps': AcksOverGaps, 'answers-closes': AnswersCloses, 'other-flags': OtherFlags, 'speaks-two': SpeaksTwo,
    'cookies-for-all': CookiesForAll, 'amplifies': Amplifies, 'long-retry': LongRetry, 'keeps-the-older': KeepsTheOlder,
    'refuses-silently': RefusesSilently, 'long-bodies': LongBodies,
}


def split(data):
    """The messages at the start of data, and the rest."""
    messages = []
    while len(data) >= 16 and len(data) >= struct.unpack_from('>H', data, 2)[0]:
        length = struct.unpack_from('>H', data, 2)[0]
        messages.append(data[:length])
        data = data[length:]
    return messages, data


def changed(fault, messages):
    for message in messages:
        first, kind, _, session, seq = struct.unpack_from('>BBHII', message)
        yield from fault.down(first, kind, session, seq, message[12:-4])


class Proxy:
    def __init__(self, fault, tcp, udp):
        self.make, self.tcp, self.udp = fault, tcp, udp
        self.selector, self.links = selectors.DefaultSelector(), {}
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(('127.0.0.1', 0))
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.watch(self.front, self.from_device)
        self.watch(self.listener, self.accept)

    def watch(self, sock, action):
        self.selector.register(sock, selectors.EVENT_READ, action)

    def from_device(self, front):
        datagram, device = front.recvfrom(65536)
        key = 'all' if self.make.one_upstream else device
        if key not in self.links:
            upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            upstream.connect(self.udp)
            self.links[key] = [upstream, device, self.make()]
            self.watch(upstream, lambda upstream: self.from_collector(upstream, self.links[key]))
        self.links[key][1] = device
        upstream, _, fault = self.links[key]
        for answer in fault.up(datagram):
            front.sendto(answer, device)
        upstream.send(datagram)

    def from_collector(self, upstream, link):
        messages, _ = split(upstream.recv(65536))
        for message in changed(link[2], messages):
            self.front.sendto(message, link[1])

    def accept(self, listener):
        device, _ = listener.accept()
        upstream = socket.create_connection(self.tcp)
        fault, rest = self.make(), [b'', b'']

        def end():
            for sock in (device, upstream):
                self.selector.unregister(sock)
                sock.close()

        def read(sock, other, side):
            try:
                data = sock.recv(65536)
                if not data:
                    return end()
                if side == 0:
                    messages, rest[0] = split(rest[0] + data)
                    for answer in (answer for message in messages for answer in fault.up(message)):
                        device.sendall(answer)
                    return other.sendall(data)
                messages, rest[1] = split(rest[1] + data)
                for message in changed(fault, messages):
                    other.sendall(message)
            except OSError:
                end()
        self.watch(device, lambda sock: read(sock, upstream, 0))
        self.watch(upstream, lambda sock: read(sock, device, 1))

    def run(self):
        print('listening tcp=127.0.0.1:%d udp=127.0.0.1:%d'
              % (self.listener.getsockname()[1], self.front.getsockname()[1]), flush=True)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj.fileno() >= 0:
                    key.data(key.fileobj)


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


Proxy(FAULTS[sys.argv[1]], address(sys.argv[2]), address(sys.argv[3])).run()
