#!/usr/bin/env python3
"""Makes the test vectors of Senda/1 and the worked examples of section 16, from the specification alone.

    python3 spec/vectors/make.py            writes spec/vectors/*.toml and section 16 of spec/senda-1.md
    python3 spec/vectors/make.py --check    writes nothing; fails when one of them is stale

Only the standard library (Python 3.11). Read it from top to bottom: main, the groups of cases, the worked
examples, then the encoder they use (written for this file, not shared with any implementation), the decoder
of COLUMNS that checks it, and the TOML writer. Section numbers are those of spec/senda-1.md.
"""

import struct
import sys
import tomllib
from pathlib import Path
from zlib import crc32

HERE = Path(__file__).resolve().parent
SPEC = HERE.parent / "senda-1.md"

SESSION = 0x51B27E04          # the session of all cases that have one
T0 = 1_767_225_600_000_000    # 2026-01-01T00:00:00Z in µs


def main():
    check = "--check" in sys.argv[1:]
    groups = [make_group() for make_group in GROUPS]
    wanted = {HERE / group.file: group.toml() for group in groups}
    wanted[SPEC] = put_examples(SPEC.read_text(encoding="utf-8"), worked_examples())

    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"stale: {path.name} (run spec/vectors/make.py)")
        else:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"wrote {path.name}")
    print(f"{sum(len(group.cases) for group in groups)} cases in {len(groups)} files")
    return 1 if check and stale else 0


# ------------------------------------------------------------------------------------------- what a case is

class Group:
    """The cases of one file. A case is made from its fields by the encoder, or from bytes given as they are."""

    def __init__(self, file, about):
        self.file, self.about, self.cases = file, about, []

    def valid(self, name, section, type, fields, *, sender=None, schema=None, plan=None):
        """A right message. `fields` are its header's and its body's; they make the bytes and are what a decoder must find."""
        fields = HEADER[type] | fields
        message = encode(type, fields, schema, plan)
        self.add(name, section, type, message, sender, schema, fields=shown(type, fields))

    def invalid(self, name, section, type, fields, error, *, sender=None, schema=None, plan=None, change=None):
        """A message with one fault: in its fields, or put into its body by `change`."""
        message = encode(type, HEADER[type] | fields, schema, plan, change)
        self.add(name, section, type, message, sender, schema, error=error)

    def refused(self, name, section, type, fields, rows, *, schema, plan=None):
        """A data message with a BAD_VALUE in `rows`; all others are stored."""
        fields = HEADER[type] | fields
        message = encode(type, fields, schema, plan)
        kept = [row | {"values": "refused"} if i in rows else row for i, row in enumerate(fields["rows"])]
        self.add(name, section, type, message, None, schema, error="301", rows_refused=rows,
                 fields=shown(type, fields | {"rows": kept}))

    def raw(self, name, section, type, data, error, *, sender=None):
        """Bytes as they are, refused below the body (3.7)."""
        self.add(name, section, type, data, sender, None, error=error)

    def description(self, name, section, schema, error=None, *, change=None):
        """A schema description alone (4.2), without a message around it."""
        data = describe(schema)
        data = change(data) if change else data
        fields = None if error else schema | {"crc": crc32(data)}
        self.add(name, section, "SCHEMA", data, None, None, error=error, fields=fields)

    def add(self, name, section, type, data, sender, schema, *, error=None, fields=None, rows_refused=None):
        assert name not in [case["name"] for case in self.cases], f"{self.file}: two cases are called {name!r}"
        case = {"name": name, "section": section, "type": type}
        if type != "SCHEMA":
            case["from"] = sender or SENDER[type]
        case |= {"valid": error is None}
        if error:
            case["error"] = error
        if rows_refused is not None:
            case["rows_refused"] = rows_refused
        if schema:
            case["schema"] = describe(schema).hex()
        case["hex"] = data.hex()
        if fields is not None:
            case["fields"] = fields
        self.cases.append(case)

    def toml(self):
        lines = [f"# {self.about}", "# Made by make.py; section 17 of ../senda-1.md says what the keys mean.", ""]
        for case in self.cases:
            lines.append("[[case]]")
            lines += [f"{key} = {toml_value(value)}" for key, value in case.items() if key != "fields"]
            if "fields" in case:
                lines += ["", "[case.fields]"]
                lines += [f"{key} = {toml_value(value, top=True)}" for key, value in case["fields"].items()]
            lines.append("")
        text = "\n".join(lines)
        assert len(tomllib.loads(text)["case"]) == len(self.cases)
        return text


# ------------------------------------------------------------------------------------------- session.toml

HELLO = {
    "stream": 0x9F3C5B1E7D204A68, "nonce": 0x0B6E1D92C47F3358, "next_row": 0, "oldest_row": 0, "keepalive_s": 30,
    "max_msg": 1200, "ack_every": 1, "ack_delay_ms": 0, "suite": 0, "downlink": 0, "encodings": 1, "config_rev": 0,
    "last_command_id": 0, "device": "gh-7", "cookie": b"", "options": [],
}
WELCOME = {
    "seq": HELLO["nonce"] & 0xFFFFFFFF,
    "nonce": 0x77C0FFEE12345678, "next_row": 0, "high_row": 0, "server_time": T0, "window_rows": 4096, "max_msg": 1200,
    "encodings": 1, "durability": 1, "suite": 0, "commit_interval_ms": 20, "keepalive_s": 30, "ack_every": 1,
    "ack_delay_ms": 0, "max_channels": 256, "max_schemas": 64, "max_elements": 64, "max_values": 16384,
    "max_decoded": 262144, "options": [],
}
LONG_TEXT = "0123456789abcdef" * 15 + "0123456789abcde"     # 255 bytes


def session():
    g = Group("session.toml", "HELLO, RETRY, WELCOME, CLOSE, PING, PONG")

    def hello(name, section="5.1", **fields):
        g.valid(name, section, "HELLO", HELLO | fields)

    def bad_hello(name, section="5.1", change=None, **fields):
        g.invalid(name, section, "HELLO", HELLO | fields, "bad_body", change=change)

    hello("hello of the simple profile")
    hello("the shortest hello has 65 bytes", device="g")
    hello("every number at its least", stream=0, nonce=0, keepalive_s=1, max_msg=256, ack_every=1, ack_delay_ms=0)
    hello("every number at its most", stream=2**64 - 1, nonce=2**64 - 1, next_row=0xFFFFFFFF, oldest_row=0xFFFFFFFF,
          keepalive_s=86400, max_msg=65535, ack_every=1024, ack_delay_ms=65535, downlink=7, encodings=7,
          config_rev=0xFFFFFFFF, last_command_id=0xFFFFFFFF)
    hello("resume with rows still held", next_row=5000, oldest_row=4200, config_rev=3, last_command_id=17)
    hello("longest device name and longest cookie", device="d" * 63, cookie=bytes(range(64)))
    hello("every kind of character that a device name may have", section="2.2", device="9Az.b_c-d:e")
    hello("known options: PAD, CLOCK, SOFTWARE", options=[
        option(0x00, b"\xff\x00\xff"), option(0x01, struct.pack(">qqIB", T0, -1500, 2000, 2)), option(0x02, "probe 1.4 µ".encode())])
    hello("an empty PAD and SOFTWARE at its longest, 63 bytes", options=[option(0x00, b""), option(0x02, b"s" * 63)])
    hello("an unknown option below 0x80 is skipped", options=[option(0x7F, b"\x01\x02"), option(0x02, b"x")])
    hello("a critical option that nobody knows is well formed (its answer is CLOSE 302)", options=[option(0xFF, b"")])
    hello("SEALED on UDP: CRC trailer, NOISE as the last option", section="10.4", suite=2, options=[
        option(0x00, b""), option(0x81, bytes(range(48)))])
    hello("a flag without meaning in this direction is ignored", section="3.2", flags=CRC | MORE)

    bad_hello("device name empty", "2.2", device="")
    bad_hello("device name of 64 bytes", "2.2", device="d" * 64)
    bad_hello("device name that begins with a dot", "2.2", device=".gh")
    bad_hello("device name with a space", "2.2", device="gh 7")
    bad_hello("device name that is not ASCII", "2.2", device="gé")
    bad_hello("cookie of 65 bytes", cookie=bytes(65))
    bad_hello("keepalive_s 0", keepalive_s=0)
    bad_hello("keepalive_s 86401", keepalive_s=86401)
    bad_hello("max_msg 255", max_msg=255)
    bad_hello("ack_every 0", ack_every=0)
    bad_hello("ack_every 1025", ack_every=1025)
    bad_hello("suite 3", suite=3)
    bad_hello("encodings without ROWS", encodings=6)
    bad_hello("oldest_row above next_row", next_row=10, oldest_row=11)
    bad_hello("body that ends within the fixed part", change=lambda body: body[:45])
    bad_hello("body that ends within the device name", change=lambda body: body[:-2])
    bad_hello("body that ends before the cookie", change=lambda body: body[:-1])
    bad_hello("option whose length passes the end", options=[option(0x00, b"abc")], change=lambda body: body[:-1])
    bad_hello("option header that is cut off", change=lambda body: body + b"\x00\x00")
    bad_hello("SOFTWARE of 64 bytes", options=[option(0x02, b"s" * 64)])
    bad_hello("SOFTWARE that is not UTF-8", options=[option(0x02, b"\xff")])
    bad_hello("CLOCK of 20 bytes", options=[option(0x01, bytes(20))])
    bad_hello("CLOCK with kind 0", options=[option(0x01, struct.pack(">qqIB", 0, 0, 0, 0))])
    bad_hello("NOISE that is not the last option", suite=2, options=[option(0x81, bytes(48)), option(0x00, b"")])

    nonce = {"seq": HELLO["nonce"] & 0xFFFFFFFF}
    g.valid("retry with a cookie of 1 byte", "5.2", "RETRY", nonce | {"cookie": b"\x00"})
    g.valid("retry with a cookie of 48 bytes", "5.2", "RETRY", nonce | {"cookie": bytes(range(48))})
    g.valid("retry with the longest cookie, 64 bytes", "5.2", "RETRY", nonce | {"cookie": b"\xff" * 64})
    g.invalid("retry with an empty cookie", "5.2", "RETRY", nonce | {"cookie": b""}, "bad_body")
    g.invalid("retry with a cookie of 65 bytes", "5.2", "RETRY", nonce | {"cookie": bytes(65)}, "bad_body")
    g.invalid("retry with a byte left over", "5", "RETRY", nonce | {"cookie": b"\x01"}, "bad_body", change=lambda b: b + b"\x00")
    g.invalid("retry without a body", "5", "RETRY", nonce | {"cookie": b"\x01"}, "bad_body", change=lambda b: b"")

    def welcome(name, **fields):
        g.valid(name, "5.3", "WELCOME", WELCOME | fields)

    def bad_welcome(name, section="5.3", change=None, **fields):
        g.invalid(name, section, "WELCOME", WELCOME | fields, "bad_body", change=change)

    welcome("welcome of a new stream")
    welcome("welcome back: rows resolved above the mark", next_row=120, high_row=260)
    welcome("every number at its least that a collector may offer", session=1, nonce=0, server_time=-2**63, window_rows=0, max_msg=1200,
            durability=0, commit_interval_ms=0, keepalive_s=1)
    welcome("every number of welcome at its most", session=0xFFFFFFFF, seq=0xFFFFFFFF, nonce=2**64 - 1, next_row=0xFFFFFFFF,
            high_row=0xFFFFFFFF, server_time=2**63 - 1, window_rows=0xFFFFFFFF, max_msg=65535, encodings=7, durability=2,
            commit_interval_ms=65535, keepalive_s=86400, ack_every=1024, ack_delay_ms=65535)
    welcome("welcome with an option below 0x80, skipped", options=[option(0x40, b"later")])
    welcome("more is waiting", flags=CRC | MORE)
    bad_welcome("high_row below next_row", next_row=10, high_row=9)
    bad_welcome("welcome with max_msg 1199", max_msg=1199)
    bad_welcome("welcome whose encodings lack ROWS", encodings=4)
    bad_welcome("welcome of 57 bytes", "5", change=lambda body: body[:-1])
    bad_welcome("welcome with an option that is cut off", "5.3", options=[option(0x40, b"later")], change=lambda body: body[:-1])

    def close(name, sender, section="5.6", **fields):
        g.valid(name, section, "CLOSE", {"retry_after_ms": 0, "text": ""} | fields, sender=sender)

    close("the shortest close has 23 bytes", "device", code=407)
    close("no such session", "collector", "6.6", code=401)
    close("the longest text and the longest wait", "collector", code=403, retry_after_ms=0xFFFFFFFF, text=LONG_TEXT)
    close("other versions are spoken", "collector", "3.5", session=0, seq=HELLO["nonce"] & 0xFFFFFFFF, code=404, text="1")
    close("text in UTF-8 of several bytes", "collector", code=409, text="Gerät — 温室 🌱")
    close("a private code", "collector", "11", code=999, text="")
    bad = {"code": 407, "retry_after_ms": 0, "text": "bye"}
    g.invalid("close whose text is cut off", "5.6", "CLOSE", bad, "bad_body", sender="device", change=lambda b: b[:-1])
    g.invalid("close with a byte left over", "5", "CLOSE", bad, "bad_body", sender="device", change=lambda b: b + b"!")
    g.invalid("close without a text length", "5.6", "CLOSE", bad, "bad_body", sender="device", change=lambda b: b[:6])
    g.invalid("close whose text is not UTF-8", "3.1", "CLOSE", bad | {"text": b"\xc3\x28"}, "bad_body", sender="device")

    g.valid("ping from a device", "5.23", "PING", {"seq": 1, "token": 0x0123456789ABCDEF}, sender="device")
    g.valid("ping from a collector", "5.23", "PING", {"seq": 0xFFFFFFFF, "token": 2**64 - 1}, sender="collector")
    g.valid("pong from a device", "5.23", "PONG", {"seq": 0xFFFFFFFF, "token": 2**64 - 1}, sender="device")
    g.valid("pong from a collector, token 0", "5.23", "PONG", {"seq": 0, "token": 0}, sender="collector")
    g.invalid("ping of 7 bytes", "5.23", "PING", {"token": 1}, "bad_body", sender="device", change=lambda b: b[1:])
    g.invalid("pong of 9 bytes", "5", "PONG", {"token": 1}, "bad_body", sender="collector", change=lambda b: b + b"\x00")
    return g


# ------------------------------------------------------------------------------------------- schema.toml

def channel(name, type, *, exponent=0, flags=0, elements=1, max_len=0, unit="", labels=None):
    labels = {"labels": labels} if labels is not None else {}
    return {"type": type, "exponent": exponent, "flags": flags, "elements": elements, "max_len": max_len,
            "name": name, "unit": unit} | labels


def schema_of(*channels, name="s"):
    return {"name": name, "channels": list(channels)}


GREENHOUSE = schema_of(
    channel("temperature", "i16", exponent=-1, unit="Cel"),
    channel("humidity", "u8", unit="%RH"),
    channel("door", "enum8", labels=["closed", "open"]),
    name="greenhouse")

EVERYTHING = schema_of(
    channel("a_bool", "bool"), channel("a_u8", "u8"), channel("a_u16", "u16"), channel("a_u32", "u32"), channel("a_u64", "u64"),
    channel("a_i8", "i8"), channel("a_i16", "i16"), channel("a_i32", "i32"), channel("a_i64", "i64"), channel("a_f32", "f32"),
    channel("a_f64", "f64"), channel("a_text", "text", max_len=255), channel("a_blob", "blob", max_len=300),
    channel("a_enum8", "enum8", labels=["no", "yes", "so so"]), channel("a_time", "time"),
    name="everything")


def enum_of(count, length=0, name="e"):
    """An enum8 channel of `count` labels, all different, padded to `length` bytes."""
    return channel(name, "enum8", labels=[str(i).ljust(length, ".") for i in range(count)])


def schemas():
    g = Group("schema.toml", "Schema descriptions (4.2), DECLARE, DECLARED")
    good, bad = g.description, lambda name, section, schema, **how: g.description(name, section, schema, "205", **how)
    one = channel("a", "u8")

    good("the smallest: one bool", "4.2", schema_of(channel("a", "bool")))
    good("greenhouse", "4.2", GREENHOUSE)
    good("every value type", "4.3", EVERYTHING)
    good("exponents -18, -1, 0, 1 and 18 on integers", "4.2", schema_of(
        channel("a", "u8", exponent=-18), channel("b", "i8", exponent=-1), channel("c", "u64", exponent=0),
        channel("d", "i64", exponent=1), channel("e", "i32", exponent=18)))
    good("a counter", "4.2", schema_of(channel("pulses", "u32", flags=1, unit="count")))
    good("vectors of 2 and of 64 elements, of every number type", "4.2", schema_of(*[
        channel(f"v_{type}", type, elements=64 if type == "u8" else 2) for type in "u8 u16 u32 u64 i8 i16 i32 i64 f32 f64".split()]))
    good("text at its shortest and longest max_len", "4.2", schema_of(channel("a", "text", max_len=1), channel("b", "text", max_len=255)))
    good("blob of max_len 1, and one that makes the row 1,100 bytes", "4.2", schema_of(channel("a", "blob", max_len=1), channel("b", "blob", max_len=1095)))
    good("blob of the longest max_len, 1,098", "4.2", schema_of(channel("a", "blob", max_len=1098)))
    good("a row of exactly 1,100 bytes", "4.2", schema_of(channel("a", "u64", elements=64), channel("b", "u64", elements=64), channel("c", "u64", elements=9), channel("d", "u32")))
    good("an enum of one label", "4.2", schema_of(enum_of(1)))
    good("an enum of 255 labels", "4.2", schema_of(enum_of(255)))
    good("labels of 1 and of 63 bytes, and in UTF-8", "4.1", schema_of(channel("a", "enum8", labels=["x", "y" * 63, "halb offen, ½", "開"])))
    good("names of 63 characters", "4.1", schema_of(channel("z" + "a0_" * 20 + "aa", "u8"), name="n" * 63))
    good("unit empty, registered, unregistered and of 31 characters", "4.2", schema_of(
        channel("a", "u8"), channel("b", "u8", unit="m/s2"), channel("c", "u8", unit="furlong~!"), channel("d", "u8", unit="u" * 31)))
    good("256 channels", "4.2", schema_of(*[channel(f"c{i}", "u8") for i in range(256)]))
    good("a description of exactly 16,384 bytes", "4.2", schema_of(enum_of(255, 63), name="n" * 51))

    bad("no channels", "4.2", schema_of())
    bad("257 channels", "4.2", schema_of(*[channel(f"c{i}", "u8") for i in range(257)]))
    bad("a description of 16,385 bytes", "4.2", schema_of(enum_of(255, 63), name="n" * 52))
    bad("schema name empty", "4.1", schema_of(one, name=""))
    bad("schema name of 64 bytes", "4.1", schema_of(one, name="n" * 64))
    bad("schema name with a capital letter", "4.1", schema_of(one, name="Green"))
    bad("schema name with a hyphen", "4.1", schema_of(one, name="green-house"))
    bad("channel name empty", "4.1", schema_of(channel("", "u8")))
    bad("channel name of 64 bytes", "4.1", schema_of(channel("n" * 64, "u8")))
    bad("channel name that begins with a digit", "4.1", schema_of(channel("1a", "u8")))
    bad("channel name that begins with an underscore", "4.1", schema_of(channel("_a", "u8")))
    bad("channel name twice", "4.2", schema_of(one, channel("b", "u8"), one))
    bad("value type 0x00", "4.3", schema_of(channel("a", 0x00)))
    bad("value type 0x10", "4.3", schema_of(channel("a", 0x10)))
    bad("exponent 19", "4.2", schema_of(channel("a", "i16", exponent=19)))
    bad("exponent -19", "4.2", schema_of(channel("a", "i16", exponent=-19)))
    bad("exponent on a float", "4.2", schema_of(channel("a", "f64", exponent=-1)))
    bad("exponent on a bool", "4.2", schema_of(channel("a", "bool", exponent=1)))
    bad("exponent on a time", "4.2", schema_of(channel("a", "time", exponent=-3)))
    bad("channel flag 0x02", "4.2", schema_of(channel("a", "u8", flags=2)))
    bad("elements 0", "4.2", schema_of(channel("a", "u8", elements=0)))
    bad("elements 65", "4.2", schema_of(channel("a", "u8", elements=65)))
    bad("a vector of bool", "4.2", schema_of(channel("a", "bool", elements=2)))
    bad("a vector of text", "4.2", schema_of(channel("a", "text", elements=2, max_len=8)))
    bad("a vector of time", "4.2", schema_of(channel("a", "time", elements=2)))
    bad("a vector of enum8", "4.2", schema_of(channel("a", "enum8", elements=2, labels=["x"])))
    bad("text of max_len 0", "4.2", schema_of(channel("a", "text", max_len=0)))
    bad("text of max_len 256", "4.2", schema_of(channel("a", "text", max_len=256)))
    bad("blob of max_len 0", "4.2", schema_of(channel("a", "blob", max_len=0)))
    bad("blob of max_len 1,099", "4.2", schema_of(channel("a", "blob", max_len=1099)))
    bad("max_len on a number", "4.2", schema_of(channel("a", "u8", max_len=1)))
    bad("unit of 32 characters", "4.2", schema_of(channel("a", "u8", unit="u" * 32)))
    bad("unit with a tab", "4.2", schema_of(channel("a", "u8", unit="m\ts")))
    bad("unit that is not ASCII", "4.2", schema_of(channel("a", "u8", unit="°C")))
    bad("an enum without labels", "4.2", schema_of(channel("a", "enum8", labels=[])))
    bad("label empty", "4.1", schema_of(channel("a", "enum8", labels=["x", ""])))
    bad("label of 64 bytes", "4.1", schema_of(channel("a", "enum8", labels=["y" * 64])))
    bad("label with a line feed", "4.1", schema_of(channel("a", "enum8", labels=["a\nb"])))
    bad("label that is not UTF-8", "4.1", schema_of(channel("a", "enum8", labels=[b"\xe9"])))
    bad("label twice", "4.2", schema_of(channel("a", "enum8", labels=["x", "y", "x"])))
    bad("a row of 1,101 bytes", "4.2", schema_of(channel("a", "text", max_len=254), channel("b", "blob", max_len=844)))
    bad("a byte left over", "4.2", schema_of(one), change=lambda data: data + b"\x00")
    bad("cut off within a channel", "4.2", schema_of(one), change=lambda data: data[:-1])
    bad("cut off within the labels", "4.2", GREENHOUSE, change=lambda data: data[:-1])
    bad("an empty description", "4.2", schema_of(one), change=lambda data: b"")

    whole = describe(GREENHOUSE)
    declare = {"seq": 0, "part": 0, "parts": 1, "crc": crc32(whole), "bytes": whole}
    g.valid("declare, whole", "5.4", "DECLARE", declare)
    g.valid("declare, schema id 63", "5.4", "DECLARE", declare | {"seq": 63})
    g.valid("declare, part 0 of 64, 1 byte", "5.4", "DECLARE", declare | {"parts": 64, "bytes": whole[:1]})
    g.valid("declare, part 63 of 64", "5.4", "DECLARE", declare | {"part": 63, "parts": 64, "bytes": whole[63:]})
    g.valid("declare, in one datagram of 1,200 bytes", "5.4", "DECLARE", declare | {"parts": 14, "bytes": describe(schema_of(enum_of(255, 63)))[:1178]})
    g.invalid("declare, parts 0", "5.4", "DECLARE", declare | {"parts": 0}, "bad_body")
    g.invalid("declare, parts 65", "5.4", "DECLARE", declare | {"parts": 65}, "bad_body")
    g.invalid("declare, part 1 of 1", "5.4", "DECLARE", declare | {"part": 1}, "bad_body")
    g.invalid("declare, no bytes of the description", "5.4", "DECLARE", declare | {"bytes": b""}, "bad_body")
    g.invalid("declare, body of 5 bytes", "5.4", "DECLARE", declare, "bad_body", change=lambda body: body[:5])
    g.invalid("declare, schema id 64", "4.2", "DECLARE", declare | {"seq": 64}, "bad_body")
    g.valid("declared", "5.5", "DECLARED", {"seq": 0, "crc": crc32(whole)})
    g.valid("declared, schema id 63, crc 0xFFFFFFFF", "5.5", "DECLARED", {"seq": 63, "crc": 0xFFFFFFFF})
    g.invalid("declared, 3 bytes", "5.5", "DECLARED", {"crc": 0}, "bad_body", change=lambda body: body[:3])
    g.invalid("declared, 5 bytes", "5", "DECLARED", {"crc": 0}, "bad_body", change=lambda body: body + b"\x00")
    return g


# ------------------------------------------------------------------------------------------- rows.toml

UTC_SYNCED = 3


def rows_of(*rows, t0=T0, clock=UTC_SYNCED, schema_id=0, **header):
    """The fields of a data message: `rows` are (time_offset, values)."""
    return header | {"schema_id": schema_id, "clock": clock, "t0": t0,
                     "rows": [{"time_offset": offset, "values": values} for offset, values in rows]}


def every_value(**other):
    """One row of EVERYTHING."""
    row = {"a_bool": True, "a_u8": 1, "a_u16": 2, "a_u32": 3, "a_u64": 4, "a_i8": -5, "a_i16": -6, "a_i32": -7, "a_i64": -8,
           "a_f32": f32(1.5), "a_f64": f64(-0.1), "a_text": "nine", "a_blob": Blob(b"\x0a\x00"), "a_enum8": 1, "a_time": T0}
    return list((row | other).values())


NARROW = schema_of(channel("flag", "bool"), channel("note", "text", max_len=4), channel("raw", "blob", max_len=2),
                   channel("state", "enum8", labels=["off", "on"]))


def rows():
    g = Group("rows.toml", "ROWS and ROWS_U")
    two = rows_of((0, [215, 61, 0]), (10_000_000, [-3, 60, 1]))

    def good(name, fields, schema=GREENHOUSE, section="5.7", type="ROWS"):
        g.valid(name, section, type, fields, schema=schema)

    def one(type, values, **how):
        how.setdefault("elements", 1)
        return dict(fields=rows_of(*[(i, [value]) for i, value in enumerate(values)]), schema=schema_of(channel("x", type, **how)))

    good("one row: the fields follow t0 at once", rows_of((0, [215, 61, 0])))
    good("two rows: each is led by its time offset", two)
    good("two rows with the same time", rows_of((7, [0, 0, 0]), (7, [0, 0, 0])))
    good("time offsets 0xFFFFFFFF and 0, in no order", rows_of((0xFFFFFFFF, [1, 1, 0]), (0, [2, 2, 1])))
    good("clock NONE", rows_of((0, [1, 1, 0]), (500, [1, 1, 0]), clock=0, t0=0))
    good("clock MONOTONIC", rows_of((0, [1, 1, 0]), clock=1, t0=86_400_000_000))
    good("clock UTC_UNSYNCED", rows_of((0, [1, 1, 0]), clock=2))
    good("t0 at its least", rows_of((0, [1, 1, 0]), t0=-2**63))
    good("t0 at its most", rows_of((0, [1, 1, 0]), t0=2**63 - 1))
    good("schema id 63", rows_of((0, [1, 1, 0]), schema_id=63))
    good("acknowledge now", rows_of((0, [1, 1, 0]), flags=CRC | ACK_NOW, seq=77), section="7.3")
    good("the last row number of a stream", rows_of((0, [1, 1, 0]), seq=0xFFFFFFFE), section="2.3")
    good("two rows that end with the last row number", two | {"seq": 0xFFFFFFFD}, section="2.3")
    good("every value type", rows_of((0, every_value())), EVERYTHING, "4.3")
    good("every integer at its least", rows_of((0, every_value(
        a_bool=False, a_u8=0, a_u16=0, a_u32=0, a_u64=0, a_i8=-128, a_i16=-2**15, a_i32=-2**31, a_i64=-2**63, a_enum8=0, a_time=-2**63))), EVERYTHING, "4.3")
    good("every integer at its most", rows_of((0, every_value(
        a_u8=255, a_u16=65535, a_u32=2**32 - 1, a_u64=2**64 - 1, a_i8=127, a_i16=2**15 - 1, a_i32=2**31 - 1, a_i64=2**63 - 1,
        a_enum8=2, a_time=2**63 - 1))), EVERYTHING, "4.3")
    good("text and blob empty", rows_of((0, every_value(a_text="", a_blob=Blob()))), EVERYTHING, "4.3")
    good("text and blob at max_len", rows_of((0, every_value(a_text=LONG_TEXT, a_blob=Blob(bytes(range(256)) + bytes(44))))), EVERYTHING, "4.3")
    good("text of 2, 3 and 4 byte characters, and NUL", rows_of((0, every_value(a_text="é温🌱\0"))), EVERYTHING, "4.3")
    good("two rows of every type", rows_of((0, every_value()), (1, every_value(a_text="", a_u64=2**53 + 1))), EVERYTHING, "4.3")
    good("integers beside 2^53", section="4.3", **one("i64", [2**53, 2**53 + 1, -2**53, -2**53 - 1]))
    good("f32: zeros, ends, infinities, NaN with payloads", section="4.3", **one("f32", [Bits32(bits) for bits in (
        0, 0x80000000, 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001, 0xFFFFFFFF)]))
    good("f64: zeros, ends, infinities, NaN with payloads", section="4.3", **one("f64", [Bits64(bits) for bits in (
        0, 1 << 63, 1, 0x000FFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000,
        0x7FF8000000000000, 0xFFF8000000000123, 0x7FF0000000000001, 2**64 - 1)]))
    good("exponents change nothing on the wire", section="4.2", **one("i16", [-1, 0, 1], exponent=-18))
    good("a vector of 3", section="4.3", **one("i16", [[1, -2, 3], [-32768, 0, 32767]], elements=3))
    good("a vector of 64", section="4.3", **one("f32", [[f32(i / 4) for i in range(64)]], elements=64))
    good("vectors between scalars", rows_of((0, [1, [2, 3], 4]), (9, [5, [6, 7], 8])), schema_of(
        channel("a", "u8"), channel("v", "u16", elements=2), channel("b", "u8")), "4.3")
    good("a row of 1,100 bytes, the most, in a datagram", section="4.2", **one("blob", [Blob(b"\xa5" * 1098)], max_len=1098))
    good("enum index 254", section="4.3", fields=rows_of((0, [254])), schema=schema_of(enum_of(255)))
    good("256 channels", section="4.2", fields=rows_of((0, list(range(256)))), schema=schema_of(*[channel(f"c{i}", "u8") for i in range(256)]))
    good("200 rows in a message", rows_of(*[(i * 1000, [i]) for i in range(200)], seq=1000), schema_of(channel("n", "u8")))

    def refused(name, rows, refused, schema=NARROW):
        g.refused(name, "4.3", "ROWS", rows_of(*[(i, row) for i, row in enumerate(rows)]), refused, schema=schema)

    fine = [True, "text", Blob(b"\x01\x02"), 1]
    refused("a bool of 2", [[Byte(2), "", Blob(), 0]], [0])
    refused("a bool of 255 in the middle row", [fine, [Byte(255), "", Blob(), 0], fine], [1])
    refused("text that is not UTF-8", [fine, [True, b"\xff\xfe", Blob(), 0]], [1])
    refused("text with a UTF-16 surrogate", [[True, b"\xed\xa0\x80", Blob(), 0], fine], [0])
    refused("text in overlong UTF-8", [[True, b"\xc0\x80", Blob(), 0], fine], [0])
    refused("text cut within a character", [[True, b"ab\xc3", Blob(), 0], fine], [0])
    refused("text one byte longer than max_len", [fine, fine, [True, "texts", Blob(), 0]], [2])
    refused("blob one byte longer than max_len", [fine, [True, "", Blob(b"123"), 0]], [1])
    refused("an enum index without a label", [[True, "", Blob(), 2], fine], [0])
    refused("enum index 255", [[True, "", Blob(), 255], fine], [0])
    refused("three of four rows, each for another value", [[Byte(2), "", Blob(), 0], fine, [True, "12345", Blob(), 0], [True, "", Blob(), 9]], [0, 2, 3])

    def broken(name, fields=two, change=None, section="5.7", schema=GREENHOUSE):
        g.invalid(name, section, "ROWS", fields, "303", schema=schema, change=change)

    broken("count 0", rows_of())
    broken("count 0 with a row behind it", rows_of(), lambda body: body + b"\x00\xd7\x3d\x00")
    broken("an empty body", change=lambda body: b"")
    broken("a body of 11 bytes", change=lambda body: body[:11])
    broken("a body that ends after t0", change=lambda body: body[:12])
    broken("a body that ends within a row", change=lambda body: body[:-1])
    broken("a body that ends between rows", change=lambda body: body[:-8])
    broken("a byte left over", change=lambda body: body + b"\x00")
    broken("one row led by a time offset", rows_of((0, [215, 61, 0])), lambda body: body[:12] + bytes(4) + body[12:])
    broken("text whose length passes the end", rows_of((0, ["abc"])), lambda body: body[:-1], schema=schema_of(channel("t", "text", max_len=9)))
    broken("blob whose length field is cut off", rows_of((0, [Blob()])), lambda body: body[:-1], schema=schema_of(channel("b", "blob", max_len=9)))
    broken("t0 other than 0 with clock NONE", rows_of((0, [1, 1, 0]), clock=0, t0=1))
    broken("a row beyond the last row number", two | {"seq": 0xFFFFFFFE})
    broken("row number 0xFFFFFFFF", rows_of((0, [1, 1, 0]), seq=0xFFFFFFFF))

    good("rows_u: the first message of a stream", two, type="ROWS_U", section="5.10")
    good("rows_u: the counter at its most is no row number", two | {"seq": 0xFFFFFFFF}, type="ROWS_U", section="5.10")
    g.invalid("rows_u: a body that ends within a row", "5.10", "ROWS_U", two, "bad_body", schema=GREENHOUSE, change=lambda body: body[:-1])
    g.invalid("rows_u: a byte left over", "5.10", "ROWS_U", two, "bad_body", schema=GREENHOUSE, change=lambda body: body + b"\x00")
    return g


# ------------------------------------------------------------------------------------------- answers.toml

def answers():
    g = Group("answers.toml", "ACK and NACK")

    def ack(name, section="5.13", **fields):
        g.valid(name, section, "ACK", fields)

    def bad_ack(name, ranges, section="5.13", change=None):
        body = {"seq": 100, "window_rows": 4096, "ack_delay_ms": 0, "retry_after_ms": 0, "ranges": ranges}
        g.invalid(name, section, "ACK", body, "bad_body", change=change)

    plain = {"window_rows": 4096, "ack_delay_ms": 20, "retry_after_ms": 0, "ranges": []}
    ack("an ack without a body", seq=10)
    ack("an ack without a body, everything to the last row", seq=0xFFFFFFFF)
    ack("an ack without ranges", seq=10, **plain)
    ack("nothing is durable yet", seq=0, **plain)
    ack("one range", seq=10, **plain | {"ranges": [(12, 14)]})
    ack("the smallest gaps: one row missing, one row there, one missing", seq=10, **plain | {"ranges": [(11, 12), (13, 14)]})
    ack("64 ranges", seq=100, **plain | {"ranges": [(102 + 3 * i, 103 + 3 * i) for i in range(64)]})
    ack("a range to the last row number", seq=0xFFFFFFF0, **plain | {"ranges": [(0xFFFFFFFE, 0xFFFFFFFF)]})
    ack("window closed, try again after 65,535 ms", seq=10, **plain | {"window_rows": 0, "retry_after_ms": 65535})
    ack("window and delay at their most", seq=10, **plain | {"window_rows": 0xFFFFFFFF, "ack_delay_ms": 65535})
    ack("an ack with more waiting", "7.7", seq=10, flags=CRC | MORE)
    bad_ack("65 ranges", [(102 + 3 * i, 103 + 3 * i) for i in range(65)])
    bad_ack("a range that begins at seq", [(100, 105)])
    bad_ack("a range below seq", [(50, 60)])
    bad_ack("an empty range", [(105, 105)])
    bad_ack("a range that ends before it starts", [(106, 105)])
    bad_ack("ranges that touch", [(102, 105), (105, 107)])
    bad_ack("ranges that overlap", [(102, 106), (105, 107)])
    bad_ack("ranges that descend", [(110, 111), (102, 103)])
    bad_ack("the zero is 1", [], change=lambda body: body[:8] + b"\x01" + body[9:])
    bad_ack("fewer ranges than counted", [(102, 103), (105, 106)], change=lambda body: body[:-8])
    bad_ack("more ranges than counted", [(102, 103), (105, 106)], change=lambda body: body[:9] + b"\x01" + body[10:])
    bad_ack("a range that is cut off", [(102, 103)], change=lambda body: body[:-1])
    bad_ack("an ack of 9 bytes", [], change=lambda body: body[:9])
    bad_ack("an ack of 1 byte", [], change=lambda body: body[:1])

    def nack(name, section="5.14", **fields):
        g.valid(name, section, "NACK", {"type": TYPES["ROWS"], "first": 0, "count": 0, "retry_after_ms": 0, "text": ""} | fields)

    nack("rows 40 to 49 again after a second", "7.6", seq=40, code=103, first=40, count=10, retry_after_ms=1000, text="disk full")
    nack("unknown schema", "5.4", seq=0, code=201, first=0, count=2)
    nack("one row refused", "5.7", seq=12, code=301, first=13, count=1, text="door: index 2 has no label")
    nack("schema conflict, no rows meant", "5.4", seq=3, type=TYPES["DECLARE"], code=202)
    nack("a critical message type that nobody knows", "5.25", seq=1, type=0xFF, code=302)
    nack("an unknown code of class 2xx", "7.6", seq=1, code=299, first=1, count=1)
    nack("every number and the text at its most", seq=0xFFFFFFFF, type=0x7F, code=65535, first=0xFFFFFFFF, count=0xFFFFFFFF,
         retry_after_ms=0xFFFFFFFF, text=LONG_TEXT)
    base = {"type": 0x10, "code": 303, "first": 0, "count": 0, "retry_after_ms": 0, "text": "x"}
    g.invalid("nack without a text length", "5.14", "NACK", base, "bad_body", change=lambda body: body[:15])
    g.invalid("nack whose text is cut off", "5.14", "NACK", base, "bad_body", change=lambda body: body[:-1])
    g.invalid("nack with a byte left over", "5", "NACK", base, "bad_body", change=lambda body: body + b"\x00")
    g.invalid("nack whose text is not UTF-8", "3.1", "NACK", base | {"text": b"\x80"}, "bad_body")
    return g


# ------------------------------------------------------------------------------------------- sparse.toml

ABSENT = "absent"


def sparse():
    g = Group("sparse.toml", "SPARSE")

    def good(name, fields, schema=GREENHOUSE):
        g.valid(name, "5.8", "SPARSE", fields, schema=schema)

    def broken(name, fields, change, schema=GREENHOUSE, section="5.8"):
        g.invalid(name, section, "SPARSE", fields, "303", schema=schema, change=change)

    eight, nine = [schema_of(*[channel(f"c{i}", "u8") for i in range(count)]) for count in (8, 9)]
    holes = rows_of((0, [215, ABSENT, 1]), (10, [ABSENT, ABSENT, ABSENT]), (20, [ABSENT, 60, ABSENT]))
    good("all channels present", rows_of((0, [215, 61, 0])))
    good("no channel present", rows_of((0, [ABSENT] * 3)))
    good("only the first", rows_of((0, [-1, ABSENT, ABSENT])))
    good("only the last", rows_of((0, [ABSENT, ABSENT, 1])))
    good("three rows with other channels each", holes)
    good("8 channels: a bitmap of one byte", rows_of((0, [1, ABSENT, 3, ABSENT, ABSENT, ABSENT, ABSENT, 8])), eight)
    good("9 channels: a bitmap of two bytes", rows_of((0, [ABSENT] * 8 + [9])), nine)
    good("256 channels, one present", rows_of((0, [ABSENT] * 200 + [7] + [ABSENT] * 55)), schema_of(*[channel(f"c{i}", "u8") for i in range(256)]))
    good("every value type present", rows_of((0, every_value())), EVERYTHING)
    good("every second one of every value type", rows_of((0, [ABSENT if i % 2 else v for i, v in enumerate(every_value())])), EVERYTHING)
    good("a vector is absent as a whole", rows_of((0, [ABSENT, 1]), (1, [[1, 2, 3], ABSENT])), schema_of(channel("v", "i16", elements=3), channel("b", "u8")))

    g.refused("a bad value that is present", "4.3", "SPARSE", rows_of((0, [ABSENT, ABSENT, 1]), (1, [ABSENT, 5, 2])), [1], schema=GREENHOUSE)
    g.refused("a bool of 2 in the first row", "4.3", "SPARSE", rows_of((0, [Byte(2), ABSENT, ABSENT, ABSENT]), (1, [ABSENT] * 4)), [0], schema=NARROW)

    broken("an unused bit of the bitmap is 1", rows_of((0, [ABSENT] * 3)), lambda body: body[:-1] + b"\x01")
    broken("an unused bit of the second bitmap byte is 1", rows_of((0, [ABSENT] * 9)), lambda body: body[:-1] + b"\x40", nine)
    broken("a body that ends before the bitmap", rows_of((0, [ABSENT] * 3)), lambda body: body[:-1])
    broken("a body that ends within the bitmap", rows_of((0, [ABSENT] * 9)), lambda body: body[:-1], nine)
    broken("a channel is marked present and is not there", holes, lambda body: body[:-1])
    broken("a byte left over in sparse rows", holes, lambda body: body + b"\x3c")
    broken("sparse with count 0", rows_of(), None, section="5.7")
    return g


# ------------------------------------------------------------------------------------------- columns.toml

def columns():
    g = Group("columns.toml", "COLUMNS and COLUMNS_U. Other encodings of the same rows are right too")
    flat = ("constant",)

    def good(name, fields, schema, period, times, *plans, type="COLUMNS", section="5.9"):
        plan = {"period": period, "times": times, "columns": plans}
        g.valid(name, section, type, fields, schema=schema, plan=plan)
        check_columns(fields["rows"], g, schema)

    def numbers(type, values, *plans, elements=1, **how):
        return rows_of(*[(i * 10, [v]) for i, v in enumerate(values)]), schema_of(channel("x", type, elements=elements, **how)), 10, flat, *plans

    even = rows_of((0, [215, 61, 0]), (10_000_000, [216, 61, 0]), (20_000_000, [218, 61, 1]), (30_000_000, [217, 61, 1]))
    good("greenhouse, four rows at an even pace", even, GREENHOUSE, 10_000_000, flat, ("delta", 1), flat, ())
    good("greenhouse, one row", rows_of((0, [215, 61, 0])), GREENHOUSE, 0, flat, flat, flat, ())
    good("one row in delta: no residuals", rows_of((0, [215, 61, 0])), GREENHOUSE, 0, ("delta", 0), ("delta", 5), ("delta2", 63), ())
    good("a pace with jitter", rows_of((0, [1]), (1003, [2]), (1998, [3]), (3000, [4])), schema_of(channel("n", "u8")), 1000, ("median", 2, 0), ("delta", 0))
    good("times that go backwards", rows_of((0, [1]), (-1000, [2]), (-2000, [3])), schema_of(channel("n", "u8")), -1000, flat, ("delta", 0))
    good("the first row is not at t0", rows_of((5, [1]), (6, [2])), schema_of(channel("n", "u8")), 1, flat, ("delta", 0))
    good("the widest times", rows_of((2**63 - 1, [1]), (-2**63, [2]), t0=0), schema_of(channel("n", "u8")), 0, ("delta", 0), ("delta", 0))
    good("constant", *numbers("i32", [-7] * 5, flat))
    good("median, k 0", *numbers("i32", [10, 9, 11, 10], ("median", 0, 10)))
    good("median, k 6", *numbers("i32", [1000, 1020, 960, 1001], ("median", 6, 1000)))
    good("median, base 0, k 63", *numbers("i64", [2**63 - 1, -2**63, 0], ("median", 63, 0)))
    good("delta, k 3", *numbers("u16", [100, 110, 95, 96, 65535, 0], ("delta", 3)))
    good("delta of delta, k 1", *numbers("i16", [0, 3, 6, 9, 13, 17, 20], ("delta2", 1)))
    good("31 one bits, the longest without escape", *numbers("i8", [0, -16], ("delta", 0)))
    good("32 one bits: escaped", *numbers("i8", [0, 16], ("delta", 0)))
    good("escaped residuals between short ones", *numbers("i64", [0, 1, 2**62, 2**62 + 1, -2**62], ("delta", 0)))
    good("i64 from end to end wraps", *numbers("i64", [-2**63, 2**63 - 1, -2**63, 0], ("delta", 0)))
    good("i64 delta of delta wraps", *numbers("i64", [-2**63, 2**63 - 1, 5, -5], ("delta2", 0)))
    good("u64 is taken as the i64 of the same bits", *numbers("u64", [0, 2**64 - 1, 2**63, 2**63 - 1, 1], ("delta", 2)))
    good("u64 constant at its most", *numbers("u64", [2**64 - 1] * 3, flat))
    good("time", *numbers("time", [T0, T0 + 5, T0 + 10], ("delta2", 0)))
    good("bool in a bitmap of two bytes", *numbers("bool", [True, False, True] * 3, ("bitmap",)))
    good("bool in runs", *numbers("bool", [False] * 3 + [True] * 200 + [False], ("runs",)))
    good("text in runs", *numbers("text", ["a", "a", "", "é"], (), max_len=20))
    good("blob in runs", *numbers("blob", [Blob(), Blob(), Blob(b"\x00\xff")], (), max_len=20))
    good("enum8 in one run", *numbers("enum8", [1, 1, 1], (), labels=["off", "on"]))
    good("f32 as they are", *numbers("f32", [f32(0.5), Bits32(0x7FC00001), Bits32(0x80000000)], ("raw",)))
    good("f64 as they are", *numbers("f64", [f64(0.5), Bits64(0xFFF8000000000001), Bits64(1 << 63)], ("raw",)))
    good("f64 constant: a NaN with a payload", *numbers("f64", [Bits64(0x7FF8000000000123)] * 4, flat))
    good("f32 constant: -0.0", *numbers("f32", [Bits32(0x80000000)] * 2, flat))
    good("f32 xor: zero, a new window, the window again", *numbers("f32", [f32(v) for v in (20.5, 20.5, 20.75, 20.625, 21.0, -3.0)], ("xor",)))
    good("f64 xor: zero, a new window, the window again", *numbers("f64", [f64(v) for v in (20.5, 20.5, 20.75, 20.625, 1e300, -0.0)], ("xor",)))
    good("f32 xor: a window of all 32 bits, and of the last bit", *numbers("f32", [Bits32(0), Bits32(0xFFFFFFFF), Bits32(0xFFFFFFFE)], ("xor",)))
    good("f64 xor: a window of all 64 bits, and of the last bit", *numbers("f64", [Bits64(0), Bits64(1), Bits64(2**64 - 2), Bits64(2**64 - 1)], ("xor",)))
    good("f64 xor: one row", *numbers("f64", [f64(1.0)], ("xor",)))
    good("a vector: one column for each element", *numbers("i16", [[1, -5, 7], [2, -5, 9], [3, -5, 8]], ("delta", 0), flat, ("median", 1, 8), elements=3))
    good("every value type in columns", rows_of((0, every_value()), (1, every_value(a_bool=False, a_u8=255, a_text=""))), EVERYTHING, 1, flat,
         ("bitmap",), ("delta", 7), *[flat] * 7, ("xor",), ("xor",), (), (), (), flat)
    good("16,384 values, the most", rows_of(*[(i, [[5] * 64]) for i in range(256)]), schema_of(channel("v", "u8", elements=64)), 1, flat, *[flat] * 64, section="12.1")
    good("columns_u", even, GREENHOUSE, 10_000_000, flat, ("delta", 1), flat, (), type="COLUMNS_U", section="5.10")

    def refused(name, fields, schema, period, times, *plans, rows):
        g.refused(name, "5.9", "COLUMNS", fields, rows, schema=schema, plan={"period": period, "times": times, "columns": plans})
        check_columns(g.cases[-1]["fields"]["rows"], g, schema)

    refused("a u8 of 256", *numbers("u8", [255, Wide(256), 255], ("delta", 0)), rows=[1])
    refused("an i8 of -129", *numbers("i8", [-128, Wide(-129)], ("delta", 0)), rows=[1])
    refused("a u32 of -1 in all rows", *numbers("u32", [Wide(-1)] * 2, flat), rows=[0, 1])
    refused("an element of a vector beyond its type", *numbers("i16", [[1, 2], [1, Wide(32768)]], flat, ("delta", 0), elements=2), rows=[1])
    refused("an enum index without a label, two rows of one run", *numbers("enum8", [0, 2, 2, 1], (), labels=["off", "on"]), rows=[1, 2])
    refused("text longer than max_len in one run", *numbers("text", ["abcd", "abcde"], (), max_len=4), rows=[1])
    refused("text of one run that is not UTF-8", *numbers("text", ["abcd", b"\xff"], (), max_len=4), rows=[1])
    refused("blob longer than max_len in one run", *numbers("blob", [Blob(b"12345"), Blob()], (), max_len=4), rows=[0])

    def broken(name, error, change, fields, schema, period, times, *plans, section="5.9", type="COLUMNS"):
        g.invalid(name, section, type, fields, error, schema=schema, plan={"period": period, "times": times, "columns": plans}, change=change)
        if error != "203":
            check_columns(None, g, schema)

    # the only column of these begins at byte 15 of the body: 12 of the head, 1 of the period, 2 of the times (control, base)
    at = 15
    four = numbers("i32", [1, 2, 3, 5], ("delta", 0))
    runs = numbers("bool", [True, True, False], ("runs",))
    texts = numbers("text", ["ab", "ab", "c"], (), max_len=4)
    xor = numbers("f32", [f32(1.0), f32(1.5)], ("xor",))
    broken("ends before the period", "303", lambda b: b[:12], *four)
    broken("ends within a varint", "303", lambda b: b[:12] + b"\x80", *four)
    broken("a varint of 11 bytes", "303", lambda b: b[:12] + b"\x80" * 10 + b"\x00" + b[13:], *four)
    broken("ends before the last column", "303", lambda b: b[:at], *four)
    broken("ends within the residuals", "303", lambda b: b[:-1], *four)
    broken("a byte left over after the last column", "303", lambda b: b + b"\x00", *four)
    broken("columns with count 0", "303", lambda b: b[:2] + b"\xc0\x00" + b[4:], *four, section="5.7")
    broken("columns of 11 bytes", "303", lambda b: b[:11], *four, section="5.7")
    broken("t0 other than 0 with clock NONE in columns", "303", lambda b: b[:2] + b"\x00\x04" + b[4:], *four, section="5.7")
    broken("bool column with control byte 2", "303", lambda b: b[:at] + b"\x02" + b[at + 1:], *runs)
    broken("a bool run of 0", "303", lambda b: b[:at + 2] + b"\x00" + b[at + 2:], *runs)
    broken("bool runs beyond count", "303", lambda b: b[:-1] + b"\x02", *runs)
    broken("bool runs that end before count", "303", lambda b: b[:-1], *runs)
    broken("a text run of 0", "303", lambda b: b[:at] + b"\x00\x01a" + b[at:], *texts)
    broken("a text run beyond count", "303", lambda b: b[:at] + b"\x04" + b[at + 1:], *texts)
    broken("text that ends within a value", "303", lambda b: b[:-1], *texts)
    broken("float column with control byte 3", "303", lambda b: b[:at] + b"\x03" + b[at + 1:], *xor)
    broken("float xor that ends within its bits", "303", lambda b: b[:-1], *xor)
    broken("float column that ends within a value", "303", lambda b: b[:-1], *numbers("f64", [f64(1.0)] * 2, ("raw",)))
    broken("float xor whose window passes the last bit", "303", lambda b: b[:at + 5] + pack_bits("11" + "11111" + "00001" + "11"), *xor)
    broken("16,385 values", "203", None, rows_of(*[(i, [5] * 5) for i in range(3277)]), schema_of(*[channel(f"c{i}", "u8") for i in range(5)]), 1, flat, *[flat] * 5, section="12.1")
    broken("decoded beyond 262,144 bytes", "203", None, rows_of(*[(0, ["x"]) for i in range(1025)]), schema_of(channel("t", "text", max_len=255)), 0, flat, (), section="12.1")
    broken("columns_u: a byte left over", "bad_body", lambda b: b + b"\x00", *four, section="5.10", type="COLUMNS_U")
    return g


def check_columns(rows, group, schema):
    """The case just made, decoded by the decoder below: these rows, or a broken layout (rows None)."""
    case = group.cases[-1]
    try:
        decoded = decode_columns(bytes.fromhex(case["hex"])[12:-4], schema)
    except Broken:
        decoded = None
    assert decoded == rows, f"{case['name']}: {decoded}"


# ------------------------------------------------------------------------------------------- ledger.toml

def ledger():
    g = Group("ledger.toml", "COUNTS, SKIP, REPORT")
    causes = [{"cause": i + 1, "count": 10 * i} for i in range(16)]

    g.valid("nothing was dropped", "5.11", "COUNTS", {"seq": 100, "made": 100, "causes": []})
    g.valid("counts before the first row", "5.11", "COUNTS", {"seq": 0, "made": 0, "causes": []})
    g.valid("two causes", "5.11", "COUNTS", {"seq": 5000, "made": 4990, "causes": [{"cause": 1, "count": 312}, {"cause": 4, "count": 7}]})
    g.valid("16 causes", "5.11", "COUNTS", {"seq": 5000, "made": 4990, "causes": causes})
    g.valid("counts at their most", "5.11", "COUNTS", {"seq": 0xFFFFFFFE, "made": 2**64 - 1, "causes": [{"cause": 255, "count": 2**64 - 1}]})
    two = {"made": 9, "causes": [{"cause": 1, "count": 2}, {"cause": 2, "count": 3}]}
    bad = lambda name, fields, change=None: g.invalid(name, "5.11", "COUNTS", {"seq": 20} | fields, "bad_body", change=change)
    bad("17 causes", {"made": 9, "causes": causes + [{"cause": 17, "count": 0}]})
    bad("causes that descend", {"made": 9, "causes": two["causes"][::-1]})
    bad("a cause twice", {"made": 9, "causes": two["causes"][:1] * 2})
    bad("counts cut off within a cause", two, lambda body: body[:-1])
    bad("fewer causes than counted", two, lambda body: body[:-9])
    bad("counts with a byte left over", two, lambda body: body + b"\x00")
    bad("counts of 8 bytes", two, lambda body: body[:8])

    for cause, name in enumerate(["OVERFLOW", "LOST", "REJECTED", "EXPIRED"], 1):
        g.valid(f"skip of one row, {name}", "5.12", "SKIP", {"seq": 40, "count": 1, "cause": cause})
    g.valid("skip for a cause that nobody knows", "5.12", "SKIP", {"seq": 40, "count": 60, "cause": 200})
    g.valid("skip of a whole stream", "2.3", "SKIP", {"seq": 0, "count": 0xFFFFFFFF, "cause": 2})
    g.valid("skip of the last row", "2.3", "SKIP", {"seq": 0xFFFFFFFE, "count": 1, "cause": 1})
    skip = {"seq": 40, "count": 5, "cause": 1}
    bad = lambda name, fields=skip, change=None, section="5.12": g.invalid(name, section, "SKIP", fields, "bad_body", change=change)
    bad("skip of no rows", skip | {"count": 0})
    bad("skip beyond the last row", skip | {"seq": 0xFFFFFFFE, "count": 2}, section="2.3")
    bad("the zero of skip is 1", change=lambda body: body[:-1] + b"\x01")
    bad("skip of 6 bytes", change=lambda body: body[:-1])
    bad("skip with a byte left over", change=lambda body: body + b"\x00", section="5")

    g.valid("report", "5.15", "REPORT", {"seq": 63, "received": 60, "duplicates": 1, "missing": 4})
    g.valid("report at its most", "5.15", "REPORT", {"seq": 0xFFFFFFFF, "received": 0xFFFFFFFF, "duplicates": 0xFFFFFFFF, "missing": 0xFFFFFFFF})
    g.invalid("report of 11 bytes", "5.15", "REPORT", {"received": 1, "duplicates": 0, "missing": 0}, "bad_body", change=lambda body: body[:-1])
    g.invalid("report with a byte left over", "5", "REPORT", {"received": 1, "duplicates": 0, "missing": 0}, "bad_body", change=lambda body: body + b"\x00")
    return g


# ------------------------------------------------------------------------------------------- downlink.toml

def named(name, type, value, exponent=0):
    return {"name": name, "type": type, "exponent": exponent, "elements": len(value) if isinstance(value, list) else 1, "value": value}


def downlink():
    g = Group("downlink.toml", "CONFIG, COMMAND, ALERT, DONE and the values they carry (4.4)")
    interval = named("interval_ms", "u32", 10_000)
    ends = [named("a", "bool", True), named("b", "bool", False), named("c", "u8", 255), named("d", "u16", 65535), named("e", "u32", 2**32 - 1),
            named("f", "u64", 2**64 - 1), named("g", "i8", -128), named("h", "i16", -2**15), named("i", "i32", -2**31), named("j", "i64", -2**63),
            named("k", "f32", Bits32(0x7F800001)), named("l", "f64", Bits64(1 << 63)), named("m", "text", "ein Text, µ"),
            named("n", "blob", Blob(b"\x00\xff")), named("o", "time", T0)]

    def config(name, *settings, section="5.17", revision=1, **header):
        g.valid(name, section, "CONFIG", {"seq": 1} | header | {"revision": revision, "settings": list(settings)})

    def bad_config(name, *settings, section="4.4", revision=1, change=None):
        g.invalid(name, section, "CONFIG", {"seq": 1, "revision": revision, "settings": list(settings)}, "bad_body", change=change)

    config("a config without settings: everything at its default")
    config("the well-known settings", interval, named("batch_rows", "u16", 10), named("enable.humidity", "bool", False), section="5.16", revision=3)
    config("revision and control number at their most", interval, revision=0xFFFFFFFF, seq=0xFFFFFFFF)
    config("a value of every type", *ends, section="4.4")
    config("32 settings", *[named(f"s{i}", "u8", i) for i in range(32)], section="4.4")
    config("exponents -18 and 18", named("a", "i16", 1, -18), named("b", "u8", 1, 18), section="4.4")
    config("vectors of 2 and 64 elements", named("a", "i16", [-1, 1]), named("b", "f64", [f64(i / 8) for i in range(64)]), section="4.4")
    config("the longest name, text and blob", named("n" * 127, "u8", 0), named("t", "text", LONG_TEXT), section="4.4")
    config("a blob of 1,024 bytes", named("b", "blob", Blob(b"\x5a" * 1024)), section="4.4")
    config("text and blob of no bytes", named("t", "text", ""), named("b", "blob", Blob()), section="4.4")
    config("every kind of character that a value's name may have", named("9a_z.0", "u8", 0), section="4.4")
    bad_config("revision 0", interval, section="5.17", revision=0)
    bad_config("a setting without a name", named("", "u8", 0), section="5.17")
    bad_config("33 settings", *[named(f"s{i}", "u8", i) for i in range(33)])
    bad_config("a name of 128 bytes", named("n" * 128, "u8", 0))
    bad_config("a name with a capital letter", named("Name", "u8", 0))
    bad_config("a name with a hyphen", named("a-b", "u8", 0))
    bad_config("an enum8", named("a", "enum8", 0))
    bad_config("a value of type 0x00", named("a", "u8", 0), change=lambda b: b[:-4] + b"\x00" + b[-3:])
    bad_config("a value of type 0x10", named("a", "u8", 0), change=lambda b: b[:-4] + b"\x10" + b[-3:])
    bad_config("a bool of value 2", named("a", "bool", Byte(2)))
    bad_config("text of a value that is not UTF-8", named("a", "text", b"\xff"))
    bad_config("a blob of 1,025 bytes", named("a", "blob", Blob(1025)))
    bad_config("exponent 19 of a value", named("a", "u8", 0, 19))
    bad_config("exponent -19 of a value", named("a", "u8", 0, -19))
    bad_config("exponent of a float value", named("a", "f32", f32(1), 1))
    bad_config("elements 0 of a value", named("a", "u8", 0), change=lambda b: b[:-2] + b"\x00")
    bad_config("elements 65 of a value", named("a", "u8", [0] * 65))
    bad_config("a vector of bool values", named("a", "bool", [True, False]))
    bad_config("a vector of text values", named("a", "text", ["x", "y"]))
    bad_config("a value that is cut off", interval, change=lambda b: b[:-1])
    bad_config("fewer settings than counted", interval, change=lambda b: b[:4] + b"\x02" + b[5:])
    bad_config("config with a byte left over", interval, change=lambda b: b + b"\x00", section="5")
    bad_config("config without a list", change=lambda b: b[:4], section="5.17")

    command = {"seq": 2, "id": 17, "ttl_ms": 60_000, "name": "reboot", "arguments": []}
    g.valid("command without arguments", "5.18", "COMMAND", command)
    g.valid("command with positional and named arguments", "5.18", "COMMAND", command | {"name": "set-valve_2", "arguments": [
        named("", "u8", 2), named("", "text", "open"), named("flow", "u16", 125, -2)]})
    g.valid("command with 32 arguments", "4.4", "COMMAND", command | {"arguments": [named("", "u8", i) for i in range(32)]})
    g.valid("command with every number at its most and the longest name", "5.18", "COMMAND", command | {"id": 0xFFFFFFFF, "ttl_ms": 0xFFFFFFFF, "name": "n" * 63})
    g.valid("command of the shortest name, time to live 0", "5.18", "COMMAND", command | {"id": 1, "ttl_ms": 0, "name": "x"})
    bad = lambda name, fields=(), change=None: g.invalid(name, "5.18", "COMMAND", command | dict(fields), "bad_body", change=change)
    bad("command id 0", {"id": 0})
    bad("command name empty", {"name": ""})
    bad("command name of 64 bytes", {"name": "n" * 64})
    bad("command name with a capital letter", {"name": "Reboot"})
    bad("command name that begins with a digit", {"name": "2nd"})
    bad("command with 33 arguments", {"arguments": [named("", "u8", i) for i in range(33)]})
    bad("command that is cut off", change=lambda body: body[:-1])
    bad("command with a byte left over", change=lambda body: body + b"\x00")

    alert = {"seq": 3, "id": 9, "time": T0, "state": 1, "severity": 2, "schema": "greenhouse", "channel": "temperature", "text": "too hot",
             "values": [named("value", "i16", 412, -1), named("threshold", "i16", 400, -1)]}
    g.valid("alert raised, critical", "5.19", "ALERT", alert)
    g.valid("alert cleared, information, all texts empty", "5.19", "ALERT", alert | {"state": 0, "severity": 0, "schema": "", "channel": "", "text": "", "values": []})
    g.valid("alert at the ends", "5.19", "ALERT", alert | {"id": 0xFFFFFFFF, "time": -2**63, "severity": 1, "schema": "s" * 63, "channel": "c" * 63, "text": LONG_TEXT})
    bad = lambda name, fields=(), change=None: g.invalid(name, "5.19", "ALERT", alert | dict(fields), "bad_body", change=change)
    bad("alert state 2", {"state": 2})
    bad("alert severity 3", {"severity": 3})
    bad("alert text that is not UTF-8", {"text": b"\xfe"})
    bad("alert with 33 values", {"values": [named("v", "u8", i) for i in range(33)]})
    bad("alert that is cut off", change=lambda body: body[:-1])
    bad("alert with a byte left over", change=lambda body: body + b"\x00")

    done = {"seq": 1, "type": 0x30, "id": 3, "status": 0, "text": "", "results": []}
    g.valid("done: a config is in force", "5.20", "DONE", done)
    for status, name in enumerate(["OK", "CLAMPED", "REFUSED", "FAILED", "UNKNOWN", "EXPIRED"]):
        g.valid(f"done: a command, {name}", "5.20", "DONE", done | {"type": 0x31, "status": status})
    g.valid("done: an alert, id and control number at their most", "5.20", "DONE", done | {"seq": 0xFFFFFFFF, "type": 0x32, "id": 0xFFFFFFFF})
    g.valid("done: clamped, with the value in force and the longest text", "5.20", "DONE", done | {
        "status": 1, "text": LONG_TEXT, "results": [named("interval_ms", "u32", 60_000)]})
    g.valid("done with a result of every type", "4.4", "DONE", done | {"type": 0x31, "results": ends})
    bad = lambda name, fields=(), change=None: g.invalid(name, "5.20", "DONE", done | dict(fields), "bad_body", change=change)
    bad("done for type 0x33", {"type": 0x33})
    bad("done for type 0x10", {"type": 0x10})
    bad("done with 33 results", {"results": [named("", "u8", i) for i in range(33)]})
    bad("done without a list", change=lambda body: body[:-1])
    bad("done with a byte left over", change=lambda body: body + b"\x00")
    bad("done whose text is not UTF-8", {"text": b"\xff"})
    return g


# ------------------------------------------------------------------------------------------- time.toml

def time():
    g = Group("time.toml", "TIME_REQ and TIME")
    ask = {"seq": 1, "t1": T0, "offset": -1500, "uncertainty": 2000, "clock": 2}
    for clock, name in ((1, "MONOTONIC"), (2, "UTC_UNSYNCED"), (3, "UTC_SYNCED")):
        g.valid(f"time request of a clock of kind {name}", "5.21", "TIME_REQ", ask | {"clock": clock})
    g.valid("the offset is not known", "5.21", "TIME_REQ", ask | {"offset": 0, "uncertainty": 0xFFFFFFFF, "clock": 1})
    g.valid("time request at its least", "5.21", "TIME_REQ", ask | {"seq": 0, "t1": -2**63, "offset": -2**63, "uncertainty": 0})
    g.valid("time request at its most", "5.21", "TIME_REQ", ask | {"seq": 0xFFFFFFFF, "t1": 2**63 - 1, "offset": 2**63 - 1})
    bad = lambda name, fields=(), change=None: g.invalid(name, "5.21", "TIME_REQ", ask | dict(fields), "bad_body", change=change)
    bad("time request of clock kind 0", {"clock": 0})
    bad("time request of clock kind 4", {"clock": 4})
    bad("time request of 20 bytes", change=lambda body: body[:-1])
    bad("time request with a byte left over", change=lambda body: body + b"\x00")
    answer = {"seq": 1, "t1": T0, "t2": T0 + 30_000, "t3": T0 + 30_050}
    g.valid("time", "5.22", "TIME", answer)
    g.valid("time at the ends", "5.22", "TIME", answer | {"t1": -2**63, "t2": 2**63 - 1, "t3": 2**63 - 1})
    g.invalid("time of 23 bytes", "5.22", "TIME", answer, "bad_body", change=lambda body: body[:-1])
    g.invalid("time with a byte left over", "5", "TIME", answer, "bad_body", change=lambda body: body + b"\x00")
    return g


# ------------------------------------------------------------------------------------------- framing.toml

def framing():
    g = Group("framing.toml", "Faults of header and trailer, and the order of the checks (3.7). Suite OPEN.")
    ping = frame("PING", struct.pack(">Q", 42), seq=1)
    hello = encode("HELLO", HEADER["HELLO"] | HELLO | {"device": "g"})

    def raw(name, section, data, error, type="PING", sender="device"):
        g.raw(name, section, type, data, error, sender=sender)

    def patched(message, at, data, seal=True):
        """The message with `data` written at `at`, and its CRC made right again if `seal`."""
        body = message[:at] + data + message[at + len(data):]
        return with_crc(body[:-4]) if seal else body

    raw("no bytes", "3.7", b"", "incomplete")
    raw("11 bytes", "3.7", ping[:11], "incomplete")
    raw("a nibble of 0x9", "3.5", patched(ping, 0, b"\x91"), "bad_magic")
    raw("a nibble of 0x0", "3.5", patched(ping, 0, b"\x01"), "bad_magic")
    raw("a nibble of 0xB, not a hello", "3.5", patched(ping, 0, b"\xb1"), "bad_magic")
    raw("a hello of major 2: CLOSE 404", "3.5", patched(hello, 0, b"\xb1"), "404", "HELLO")
    raw("a hello of major 6: CLOSE 404", "3.5", patched(hello, 0, b"\xf1"), "404", "HELLO")
    raw("a hello of major 2 whose body only begins as ours: CLOSE 404", "3.5", with_crc(b"\xb1" + hello[1:28] + b"\xff" * 33), "404", "HELLO")
    raw("a hello of major 2 with a wrong CRC", "3.5", patched(hello, 0, b"\xb1", seal=False), "bad_magic", "HELLO")
    raw("a hello of major 2, 64 bytes", "3.5", with_crc(b"\xb1\x01" + struct.pack(">H", 64) + hello[4:60]), "bad_magic", "HELLO")
    raw("length 11", "3.2", patched(ping, 2, b"\x00\x0b"), "bad_length")
    raw("length 0", "3.2", patched(ping, 2, b"\x00\x00"), "bad_length")
    raw("length 15, no room for the CRC", "3.2", patched(ping, 2, b"\x00\x0f"), "bad_length")
    raw("length one more than what is there", "3.4", patched(ping, 2, b"\x00\x19"), "bad_length")
    raw("the datagram is cut by one byte", "3.4", ping[:-1], "bad_length")
    raw("12 bytes of a longer message", "3.4", ping[:12], "bad_length")
    raw("no trailer flag", "3.3", patched(ping, 0, b"\xa0"), "bad_trailer")
    raw("TAG instead of CRC, 16 bytes", "3.3", patched(ping, 0, b"\xa2")[:-4][:2] + b"\x00\x24" + ping[4:20] + bytes(16), "bad_trailer")
    raw("both trailer flags", "3.3", patched(ping, 0, b"\xa3")[:-4][:2] + b"\x00\x28" + ping[4:20] + bytes(20), "bad_trailer")
    raw("a bit of the body flipped", "3.3", patched(ping, 19, b"\x2b", seal=False), "bad_crc")
    raw("a bit of the session flipped", "3.3", patched(ping, 7, b"\x05", seal=False), "bad_crc")
    raw("a bit of the CRC flipped", "3.3", ping[:-1] + bytes([ping[-1] ^ 1]), "bad_crc")
    raw("a flag set on the way", "3.3", patched(ping, 0, b"\xa5", seal=False), "bad_crc")
    raw("the CRC of the body alone", "3.3", ping[:-4] + struct.pack(">I", crc32(ping[12:-4])), "bad_crc")
    raw("the CRC in little-endian", "3.3", ping[:-4] + ping[:-5:-1], "bad_crc")
    raw("an unknown type below 0x80", "5.25", patched(ping, 1, b"\x7f"), "unknown_type", "0x7F")
    raw("an unknown type, 0x80", "5.25", patched(ping, 1, b"\x80"), "unknown_type", "0x80")
    raw("an unknown type, 0xFF, without a body", "5.25", frame(0xFF, b"", seq=1), "unknown_type", "0xFF")
    raw("an unknown kind of data, 0x17", "5.25", patched(ping, 1, b"\x17"), "unknown_type", "0x17")
    raw("type 0x00", "5.25", patched(ping, 1, b"\x00"), "unknown_type", "0x00")
    raw("an ack from a device", "5.25", frame("ACK", b"", seq=1), "wrong_direction", "ACK", "device")
    raw("a welcome from a device", "5.25", encode("WELCOME", HEADER["WELCOME"] | WELCOME), "wrong_direction", "WELCOME", "device")
    raw("rows from a collector", "5.25", encode("ROWS", HEADER["ROWS"] | rows_of((0, [1, 1, 0])), GREENHOUSE), "wrong_direction", "ROWS", "collector")
    raw("done from a collector", "5.25", frame("DONE", struct.pack(">BIB", 0x30, 1, 0) + b"\x00\x00", seq=1), "wrong_direction", "DONE", "collector")

    raw("order: magic before length", "3.7", patched(ping, 0, b"\x51\x42\x00\x0b"), "bad_magic")
    raw("order: length before trailer", "3.7", patched(ping, 0, b"\xa0\x42\x00\x19"), "bad_length")
    raw("order: trailer before CRC", "3.7", patched(ping, 0, b"\xa0", seal=False), "bad_trailer")
    raw("order: CRC before type", "3.7", patched(ping, 1, b"\x7f", seal=False), "bad_crc", "0x7F")
    raw("order: CRC before body", "3.7", patched(ping, 2, b"\x00\x17", seal=False)[:23], "bad_crc")
    raw("order: direction before body", "3.7", frame("ACK", b"\x00", seq=1), "wrong_direction", "ACK", "device")

    g.valid("flags that have no meaning in this direction are ignored", "3.2", "PING", {"flags": CRC | ACK_NOW | MORE, "seq": 9, "token": 7}, sender="collector")
    g.valid("session and seq at their most", "3.2", "PING", {"session": 0xFFFFFFFF, "seq": 0xFFFFFFFF, "token": 7}, sender="device")
    return g


# ------------------------------------------------------------------------------------------- examples.toml and section 16

def examples():
    g = Group("examples.toml", "The messages of section 16, in order")
    for conversation in (tcp_session(), udp_session()):
        for i, step in enumerate(conversation.steps, 1):
            g.valid(f"{conversation.transport} {i}: {step['title']}", "16", step["type"], step["fields"],
                    sender=step["sender"], schema=GREENHOUSE if step["type"] == "ROWS" else None)
            assert g.cases[-1]["hex"] == step["message"].hex()
    return g


def worked_examples():
    """The text between the markers of section 16."""
    text = f"""
A device `gh-7` in a greenhouse reads temperature (i16, tenths of a degree), humidity (u8, per cent) and a door (enum8: closed, open). Every byte of both sessions is shown, in order: hex, then what it says.
The schema description is the same in both; its CRC-32 is 0x{crc32(describe(GREENHOUSE)):08x}.

### 16.1 Over TCP

```
{tcp_session().text()}
```

### 16.2 Over UDP: with RETRY, a lost ACK and a resend

```
{udp_session().text()}
```
"""
    assert text.count("\n") <= 170, text.count("\n")
    return text


TWO_ROWS = rows_of((0, [215, 61, 0]), (10_000_000, [-3, 60, 1]))
ROWS_LAYOUT = [
    ([2, 2], "schema 0; kind 3 (UTC_SYNCED) << 14 | 2 rows"),
    ([8], "t0: 2026-01-01T00:00:00Z in µs"),
    ([4, 2, 1, 1], "row {0}: t0 + 0 s, 21.5 Cel, 61 %RH, closed"),
    ([4, 2, 1, 1], "row {1}: t0 + 10 s, -0.3 Cel, 60 %RH, open"),
]


def tcp_session():
    talk = Conversation("tcp", 0x51B27E04)
    hello = HELLO | {"max_msg": 16384}
    welcome = WELCOME | {"max_msg": 16384}
    description = describe(GREENHOUSE)
    talk.device("HELLO", hello | {"session": 0}, [
        ([8], "stream, random at boot"), ([8], "nonce, random for this session"), ([4, 4], "next_row 0, oldest_row 0: nothing yet"),
        ([4, 2], "keepalive_s 30, max_msg 16,384"), ([2, 2], "ack_every 1, ack_delay_ms 0"),
        ([1, 1, 2], "suite 0 open, downlink 0, encodings 1: ROWS"), ([4, 4], "config_rev 0, last_command_id 0"),
        ([1, 4], "device: 4 bytes, \"gh-7\""), ([1], "cookie: 0 bytes. No options")])
    talk.collector("WELCOME", welcome, [
        ([8], "nonce of the collector"), ([4, 4], "next_row 0, high_row 0: it has nothing"), ([8], "server_time 2026-01-01T00:00:00Z"),
        ([4, 2, 2], "window_rows 4,096, max_msg 16,384, encodings 1"), ([1, 1, 2], "durability 1 FSYNC, suite 0, commit_interval_ms 20"),
        ([4, 2, 2], "keepalive_s 30, ack_every 1, ack_delay_ms 0"), ([2, 2, 2], "max_channels 256, max_schemas 64, max_elements 64"),
        ([4, 4], "max_values 16,384, max_decoded 262,144. No options")])
    talk.device("DECLARE", {"part": 0, "parts": 1, "crc": crc32(description), "bytes": description}, [
        ([1, 1, 4], "part 0 of 1; CRC-32 of the description"), ([1, 10], "schema name: 10 bytes, \"greenhouse\""), ([2], "3 channels"),
        ([1, 1, 1, 1, 2], "type i16, exponent -1, flags 0, 1 element, max_len 0"), ([1, 11], "channel name, \"temperature\""), ([1, 3], "unit, \"Cel\""),
        ([1, 1, 1, 1, 2], "type u8, exponent 0, flags 0, 1 element, max_len 0"), ([1, 8, 1, 3], "\"humidity\", \"%RH\""),
        ([1, 1, 1, 1, 2], "type enum8, exponent 0, flags 0, 1 element, max_len 0"), ([1, 4, 1], "\"door\", no unit"),
        ([1, 1, 6, 1, 4], "2 labels: 0 \"closed\", 1 \"open\"")], note="seq is the schema id")
    talk.collector("DECLARED", {"crc": crc32(description)}, [([4], "CRC-32 of the description")])
    talk.device("ROWS", TWO_ROWS, [(sizes, label.format(0, 1)) for sizes, label in ROWS_LAYOUT], note="seq is the first row: rows 0 and 1")
    talk.collector("ACK", {"seq": 2, "window_rows": 4096, "ack_delay_ms": 21, "retry_after_ms": 0, "ranges": []}, [
        ([4], "window_rows 4,096"), ([2, 2], "ack_delay_ms 21, retry_after_ms 0"), ([1, 1], "zero; 0 ranges")],
        note="seq 2: every row below 2 is on disk")
    talk.device("PING", {"seq": 1, "token": 0x0123456789ABCDEF}, [([8], "token")], note="30 s without anything else to say")
    talk.collector("PONG", {"seq": 1, "token": 0x0123456789ABCDEF}, [([8], "the same token; the same seq")])
    talk.device("CLOSE", {"code": 407, "retry_after_ms": 0, "text": "bye"}, [
        ([2, 4], "code 407 GOING, retry_after_ms 0"), ([1, 3], "text, \"bye\"")], note="then it closes the connection")
    return talk


def udp_session():
    talk = Conversation("udp", 0x2C19A0D7)
    nonce = 0xC2A4F0916B7D3E58
    hello = HELLO | {"session": 0, "stream": 0x40D1E6A2973B5CF8, "nonce": nonce}
    cookie = bytes.fromhex("5a1f0c77e1b2493d8806d4f2ab6390ce")
    answer = {"seq": nonce & 0xFFFFFFFF}
    description = describe(GREENHOUSE)
    rows = TWO_ROWS | {"seq": 0}
    ack = {"seq": 2, "window_rows": 4096, "ack_delay_ms": 21, "retry_after_ms": 0, "ranges": []}
    hello_layout = [
        ([8, 8], "stream, nonce"), ([4, 4, 4, 2], "next_row 0, oldest_row 0, keepalive_s 30, max_msg 1,200"),
        ([2, 2, 1, 1, 2], "ack_every 1, ack_delay_ms 0, suite 0, downlink 0, encodings 1"), ([4, 4], "config_rev 0, last_command_id 0")]
    talk.device("HELLO", hello, hello_layout + [([1, 4, 1], "device \"gh-7\"; no cookie yet")])
    talk.collector("RETRY", answer | {"session": 0, "cookie": cookie}, [([1, 16], "cookie of 16 bytes")],
                   note="seq: low half of the nonce; the collector keeps nothing")
    talk.device("HELLO", hello | {"cookie": cookie}, hello_layout + [([1, 4], "device \"gh-7\""), ([1, 16], "the cookie")], note="same nonce")
    talk.collector("WELCOME", WELCOME | answer | {"nonce": 0x19AF3300D2C4E817}, [
        ([8], "nonce of the collector"), ([4, 4, 8], "next_row 0, high_row 0, server_time"),
        ([4, 2, 2, 1, 1, 2], "window_rows, max_msg 1,200, encodings, durability, suite, commit"),
        ([4, 2, 2], "keepalive_s 30, ack_every 1, ack_delay_ms 0"),
        ([2, 2, 2, 4, 4], "max_channels, _schemas, _elements, _values, _decoded")])
    talk.device("DECLARE", {"part": 0, "parts": 1, "crc": crc32(description), "bytes": description}, [
        ([1, 1, 4], "part 0 of 1; CRC-32 of the description"), ([len(description)], f"the description as in 16.1, {len(description)} bytes")])
    talk.collector("DECLARED", {"crc": crc32(description)}, [([4], "CRC-32 of the description")])
    talk.device("ROWS", rows, [(sizes, label.format(0, 1)) for sizes, label in ROWS_LAYOUT])
    talk.collector("ACK", ack, [([4, 2, 2, 1, 1], "window_rows 4,096, ack_delay_ms 21, no ranges")], note="stored and synced; but this ACK is LOST")
    talk.device("ROWS", rows, [([12], "the same bytes again"), ([8, 8], "rows 0 and 1")], note="no ACK after the time-out: sent again")
    talk.collector("ACK", ack | {"ack_delay_ms": 0}, [([4, 2, 2, 1, 1], "the rows are durable: acknowledged at once, not stored twice")],
                   note="now the device forgets rows 0 and 1")
    talk.collector("PING", {"seq": 1, "token": 0xFEDCBA9876543210}, [([8], "token")], note="either side may ask")
    talk.device("PONG", {"seq": 1, "token": 0xFEDCBA9876543210}, [([8], "the same token; the same seq")])
    talk.device("CLOSE", {"code": 407, "retry_after_ms": 0, "text": ""}, [([2, 4, 1], "code 407 GOING, retry_after_ms 0, no text")])
    return talk


class Conversation:
    """Messages with the layout of their bodies: [(sizes of fields, what they say)]."""

    def __init__(self, transport, session):
        self.transport, self.session, self.steps = transport, session, []

    def device(self, type, fields, layout, note=""):
        self.add("device", type, fields, layout, note)

    def collector(self, type, fields, layout, note=""):
        self.add("collector", type, fields, layout, note)

    def add(self, sender, type, fields, layout, note):
        fields = {"session": self.session} | fields
        message = encode(type, HEADER[type] | fields, GREENHOUSE)
        assert sum(sum(sizes) for sizes, _ in layout) == len(message) - 16, type
        self.steps.append({"sender": sender, "type": type, "title": type, "fields": fields, "message": message, "layout": layout, "note": note})

    def text(self):
        return "\n".join(line for step in self.steps for line in self.lines(step))

    def lines(self, step):
        message, note = step["message"], step["note"]
        _, code, length, session, seq = struct.unpack(">BBHII", message[:12])
        arrow = "device -> collector" if step["sender"] == "device" else "collector -> device"
        yield f"{arrow}  {step['type']}" + (f"   {note}" if note else "")
        header = f"Senda 1 with CRC, {step['type']}, {length} bytes, session {self.hex_or_0(session)}, seq {self.hex_or_0(seq)}"
        yield from self.annotated(message, 0, [1, 1, 2, 4, 4], header)
        at = 12
        for sizes, label in step["layout"]:
            yield from self.annotated(message, at, sizes, label)
            at += sum(sizes)
        yield from self.annotated(message, at, [4], "CRC-32 of all before")

    @staticmethod
    def hex_or_0(number):
        return str(number) if number < 1000 else f"{number:08x}"

    @staticmethod
    def annotated(message, at, sizes, label):
        """The fields in hex, apart; at most 32 bytes on a line; the label behind the last."""
        parts = []
        for size in sizes:
            parts.append(message[at:at + size].hex())
            at += size
        whole = " ".join(parts)
        while len(whole) > 64:
            yield "  " + whole[:64]
            whole = whole[64:]
        yield f"  {whole:<36} {label}"


# ------------------------------------------------------------------------------------------- the encoder: message (3)

CRC, TAG, ACK_NOW, MORE = 0x1, 0x2, 0x4, 0x8     # the flags of 3.2

TYPES = {
    "HELLO": 0x01, "RETRY": 0x02, "WELCOME": 0x03, "DECLARE": 0x04, "DECLARED": 0x05, "CLOSE": 0x0F,
    "ROWS": 0x10, "SPARSE": 0x11, "COLUMNS": 0x12, "ROWS_U": 0x18, "COLUMNS_U": 0x1A, "COUNTS": 0x1E, "SKIP": 0x1F,
    "ACK": 0x20, "NACK": 0x21, "REPORT": 0x22, "CONFIG": 0x30, "COMMAND": 0x31, "ALERT": 0x32, "DONE": 0x3F,
    "TIME_REQ": 0x40, "TIME": 0x41, "PING": 0x42, "PONG": 0x43,
}
FROM_COLLECTOR = {"RETRY", "WELCOME", "DECLARED", "ACK", "NACK", "REPORT", "CONFIG", "COMMAND", "ALERT", "TIME"}
FROM_BOTH = {"CLOSE", "PING", "PONG"}     # these cases say who sends
SENDER = {name: "collector" if name in FROM_COLLECTOR else "device" for name in TYPES if name not in FROM_BOTH}

# the header's fields where a case says nothing else
HEADER = {name: {"flags": CRC, "session": 0 if name in ("HELLO", "RETRY") else SESSION, "seq": 0} for name in TYPES}


def encode(type, fields, schema=None, plan=None, change=None):
    """A whole message from its fields. `change` spoils the body before the trailer is made."""
    body = body_of(type, fields, schema, plan)
    body = change(body) if change else body
    return frame(type, body, fields["session"], fields["seq"], fields["flags"])


def frame(type, body, session=SESSION, seq=0, flags=CRC):
    code = TYPES.get(type, type)
    return with_crc(struct.pack(">BBHII", 0xA0 | flags, code, 12 + len(body) + 4, session, seq) + body)


def with_crc(data):
    return data + struct.pack(">I", crc32(data))


def b_text(value, width="B"):
    """A length, then that many bytes; `bytes` go in as they are, so that a case can hold what is not UTF-8."""
    data = value.encode() if isinstance(value, str) else bytes(value)
    return struct.pack(">" + width, len(data)) + data


def option(type, value):
    return {"type": type, "value": value}


# ------------------------------------------------------------------------------------------- the encoder: bodies (5)

# bodies, or beginnings of bodies, that are numbers only: the struct of the section's title and the fields in its order
NUMBERS = {
    "HELLO": (">QQIIIHHHBBHII", "stream nonce next_row oldest_row keepalive_s max_msg ack_every ack_delay_ms suite downlink encodings config_rev last_command_id"),
    "WELCOME": (">QIIqIHHBBHIHHHHHII", "nonce next_row high_row server_time window_rows max_msg encodings durability suite commit_interval_ms keepalive_s ack_every ack_delay_ms max_channels max_schemas max_elements max_values max_decoded"),
    "RETRY": (">", ""),
    "DECLARE": (">BBI", "part parts crc"),
    "DECLARED": (">I", "crc"),
    "CLOSE": (">HI", "code retry_after_ms"),
    "COUNTS": (">Q", "made"),
    "SKIP": (">IB", "count cause"),
    "NACK": (">BHIII", "type code first count retry_after_ms"),
    "REPORT": (">III", "received duplicates missing"),
    "CONFIG": (">I", "revision"),
    "COMMAND": (">II", "id ttl_ms"),
    "ALERT": (">IqBB", "id time state severity"),
    "DONE": (">BIB", "type id status"),
    "TIME_REQ": (">qqIB", "t1 offset uncertainty clock"),
    "TIME": (">qqq", "t1 t2 t3"),
    "PING": (">Q", "token"),
    "PONG": (">Q", "token"),
}


def body_of(type, fields, schema, plan):
    if type in ("ROWS", "ROWS_U", "SPARSE"):
        return data_head(fields) + b"".join(data_rows(type, fields["rows"], schema))
    if type in ("COLUMNS", "COLUMNS_U"):
        return data_head(fields) + columns_of(fields, schema, plan)
    if type == "ACK":
        return ack_body(fields)
    numbers, names = NUMBERS[type]
    return struct.pack(numbers, *[fields[name] for name in names.split()]) + rest_of(type, fields)


def rest_of(type, fields):
    """What follows the numbers."""
    options = b"".join(struct.pack(">BH", o["type"], len(o["value"])) + o["value"] for o in fields.get("options", []))
    return {
        "HELLO": lambda: b_text(fields["device"]) + b_text(fields["cookie"]) + options,
        "WELCOME": lambda: options,
        "RETRY": lambda: b_text(fields["cookie"]),
        "DECLARE": lambda: fields["bytes"],
        "CLOSE": lambda: b_text(fields["text"]),
        "NACK": lambda: b_text(fields["text"]),
        "COUNTS": lambda: bytes([len(fields["causes"])]) + b"".join(struct.pack(">BQ", c["cause"], c["count"]) for c in fields["causes"]),
        "SKIP": lambda: bytes(2),
        "CONFIG": lambda: list_of(fields["settings"]),
        "COMMAND": lambda: b_text(fields["name"]) + list_of(fields["arguments"]),
        "ALERT": lambda: b_text(fields["schema"]) + b_text(fields["channel"]) + b_text(fields["text"]) + list_of(fields["values"]),
        "DONE": lambda: b_text(fields["text"]) + list_of(fields["results"]),
    }.get(type, lambda: b"")()


def ack_body(fields):
    if "window_rows" not in fields:
        return b""
    ranges = fields["ranges"]
    head = struct.pack(">IHHBB", fields["window_rows"], fields["ack_delay_ms"], fields["retry_after_ms"], 0, len(ranges))
    return head + b"".join(struct.pack(">II", start, end) for start, end in ranges)


def data_head(fields):
    return struct.pack(">HHq", fields["schema_id"], fields["clock"] << 14 | len(fields["rows"]), fields["t0"])


def data_rows(type, rows, schema):
    for row in rows:
        if len(rows) > 1:
            yield struct.pack(">I", row["time_offset"])
        channels = schema["channels"]
        assert len(channels) == len(row["values"])
        if type == "SPARSE":
            yield presence(row["values"])
        for one, value in zip(channels, row["values"]):
            if value != "absent":
                yield row_value(one, value)


def presence(values):
    bitmap = bytearray((len(values) + 7) // 8)
    for i, value in enumerate(values):
        if value != "absent":
            bitmap[i // 8] |= 0x80 >> i % 8
    return bytes(bitmap)


# ------------------------------------------------------------------------------------------- the encoder: schemas and values (4)

VALUE_TYPES = {"bool": (0x01, "?"), "u8": (0x02, "B"), "u16": (0x03, "H"), "u32": (0x04, "I"), "u64": (0x05, "Q"),
               "i8": (0x06, "b"), "i16": (0x07, "h"), "i32": (0x08, "i"), "i64": (0x09, "q"), "f32": (0x0A, "I"),
               "f64": (0x0B, "Q"), "text": (0x0C, None), "blob": (0x0D, None), "enum8": (0x0E, "B"), "time": (0x0F, "q")}


class Blob(bytes):
    """The value of a blob channel."""


class Byte(int):
    """A byte in the place of a bool, to spoil it."""


class Bits32(int):
    """An f32 by its bits. (struct may quiet a signalling NaN, so floats never are Python floats here.)"""


class Bits64(int):
    """An f64 by its bits."""


def f32(value):
    return Bits32(struct.unpack(">I", struct.pack(">f", value))[0])


def f64(value):
    return Bits64(struct.unpack(">Q", struct.pack(">d", value))[0])


def describe(schema):
    return b_text(schema["name"]) + struct.pack(">H", len(schema["channels"])) + b"".join(map(describe_channel, schema["channels"]))


def describe_channel(c):
    code = VALUE_TYPES[c["type"]][0] if c["type"] in VALUE_TYPES else c["type"]
    data = struct.pack(">BbBBH", code, c["exponent"], c["flags"], c["elements"], c["max_len"]) + b_text(c["name"]) + b_text(c["unit"])
    if "labels" in c:
        data += bytes([len(c["labels"])]) + b"".join(map(b_text, c["labels"]))
    return data


def row_value(c, value):
    values = value if c["elements"] > 1 else [value]
    assert len(values) == c["elements"]
    return b"".join(scalar(c["type"], v) for v in values)


def scalar(type, value):
    if type == "text":
        return b_text(value)
    if type == "blob":
        return b_text(value, "H")
    if isinstance(value, Byte):
        return bytes([value])
    return struct.pack(">" + VALUE_TYPES[type][1], value)


def list_of(values):
    return bytes([len(values)]) + b"".join(map(named_value, values))


def named_value(v):
    return b_text(v["name"]) + struct.pack(">BbB", VALUE_TYPES[v["type"]][0], v["exponent"], v["elements"]) + row_value(v, v["value"])


# ------------------------------------------------------------------------------------------- the encoder: COLUMNS (5.9)

PREDICTORS = {"constant": 0, "median": 1, "delta": 2, "delta2": 3}
FLOAT_BITS = {"f32": 32, "f64": 64}


class Wide(int):
    """A number beyond its type; only COLUMNS can carry it."""


def columns_of(fields, schema, plan):
    """`plan` chooses period, times and one way for each column: (predictor, k, base), ("bitmap",), ("xor",), ..."""
    rows, period = fields["rows"], plan["period"]
    residuals = [row["time_offset"] - i * period for i, row in enumerate(rows)]
    data = varint(zigzag(period)) + integer_column(residuals, *plan["times"])
    ways = iter(plan["columns"])
    for type, values in columns_in(schema, rows):
        data += column(type, values, *next(ways))
    assert next(ways, None) is None
    return data


def columns_in(schema, rows):
    """(type, values) for each column: a channel, or an element of a vector."""
    for i, c in enumerate(schema["channels"]):
        if c["elements"] == 1:
            yield c["type"], [row["values"][i] for row in rows]
        else:
            for element in range(c["elements"]):
                yield c["type"], [row["values"][i][element] for row in rows]


def column(type, values, *way):
    if type == "bool":
        return bool_column(values, *way)
    if type in ("text", "blob", "enum8"):
        return b"".join(varint(len(run)) + scalar(type, run[0]) for run in runs_of(values))
    if type in FLOAT_BITS:
        return float_column(values, FLOAT_BITS[type], *way)
    return integer_column(values, *way)


def integer_column(values, predictor, k=0, base=None):
    base = values[0] if base is None else base
    differences = [b - a for a, b in zip(values, values[1:])]
    residuals = {
        "constant": [],
        "median": [value - base for value in values],
        "delta": differences,
        "delta2": [b - a for a, b in zip([0] + differences, differences)],
    }[predictor]
    assert predictor != "constant" or set(values) == {base}
    bits = "".join(rice(zigzag(residual), k) for residual in residuals)
    return bytes([PREDICTORS[predictor] << 6 | k]) + varint(zigzag(base)) + pack_bits(bits)


def rice(u, k):
    q = u >> k
    if q >= 32:
        return "1" * 32 + f"{u:064b}"
    return "1" * q + "0" + (f"{u & (1 << k) - 1:0{k}b}" if k else "")


def zigzag(value):
    value = signed(value)
    return value * 2 if value >= 0 else -value * 2 - 1


def signed(value):
    """Modulo 2^64, as an i64."""
    return (value + 2**63) % 2**64 - 2**63


def varint(value):
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(data) + bytes([value])


def pack_bits(bits):
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def runs_of(values):
    runs = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1].append(value)
        else:
            runs.append([value])
    return runs


def bool_column(values, way):
    if way == "bitmap":
        return b"\x00" + pack_bits("".join("01"[value] for value in values))
    return b"\x01" + bytes([values[0]]) + b"".join(varint(len(run)) for run in runs_of(values))


def float_column(values, width, way):
    if way == "raw":
        return b"\x00" + b"".join(value.to_bytes(width // 8, "big") for value in values)
    if way == "constant":
        assert len(set(values)) == 1
        return b"\x02" + values[0].to_bytes(width // 8, "big")
    bits, window = f"{values[0]:0{width}b}", None
    size = 5 if width == 32 else 6
    for before, value in zip(values, values[1:]):
        xor = f"{before ^ value:0{width}b}"
        start, end = xor.find("1"), xor.rfind("1") + 1
        if start < 0:
            bits += "0"
            continue
        if window and window[0] <= start and end <= window[1]:
            bits += "10"
        else:
            window = (start, end)
            bits += f"11{start:0{size}b}{end - start - 1:0{size}b}"
        bits += xor[window[0]:window[1]]
    return b"\x01" + pack_bits(bits)


# ------------------------------------------------------------------------------------------- the decoder of COLUMNS, to check the above

class Broken(Exception):
    """The body does not have the layout."""


class Reader:
    def __init__(self, data):
        self.data, self.at, self.bit = data, 0, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Broken
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = 0
        for i in range(10):
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return value % 2**64
        raise Broken

    def signed(self):
        value = self.varint()
        return value >> 1 if value % 2 == 0 else -(value >> 1) - 1

    def bits(self, count):
        value = 0
        for _ in range(count):
            if self.at >= len(self.data):
                raise Broken
            value = value << 1 | self.data[self.at] >> 7 - self.bit & 1
            self.at, self.bit = (self.at + 1, 0) if self.bit == 7 else (self.at, self.bit + 1)
        return value

    def end_of_bits(self):
        while self.bit:
            if self.bits(1):
                raise Broken


def decode_columns(body, schema):
    """The rows of a body as `fields` shows them; a row with a bad value has values "refused"."""
    reader = Reader(body)
    _, kind_and_count, t0 = struct.unpack(">HHq", reader.take(12))
    count = kind_and_count & 0x3FFF
    if count == 0 or (kind_and_count >> 14 == 0 and t0 != 0):
        raise Broken
    period = reader.signed()
    times = [signed(i * period + residual) for i, residual in enumerate(decode_integers(reader, count))]
    by_channel = []
    for c in schema["channels"]:
        parts = [decode_column(reader, c, count) for _ in range(c["elements"])]
        by_channel.append(parts[0] if c["elements"] == 1 else [list(elements) for elements in zip(*parts)])
    if reader.at != len(body):
        raise Broken
    rows = []
    for time_offset, values in zip(times, zip(*by_channel)):
        bad = any(v is None or isinstance(v, list) and None in v for v in values)
        rows.append({"time_offset": time_offset, "values": "refused" if bad else list(values)})
    return rows


def decode_column(reader, c, count):
    """The values; None for one that the channel can't have."""
    type = c["type"]
    if type == "bool":
        return decode_bools(reader, count)
    if type in ("text", "blob", "enum8"):
        return decode_runs(reader, c, count)
    if type in FLOAT_BITS:
        return decode_floats(reader, FLOAT_BITS[type], count)
    values = decode_integers(reader, count)
    if type == "u64":
        return [value % 2**64 for value in values]
    width = 64 if type == "time" else int(type[1:])
    low, high = (0, 2**width) if type[0] == "u" else (-2**(width - 1), 2**(width - 1))
    return [value if low <= value < high else None for value in values]


def decode_integers(reader, count):
    control = reader.byte()
    predictor, k = control >> 6, control & 0x3F
    base = reader.signed()
    if predictor == 0:
        if k:
            raise Broken
        return [base] * count
    residuals = []
    for _ in range(count if predictor == 1 else count - 1):
        q = 0
        while q < 32 and reader.bits(1):
            q += 1
        u = reader.bits(64) if q == 32 else (q << k | reader.bits(k)) % 2**64
        residuals.append(u >> 1 if u % 2 == 0 else -(u >> 1) - 1)
    reader.end_of_bits()
    if predictor == 1:
        return [signed(base + residual) for residual in residuals]
    values, difference = [base], 0
    for residual in residuals:
        difference = residual if predictor == 2 else signed(difference + residual)
        values.append(signed(values[-1] + difference))
    return values


def decode_bools(reader, count):
    way = reader.byte()
    if way == 0:
        values = [bool(reader.bits(1)) for _ in range(count)]
        reader.end_of_bits()
        return values
    if way != 1:
        raise Broken
    value, values = reader.byte(), []
    if value > 1:
        raise Broken
    while len(values) < count:
        values += [bool(value)] * run_length(reader, count - len(values))
        value = 1 - value
    return values


def run_length(reader, most):
    length = reader.varint()
    if not 1 <= length <= most:
        raise Broken
    return length


def decode_runs(reader, c, count):
    values = []
    while len(values) < count:
        length = run_length(reader, count - len(values))
        if c["type"] == "enum8":
            value = reader.byte()
            value = value if value < len(c["labels"]) else None
        else:
            value = reader.take(reader.byte() if c["type"] == "text" else int.from_bytes(reader.take(2), "big"))
            value = value if len(value) <= c["max_len"] else None
            if c["type"] == "text" and value is not None:
                value = value.decode(errors="replace") if value == value.decode(errors="replace").encode() else None
        values += [value] * length
    return values


def decode_floats(reader, width, count):
    way = reader.byte()
    if way == 0:
        return [int.from_bytes(reader.take(width // 8), "big") for _ in range(count)]
    if way == 2:
        return [int.from_bytes(reader.take(width // 8), "big")] * count
    if way != 1:
        raise Broken
    values, leading, length = [reader.bits(width)], None, None
    size = 5 if width == 32 else 6
    for _ in range(count - 1):
        xor = 0
        if reader.bits(1):
            if reader.bits(1):
                leading, length = reader.bits(size), reader.bits(size) + 1
            if leading is None or leading + length > width:
                raise Broken
            xor = reader.bits(length) << width - leading - length
        values.append(values[-1] ^ xor)
    reader.end_of_bits()
    return values


# ------------------------------------------------------------------------------------------- TOML

def shown(type, fields):
    """The fields as a case shows them: pairs of ACK by name."""
    if "ranges" in fields:
        fields = fields | {"ranges": [{"start": start, "end": end} for start, end in fields["ranges"]]}
    return fields


def toml_value(value, top=False):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Bits32):
        return f'"0x{value:08x}"'
    if isinstance(value, Bits64):
        return f'"0x{value:016x}"'
    if isinstance(value, int):
        return str(value) if abs(value) <= 2**53 else f'"{value}"'
    if isinstance(value, Blob):
        return f'"hex:{value.hex()}"'
    if isinstance(value, bytes):
        return f'"{value.hex()}"'
    if isinstance(value, str):
        return '"' + "".join(toml_char(c) for c in value) + '"'
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(v)}" for key, v in value.items()) + " }"
    if top and value and isinstance(value[0], dict):
        return "[\n" + "".join(f"  {toml_value(v)},\n" for v in value) + "]"
    return "[" + ", ".join(toml_value(v) for v in value) + "]"


def toml_char(c):
    if c in '"\\':
        return "\\" + c
    return c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}"


# ------------------------------------------------------------------------------------------- writing section 16

def put_examples(text, examples):
    before, rest = text.split("<!-- examples -->\n")
    _, after = rest.split("<!-- /examples -->\n")
    return f"{before}<!-- examples -->\n{examples}<!-- /examples -->\n{after}"


GROUPS = [session, schemas, rows, sparse, columns, ledger, answers, downlink, time, framing, examples]

if __name__ == "__main__":
    sys.exit(main())
