"""A client of Senda/1, simple profile, one row in flight: see example.py. Numbers: sections of spec/senda-1.md."""
import binascii, contextlib, io, os, random, re, select, socket, struct, sys, time
from struct import calcsize, pack, unpack, unpack_from
HELLO, RETRY, WELCOME, DECLARE, DECLARED, CLOSE, ROWS, SKIP = 1, 2, 3, 4, 5, 0x0F, 0x10, 0x1F           # section 5
ACK, NACK, CONFIG, COMMAND, ALERT, DONE, PING, PONG = 0x20, 0x21, 0x30, 0x31, 0x32, 0x3F, 0x42, 0x43
OK, CLAMPED, REFUSED, FAILED, UNKNOWN = range(5)                                                         # 5.20
CRC, ACK_NOW, MAX_MSG, NO_SCHEMA, NO_SESSION, REPLACED, FRAMING, GOING = 0xA1, 0xA5, 1200, 201, 401, 402, 406, 407
NAMES = ' bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 text blob enum8 time'.split(' ')                    # 4.3
FORMS = dict(zip(NAMES, ' ?BHIQbhiqfdBHBq'))        # for struct; of text and blob: of the length
def spread(ms): return min(300, ms / 1000 * random.uniform(1, 1.25))                                     # 8.3; seconds
def b_text(text): return pack_value('text', text)                                                        # 3.1
def pack_value(kind, value):
    data = value.encode() if kind == 'text' else value
    return pack('>' + FORMS[kind], len(data)) + data if kind in ('text', 'blob') else pack('>' + FORMS[kind], value)
def pack_named(name, kind, exp, *raw):      # 4.4; a vector has several raw values: each times 10 ** exp is meant
    return b_text(name) + pack('>BbB', NAMES.index(kind), exp, len(raw)) + b''.join(pack_value(kind, x) for x in raw)
def take(body, form): return unpack('>' + form, body.read(calcsize('>' + form)))
def take_value(body, kind):
    value, = take(body, FORMS[kind])
    if kind in ('text', 'blob'): value, = take(body, f'{value}s')
    return value.decode() if kind == 'text' else value
def take_named(body):
    name, (code, exp, elements) = take_value(body, 'text'), take(body, 'BbB')
    return name, NAMES[code], exp, *[take_value(body, NAMES[code]) for _ in range(elements)]
def pack_done(kind, number, status, text, results=()):      # 5.20
    head = pack('>BIB', kind, number, status) + b_text(text) + pack('>B', len(results))
    return head + b''.join(pack_named(*result) for result in results)
def describe(schema, channels):             # 4.2; a text may have up to 255 bytes
    return b_text(schema) + pack('>H', len(channels)) + b''.join(
        pack('>BbBBH', NAMES.index(kind), int(exp or 0), 0, 1, 255 * (kind == 'text')) + b_text(n) + b_text(unit)
        for n, kind, exp, unit in channels)
class Closed(Exception): pass               # with the fields of CLOSE (5.6)
class Client:                               # self.row is the number of the row that waits, self.body its ROWS or SKIP
    FIRST_WAIT, FLEET_WAIT, socket, body = 1.0, 10.0, None, b''     # seconds: 6.3a and 7.5; 6.3b
    row = session = declared = failures = not_before = due = config_rev = command_id = 0
    def __init__(self, via, address, device, schema, channels, interval=1.0, on_order=None):      # see obey()
        self.tcp, self.address, self.device, self.on_order = via == 'tcp', address.rsplit(':', 1), device, on_order
        self.channels, self.stream = [re.split('[=:]', text + '::')[:4] for text in channels], os.urandom(8)
        self.schema, self.interval, self.default = describe(schema, self.channels), interval, int(interval * 1000) or 1
    def send(self, values):                 # returns the row's number when it is settled, None if refused
        fields = b''.join(pack_value(kind, value) for (_, kind, _, _), value in zip(self.channels, values))
        self.kind, self.body, self.refused = ROWS, pack('>HHq', 0, 3 << 14 | 1, time.time_ns() // 1000) + fields, False
        self.run(lambda: 0)
        return None if self.refused else self.row - 1
    def close(self):                        # 6.6
        with contextlib.suppress(OSError): self.session and self.write(CLOSE, 0, pack('>HIB', GOING, 0, 0))
        if self.socket: self.socket.close()
    def run(self, until):                   # 6.1: until no row waits and the moment until() has come
        while self.body or time.monotonic() < until():
            try: self.advance(self.not_before if self.body else until())
            except Closed as close: self.begin_again(*close.args)
            except OSError as error: self.begin_again(0, 0, 0, error)
    def advance(self, pause):               # 15: the next thing to do
        if not self.socket: self.connect()
        if not self.session: self.ask(HELLO, 0, self.hello + self.cookie)
        elif time.monotonic() < pause: self.wait(min(pause, time.monotonic() + 1))
        elif not self.declared: self.ask(DECLARE, 0, pack('>BBI', 0, 1, binascii.crc32(self.schema)) + self.schema)
        elif self.mark < self.row: self.ask(SKIP, self.mark, pack('>IBH', self.row - self.mark, 2, 0))      # LOST
        elif self.body: self.ask(self.kind, self.row, self.body)
    def connect(self):                      # 5.1
        self.nonce, self.cookie, self.buffer, self.keepalive, self.tries = os.urandom(8), b'\0', b'', 1e9, 0
        self.hello = self.stream + self.nonce + pack('>IIIHHHBBHII', self.row + bool(self.body), self.row, 30, MAX_MSG,
            1, 0, 0, 7 if self.on_order else 1, 1, self.config_rev, self.command_id) + b_text(self.device)
        family, kind, _, _, address = min(socket.getaddrinfo(*self.address, type=2 - self.tcp))  # 1 is TCP
        self.socket = socket.socket(family, kind)
        self.socket.connect(address)
    def begin_again(self, code, ms, _, text):           # 6.1, 6.3; 6.7b: a HELLO given up may be due yet
        print('session over:', code or '', text, file=sys.stderr)
        if self.socket: self.socket.close()
        own, self.due = self.session and time.monotonic() < self.due, not self.session and time.monotonic() + 60
        if code == REPLACED and not own: self.stream, self.row, self.declared = os.urandom(8), 0, False
        time.sleep(spread(ms) + (code == NO_SESSION) * random.random() * self.FLEET_WAIT + self.back_off(self.failures))
        self.socket, self.session, self.failures = None, 0, self.failures + 1
    def back_off(self, n): return min(300, self.FIRST_WAIT * 2 ** min(n, 9)) * random.uniform(1, 1.5)
    def ask(self, kind, seq, body):         # 7.5: again and again until it is answered; on TCP once (7.4)
        self.flight = (kind, seq)
        if self.tries == 0 or not self.tcp or not self.session: self.write(kind, seq, body)
        self.tries = 0 if self.wait(time.monotonic() + self.back_off(self.tries)) else self.tries + 1
        if self.tries == 8 and self.session: raise ConnectionError('8 time-outs in a row')
    def wait(self, deadline):               # reads until something is answered; says PING when idle (6.6)
        self.answered = False
        while not self.answered and time.monotonic() < deadline:
            wake = min(deadline, self.spoke + self.keepalive)
            if select.select([self.socket], [], [], max(0, wake - time.monotonic()))[0]: self.read()
            elif wake < deadline: self.write(PING, int(time.monotonic()), self.nonce)
        return self.answered
    def write(self, kind, seq, body):       # 3.2, 3.3; ACK_NOW because we wait for each ACK (7.3)
        if len(body) > MAX_MSG - 16: raise ValueError('too long for one message')     # 3.4a
        self.spoke = time.monotonic()
        head = pack('>BBHII', ACK_NOW if kind in (ROWS, SKIP) else CRC, kind, 16 + len(body), self.session, seq)
        self.socket.sendall(head + body + pack('>I', binascii.crc32(head + body)))
    def read(self):                         # 3.4, 3.6; 3.7, checks 1 to 5
        if not (data := self.socket.recv(65536)) and self.tcp: raise ConnectionError('connection lost')
        self.buffer = self.buffer + data if self.tcp else data
        while len(self.buffer) >= 12:
            magic, kind, length, session, seq = unpack_from('>BBHII', self.buffer)
            message, good = self.buffer[:length], magic & 0xF3 == CRC and 16 <= length <= MAX_MSG
            if good and self.tcp and len(message) < length: return      # the rest is on its way
            if not good or len(message) < length or pack('>I', binascii.crc32(message[:-4])) != message[-4:]:
                if not self.tcp: return     # 3.4b: the rest of the datagram is dropped
                self.session = 0; self.write(CLOSE, 0, pack('>HIB', FRAMING, 0, 0))     # 3.6a
                raise ConnectionError('the stream has lost its frame')
            self.buffer = self.buffer[length:]
            try: self.handle(kind, session, seq, message[12:-4])
            except (struct.error, ValueError, LookupError): pass        # malformed: skipped (5.26)
    def handle(self, kind, session, seq, body):     # 3.7, checks 6 to 8; other types are skipped (5.25); 5.2b, 6.3c
        if session != self.session if self.session else pack('>I', seq) != self.nonce[4:] or kind > CLOSE: return
        if kind == RETRY and 1 < len(body) == 1 + body[0]: self.answered, self.cookie = self.cookie == b'\0', body
        elif kind == CLOSE: raise Closed(*unpack('>HIB%ds' % body[6], body))
        elif kind == WELCOME and not self.session: self.welcome(session, *unpack_from('>8xII8xI8xI18x', body))
        elif kind == PING and len(body) == 8: self.write(PONG, seq, body)
        elif kind == DECLARED and body == pack('>I', binascii.crc32(self.schema)): self.declared = self.answered = True
        elif kind == ACK: self.ack(seq, *unpack('>I2xHxB%dI' % (2 * body[9]), body) if body else ())
        elif kind == NACK: self.nack(seq, *unpack('>BH4xIIx%ds' % body[15], body))
        elif kind in (CONFIG, COMMAND, ALERT): self.order(kind, seq, io.BytesIO(body))
    def welcome(self, session, mark, high, window, alive):  # 5.3
        if max(mark, high) > self.row + bool(self.body): raise Closed(REPLACED, 0, 0, 'high_row')      # 6.7
        self.session, self.mark, self.control, self.failures, self.keepalive = session, -1, 0, 0, alive or 1
        self.ack(mark, window)
    def ack(self, seq, window=None, retry=0, *ranges):      # 5.13
        if not self.mark <= seq <= self.row + bool(self.body): return
        self.mark, self.answered = seq, self.answered or seq > self.mark
        if seq > self.row: self.row, self.body = seq, b''
        if window == 0: self.not_before = time.monotonic() + min(60, max(1, retry / 1000))   # 8.1b; then a probe
    def nack(self, seq, kind, code, count, retry, text):    # 7.6
        print('NACK', code, text, file=sys.stderr)
        if (kind, seq) != self.flight: return
        if code // 100 == 3 and count: self.refused = True                              # the ACK passes it
        elif code // 100 == 1: self.not_before, self.answered = time.monotonic() + spread(retry + 100), True
        elif code == NO_SCHEMA: self.declared, self.answered = False, True
        elif kind == ROWS: self.kind, self.body, self.refused, self.answered = SKIP, pack('>IBH', 1, 3, 0), True, True
        else: raise RuntimeError(f'NACK {code} to type {kind:#x}: {text}')
    def order(self, kind, seq, body):       # 7.7: done once, answered as often as it is asked
        form, texts = {CONFIG: ('I', 0), COMMAND: ('I4x', 1), ALERT: ('I8xBB', 3)}[kind]        # 5.17 to 5.19
        number, *about = *take(body, form), *[take_value(body, 'text') for _ in range(texts)]
        values = [take_named(body) for _ in range(*take(body, 'B'))]
        if body.read() or any(len(value) < 4 for value in values): raise ValueError('malformed')
        if seq > self.control:
            self.control = seq
            try: self.done = pack_done(kind, number, *self.obey(kind, number, about, values))
            except Exception as error: self.done = pack_done(kind, number, FAILED, repr(error)[:60])
        if seq == self.control > 0: self.write(DONE, seq, self.done)
    def obey(self, kind, number, about, values):    # on_order(kind, about, values) returns status, text, results
        if kind == COMMAND and number <= self.command_id: return REFUSED, 'begun before'        # 7.7e
        if kind == COMMAND: self.command_id = number        # before it begins
        _, *form, ms = next((each for each in values if each[0] == 'interval_ms'), (0, 'u32', 0, self.default))
        if kind == CONFIG and not (form == ['u32', 0] and 1 <= ms <= 86400000): return REFUSED, ''      # 5.16
        done = self.on_order(kind, about, values) if self.on_order else (OK if kind == CONFIG else UNKNOWN, '')
        if kind == CONFIG and done[0] <= CLAMPED: self.interval, self.config_rev = ms / 1000, number
        return done
