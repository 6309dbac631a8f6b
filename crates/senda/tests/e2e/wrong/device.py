"""A device that is wrong in one way: clients/python/senda.py with one rule broken.

    python3 device.py DIRECTORY_OF_SENDA_PY FAULT tcp|udp ADDRESS

Sends a reading every tenth of a second until it is killed. The fault `none` is the client as it is.
"""
import os
import struct
import sys
import time
from binascii import crc32

sys.path.insert(0, sys.argv[1])
import senda  # noqa: E402


class Repairing:
    """A socket that mends the CRC of every message that it receives: nothing is ever damaged."""
    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def recv(self, size):
        data, good = self.real.recv(size), b''
        while len(data) >= 16:
            length = struct.unpack_from('>H', data, 2)[0]
            message, data = data[:length], data[length:]
            good += message[:-4] + struct.pack('>I', crc32(message[:-4]))
        return good + data


class ConstantStream(senda.Client):
    def __init__(self, *args):
        super().__init__(*args)
        self.stream = b'\x00\x00\x00\x01\x00\x00\x00\x02'


class HalfAStream(senda.Client):
    def __init__(self, *args):
        super().__init__(*args)
        self.stream = b'\x00\x00\x00\x01' + self.stream[4:]


class NewNonce(senda.Client):
    def ask(self, kind, seq, body):
        if kind == senda.HELLO and self.cookie != b'\0':
            self.nonce = os.urandom(8)
            body = self.stream + self.nonce + body[16:]
        super().ask(kind, seq, body)


class SkipsNumbers(senda.Client):
    def send(self, values):
        self.row += 1
        return super().send(values)


class ReusesNumbers(senda.Client):
    def ask(self, kind, seq, body):
        if kind == senda.ROWS:      # The same number, another time.
            body = body[:4] + struct.pack('>q', time.time_ns() // 1000) + body[12:]
            self.tries = 0
        super().ask(kind, seq, body)


class Impatient(senda.Client):
    FIRST_WAIT = 0.05


class ImpatientAfterNack(senda.Client):
    def nack(self, seq, kind, code, count, retry, text):
        super().nack(seq, kind, code, count, 0, text)


class ImpatientAfterClose(senda.Client):
    def begin_again(self, code, ms, size, text):
        super().begin_again(code, 0, size, text)


class BelievesDamage(senda.Client):
    def connect(self):
        super().connect()
        self.socket = Repairing(self.socket)


class BelievesForeignAnswers(senda.Client):
    def handle(self, kind, session, seq, body):
        super().handle(kind, session, seq if self.session else int.from_bytes(self.nonce[4:], 'big'), body)


class ObeysForeignCloses(senda.Client):
    def handle(self, kind, session, seq, body):
        super().handle(kind, self.session if kind == senda.CLOSE else session, seq, body)


class BelievesAnyAck(senda.Client):
    def ack(self, seq, *rest):
        super().ack(min(seq, self.row + bool(self.body)), *rest)


class IgnoresTheWindow(senda.Client):
    def ack(self, seq, window=None, retry=0, *ranges):
        super().ack(seq, None, 0, *ranges)


class SilentWhenIdle(senda.Client):
    def welcome(self, *terms):
        super().welcome(*terms)
        self.keepalive = 1e9


class KeepsTheStream(senda.Client):
    def begin_again(self, code, ms, size, text):
        super().begin_again(407 if code == senda.REPLACED else code, ms, size, text)


class NeverSkips(senda.Client):
    def welcome(self, session, mark, *terms):
        super().welcome(session, max(mark, self.row), *terms)


class ResendsRefusedRows(senda.Client):
    def nack(self, seq, kind, code, count, retry, text):
        if code // 100 == 3 and (kind, seq) == self.flight:
            self.answered = True
        else:
            super().nack(seq, kind, code, count, retry, text)

    def ack(self, seq, *rest):
        if not self.answered:
            super().ack(seq, *rest)


class OtherToken(senda.Client):
    def write(self, kind, seq, body):
        super().write(kind, seq, bytes(8) if kind == senda.PONG else body)


class OtherFlags(senda.Client):
    def connect(self):
        super().connect()
        real = self.socket

        class Flagged(Repairing):
            def sendall(self, data):
                data = bytes([data[0] | 8]) + data[1:-4]
                real.sendall(data + struct.pack('>I', crc32(data)))
        self.socket = Flagged(real)


class AppliesAnything(senda.Client):
    def write(self, kind, seq, body):
        super().write(kind, seq, body[:5] + b'\0' + body[6:] if kind == senda.DONE else body)


class DoesItTwice(senda.Client):
    def order(self, kind, seq, body):
        self.control = 0
        super().order(kind, seq, body)


class AnswersTheUnknown(senda.Client):
    def handle(self, kind, session, seq, body):
        if kind == 0x06:
            self.write(senda.NACK, seq, struct.pack('>BHIIIB', kind, 302, 0, 0, 0, 0))
        super().handle(kind, session, seq, body)


class LongBodies(senda.Client):
    def write(self, kind, seq, body):
        super().write(kind, seq, body + b'\0' if kind == senda.PONG else body)


FAULTS = {
    'none': senda.Client, 'constant-stream': ConstantStream, 'half-a-stream': HalfAStream, 'new-nonce': NewNonce,
    'skips-numbers': SkipsNumbers, 'reuses-numbers': ReusesNumbers, 'impatient': Impatient,
    'impatient-after-nack': ImpatientAfterNack, 'impatient-after-close': ImpatientAfterClose,
    'believes-damage': BelievesDamage, 'believes-foreign-answers': BelievesForeignAnswers,
    'obeys-foreign-closes': ObeysForeignCloses, 'believes-any-ack': BelievesAnyAck,
    'ignores-the-window': IgnoresTheWindow, 'silent-when-idle': SilentWhenIdle, 'keeps-the-stream': KeepsTheStream,
    'never-skips': NeverSkips, 'resends-refused-rows': ResendsRefusedRows, 'other-token': OtherToken,
    'other-flags': OtherFlags, 'applies-anything': AppliesAnything, 'does-it-twice': DoesItTwice,
    'answers-the-unknown': AnswersTheUnknown, 'long-bodies': LongBodies,
}

_, _, fault, via, address = sys.argv
client = FAULTS[fault](via, address, 'wrong-1', 'house', ['temperature=i16:-1:Cel'], 0.1)
start = 0
while True:
    client.run(lambda: start + client.interval)
    start = time.monotonic()
    client.send([215])
