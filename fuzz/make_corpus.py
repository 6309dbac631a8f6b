#!/usr/bin/env python3
"""Makes fuzz/corpus/ from the test vectors: a few small cases for each target. What fuzzing finds is added by hand.

    python3 fuzz/make_corpus.py     only the standard library (Python 3.11)
"""

import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
SMALL = 400     # bytes: small inputs fuzz faster
EACH = 2        # valid cases for each message type


def main():
    cases = [case for path in sorted((HERE.parent / "spec/vectors").glob("*.toml"))
             for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]]
    seen = {}
    for case in cases:
        message, schema = bytes.fromhex(case["hex"]), bytes.fromhex(case.get("schema", ""))
        kind = (case["type"], case["valid"])
        if len(message) + len(schema) > SMALL or seen.get(kind, 0) >= (EACH if case["valid"] else 1):
            continue
        seen[kind] = seen.get(kind, 0) + 1
        target = "schema" if case["type"] == "SCHEMA" else "frame"
        write(target, f"{case['type'].lower()}-{seen[kind]}{'' if case['valid'] else '-bad'}", message)
        if case["type"] in ("ROWS", "SPARSE"):
            count = message[15]     # the low byte of kind and count
            write("rows", f"{case['type'].lower()}-{seen[kind]}{'' if case['valid'] else '-bad'}",
                  len(schema).to_bytes(2, "big") + schema + bytes([count]) + message[24:-4])


def write(target, name, data):
    path = HERE / "corpus" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


main()
