"""Writes spec/vectors/*.toml as C, for test.c: python3 vectors.py DIRECTORY >vectors.h

What a collector says becomes a table of bytes and verdicts. What a device says becomes calls of the client's own
functions from the decoded fields, and the bytes that must come of them. Needs Python 3.11 (tomllib).
"""
import pathlib
import struct
import sys
import tomllib

NAMES = 'bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 text blob enum8 time'.split()
ELEMENTS = {'f32': 'uint32_t', 'f64': 'uint64_t'}      # by their bits
MESSAGE_MAX = 1200


def quoted(data):
    """A C string of any bytes; pieces, lest a digit after it belong to an escape."""
    return ' '.join(f'"\\x{byte:02x}"' for byte in data) or '""'


def raw_text(text):
    return f'(const uint8_t *){quoted(text.encode())}, {len(text.encode())}'


class Reader:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, form):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        length, = self.take('>B')
        self.at += length
        return self.raw[self.at - length:self.at]


def schema(prefix, raw):
    """A description (4.2) as C; the names of its channels' types."""
    reader, channels, kinds = Reader(raw), [], []
    name = reader.text()
    for i in range(reader.take('>H')[0]):
        code, exponent, flags, elements, max_len = reader.take('>BbBBH')
        channel, unit, labels = reader.text(), reader.text(), []
        kinds.append(NAMES[code - 1])
        if kinds[-1] == 'enum8':
            labels = [reader.text() for _ in range(reader.take('>B')[0])]
            print(f'static const char *const {prefix}_labels_{i}[] = {{{", ".join(map(quoted, labels))}}};')
        channels.append(f'{{{quoted(channel)}, {quoted(unit)}, {code}, {exponent}, {flags}, {elements}, {max_len}, '
                        f'{len(labels)}, {f"{prefix}_labels_{i}" if labels else "NULL"}}}')
    assert reader.at == len(raw)
    print(f'static const senda_channel {prefix}_channels[] = {{{", ".join(channels)}}};')
    print(f'static const senda_schema {prefix} = {{{quoted(name)}, {len(channels)}, {prefix}_channels}};')
    return kinds


def integer(value):
    value = int(value, 0) if isinstance(value, str) else int(value)
    if value >= 2**63:
        return f'UINT64_C({value})'
    return f'(-INT64_C({-value - 1}) - 1)' if value < 0 else f'INT64_C({value})'


def value(kind, it):
    """An expression; WIRE stands for memory."""
    if isinstance(it, list):
        element = ELEMENTS.get(kind, f'{"u" if kind[0] == "u" else ""}int{kind[1:]}_t')
        array = ', '.join(f'({element}){integer(each)}' for each in it)
        return f'senda_vector(SENDA_{kind.upper()}, {len(it)}, (const {element}[]){{{array}}}, WIRE)'
    if kind in ('f32', 'f64'):      # through the constructors the compiler might quieten a NaN
        return f'senda_scalar(SENDA_{kind.upper()}, UINT64_C({int(it, 0)}))'
    if kind == 'text':
        text = it.encode()
        return f'some_text({quoted(text)}, {len(text)})'
    if kind == 'blob':
        data = bytes.fromhex(it.removeprefix('hex:'))
        return f'senda_blob({quoted(data)}, {len(data)})'
    kinds = {'bool': 'bool', 'enum8': 'enum', 'time': 'time'}
    cast = {'bool': 'bool', 'enum8': 'uint8_t', 'time': 'int64_t'}.get(kind, f'{"u" if kind[0] == "u" else ""}int{kind[1:]}_t')
    return f'senda_{kinds.get(kind, kind)}(({cast}){integer(it)})'


def rows(number, case, fields, kinds):
    body = [f'static void rows_{number}(senda_client *c)', '{']
    for row in fields['rows']:
        time = (int(fields['t0']) + row['time_offset'])
        vectors = [i for i, it in enumerate(row['values']) if isinstance(it, list)]
        values = []
        for i, (kind, it) in enumerate(zip(kinds, row['values'])):
            values.append(value(kind, it).replace('WIRE', f'wire[{vectors.index(i) if i in vectors else 0}]'))
        body += ['    {', f'        uint8_t wire[{max(1, len(vectors))}][512];' if vectors else '',
                 f'        senda_value values[{len(values)}];']
        body += [f'        values[{i}] = {it};' for i, it in enumerate(values)]
        body += [f'        CHECK(senda_add(c, {fields["schema_id"]}, {fields["clock"]}, {integer(time)}, values, '
                 f'{len(values)}) >= 0);', '    }']
    print('\n'.join(line for line in body if line) + '\n}')


def done(number, fields):
    print(f'static void done_{number}(senda_client *c)\n{{\n    uint8_t wire[512];\n    senda_value it;\n    (void)wire;\n    (void)it;\n    (void)c;')
    for result in fields['results']:
        print(f'    it = {value(result["type"], result["value"]).replace("WIRE", "wire")};')
        print(f'    it.exponent = {result["exponent"]};')
        print(f'    CHECK(senda_answer(c, "{result["name"]}", &it));')
    print('}')


def main(directory):
    heard, said = [], {kind: [] for kind in ('HELLO', 'SCHEMA', 'ROWS', 'SKIP', 'DONE', 'TOKEN')}
    left_out = 0
    for path in sorted(pathlib.Path(directory).glob('*.toml')):
        for case in tomllib.loads(path.read_text())['case']:
            raw, kind, fields = bytes.fromhex(case['hex']), case['type'], case.get('fields')
            name = quoted(f'{path.stem}: {case["name"]}'.encode())
            number = len(heard) + sum(map(len, said.values())) + left_out
            if case.get('from') == 'collector' or path.stem == 'framing':
                print(f'static const uint8_t heard_{len(heard)}[] = {quoted(raw)};')
                heard.append(f'{{{name}, "{kind}", "{case.get("error", "")}", "{case.get("from")}", {len(raw)}, heard_{len(heard)}}},')
                continue
            if not case['valid'] or len(raw) > MESSAGE_MAX:
                left_out += case['valid']
                continue
            expected = f'{len(raw)}, (const uint8_t *){quoted(raw)}'
            if kind == 'HELLO' and (fields['ack_every'], fields['ack_delay_ms'], fields['suite'], fields['encodings'],
                                    fields['max_msg'], fields['options']) == (1, 0, 0, 1, 1200, []):
                said[kind].append('{%s, %s, UINT64_C(%s), UINT64_C(%s), %d, %d, %d, %d, %d, %d, %s, %d, %s},' % (
                    name, expected, fields['stream'], fields['nonce'], fields['next_row'], fields['oldest_row'],
                    fields['keepalive_s'], fields['downlink'], fields['config_rev'], fields['last_command_id'],
                    quoted(fields['device'].encode()), len(fields['cookie']) // 2, quoted(bytes.fromhex(fields['cookie']))))
            elif kind == 'SCHEMA' or kind == 'DECLARE' and fields['parts'] == 1:
                description = raw if kind == 'SCHEMA' else bytes.fromhex(fields['bytes'])
                if len(description) > MESSAGE_MAX - 22:
                    left_out += 1
                    continue
                schema(f'schema_{number}', description)
                said['SCHEMA'].append(f'{{{name}, &schema_{number}, {len(description)}, (const uint8_t *){quoted(description)}}},')
            elif kind == 'ROWS' and fields['rows'][0]['time_offset'] == 0 and len(bytes.fromhex(case['schema'])) <= MESSAGE_MAX - 22:
                kinds = schema(f'schema_{number}', bytes.fromhex(case['schema']))
                rows(number, case, fields, kinds)
                said[kind].append(f'{{{name}, {expected}, &schema_{number}, {fields["schema_id"]}, {fields["seq"]}u, rows_{number}}},')
            elif kind == 'SKIP' and fields['cause'] <= 3:
                said[kind].append(f'{{{name}, {expected}, {fields["seq"]}u, {fields["count"]}u, {fields["cause"]}}},')
            elif kind == 'DONE' and not fields['text']:
                done(number, fields)
                said[kind].append(f'{{{name}, {expected}, {fields["seq"]}u, {fields["type"]}, {fields["id"]}u, {fields["status"]}, done_{number}}},')
            elif kind in ('PING', 'PONG', 'CLOSE') and not fields.get('text') and fields.get('retry_after_ms', 0) == 0:
                said['TOKEN'].append(f'{{{name}, {expected}}},')
            else:
                left_out += kind in ('HELLO', 'DECLARE', 'ROWS', 'SKIP', 'DONE', 'CLOSE', 'PING', 'PONG')
    for kind, lines in [('HEARD', heard)] + list(said.items()):
        print(f'static const struct {kind.lower()}_case {kind.lower()}_cases[] = {{\n' + '\n'.join(lines) + '\n};')
    print(f'enum {{ LEFT_OUT = {left_out} }};')


if __name__ == '__main__':
    main(sys.argv[1])
