"""Valid records, damaged by seed: headers, keys, payloads and times that nobody should send and somebody will."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

from streams.adapters.memory_topics import Kept

GOLDEN = Path(__file__).parents[2] / "tests" / "contract" / "golden"

_HEADERS = (
    *(b"", b"0", b"-1", b"1.5", b"1e3", b"2147483647", b"2147483648", b"9" * 400, "٣".encode(), b"00000000001", b" 7"),
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", "﻿".encode(), b"a" * 300, b"a" * 100_000, b"null", b"true", b"{}"),
    *(b"undertone.call.audio.v1", b"undertone.call.audio.v2", b"undertone.window.v1", b"undertone.label.v1"),
    *(b"undertone.call.started.v1", b"undertone.call.consent.v1", b"undertone.call.ended.v1", b"customer", b"agent"),
    *(b"audio/PCMU;rate=8000;channels=1", b"audio/L16;rate=8000;channels=2", b"audio/L16;rate=44100;channels=1"),
    *(b"audio/L16;rate=8000;channels=0", b"audio/L16;rate=-8000;channels=1", b"audio/opus", b"application/json"),
    *(b"audio/L16;rate=16000;channels=1;rate=8000", b"application/json; charset=utf-16", b"2026-01-31T12:00:00"),
    *(b"0000-00-00T00:00:00Z", b"9999-12-31T23:59:59.999999Z", b"2026-01-31T12:00:00+99:99"),
)
_TOKENS = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e-999", b"null", b"true", b"false", b'""', b"[]", b"{}"),
    *(b"-1", b"0.1", b"2147483648", b"9" * 5000, b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"[" * 3000, b'{"a":' * 3000),
    *(b'"9999-12-31T23:59:59-12:00"', b'"0001-01-01T00:00:00+14:00"', b'"customer"', b'"agent"', b'"mixed"'),
    *(b'"emotion.alerting"', b'"labelled"', b'"failed"', b'"silent"', b'"' + b"x" * 100_000 + b'"', b"1" * 30, b"0e0"),
)
_KEYS = (None, b"", b"\xff", b"a" * 201, b"a" * 200, b"\x00", "é".encode() * 60, b"f" * 64, b"call-other")
_PLACES = re.compile(rb"[:\[,]")
_TIMES = (0, -1, 1, 2**31, 2**53, 2**63 - 1, -(2**63))


def golden() -> list[Kept]:
    """Every record of the contract, as fetched."""
    return [_kept(json.loads(path.read_text())) for path in sorted(GOLDEN.glob("*.json"))]


def _kept(told: dict[str, dict[str, str]]) -> Kept:
    payload = told["payload"]
    value = payload["json"].encode() if "json" in payload else base64.b64decode(payload["base64"])
    headers = tuple((name, text.encode()) for name, text in told["headers"].items())
    return Kept(str(told["topic"]), 0, 0, 0, str(told["key"]).encode(), value, headers)


def mutated(random: Random, record: Kept, others: Sequence[Kept], *, times: bool) -> Kept:
    """The record with one to three things wrong; its time too where `times`."""
    ways = _WAYS if times else _WAYS[:-1]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        record = random.choice(ways)(random, record, others)
    return record


def _header(random: Random, record: Kept, _: Sequence[Kept]) -> Kept:
    headers = list(record.headers)
    if not headers:
        return record
    at = random.randrange(len(headers))
    name, value = headers[at]
    match random.randrange(6):
        case 0:
            del headers[at]
        case 1:
            headers.insert(random.randrange(len(headers) + 1), (name, random.choice(_HEADERS)))
        case 2:
            headers[at] = (random.choice((name.upper(), name + "x", "", "ce_", "\u00e9" * 50)), value)
        case 3:
            headers[at] = (name, _bytes(random, value))
        case _:
            headers[at] = (name, random.choice(_HEADERS))
    return replace(record, headers=tuple(headers))


def _number(random: Random, record: Kept, _: Sequence[Kept]) -> Kept:
    """Another number in a header that holds one: readable, and seldom right."""
    headers = dict(record.headers)
    held = [name for name, value in headers.items() if value.isdigit()]
    if not held:
        return record
    name = random.choice(held)
    number = random.choice((0, 1, 2, random.randrange(40), random.randrange(20_000), 2**31 - 1, int(headers[name]) + 1))
    return replace(record, headers=tuple((headers | {name: b"%d" % number}).items()))


def _header_of_another(random: Random, record: Kept, others: Sequence[Kept]) -> Kept:
    """One header of another record in place of its own."""
    taken = dict(random.choice(others).headers)
    if not taken:
        return record
    name = random.choice(list(taken))
    return replace(record, headers=tuple((dict(record.headers) | {name: taken[name]}).items()))


def _payload(random: Random, record: Kept, _: Sequence[Kept]) -> Kept:
    return replace(record, value=_bytes(random, record.value or b""))


def _payload_of_another(random: Random, record: Kept, others: Sequence[Kept]) -> Kept:
    return replace(record, value=random.choice((None, b"", random.choice(others).value, bytes(600_000))))


def _token(random: Random, record: Kept, _: Sequence[Kept]) -> Kept:
    """A JSON value in place of another."""
    value = record.value or b""
    places = [found.start() for found in islice(_PLACES.finditer(value), 400)]
    if not places:
        return _payload(random, record, ())
    begin = random.choice(places) + 1
    ends = [end for end in (value.find(mark, begin) for mark in (b",", b"}", b"]")) if end >= 0]
    return replace(record, value=value[:begin] + random.choice(_TOKENS) + value[min(ends, default=len(value)) :])


def _key(random: Random, record: Kept, others: Sequence[Kept]) -> Kept:
    key = random.choice((*_KEYS, random.choice(others).key))
    if random.random() < 0.5 or key is None:
        return replace(record, key=key)
    headers = dict(record.headers) | {"ce_subject": key}
    return replace(record, key=key, headers=tuple(headers.items()))


def _time(random: Random, record: Kept, _: Sequence[Kept]) -> Kept:
    return replace(record, timestamp=random.choice(_TIMES))


def _bytes(random: Random, value: bytes) -> bytes:
    """A few bytes changed, cut off, put in or doubled."""
    at = random.randrange(len(value) + 1)
    match random.randrange(5):
        case 0:
            return value[:at]
        case 1:
            return value[:at] + random.randbytes(random.choice((1, 2, 7, 64))) + value[at:]
        case 2:
            return value[:at] + value[at // 2 :]
        case 3 if value:
            flipped = bytearray(value)
            for _ in range(random.choice((1, 1, 4))):
                flipped[random.randrange(len(value))] ^= 1 << random.randrange(8)
            return bytes(flipped)
        case _:
            return value[:at] + random.choice(_HEADERS + _TOKENS) + value[at + 1 :]


_WAYS: Sequence[Callable[[Random, Kept, Sequence[Kept]], Kept]] = (
    *(_header, _header, _header_of_another, _payload, _payload, _payload_of_another),
    *(_token, _token, _token, _number, _number, _number, _key, _time),
)
