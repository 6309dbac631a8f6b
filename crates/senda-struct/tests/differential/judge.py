"""Judges cases on standard input by CPython's own `struct`, and says what it would have answered instead.

A batch is a length (4 bytes, little-endian) and a list in `marshal`, which Python reads at the speed of C. Standard
output ends with how many cases there were and how many were answered otherwise.
"""

import marshal
import struct
import sys

# Of these, the first are printed; all are counted.
SHOWN = 20
# Since 3.14, NaNs keep more of themselves on their way through `e` and `f`.
KEEPS_NANS = struct.pack("<e", struct.unpack("<d", b"\1\0\0\0\0\0\xf0\x7f")[0]) != b"\0\x7e"

OUT_OF_RANGE = "integer out of range"
EITHER = ("argument out of range", "int too large to convert")


def refusal(error):
    """What an exception says, in words that are the same in all versions."""
    text = str(error)
    if isinstance(error, UnicodeEncodeError):
        return "error: struct formats are ASCII"
    if text in EITHER or "<= number <=" in text:
        return "error: " + OUT_OF_RANGE
    return type(error).__name__ + ": " + text


def answer(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return refusal(error)


def values(function, *arguments):
    """Types and bits count, so what is compared is `marshal`: 1 is not True there, and -0.0 not 0.0."""
    try:
        return marshal.dumps(function(*arguments), 2)
    except Exception as error:
        return refusal(error)


def records(text, data):
    try:
        return marshal.dumps(tuple(struct.iter_unpack(text, data)), 2)
    except Exception as error:
        return refusal(error)


def into(text, buffer, offset, hidden, arguments):
    """The buffer afterwards, without the field that was refused: what stands there is nobody's promise."""
    buffer = bytearray(buffer)
    said = answer(struct.pack_into, text, buffer, offset, *arguments)
    start, end = hidden
    del buffer[start:end]
    return bytes(buffer) if said is None else (said, bytes(buffer))


OPERATIONS = {
    "calcsize": lambda text: answer(struct.calcsize, text),
    "pack": lambda text, arguments: answer(struct.pack, text, *arguments),
    "pack_into": into,
    "unpack": lambda text, data: values(struct.unpack, text, data),
    "unpack_from": lambda text, data, offset: values(struct.unpack_from, text, data, offset),
    "iter_unpack": records,
}


def same_but_for_nans(expected, got):
    """For later versions alone: equal when all NaNs are one."""
    if not (KEEPS_NANS and type(expected) is type(got) is bytes):
        return False
    try:
        return repr(marshal.loads(expected)) == repr(marshal.loads(got))
    except (EOFError, ValueError, TypeError):
        return False


def has_nan(arguments):
    return KEEPS_NANS and any(value != value for value in arguments[-1] if type(value) is float)


def main():
    judged = wrong = 0
    while head := sys.stdin.buffer.read(4):
        batch = marshal.loads(sys.stdin.buffer.read(int.from_bytes(head, "little")))
        for name, expected, arguments in batch:
            judged += 1
            got = OPERATIONS[name](*arguments)
            if got == expected:
                continue
            if same_but_for_nans(expected, got) or (name.startswith("pack") and has_nan(arguments)):
                continue
            wrong += 1
            if wrong <= SHOWN:
                print(f"{name}{arguments!r:.500}\n  expected {expected!r:.500}\n  got      {got!r:.500}")
    print(f"judged {judged}, wrong {wrong}")


main()
