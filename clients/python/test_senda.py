"""Tests of senda.py and example.py against a small scripted collector, written from spec/senda-1.md like the client.

    python3 -m unittest discover -s clients/python
"""
import binascii
import io
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest
import unittest.mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import senda  # noqa: E402

PATIENCE = 10.0     # seconds; no test waits longer for anything
TRANSPORTS = ('udp', 'tcp')
HELLO, RETRY, WELCOME, DECLARE, DECLARED, CLOSE = 0x01, 0x02, 0x03, 0x04, 0x05, 0x0F
ROWS, SKIP, ACK, NACK, CONFIG, COMMAND, ALERT = 0x10, 0x1F, 0x20, 0x21, 0x30, 0x31, 0x32
DONE, PING, PONG = 0x3F, 0x42, 0x43


def frame(kind, session, seq, body=b'', magic=0xA1):
    message = struct.pack('>BBHII', magic, kind, 16 + len(body), session, seq) + body
    return message + struct.pack('>I', binascii.crc32(message))


def b_text(text):
    return bytes([len(text.encode())]) + text.encode()


def close_body(code, retry_ms=0, text='why'):
    return struct.pack('>HI', code, retry_ms) + b_text(text)


def nack_body(kind, code, first=0, count=0, retry_ms=0, text='why'):
    return struct.pack('>BHIII', kind, code, first, count, retry_ms) + b_text(text)


def ack_body(window, retry_ms=0, ranges=()):
    return struct.pack('>IHHBB', window, 0, retry_ms, 0, len(ranges)) + b''.join(struct.pack('>II', *r) for r in ranges)


def named(name, code, raw, elements=1, exponent=0):
    return b_text(name) + struct.pack('>BbB', code, exponent, elements) + raw


def config_body(revision, *settings):
    return struct.pack('>IB', revision, len(settings)) + b''.join(settings)


class Message:
    """A message as the collector received it, its header checked."""
    def __init__(self, raw):
        self.raw, self.at = raw, time.monotonic()
        self.magic, self.kind, length, self.session, self.seq = struct.unpack_from('>BBHII', raw)
        self.body = raw[12:-4]
        assert self.magic in (0xA1, 0xA5) and length == len(raw) and len(raw) >= 23, raw.hex()
        assert struct.pack('>I', binascii.crc32(raw[:-4])) == raw[-4:], 'CRC'


class Hello:
    FIELDS = ('stream nonce next_row oldest_row keepalive_s max_msg ack_every ack_delay_ms suite downlink '
              'encodings config_rev last_command_id').split()

    def __init__(self, message):
        body = message.body
        for name, value in zip(self.FIELDS, struct.unpack_from('>QQIIIHHHBBHII', body)):
            setattr(self, name, value)
        self.device = body[47:47 + body[46]].decode()
        rest = body[47 + body[46]:]
        self.cookie = rest[1:1 + rest[0]]
        assert len(rest) == 1 + rest[0] and message.session == 0 and message.seq == 0


def read_description(raw):
    """Section 4.2: (schema name, [(name, type code, exponent, max_len, unit)])."""
    def text(at):
        return raw[at + 1:at + 1 + raw[at]].decode(), at + 1 + raw[at]
    name, at = text(0)
    count, = struct.unpack_from('>H', raw, at)
    at, channels = at + 2, []
    for _ in range(count):
        code, exponent, flags, elements, max_len = struct.unpack_from('>BbBBH', raw, at)
        assert flags == 0 and elements == 1
        channel, at = text(at + 6)
        unit, at = text(at)
        channels.append((channel, code, exponent, max_len, unit))
    assert at == len(raw)
    return name, channels


def read_rows(body, channels):
    """Section 5.7, count 1: (t0, values)."""
    schema, kind_and_count, t0 = struct.unpack_from('>HHq', body)
    assert schema == 0 and kind_and_count == 3 << 14 | 1
    at, values = 12, []
    for _, code, _, _, _ in channels:
        if code == 0x0C:
            values.append(body[at + 1:at + 1 + body[at]].decode())
            at += 1 + body[at]
        else:
            form = '>' + {1: '?', 2: 'B', 3: 'H', 4: 'I', 5: 'Q', 6: 'b', 7: 'h', 8: 'i', 9: 'q', 10: 'f', 11: 'd',
                          15: 'q'}[code]
            values.append(struct.unpack_from(form, body, at)[0])
            at += struct.calcsize(form)
    assert at == len(body)
    return t0, values


class Collector(threading.Thread):
    """A collector for one client. script(collector, message) may answer itself and return True."""
    def __init__(self, transport, script=None):
        super().__init__(daemon=True)
        self.transport, self.script = transport, script
        self.changed = threading.Condition()
        self.log, self.errors, self.outbox = [], [], []     # messages received; what went wrong here; to be sent
        self.mark, self.high, self.rows, self.descriptions, self.window = 0, 0, {}, {}, 1000
        self.streams, self.session, self.sessions, self.hellos = {}, 0, 0, []
        self.keepalive, self.commit_ms, self.options = 30, 0, b''
        kind = socket.SOCK_STREAM if transport == 'tcp' else socket.SOCK_DGRAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind(('127.0.0.1', 0))
        if transport == 'tcp':
            self.socket.listen(5)
        self.address = '127.0.0.1:%d' % self.socket.getsockname()[1]
        self.wake, self.waker = socket.socketpair()
        self.peer, self.connection, self.buffer, self.stopping = None, None, b'', False
        self.start()

    def stop(self):
        self.stopping = True
        self.waker.send(b'x')
        self.join(PATIENCE)
        assert not self.is_alive()
        for each in (self.socket, self.wake, self.waker, self.connection):
            if each:
                each.close()

    # What the test does from its own thread.
    def wait_for(self, condition, what='something'):
        with self.changed:
            if not self.changed.wait_for(lambda: condition() or self.errors, PATIENCE):
                raise AssertionError('waited in vain for ' + what)
        assert not self.errors, self.errors

    def kinds(self, *wanted):
        return [m for m in self.log if m.kind in wanted]

    def post(self, *messages):
        """Has messages sent to the client by the collector's thread."""
        self.outbox.append(b''.join(messages))
        self.waker.send(b'x')

    # The thread itself.
    def run(self):
        while not self.stopping:
            watched = [self.wake, self.socket] + ([self.connection] if self.connection else [])
            for ready in select.select(watched, [], [], PATIENCE)[0]:
                try:
                    if ready is self.wake:
                        self.wake.recv(100)
                        while self.outbox:
                            self.send_raw(self.outbox.pop(0))
                    elif self.transport == 'udp':
                        raw, self.peer = self.socket.recvfrom(2000)
                        assert len(raw) <= 1200
                        self.receive(raw)
                    elif ready is self.socket:
                        self.drop_connection()
                        self.connection, self.buffer = self.socket.accept()[0], b''
                    elif ready is self.connection:
                        self.read_connection()
                except Exception as error:      # shown by wait_for and at the end of each test
                    self.errors.append(repr(error))
                with self.changed:
                    self.changed.notify_all()

    def read_connection(self):
        try:
            data = self.connection.recv(65536)
        except OSError:
            data = b''
        if not data:
            self.drop_connection()
        self.buffer += data
        while self.connection and len(self.buffer) >= 12:
            length = struct.unpack_from('>H', self.buffer, 2)[0]
            if len(self.buffer) < length:
                break
            raw, self.buffer = self.buffer[:length], self.buffer[length:]
            self.receive(raw)

    def drop_connection(self):
        if self.connection:
            self.connection.close()
        self.connection, self.buffer = None, b''
        if self.transport == 'tcp':
            self.session = 0

    def send_raw(self, raw):
        if self.transport == 'udp':
            self.socket.sendto(raw, self.peer)
        elif self.connection:
            self.connection.sendall(raw)

    def answer(self, kind, seq, body=b'', session=None):
        self.send_raw(frame(kind, self.session if session is None else session, seq, body))

    def receive(self, raw):
        message = Message(raw)
        self.log.append(message)
        if message.kind == HELLO:
            self.hellos.append(Hello(message))
        if not (self.script and self.script(self, message)):
            self.serve(message)

    def serve(self, message):
        kind, seq, body = message.kind, message.seq, message.body
        if kind == HELLO:
            hello = self.hellos[-1]
            if self.transport == 'udp' and hello.cookie != b'a cookie':
                return self.answer(RETRY, hello.nonce & 0xFFFFFFFF, b_text('a cookie'), 0)
            self.mark, self.rows = self.streams.setdefault(hello.stream, [0, {}])
            return self.welcome(hello)
        if message.session != self.session:
            return self.answer(CLOSE, 0, close_body(401), message.session)
        if kind == DECLARE:
            part, parts, crc = struct.unpack_from('>BBI', body)
            assert (part, parts) == (0, 1) and crc == binascii.crc32(body[6:])
            self.descriptions[seq] = read_description(body[6:])
            self.answer(DECLARED, seq, body[2:6])
        elif kind == ROWS:
            assert message.magic == 0xA5 and seq < self.mark + self.window
            self.rows[seq] = read_rows(body, self.descriptions[0][1])
            self.resolve(seq, 1)
        elif kind == SKIP:
            count, cause, zero = struct.unpack('>IBH', body)
            assert zero == 0
            self.rows.update({row: 'skipped %d' % cause for row in range(seq, seq + count) if row not in self.rows})
            self.resolve(seq, count)
        elif kind == PING:
            assert len(body) == 8
            self.answer(PONG, seq, body)

    def welcome(self, hello, next_row=None, high_row=None):
        if not self.session or self.hello_nonce != hello.nonce:
            self.sessions += 1
            self.session, self.hello_nonce = 0x51B20000 + self.sessions, hello.nonce
        next_row = self.mark if next_row is None else next_row
        body = struct.pack('>QIIqIHHBBHIHHHHHII', random.getrandbits(64), next_row,
                           next_row if high_row is None else high_row, time.time_ns() // 1000, self.window, 16384, 1,
                           1, 0, self.commit_ms, self.keepalive, 1, 0, 256, 64, 64, 16384, 262144)
        self.answer(WELCOME, hello.nonce & 0xFFFFFFFF, body + self.options)

    def resolve(self, first, count):
        if first <= self.mark < first + count:
            self.mark = first + count
        self.save()
        self.answer(ACK, self.mark, ack_body(self.window))

    def save(self):
        self.streams[self.hellos[-1].stream] = [self.mark, self.rows]


def first_time(kind, action):
    """A script: does action(collector, message) for the first message of that kind, and nothing else with it."""
    seen = []

    def script(collector, message):
        if message.kind == kind and not seen:
            seen.append(message)
            action(collector, message)
            return True
    return script


class Case(unittest.TestCase):
    CHANNELS = ['temperature=i16:-1:Cel', 'door=bool', 'status=text']

    def start(self, transport, script=None, channels=None, **changes):
        quiet = unittest.mock.patch('sys.stderr', io.StringIO())
        quiet.start()
        self.addCleanup(quiet.stop)
        self.collector = collector = Collector(transport, script)
        for name, value in changes.items():
            setattr(collector, name, value)
        self.client = client = senda.Client(transport, collector.address, 'gh-7', 'house', channels or self.CHANNELS)
        client.FIRST_WAIT, client.FLEET_WAIT = 0.1, 0.1     # seconds; the real ones are 1 and 10
        self.addCleanup(self.finish, collector, client)
        return collector, client

    def finish(self, collector, client):
        client.close()
        collector.stop()
        self.assertEqual(collector.errors, [])

    def within(self, action, *arguments):
        """action(*arguments), which must not take longer than PATIENCE; its result."""
        outcome = []

        def work():
            try:
                outcome.append((action(*arguments), None))
            except BaseException as error:
                outcome.append((None, error))
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive(), 'the client hangs; received: %s' % [m.kind for m in self.collector.log])
        if outcome[0][1]:
            raise outcome[0][1]
        return outcome[0][0]

    def wait_once(self, client):
        """Only its first wait for an answer ends: what it sends does not depend on how busy the machine is."""
        waits = iter([0.1])
        client.back_off = lambda _: next(waits, PATIENCE)

    def send(self, *values):
        return self.within(self.client.send, values or (215, True, 'ok'))

    def idle_until(self, condition, what='something'):
        """Lets the client serve its session until the collector has seen what it waits for."""
        end = time.monotonic() + PATIENCE
        self.within(self.client.run, lambda: 0 if condition() else min(end, time.monotonic() + 0.02))
        self.assertTrue(condition(), 'waited in vain for ' + what)

    def each(self):
        for transport in TRANSPORTS:
            with self.subTest(transport):
                yield transport
                self.doCleanups()


class Delivery(Case):
    def test_every_type_arrives_bit_by_bit(self):
        kinds = 'bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 text time'.split()
        codes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15]
        low = [False, 0, 0, 0, 0, -2**7, -2**15, -2**31, -2**63, -0.0, 5e-324, '', -2**63]
        high = [True, 2**8 - 1, 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**7 - 1, 2**15 - 1, 2**31 - 1, 2**63 - 1,
                float('inf'), 1e308, 'größer \u20ac', 2**63 - 1]
        for transport in self.each():
            collector, client = self.start(transport, channels=['c_%s=%s' % (kind, kind) for kind in kinds])
            before = time.time_ns() // 1000
            self.assertEqual([self.send(*low), self.send(*high)], [0, 1])
            name, channels = collector.descriptions[0]
            self.assertEqual(name, 'house')
            self.assertEqual([c[1] for c in channels], codes)
            self.assertEqual([c[3] for c in channels], [255 if kind == 'text' else 0 for kind in kinds])
            self.assertEqual(repr(collector.rows[0][1]), repr(low))
            self.assertEqual(repr(collector.rows[1][1]), repr(high))
            self.assertTrue(before <= collector.rows[0][0] <= collector.rows[1][0] <= time.time_ns() // 1000)

    def test_schema_with_exponents_and_units(self):
        collector, _ = self.start('tcp', channels=['t=i16:-1:Cel', 'h=u8::%RH', 'n=u64:3', 'door=bool'])
        self.send(1, 2, 3, False)
        self.assertEqual(collector.descriptions[0][1], [('t', 7, -1, 0, 'Cel'), ('h', 2, 0, 0, '%RH'),
                                                        ('n', 5, 3, 0, ''), ('door', 1, 0, 0, '')])

    def test_hello_and_retry(self):
        for transport in self.each():
            collector, client = self.start(transport)
            client.FIRST_WAIT = PATIENCE        # nothing is lost here
            self.send()
            self.assertEqual([hello.cookie for hello in collector.hellos],
                             [b'', b'a cookie'] if transport == 'udp' else [b''])
            first, last = collector.hellos[0], collector.hellos[-1]
            self.assertEqual((first.stream, first.nonce), (last.stream, last.nonce))
            self.assertEqual((last.device, last.next_row, last.oldest_row, last.keepalive_s), ('gh-7', 1, 0, 30))
            self.assertEqual((last.max_msg, last.ack_every, last.suite, last.downlink, last.encodings),
                             (1200, 1, 0, 1, 1))
            self.assertEqual((last.config_rev, last.last_command_id), (0, 0))

    def test_many_retries_to_one_hello_are_answered_once(self):
        def many(collector, message):
            for n in range(20):
                collector.answer(RETRY, collector.hellos[-1].nonce & 0xFFFFFFFF, b_text('cookie %d' % n), 0)

        def script(collector, message):
            if message.kind == HELLO and len(collector.hellos) <= 2:
                many(collector, message)        # the second one has a cookie that is no longer good
                return True
            if message.kind == HELLO:
                collector.mark, collector.rows = 0, {}
                collector.welcome(collector.hellos[-1])
                return True
        collector, client = self.start('udp', script)
        waits = iter([PATIENCE, 0.1])           # the first HELLO is answered, the second is not
        client.back_off = lambda _: next(waits, PATIENCE)
        self.assertEqual(self.send(), 0)
        self.assertEqual(len(collector.hellos), 3)
        self.assertEqual([h.cookie for h in collector.hellos][:2], [b'', b'cookie 0'])
        self.assertEqual(len(set(h.nonce for h in collector.hellos)), 1)

    def test_unanswered_hello_is_repeated(self):
        for transport in self.each():
            collector, client = self.start(transport, first_time(HELLO, lambda *_: None))
            self.assertEqual(self.send(), 0)
            self.assertEqual(collector.hellos[0].nonce, collector.hellos[1].nonce)

    def test_close_says_407(self):
        for transport in self.each():
            collector, client = self.start(transport)
            self.send()
            session = collector.session
            client.close()
            collector.wait_for(lambda: collector.kinds(CLOSE), 'CLOSE')
            self.assertEqual(collector.kinds(CLOSE)[0].body[:2], struct.pack('>H', 407))
            self.assertEqual(collector.kinds(CLOSE)[0].session, session)

    def test_tcp_connection_refused_at_first(self):
        collector, client = self.start('tcp')
        listener, refused = client.address, socket.socket()
        refused.bind(('127.0.0.1', 0))      # bound and not listening: connections are refused
        client.address = ['127.0.0.1', str(refused.getsockname()[1])]
        original = client.begin_again

        def begin_again(*why):
            original(*why)
            client.address = listener
        client.begin_again = begin_again
        self.assertEqual(self.send(), 0)
        refused.close()


class Loss(Case):
    def test_first_ack_lost_on_udp(self):
        def lose(collector, message):
            collector.rows[0] = read_rows(message.body, collector.descriptions[0][1])
            collector.mark = 1
            collector.save()
        collector, _ = self.start('udp', first_time(ROWS, lose))
        self.assertEqual([self.send(), self.send()], [0, 1])
        rows = collector.kinds(ROWS)
        self.assertEqual([m.seq for m in rows], [0, 0, 1])
        self.assertEqual(rows[0].raw, rows[1].raw)
        self.assertGreaterEqual(rows[1].at - rows[0].at, 0.09)

    def test_declare_and_welcome_lost_on_udp(self):
        for kind in (DECLARE, HELLO):
            collector, _ = self.start('udp', first_time(kind, lambda *_: None))
            self.assertEqual(self.send(), 0)
            self.doCleanups()

    def test_eight_timeouts_on_udp_begin_a_new_session(self):
        def script(collector, message):
            client.FIRST_WAIT = 0.002 if message.kind == ROWS and collector.sessions == 1 else 0.1
            return client.FIRST_WAIT == 0.002
        collector, client = self.start('udp', script)
        self.assertEqual(self.send(), 0)
        self.assertEqual(len(collector.kinds(ROWS)), 9)
        self.assertEqual(len(set(h.nonce for h in collector.hellos)), 2)
        self.assertEqual(len(set(h.stream for h in collector.hellos)), 1)
        self.assertEqual(len(collector.kinds(DECLARE)), 1)

    def test_connection_lost_on_tcp_row_not_stored(self):
        collector, _ = self.start('tcp', first_time(ROWS, lambda collector, _: collector.drop_connection()))
        self.assertEqual([self.send(), self.send()], [0, 1])
        self.assertEqual([m.seq for m in collector.kinds(ROWS)], [0, 0, 1])
        first, second = collector.hellos
        self.assertEqual(first.stream, second.stream)
        self.assertNotEqual(first.nonce, second.nonce)
        self.assertEqual((second.next_row, second.oldest_row), (1, 0))
        self.assertEqual(len(collector.kinds(DECLARE)), 1)      # 5.4c: declares nothing again

    def test_connection_lost_on_tcp_row_stored(self):
        def store_and_drop(collector, message):
            collector.rows[0], collector.mark = 'stored', 1
            collector.save()
            collector.drop_connection()
        collector, _ = self.start('tcp', first_time(ROWS, store_and_drop))
        self.assertEqual([self.send(), self.send()], [0, 1])
        self.assertEqual([m.seq for m in collector.kinds(ROWS)], [0, 1])    # 6.4a: goes on from WELCOME.next_row

    def test_nothing_is_sent_again_on_a_tcp_connection(self):
        def late(collector, message):
            threading.Timer(0.5, lambda: collector.post(frame(ACK, collector.session, 1))).start()
        collector, client = self.start('tcp', first_time(ROWS, late))
        self.assertEqual(self.send(), 0)
        self.assertEqual(len(collector.kinds(ROWS)), 1)

    def test_silent_tcp_connection_is_given_up(self):
        def script(collector, message):
            client.FIRST_WAIT = 0.002 if message.kind == ROWS and collector.sessions == 1 else 0.1
            return client.FIRST_WAIT == 0.002
        collector, client = self.start('tcp', script)
        self.assertEqual(self.send(), 0)
        self.assertEqual((collector.sessions, len(collector.kinds(ROWS))), (2, 2))

    def test_schema_is_declared_once_and_lost_rows_are_skipped(self):
        for transport in self.each():
            collector, client = self.start(transport)
            self.assertEqual([self.send(), self.send()], [0, 1])
            collector.streams.clear()                           # an old backup
            collector.post(frame(CLOSE, collector.session, 0, close_body(101)))
            self.idle_until(lambda: collector.sessions == 2, 'a new session')
            self.assertEqual(self.send(), 2)
            self.assertEqual(collector.hellos[-1].oldest_row, 2)
            self.assertEqual([collector.rows[0], collector.rows[1]], ['skipped 2', 'skipped 2'])    # 6.4b


class Refusals(Case):
    def test_close_401_means_hello(self):
        for transport in self.each():
            collector, client = self.start(transport)
            self.assertEqual(self.send(), 0)
            collector.session = 0                               # it forgot the session, and will say so
            self.assertEqual(self.send(), 1)
            self.assertEqual(len(set(h.stream for h in collector.hellos)), 1)
            self.assertEqual(len(set(h.nonce for h in collector.hellos)), 2)
            self.assertEqual(sorted(collector.rows), [0, 1])

    def test_close_of_another_session_is_ignored(self):
        def script(collector, message):
            if message.kind == ROWS:
                collector.answer(CLOSE, 0, close_body(401), collector.session + 1)
                collector.answer(CLOSE, collector.hellos[-1].nonce & 0xFFFFFFFF, close_body(403), 0)
        for transport in self.each():
            collector, _ = self.start(transport, script)
            self.assertEqual([self.send(), self.send()], [0, 1])
            self.assertEqual(collector.sessions, 1)

    def test_close_waits_for_retry_after(self):
        def busy(collector, message):
            collector.answer(CLOSE, collector.hellos[-1].nonce & 0xFFFFFFFF, close_body(101, 400), 0)
        for transport in self.each():
            collector, _ = self.start(transport, first_time(HELLO, busy))
            self.assertEqual(self.send(), 0)
            self.assertGreaterEqual(collector.kinds(HELLO)[1].at - collector.kinds(HELLO)[0].at, 0.39)

    def test_answers_to_another_hello_are_ignored(self):
        def confuse(collector, message):
            wrong = collector.hellos[-1].nonce + 1 & 0xFFFFFFFF
            collector.answer(RETRY, wrong, b_text('wrong'), 0)
            collector.answer(CLOSE, wrong, close_body(405), 0)
            collector.answer(WELCOME, wrong, bytes(58), 77)
            collector.answer(ACK, 0, b'', 0)
        collector, client = self.start('udp', first_time(HELLO, confuse))
        self.wait_once(client)
        self.assertEqual(self.send(), 0)
        self.assertEqual([h.cookie for h in collector.hellos], [b'', b'', b'a cookie'])

    def test_what_belongs_to_a_session_is_ignored_before_welcome(self):
        def early(collector, message):
            for kind in (ACK, NACK, CONFIG, COMMAND, ALERT, PING):
                body = {NACK: nack_body(ROWS, 301, 0, 1), PING: bytes(8), ACK: b''}.get(kind, bytes(20))
                collector.answer(kind, collector.hellos[-1].nonce & 0xFFFFFFFF, body, 0)
            collector.serve(message)
        for transport in self.each():
            collector, _ = self.start(transport, first_time(HELLO, early))
            self.assertEqual(self.send(), 0)
            self.assertEqual(collector.kinds(PONG, DONE), [])

    def test_nack_103_waits_and_sends_again(self):
        def full(collector, message):
            collector.answer(NACK, message.seq, nack_body(ROWS, 103, 0, 1, 400))
        for transport in self.each():
            collector, _ = self.start(transport, first_time(ROWS, full))
            self.assertEqual(self.send(), 0)
            rows = collector.kinds(ROWS)
            self.assertEqual([m.seq for m in rows], [0, 0])
            self.assertGreaterEqual(rows[1].at - rows[0].at, 0.39)

    def test_nack_201_declares_again(self):
        def forgot(collector, message):
            collector.answer(NACK, message.seq, nack_body(ROWS, 201, 0, 1))
        for transport in self.each():
            collector, _ = self.start(transport, first_time(ROWS, forgot))
            self.assertEqual(self.send(), 0)
            self.assertEqual([m.kind for m in collector.kinds(DECLARE, ROWS)], [DECLARE, ROWS, DECLARE, ROWS])

    def test_nack_301_goes_on(self):
        def bad_value(collector, message):
            collector.answer(NACK, message.seq, nack_body(ROWS, 301, message.seq, 1))
            collector.resolve(message.seq, 1)
        for transport in self.each():
            collector, _ = self.start(transport, first_time(ROWS, bad_value))
            self.assertEqual([self.send(), self.send()], [None, 1])
            self.assertEqual(list(collector.rows), [1])

    def test_what_cannot_be_mended_is_skipped(self):
        for code in (203, 204, 299, 303, 901):      # 303 with count 0: nothing is resolved (5.26)
            def refuse(collector, message):
                collector.answer(NACK, message.seq, nack_body(ROWS, code))
            collector, _ = self.start('tcp', first_time(ROWS, refuse))
            self.assertEqual([self.send(), self.send()], [None, 1])
            self.assertEqual(collector.rows[0], 'skipped 3')
            self.doCleanups()

    def test_refused_schema(self):
        def conflict(collector, message):
            collector.answer(NACK, message.seq, nack_body(DECLARE, 202, text='other content'))
        collector, _ = self.start('tcp', first_time(DECLARE, conflict))
        with self.assertRaisesRegex(RuntimeError, 'other content'):
            self.send()

    def test_copies_draw_a_new_stream(self):
        def replaced(collector, message):
            collector.answer(CLOSE, 0, close_body(402))

        def copied(collector, message):
            collector.welcome(collector.hellos[-1], 0, 5)
        for transport in self.each():
            for script in (first_time(ROWS, replaced), first_time(HELLO, copied)):
                collector, _ = self.start(transport, script)
                self.assertEqual([self.send(), self.send()], [0, 1])
                self.assertEqual(len(set(h.stream for h in collector.hellos)), 2)
                self.assertEqual(sorted(collector.rows), [0, 1])
                self.doCleanups()

    def test_close_402_after_a_hello_that_was_given_up_keeps_the_stream_once(self):
        def replaced(collector, message):
            collector.answer(CLOSE, 0, close_body(402))
        for transport in self.each():
            for closes, streams in ((1, 1), (2, 2)):            # the second CLOSE 402 means a copy
                left = [replaced] * closes

                def script(collector, message):
                    if message.kind == HELLO and len(collector.hellos) == 1:
                        collector.answer(CLOSE, collector.hellos[-1].nonce & 0xFFFFFFFF, close_body(101), 0)
                        return True
                    if message.kind == ROWS and left:
                        left.pop()(collector, message)
                        return True
                collector, _ = self.start(transport, script)
                self.assertEqual(self.send(), 0)
                self.assertEqual(len(set(h.stream for h in collector.hellos)), streams)
                self.doCleanups()

    def test_window_0(self):
        def closed(collector, message):
            collector.rows[0] = 'stored'
            collector.mark, collector.window = 1, 0
            collector.answer(ACK, 1, ack_body(0, 1000))
            collector.window = 1000
        for transport in self.each():
            collector, _ = self.start(transport, first_time(ROWS, closed))
            self.assertEqual([self.send(), self.send()], [0, 1])
            rows = collector.kinds(ROWS)
            self.assertEqual([m.seq for m in rows], [0, 1])
            self.assertGreaterEqual(rows[1].at - rows[0].at, 0.99)

    def test_impossible_acks_are_ignored(self):
        def boast(collector, message):
            collector.answer(ACK, 2 ** 31, ack_body(1000))
            collector.answer(ACK, 2)
            collector.answer(ACK, 1, ack_body(1000)[:-1])       # malformed
            collector.answer(ACK, 0, ack_body(1000, ranges=[(3, 5)]))
            collector.answer(NACK, message.seq, nack_body(ROWS, 103))
        for transport in self.each():
            collector, _ = self.start(transport, first_time(ROWS, boast))
            self.assertEqual(self.send(), 0)
            self.assertEqual(len(collector.kinds(ROWS)), 2)


class Downlink(Case):
    def test_ping_is_answered(self):
        for transport in self.each():
            collector, client = self.start(transport)
            self.send()
            collector.post(frame(PING, collector.session, 77, b'a token.'))
            self.idle_until(lambda: collector.kinds(PONG), 'PONG')
            pong = collector.kinds(PONG)[0]
            self.assertEqual((pong.seq, pong.body, pong.session), (77, b'a token.', collector.session))

    def test_keepalive(self):
        for transport in self.each():
            collector, client = self.start(transport, keepalive=1)
            self.send()
            self.idle_until(lambda: collector.kinds(PING), 'PING')
            self.assertGreaterEqual(collector.kinds(PING)[0].at - collector.kinds(ROWS)[0].at, 0.9)
            self.assertEqual(len(collector.kinds(PING)[0].body), 8)

    def test_config(self):
        others = [named('batch_rows', 3, b'\0\1'), named('a.text', 12, b_text('some')), named('a.blob', 13, b'\0\2xy'),
                  named('a.vector', 10, bytes(12), 3), named('', 15, bytes(8)), named('enable.door', 1, b'\1')]
        wanted = config_body(9, *others, named('interval_ms', 4, struct.pack('>I', 250)))
        for transport in self.each():
            collector, client = self.start(transport)
            self.send()
            for _ in range(2):
                collector.post(frame(CONFIG, collector.session, 1, wanted))
            self.idle_until(lambda: len(collector.kinds(DONE)) == 2, 'two times DONE')
            first, second = collector.kinds(DONE)
            self.assertEqual(first.raw, second.raw)
            self.assertEqual((first.seq, first.body), (1, struct.pack('>BIB', CONFIG, 9, 0) + b'\0\0'))
            self.assertEqual((client.interval, client.config_rev), (0.25, 9))
            # A setting that is not there is back at its default; a lower number is ignored; malformed ones too.
            session = collector.session
            collector.post(frame(CONFIG, session, 3, config_body(10)), frame(CONFIG, session, 2, wanted),
                           frame(CONFIG, session, 4, wanted[:-1]), frame(CONFIG, session, 4, wanted + b'x'),
                           frame(CONFIG, session, 4, b''), frame(CONFIG, session, 4, config_body(9, b'\5')),
                           frame(PING, session, 5, bytes(8)))
            self.idle_until(lambda: collector.kinds(PONG), 'PONG')
            self.assertEqual([m.seq for m in collector.kinds(DONE)], [1, 1, 3])
            self.assertEqual((client.interval, client.config_rev), (1.0, 10))
            # The next HELLO says the revision, and control numbers begin anew.
            collector.post(frame(CLOSE, session, 0, close_body(407, 1)))
            self.idle_until(lambda: collector.sessions == 2, 'a new session')
            self.assertEqual(collector.hellos[-1].config_rev, 10)
            collector.post(frame(CONFIG, collector.session, 1, wanted))
            self.idle_until(lambda: len(collector.kinds(DONE)) == 4, 'DONE')
            self.assertEqual(client.interval, 0.25)

    def orders(self, transport, answer):
        """A client whose on_order notes what it is asked and returns answer, or raises it."""
        asked = []

        def on_order(kind, about, values):
            asked.append((kind, about, values))
            if isinstance(answer, Exception):
                raise answer
            return answer
        collector, client = self.start(transport)
        client.on_order = on_order
        self.send()
        return collector, client, asked

    def done(self, collector, count):
        self.idle_until(lambda: len(collector.kinds(DONE)) == count, 'DONE')
        return collector.kinds(DONE)[-1]

    def test_a_command_is_done_once_and_answered_as_often_as_it_comes(self):
        arguments = [named('', 1, b'\1'), named('a', 7, b'\xff\xd7'), named('n', 9, bytes(7) + b'\7'),
                     named('', 12, b_text('ö')), named('', 13, b'\0\2\0x'),
                     named('v', 10, struct.pack('>3f', 1, -2, 0.5), 3), named('t', 15, bytes(8))]
        body = struct.pack('>II', 5, 1000) + b_text('echo') + bytes([len(arguments)]) + b''.join(arguments)
        results = [('yes', 'bool', 0, True), ('n', 'i64', -2, -3), ('f', 'f64', 0, 0.5), ('text', 'text', 0, 'ö'),
                   ('blob', 'blob', 0, b'\0x'), ('v', 'u16', 0, 1, 2)]
        for transport in self.each():
            collector, client, asked = self.orders(transport, (senda.OK, 'done', results))
            for _ in range(2):
                collector.post(frame(COMMAND, collector.session, 3, body))
            first, second = self.done(collector, 2) and collector.kinds(DONE)
            self.assertEqual(first.raw, second.raw)
            answers = [named('yes', 1, b'\1'), named('n', 9, struct.pack('>q', -3), exponent=-2),
                       named('f', 11, struct.pack('>d', 0.5)), named('text', 12, b_text('ö')),
                       named('blob', 13, b'\0\2\0x'), named('v', 3, b'\0\1\0\2', 2)]
            head = struct.pack('>BIB', COMMAND, 5, 0) + b_text('done') + b'\6'
            self.assertEqual(first.body, head + b''.join(answers))
            self.assertEqual(asked, [(COMMAND, ['echo'], [
                ('', 'bool', 0, True), ('a', 'i16', 0, -41), ('n', 'i64', 0, 7), ('', 'text', 0, 'ö'),
                ('', 'blob', 0, b'\0x'), ('v', 'f32', 0, 1.0, -2.0, 0.5), ('t', 'time', 0, 0)])])
            # The id again under another number; lower numbers; malformed ones.
            session, empty = collector.session, named('', 4, b'', 0)       # of no elements
            collector.post(frame(COMMAND, session, 4, body), frame(COMMAND, session, 2, body),
                           frame(COMMAND, session, 9, body[:-1]), frame(COMMAND, session, 9, body + b'x'),
                           frame(COMMAND, session, 9, struct.pack('>II', 6, 9) + b_text('x') + b'\1' + empty))
            self.assertEqual(self.done(collector, 3).body[5], senda.REFUSED)
            collector.post(frame(CLOSE, session, 0, close_body(407, 1)))
            self.idle_until(lambda: collector.sessions == 2, 'a new session')
            hello = collector.hellos[-1]
            self.assertEqual((hello.last_command_id, hello.downlink, len(asked)), (5, 7, 1))

    def test_a_command_that_fails_is_answered_and_not_begun_again(self):
        body = struct.pack('>II', 7, 1000) + b_text('break') + b'\0'
        for answer in (RuntimeError('jammed'), (senda.OK, '', [('what', 'i64', 0, object())]), (senda.OK, '', None)):
            collector, client, asked = self.orders('tcp', answer)
            for _ in range(2):
                collector.post(frame(COMMAND, collector.session, 1, body))
            self.assertEqual(self.done(collector, 2).body[5], senda.FAILED)
            self.assertEqual(len(asked), 1)
            self.doCleanups()

    def test_an_alert_is_shown_and_answered(self):
        body = (struct.pack('>IqBB', 9, 1767225600000000, 1, 2) + b_text('house') + b_text('temperature')
                + b_text('hot') + b'\1' + named('value', 7, struct.pack('>h', 351), exponent=-1))
        for transport in self.each():
            collector, client, asked = self.orders(transport, (senda.OK, ''))
            collector.post(frame(ALERT, collector.session, 1, body))
            self.assertEqual(self.done(collector, 1).body, struct.pack('>BIB', ALERT, 9, 0) + b'\0\0')
            self.assertEqual(asked, [(ALERT, [1, 2, 'house', 'temperature', 'hot'], [('value', 'i16', -1, 351)])])

    def test_config_shortens_the_pause_under_way(self):
        collector, client = self.start('tcp')
        self.send()
        client.interval, start = 60, time.monotonic()
        collector.post(frame(CONFIG, collector.session, 1, config_body(1, named('interval_ms', 4, b'\0\0\0\1'))))
        self.within(client.run, lambda: start + client.interval)
        self.assertEqual(client.interval, 0.001)

    def test_unreasonable_interval_is_refused(self):
        collector, client = self.start('udp')
        self.send()
        for seq, raw in ((1, bytes(4)), (2, struct.pack('>I', 86400001))):
            collector.post(frame(CONFIG, collector.session, seq, config_body(seq, named('interval_ms', 4, raw))))
        self.idle_until(lambda: len(collector.kinds(DONE)) == 2, 'DONE')
        self.assertEqual([m.body for m in collector.kinds(DONE)],
                         [struct.pack('>BIB', CONFIG, seq, 2) + b'\0\0' for seq in (1, 2)])
        self.assertEqual((client.interval, client.config_rev), (1.0, 0))

    def test_interval_of_another_type_is_refused(self):
        others = [named('interval_ms', 12, b_text('fast')), named('interval_ms', 3, b'\0\5'),
                  named('interval_ms', 4, bytes(7) + b'\5', 2), named('interval_ms', 9, bytes(7) + b'\5')]
        collector, client = self.start('udp')
        self.send()
        for seq, setting in enumerate(others, 1):
            collector.post(frame(CONFIG, collector.session, seq, config_body(seq, setting)))
            self.assertEqual(self.done(collector, seq).body, struct.pack('>BIB', CONFIG, seq, senda.REFUSED) + b'\0\0')
        self.assertEqual((client.interval, client.config_rev), (1.0, 0))

    def test_of_two_settings_with_one_name_the_first_counts(self):
        collector, client = self.start('udp')
        self.send()
        settings = [named('interval_ms', 4, struct.pack('>I', ms)) for ms in (250, 750)]
        collector.post(frame(CONFIG, collector.session, 1, config_body(1, *settings)))
        self.assertEqual(self.done(collector, 1).body[5], senda.OK)
        self.assertEqual(client.interval, 0.25)

    def test_downlink_beside_a_row_on_its_way_sends_nothing_twice(self):
        def busy(collector, message):
            session = collector.session
            collector.send_raw(frame(CONFIG, session, 1, config_body(1)) + frame(PING, session, 1, bytes(8))
                               + frame(ACK, session, 0, ack_body(1000)) + frame(DECLARED, session, 0, bytes(4)))
            threading.Timer(0.05, lambda: collector.post(frame(ACK, session, 1))).start()
        for transport in self.each():
            collector, client = self.start(transport, first_time(ROWS, busy))
            client.FIRST_WAIT = 1
            self.assertEqual(self.send(), 0)
            self.assertEqual([len(collector.kinds(kind)) for kind in (ROWS, DONE, PONG, DECLARE)], [1, 1, 1, 1])


class Robustness(Case):
    def test_options_of_welcome_are_skipped(self):
        collector, _ = self.start('tcp', options=struct.pack('>BH', 0, 3) + b'pad' + struct.pack('>BH', 0x7F, 0))
        self.assertEqual(self.send(), 0)

    def test_malformed_retry_and_welcome_are_ignored(self):
        def malformed(collector, message):
            seq = collector.hellos[-1].nonce & 0xFFFFFFFF
            for body in (b'', b'\0', b'\0', b'\0', b'\5four', b'\3four'):
                collector.answer(RETRY, seq, body, 0)
            collector.answer(WELCOME, seq, bytes(57), 5)
        collector, client = self.start('udp', first_time(HELLO, malformed))
        self.wait_once(client)
        self.assertEqual(self.send(), 0)
        self.assertEqual([h.cookie for h in collector.hellos], [b'', b'', b'a cookie'])

    def test_schema_that_fits_no_datagram(self):
        self.start('udp', channels=['c%d=u8' % n for n in range(256)])
        with self.assertRaises(ValueError):
            self.within(self.client.send, [0] * 256)

    def test_unknown_types_are_skipped(self):
        def script(collector, message):
            if message.kind == ROWS:
                kinds = (0x11, 0x31, 0x32, 0x41, 0x77, 0x99, 0xFF)
                collector.send_raw(b''.join(frame(kind, collector.session, 0, b'???') for kind in kinds))
        for transport in self.each():
            collector, _ = self.start(transport, script)
            self.assertEqual([self.send(), self.send()], [0, 1])

    def test_several_messages_at_once_and_flags_that_mean_nothing_here(self):
        def together(collector, message):
            session = collector.session
            collector.send_raw(frame(PING, session, 1, bytes(8)) + frame(ACK, session, 1, magic=0xAD)
                               + frame(PING, session, 2, bytes(8)))
        for transport in self.each():
            collector, client = self.start(transport, first_time(ROWS, together))
            self.assertEqual(self.send(), 0)
            self.idle_until(lambda: len(collector.kinds(PONG)) == 2, 'two PONGs')

    def test_tcp_byte_by_byte(self):
        def slowly(collector, message):
            raw = frame(PING, collector.session, 1, bytes(8)) + frame(ACK, collector.session, 1, ack_body(1000))
            collector.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(len(raw)):
                collector.connection.sendall(raw[at:at + 1])
        collector, _ = self.start('tcp', first_time(ROWS, slowly))
        self.assertEqual(self.send(), 0)

    def test_bad_datagrams_are_dropped(self):
        def disturb(collector, message):
            good = frame(ACK, collector.session, 1, ack_body(1000))
            for bad in (b'', b'x', good[:-1], good[:11], b'\xB1' + good[1:], b'\x00' + good[1:], b'\xA2' + good[1:],
                        b'\xA0' + good[1:], good[:-1] + bytes([good[-1] ^ 1]), good[:2] + b'\0\1' + good[4:],
                        good[:2] + b'\xFF\xFF' + good[4:], os.urandom(1200)):
                collector.send_raw(bad + good)      # what follows a bad message is not read (3.4b)
        collector, _ = self.start('udp', first_time(ROWS, disturb))
        self.assertEqual(self.send(), 0)
        # b'' + good is a good datagram, so the first of them counts and the others find nothing to do.
        self.assertEqual(len(collector.kinds(ROWS)), 1)

    def test_only_bad_datagrams(self):
        def disturb(collector, message):
            good = frame(ACK, collector.session, 1, ack_body(1000))
            for bad in (b'x', good[:-1], b'\xB1' + good[1:], good[:-1] + bytes([good[-1] ^ 1]),
                        good[:2] + b'\0\1' + good[4:]):
                collector.send_raw(bad + good)
        collector, _ = self.start('udp', first_time(ROWS, disturb))
        self.assertEqual(self.send(), 0)
        self.assertEqual(len(collector.kinds(ROWS)), 2)

    def test_lost_frame_on_tcp(self):
        def script(garbage):
            return first_time(ROWS, lambda collector, _: collector.send_raw(garbage(collector)))
        for garbage in (lambda c: b'HTTP/1.1 400 Bad Request\r\n', lambda c: frame(ACK, c.session, 1)[:-1] + b'?',
                        lambda c: struct.pack('>BBHII', 0xA1, ACK, 1201, c.session, 1),
                        lambda c: struct.pack('>BBHII', 0xA1, ACK, 15, c.session, 1),
                        lambda c: struct.pack('>BBHII', 0xA3, ACK, 16, c.session, 1)):
            collector, _ = self.start('tcp', script(garbage))
            self.assertEqual(self.send(), 0)
            close = collector.kinds(CLOSE)[0]
            self.assertEqual((close.session, close.body[:2]), (0, struct.pack('>H', 406)))
            self.assertEqual(collector.sessions, 2)
            self.doCleanups()

    def test_random_messages(self):
        """Right trailers around random bodies, in every state: nothing but the end of the session comes of it."""
        quiet = unittest.mock.patch('sys.stderr', io.StringIO())
        quiet.start()
        self.addCleanup(quiet.stop)
        rng = random.Random(7)
        known = [0, RETRY, WELCOME, DECLARED, CLOSE, ACK, NACK, CONFIG, COMMAND, ALERT, PING, PONG]

        class Wire:
            incoming = b''

            def recv(self, size):
                return self.incoming

            def sendall(self, data):
                pass
        for tcp in (True, False):
            for turn in range(20000):
                client = senda.Client('udp', 'localhost:1', 'd', 's', self.CHANNELS)
                client.tcp, client.socket, client.buffer, client.nonce = tcp, Wire(), b'', b'\0\0\0\0\0\0\0\0'
                client.cookie, client.flight, client.answered = b'\0', (ROWS, 0), False
                client.body, client.kind, client.refused = b'?', ROWS, False
                client.session = client.control = client.mark = 0
                client.session = rng.choice([0, 5])
                size = rng.randrange(100)
                body = rng.choice([bytes(size), bytes(rng.randrange(4) for _ in range(size)),
                                   bytes(rng.randrange(256) for _ in range(size))])
                Wire.incoming = frame(rng.choice(known), rng.choice([0, 5]), rng.choice([0, 0, 1]), body)
                try:
                    client.read()
                except senda.Closed as close:
                    self.assertTrue(0 <= senda.spread(close.args[1]) <= 300)
                except (ConnectionError, RuntimeError):
                    pass
                self.assertTrue(0 < client.interval <= 86400)
                self.assertLessEqual(client.not_before, time.monotonic() + 301)


class Program(unittest.TestCase):
    def run_program(self, transport, script=None, *more):
        collector = Collector(transport, script)
        try:
            return collector, subprocess.run(
                [sys.executable, os.path.join(HERE, 'example.py'), '--' + transport, collector.address, '--interval',
                 '0.05', '--count', '3', '--device', 'bench-1', '--schema', 'bench', '--seed', '4', *more],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, universal_newlines=True)
        finally:
            collector.stop()
            self.assertEqual(collector.errors, [])

    def test_sends_and_prints(self):
        for transport in TRANSPORTS:
            collector, done = self.run_program(transport)
            self.assertEqual(done.returncode, 0, done.stderr)
            lines = done.stdout.splitlines()
            self.assertEqual([line.split()[:3] for line in lines], [['acked', 'row', str(n)] for n in range(3)])
            self.assertEqual((collector.hellos[-1].device, collector.descriptions[0][0]), ('bench-1', 'bench'))
            self.assertEqual(sorted(collector.rows), [0, 1, 2])
            again, repeated = self.run_program(transport)
            self.assertEqual(done.stdout, repeated.stdout)      # --seed
            self.assertEqual(collector.kinds(CLOSE)[-1].body[:2], struct.pack('>H', 407))

    def test_channels(self):
        channels = ['a_%s=%s' % (kind, kind) for kind in
                    'bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 text time'.split()] + ['b=u16:-2:hPa']
        collector, done = self.run_program('tcp', None, *[arg for c in channels for arg in ('--channel', c)])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(collector.descriptions[0][1][-1], ('b', 3, -2, 0, 'hPa'))

    def test_exit_code_when_a_row_is_refused(self):
        def refuse(collector, message):
            collector.answer(NACK, message.seq, nack_body(ROWS, 301, message.seq, 1, text='no such value'))
            collector.resolve(message.seq, 1)
        _, done = self.run_program('tcp', first_time(ROWS, refuse))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.assertIn('no such value', done.stderr)

    def test_it_shows_alerts_and_answers_commands(self):
        arguments = b'\2' + named('', 7, struct.pack('>h', 215), exponent=-1) + named('', 12, b_text('x'))
        orders = [(ALERT, struct.pack('>IqBB', 9, 0, 1, 2) + b_text('house') + b_text('t') + b_text('too hot') + b'\0'),
                  (COMMAND, struct.pack('>II', 1, 1000) + b_text('echo-args') + arguments),
                  (COMMAND, struct.pack('>II', 2, 1000) + b_text('dance') + b'\0'),
                  (COMMAND, struct.pack('>II', 3, 1000) + b_text('identify') + b'\0')]

        def script(collector, message):
            if message.kind == ROWS and message.seq == 0:
                for seq, (kind, body) in enumerate(orders, 1):
                    collector.answer(kind, seq, body)
        collector, done = self.run_program('tcp', script)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('alert critical house t too hot\n', done.stdout)
        shown, echo, dance, identify = [message.body for message in collector.kinds(DONE)]
        self.assertEqual((shown[5], echo[5], dance[5], identify[5]), (senda.OK, senda.OK, senda.UNKNOWN, senda.OK))
        self.assertEqual(echo[6:], b'\0' + arguments)
        self.assertIn(b'bench-1', identify)

    def test_usage(self):
        done = subprocess.run([sys.executable, os.path.join(HERE, 'example.py')], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE, universal_newlines=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn('--tcp', done.stderr)


class TheFile(unittest.TestCase):
    def test_stays_small(self):
        with open(os.path.join(HERE, 'senda.py'), encoding='utf-8') as file:
            lines = file.read().splitlines()
        self.assertLessEqual(len(lines), 150)
        self.assertLessEqual(max(map(len, lines)), 120)


if __name__ == '__main__':
    unittest.main()
