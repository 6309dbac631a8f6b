"""Holds CPython's own `struct` against the vectors in the files given. README.md says what a row means."""

import json
import re
import struct
import sys

# Python's ways to say that an integer is out of range, before 3.13.
OUT_OF_RANGE = ("argument out of range", "int too large to convert")


def unhex(text):
    """Hex, where `78*3` is 787878."""
    return b"".join(
        bytes.fromhex(part) * int(count or 1) for part, count in re.findall(r"([0-9a-f]+)(?:\*(\d+))?", text)
    )


def value(text):
    if match := re.fullmatch(r"'([^']*)'(?:\*(\d+))?", text):
        return match[1].encode("ascii") * int(match[2] or 1)
    if text.startswith("x"):
        return bytes.fromhex(text[1:])
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def values(text):
    return [value(word) for word in re.findall(r"'[^']*'\S*|\S+", text)]


def shown(results):
    """With types and signs: 1 is not True, and -0.0 not 0.0."""
    return [repr(result) for result in results]


def is_refusal(expected):
    return isinstance(expected, str) and "! " in expected


def check_refusal(expected, call):
    expected = expected.split("! ", 1)[1]
    try:
        got = call()
    except Exception as error:
        said = str(error)
        if isinstance(error, OverflowError):
            said = "OverflowError: " + said
        if isinstance(error, UnicodeEncodeError):
            said = "struct formats are ASCII"
        ranges = "<= number <=" in expected and ("<= number <=" in said or said in OUT_OF_RANGE)
        assert said == expected or ranges, said
    else:
        raise AssertionError(f"no refusal but {got!r}")


def check_pack_into(form, buffer, offset, items, expected):
    buffer = bytearray(unhex(buffer))
    before = bytes(buffer)
    after = unhex(expected.split("!")[0])
    if is_refusal(expected):
        check_refusal(expected, lambda: struct.pack_into(form, buffer, offset, *items))
    else:
        struct.pack_into(form, buffer, offset, *items)
    assert buffer == (after if after or not is_refusal(expected) else before), buffer.hex()


def check(row, form):
    what, arguments = row[0], row[3:]
    expected = arguments[-1]
    if what == "calcsize":
        call = lambda: struct.calcsize(form)
    elif what in ("pack", "both"):
        call = lambda: struct.pack(form, *values(arguments[0]))
    elif what == "unpack":
        call = lambda: shown(struct.unpack(form, unhex(arguments[0])))
    elif what == "unpack_from":
        call = lambda: shown(struct.unpack_from(form, unhex(arguments[0]), arguments[1]))
    elif what == "iter_unpack":
        call = lambda: [shown(record) for record in struct.iter_unpack(form, unhex(arguments[0]))]
    elif what == "pack_into":
        return check_pack_into(form, arguments[0], arguments[1], values(arguments[2]), expected)
    else:
        raise ValueError(what)
    if is_refusal(expected):
        return check_refusal(expected, call)
    if what in ("pack", "both"):
        expected = unhex(expected)
    elif what == "iter_unpack":
        expected = [shown(values(part)) for part in expected.split("/") if part]
    elif what != "calcsize":
        expected = shown(values(expected))
    got = call()
    assert got == expected, repr(got)
    if what == "both":
        assert struct.calcsize(form) == len(got)
        assert shown(struct.unpack(form, got)) == shown(values(arguments[0]))
        check_refusal(f"! unpack requires a buffer of {len(got)} bytes", lambda: struct.unpack(form, got + b"\1"))


def main():
    checked = wrong = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            row = json.loads(line)
            since = tuple(row.pop()["since"]) if isinstance(row[-1], dict) else ()
            for order in row[1] or [""]:
                checked += 1
                try:
                    if sys.version_info >= since:
                        check(row, order + row[2])
                except Exception as error:
                    wrong += 1
                    print(f"{path}:{number}: {order}: {line.strip()}: {error!r}")
    print(f"checked {checked}, wrong {wrong}")


main()
