"""A client of Senda/1, simple profile, one row in flight. Numbers in comments: sections of spec/senda-1.md.
>>> Client('udp', 'localhost:4700', 'gh-7', 'house', ['temperature=i16:-1:Cel']).send([215])  # is 21.5"""
import argparse, contextlib, os, random, re, select, socket, struct, sys
from binascii import crc32
from struct import calcsize, pack, unpack, unpack_from
from time import monotonic, sleep, time_ns
HELLO, RETRY, WELCOME, DECLARE, DECLARED, CLOSE, ROWS, SKIP = 1, 2, 3, 4, 5, 0x0F, 0x10, 0x1F   # section 5
ACK, NACK, CONFIG, DONE, PING, PONG, LOST, REJECTED = 0x20, 0x21, 0x30, 0x3F, 0x42, 0x43, 2, 3  # causes: 5.12
MAGIC, CRC, TAG, ACK_NOW, HEADER, HEADER_LEN, CRC_LEN, MAX_MSG = 0xA0, 1, 2, 4, '>BBHII', 12, 4, 1200   # 3
UTC, OK, REFUSED, NO_SCHEMA, NO_SESSION, REPLACED, FRAMING, GOING = 3 << 14, 0, 2, 201, 401, 402, 406, 407
NAMES = 'bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 text blob enum8 time'.split()       # 4.3; codes from 1
TYPES = dict(zip(NAMES, enumerate('?BHIQbhiqfdBHBq', 1)))   # code and struct; of text and blob: of the length
def spread(ms): return min(300, ms / 1000 * random.uniform(1, 1.25))                    # 8.3; in seconds
def b_text(text): return pack('>B', len(text.encode())) + text.encode()                 # 3.1
def pack_value(kind, value): return b_text(value) if kind == 'text' else pack('>' + TYPES[kind][1], value)
def describe(schema, channels):             # 4.2; a text may have up to 255 bytes
    return b_text(schema) + pack('>H', len(channels)) + b''.join(
        pack('>BbBBH', TYPES[kind][0], int(exp or 0), 0, 1, 255 * (kind == 'text')) + b_text(n) + b_text(unit)
        for n, kind, exp, unit in channels)
class Client:                               # self.row is the number of the row that waits, self.body its ROWS
    FIRST_WAIT, FLEET_WAIT, late = 1.0, 10.0, 0     # seconds: 6.3a and 7.5; 6.3b; 6.7b
    body, row, declared, socket, session, failures, not_before, code, retry = b'', 0, 0, None, 0, 0, 0, 0, 0
    def __init__(self, via, address, device, schema, channels, interval=1.0):
        self.tcp, self.address, self.device, self.config_rev = via == 'tcp', address.rsplit(':', 1), device, 0
        self.channels, self.stream = [re.split('[=:]', text + '::')[:4] for text in channels], os.urandom(8)
        self.schema, self.interval, self.default = describe(schema, self.channels), interval, interval
    def send(self, values):                 # returns the row's number when it is settled, None if refused
        fields = b''.join(pack_value(kind, value) for (_, kind, _, _), value in zip(self.channels, values))
        self.body, self.refused, self.skip = pack('>HHq', 0, UTC | 1, time_ns() // 1000) + fields, 0, 0
        self.run(lambda: 0)
        return None if self.refused else self.row - 1
    def close(self):                        # 6.6
        with contextlib.suppress(OSError): self.session and self.write(CLOSE, 0, pack('>HIB', GOING, 0, 0))
        if self.socket: self.socket.close()
    def run(self, until):                   # 6.1: until no row waits and the moment until() has come
        while self.body or monotonic() < until():
            try: self.advance(self.not_before if self.body else until())
            except OSError as error: self.begin_again(error)
    def advance(self, pause):               # 15: the next thing to do
        if not self.socket: self.connect()
        if not self.session: self.ask(HELLO, 0, self.hello + (self.cookie or b'\0'))
        elif monotonic() < pause: self.wait(min(pause, monotonic() + 1))
        elif not self.declared: self.ask(DECLARE, 0, pack('>BBI', 0, 1, crc32(self.schema)) + self.schema)
        elif self.mark < self.row: self.ask(SKIP, self.mark, pack('>IBH', self.row - self.mark, LOST, 0))
        elif self.skip: self.ask(SKIP, self.row, pack('>IBH', 1, REJECTED, 0))
        elif self.body: self.ask(ROWS, self.row, self.body)
    def connect(self):                      # 5.1
        self.nonce, self.cookie, self.buffer, self.keepalive, self.tries = os.urandom(8), b'', b'', 1e9, 0
        terms = (self.row + bool(self.body), self.row, 30, MAX_MSG, 1, 0, 0, 1, 1, self.config_rev, 0)
        self.hello = self.stream + self.nonce + pack('>IIIHHHBBHII', *terms) + b_text(self.device)
        family, kind, _, _, address = min(socket.getaddrinfo(*self.address, type=2 - self.tcp))  # 1 is TCP
        self.socket = socket.socket(family, kind); self.socket.connect(address)
        print('HELLO to', *self.address, file=sys.stderr)
    def begin_again(self, error):           # 6.1, 6.3, 6.7: the session is over; HELLO after a while
        print('session over:', error, file=sys.stderr); self.socket and self.socket.close()
        late, self.late = self.session and monotonic() < self.late, not self.session and monotonic() + 60
        if self.code == REPLACED and not late: self.stream, self.row, self.declared = os.urandom(8), 0, False
        sleep(self.retry + self.back_off(self.failures))
        self.socket, self.session, self.code, self.retry, self.failures = None, 0, 0, 0, self.failures + 1
    def back_off(self, n): return min(300, self.FIRST_WAIT * 2 ** min(n, 9)) * random.uniform(1, 1.5)
    def ask(self, kind, seq, body):         # 7.5: again and again until it is answered; on TCP once (7.4)
        self.flight = (kind, seq)
        if self.tries == 0 or not self.tcp or not self.session: self.write(kind, seq, body)
        self.tries = 0 if self.wait(monotonic() + self.back_off(self.tries)) else self.tries + 1
        if self.tries == 8 and self.session: raise ConnectionError('8 time-outs in a row')
    def wait(self, deadline):               # reads until something is answered; says PING when idle (6.6)
        self.answered = False
        while not self.answered and monotonic() < deadline:
            wake = min(deadline, self.spoke + self.keepalive)
            if select.select([self.socket], [], [], max(0, wake - monotonic()))[0]: self.read()
            elif wake < deadline: self.write(PING, int(monotonic()), self.nonce)
        return self.answered
    def write(self, kind, seq, body):       # 3.2, 3.3; ACK_NOW because we wait for each ACK (7.3)
        if len(body) > MAX_MSG - HEADER_LEN - CRC_LEN: raise ValueError('too long for one message')     # 3.4a
        flags, self.spoke = CRC | ACK_NOW if kind in (ROWS, SKIP) else CRC, monotonic()
        head = pack(HEADER, MAGIC | flags, kind, HEADER_LEN + len(body) + CRC_LEN, self.session, seq)
        self.socket.sendall(head + body + pack('>I', crc32(head + body)))
    def read(self):                         # 3.4, 3.6; 3.7, checks 1 to 5
        if not (data := self.socket.recv(65536)) and self.tcp: raise ConnectionError('connection lost')
        self.buffer = self.buffer + data if self.tcp else data
        while len(self.buffer) >= HEADER_LEN:
            magic, kind, length, session, seq = unpack_from(HEADER, self.buffer)
            message, good = self.buffer[:length], magic & 0xF3 == MAGIC | CRC and 16 <= length <= MAX_MSG
            if good and self.tcp and len(message) < length: return      # the rest is on its way
            if not good or len(message) < length or pack('>I', crc32(message[:-4])) != message[-4:]:
                if not self.tcp: return     # 3.4b: the rest of the datagram is dropped
                self.session = 0; self.write(CLOSE, 0, pack('>HIB', FRAMING, 0, 0))     # 3.6a
                raise ConnectionError('the stream has lost its frame')
            self.buffer = self.buffer[length:]
            try: self.handle(kind, session, seq, message[HEADER_LEN:-CRC_LEN])
            except (struct.error, ValueError, LookupError): pass        # malformed: skipped (5.26)
    def handle(self, kind, session, seq, body):     # 3.7, checks 6 to 8; other types are skipped (5.25)
        if session != self.session if self.session else pack('>I', seq) != self.nonce[4:]: return       # 5.2b
        if kind == RETRY and 1 < len(body) == 1 + body[0]: self.answered, self.cookie = not self.cookie, body
        elif kind == CLOSE: self.closed(*unpack('>HIB%ds' % body[6], body))
        elif not self.session and kind == WELCOME: self.welcome(session, *unpack_from('>8xII8xI8xI18x', body))
        elif not self.session: return
        elif kind == PING and len(body) == 8: self.write(PONG, seq, body)
        elif kind == DECLARED and body == pack('>I', crc32(self.schema)): self.declared = self.answered = True
        elif kind == ACK: self.ack(seq, *unpack('>I2xHxB%dI' % (2 * body[9]), body) if body else ())
        elif kind == NACK: self.nack(seq, *unpack('>BH4xIIx%ds' % body[15], body))
        elif kind == CONFIG: self.config(seq, *unpack_from('>IB', body), body[5:])
    def closed(self, code, ms, _, text):        # 5.6
        self.code, self.retry = code, spread(ms) + (code == NO_SESSION) * random.uniform(0, self.FLEET_WAIT)
        raise ConnectionError(f'CLOSE {code} {text}')
    def welcome(self, session, mark, high, window, alive):  # 5.3
        if max(mark, high) > self.row + bool(self.body): self.closed(REPLACED, 0, 0, 'high_row')  # 6.7
        self.session, self.mark, self.control, self.failures, self.keepalive = session, -1, 0, 0, alive or 1
        self.ack(mark, window)
    def ack(self, seq, window=None, retry=0, *ranges):      # 5.13
        if not self.mark <= seq <= self.row + bool(self.body): return
        self.mark, self.answered = seq, self.answered or seq > self.mark
        if seq > self.row: self.row, self.body = seq, b''
        if window == 0: self.not_before = monotonic() + min(60, max(1, retry / 1000))   # 8.1b; then a probe
    def nack(self, seq, kind, code, count, retry, text):    # 7.6
        print('NACK', code, text, file=sys.stderr)
        if (kind, seq) != self.flight: return
        if code // 100 == 3 and count: self.refused = True                              # the ACK passes it
        elif code // 100 == 1: self.not_before, self.answered = monotonic() + spread(retry + 100), True
        elif code == NO_SCHEMA: self.declared, self.answered = False, True
        elif kind == ROWS: self.refused = self.skip = self.answered = True
        else: raise RuntimeError(f'NACK {code} to type {kind:#x}: {text}')
    def config(self, seq, revision, count, rest):       # 5.17, 7.7
        interval, forms = max(1, int(self.default * 1000)), dict(TYPES.values())
        for _ in range(count):              # 4.4: a name, the head of a typed value, the value
            name, code, _, elements = unpack_from('>x%dsBbB' % rest[0], rest)
            value = unpack_from(form := '>%dx%d%s' % (rest[0] + 4, elements, forms[code]), rest)[0]
            rest = rest[calcsize(form) + (value if NAMES[code - 1] in ('text', 'blob') else 0):]
            interval = value * (NAMES[code - 1] == 'u32') if name == b'interval_ms' else interval
        if rest or seq < max(1, self.control): return
        status, self.control = OK if 1 <= interval <= 86400000 else REFUSED, seq        # 5.16, 5.20
        if status == OK: self.interval, self.config_rev = interval / 1000, revision
        self.write(DONE, seq, pack('>BIBH', CONFIG, revision, status, 0))
if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Sends random readings to a Senda/1 collector.')
    for name in 'tcp udp device schema interval count seed'.split(): parser.add_argument('--' + name)
    parser.add_argument('--channel', action='append', help='NAME=TYPE[:EXPONENT][:UNIT]')
    args = parser.parse_args()
    if not args.tcp and not args.udp: parser.error('--tcp HOST:PORT or --udp HOST:PORT, please')
    channels = args.channel or ['temperature=i16:-1:Cel', 'humidity=u8::%RH', 'door=bool', 'status=text']
    client = Client('tcp' if args.tcp else 'udp', args.tcp or args.udp, args.device or 'senda-py',
                    args.schema or 'demo', channels, float(args.interval or 1))
    rng, count, stored, start = random.Random(args.seed), int(args.count or 10), 0, 0
    for _ in range(count):
        client.run(lambda: start + client.interval)
        start, some = monotonic(), {'bool': rng.random() < 0.5, 'text': rng.choice(['ok', 'low', 'größer'])}
        values = [some.get(kind, rng.randrange(100)) for _, kind, _, _ in client.channels]
        stored += (row := client.send(values)) is not None
        if row is not None: print('acked row', row, *values, flush=True)
    client.close(); sys.exit(stored < count)
