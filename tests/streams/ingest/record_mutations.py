"""Damaged records by the million, through ingest's compiled readers and through the reference.

    python -m tests.streams.ingest.record_mutations SEED COUNT

The same seed damages the same way.
"""

import json
import random
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from streams.ingest.forwarding import Refused, warm
from tests.corpus.cases import bad, good
from tests.mutating import watched
from tests.streams.ingest.test_fast_path import (
    ANY_MS,
    FULL,
    HEADERS,
    NOW_MS,
    OF_A_TXN,
    TOLERANCE_MS,
    becomes,
    canonical,
)

CPU_S_MAX = 1.0  # of RECORDS records
RECORDS = 100  # of a chunk
GROWN_BYTES_MAX = 64 << 20
ODD_HEADERS = ((), (("schema", None),), (("schema", b"xinliu.event/2"),), HEADERS * 2, (*HEADERS, ("x", b"y")))
WORDS = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"--", b"-----BEGIN", b"0", b"00", b"-0", b"1e9", b"1.5",
    b".", b"null", b"true", b"NaN", b" ", b"\n", b"\t", b"\0", b"\x7f", b"\x80", b"\xff", b"\xed\xa0\x80",
    b"\xe2\x80\xae", "\u3000".encode(), "\u0301".encode(), "\ufeff".encode(), "７".encode(), "😀".encode(),
    b"\\u0022", b"\\u0000",
    b"\\ud800", b'"password":"x"', b'"type":"loan"', b'"type":"txn"', b"9" * 19, b"9" * 300, b"[" * 600, b"x" * 300,
    b"11010519491231002X", b"622202001234",
)  # fmt: skip
TEXTS = (
    b"x", b" ", b"-", b"--", b"-----BEGIN", b"\\u0022", b"\\n", b"x" * 60, b"x" * 300, b"11010519491231002X",
    "货".encode(), "\u3000".encode(), "\u0301".encode(), "\u202e".encode(), "\ufeff".encode(), "７".encode(),
    "😀".encode(), b"\x7f",
)  # fmt: skip
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9.eE+]+|true|false|null')
_TOKEN = re.compile(_VALUE.pattern + rb"|[{}\[\],:]")


def originals() -> list[bytes]:
    """Records of every kind, well-formed and not."""
    kinds = [case.payload for case in (*good(), *bad()) if case.payload is not None and len(case.payload) < 4_096]
    return [canonical(**FULL), canonical(**OF_A_TXN)] * (len(kinds) // 2) + kinds


def damaged(rng: random.Random, of: Sequence[bytes]) -> bytes:
    """Return a record damaged in one place or several."""
    value = rng.choice(of)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = rng.choice(DAMAGES)(rng, value, of)
    return value


def _byte(rng: random.Random, value: bytes, _of: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.choice((b"", rng.randbytes(1))) + value[at + rng.randrange(3) :]


def _word(rng: random.Random, value: bytes, _of: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.choice(WORDS) + value[at + rng.choice((0, 0, 1, 4)) :]


def _token(rng: random.Random, value: bytes, of: Sequence[bytes]) -> bytes:
    """Another token in place of one, of the same record or another."""
    tokens = [match.span() for match in _TOKEN.finditer(value)]
    if not tokens:
        return value
    other = value if rng.random() < 0.5 else rng.choice(of)
    others = _TOKEN.findall(other) or [b""]
    begin, end = rng.choice(tokens)
    new = rng.choice((rng.choice(others), rng.choice(others), rng.choice(WORDS), b"", value[begin:end] * 2))
    return value[:begin] + new + value[end:]


def _value(rng: random.Random, value: bytes, of: Sequence[bytes]) -> bytes:
    """Another text, number or literal in place of one, or one that differs a little: it stays JSON, mostly."""
    tokens = [match.span() for match in _VALUE.finditer(value)]
    others = _VALUE.findall(rng.choice(of))
    if not tokens or not others:
        return value
    begin, end = rng.choice(tokens)
    new, how = rng.choice(others), rng.randrange(3)
    if how == 1 and value[begin : begin + 1] == b'"':
        at = rng.randrange(begin + 1, end)
        new = value[begin:at] + rng.choice(TEXTS) + value[at:end]
    elif how == 2:
        new = value[begin:end]
        return value[:begin] + new + b"," + new + b":" + rng.choice(others) + value[end:]
    return value[:begin] + new + value[end:]


def _number(rng: random.Random, value: bytes, _of: Sequence[bytes]) -> bytes:
    numbers = [match.span() for match in re.finditer(rb"-?[0-9]+", value)]
    if not numbers:
        return value
    begin, end = rng.choice(numbers)
    number = rng.choice((0, 1, 10**15, 10**18, 2**53, 2**62, 2**63, NOW_MS, NOW_MS + TOLERANCE_MS)) + rng.choice(
        (0, 1, -1)
    )
    return value[:begin] + b"%d" % (number * rng.choice((1, 1, -1))) + value[end:]


def _joined(rng: random.Random, value: bytes, of: Sequence[bytes]) -> bytes:
    other = rng.choice(of)
    return value[: rng.randrange(len(value) + 1)] + other[rng.randrange(len(other) + 1) :]


DAMAGES = (_byte, _word, _token, _value, _value, _value, _number, _number, _joined)


def chunk_of_damaged(rng: random.Random, of: Sequence[bytes]) -> list[tuple[bytes | None, Any, int]]:
    """(value, headers, broker's time) of so many: some whole, some the same as before, some with odd headers."""
    records: list[tuple[bytes | None, Any, int]] = []
    for _ in range(RECORDS):
        how = rng.random()
        if how < 0.05:
            value = rng.choice(of)
        elif how < 0.1 and records:
            value = rng.choice(records)[0]
        else:
            value = damaged(rng, of)
        headers = HEADERS if rng.random() < 0.95 else rng.choice(ODD_HEADERS)
        ms = NOW_MS if rng.random() < 0.95 else rng.choice((0, NOW_MS - TOLERANCE_MS - 1, NOW_MS - TOLERANCE_MS - 2))
        records.append((value, headers, ms))
    return records


def check(records: Sequence[tuple[bytes | None, Any, int]], last_ms: int) -> list[str]:
    """Assert that both readers have the same outcome for each record, and return the outcomes."""
    found: dict[bool, list[Any]] = {}
    for compiled in (True, False):
        begin_s = time.thread_time()
        found[compiled] = becomes(records, compiled=compiled, last_ms=last_ms, at_once=RECORDS)
        took_s = time.thread_time() - begin_s
        assert took_s < CPU_S_MAX, f"{len(records)} records took {took_s:.2f} s"
    for record, one, other in zip(records, found[True], found[False], strict=True):
        assert one == other, (record, one, other)
    return [one.reason if isinstance(one, Refused) else "forwarded" for one in found[True]]


def main(seed: int, count: int) -> None:
    """Check `count` records, and print the outcomes as JSON."""
    rng, of = random.Random(seed), originals()
    warm()
    check(chunk_of_damaged(rng, of), ANY_MS)

    def check_chunk(n: int) -> list[str]:
        records = chunk_of_damaged(rng, of)
        try:
            return check(records, rng.choice((ANY_MS, ANY_MS, NOW_MS - 1, NOW_MS - 2)))
        except Exception as error:
            raise AssertionError(f"seed {seed}, chunk {n}: {error!r:.3000}") from error

    found = watched(count // RECORDS, check_chunk, grown_bytes_max=GROWN_BYTES_MAX)
    print(json.dumps(found | {"count": found["count"] * RECORDS}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
