"""What every run starts from, and the changes that JSON invites, which single bytes would seldom make."""

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Final

from tests.fuzz.values import ALL, WELL_FORMED
from tests.unit.examples import FULL, MINIMAL, SAMPLES, encode

FOUND: Final = Path(__file__).parent / "found"  # TARGET/NAME: inputs that broke a promise once
_SCAN: Final = b"0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"
# one value of JSON, but an object or a list that holds others
_VALUE: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|-?[0-9][0-9.eE+-]*+|true|false|null|\[\]|\{\}', re.DOTALL)
_PIECES: Final = [
    b",",
    b":",
    b'"',
    b"\\",
    b"\\u",
    b"\\ud800",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\n",
    b"\x00",
    b"\xff",
    b" ",
    b"\xef\xbb\xbf",
]


def _records() -> list[bytes]:
    samples = [path.read_bytes().splitlines() for path in sorted(SAMPLES.glob("scan-*.ndjson"))]
    return [encode(FULL), encode(MINIMAL), json.dumps(FULL).encode(), *(lines[0] for lines in samples)]


@cache
def seeds(target: str) -> list[bytes]:
    """Inputs that are right, and those that were once found."""
    records = _records()
    array = b"[" + b",".join(records) + b"]"
    status = (
        b'{"status":"queued","version":3,"submitted_at":"2026-11-24T03:00:00Z","request_digest":null,"x":[1,{"a":2}]}'
    )
    opened = b'{"source":"quet","records_total":5,"language":"en","notify":"a@b.vn","submitted_at":"2026-11-20T09:30:00+07:00"}'
    kind, subject = b"\nce_type:vn.scanline.scan.", b".v1\nce_subject:" + _SCAN
    right: dict[str, list[bytes]] = {
        "record": records,
        "message": [
            *(b"\x00" + each for each in records), b"\x80" + array, b"\x85" + array, b"\x01" + b"4,r17\n[" + records[0] + b",1]",
            b"\x02" + opened, b'\x03{"records_total":7,"request_digest":"ab"}', b'\x04{"reason":"publish_failed"}',
        ],
        "native": [
            *(b"\x80" + each for each in records), b"\x80" + array, b"\x00" + b"\n".join(records),
            b"\x00[" + records[0] + b",{\"a\":[1,2}],\"b]\"}," + b" ,\n".join(records[1:]) + b" ] ",
            b"\x00[" + b",".join([*records[:3], json.dumps(FULL | {"name": 'bậc \\ " \u200b'}).encode(), *records[3:]]) + b"]",
        ],
        "envelope": [
            b"tenant-a\n" + array + kind + b"records" + subject + b"\nce_firstindex:17\ntraceparent",
            b"t\n" + records[0] + kind + b"mended" + subject + b"\nce_mends:4\nscanline_dead_letter:0:1:2",
        ],
        "control": [opened, b'{"records_total":7,"request_digest":"ab"}', b'{"reason":"publish_failed"}', b""],
        "raw_records": [array, records[0], b"[]", b' [ {} , [1,"]"] ] '],
        "lines": [bytes([7]) + b"\r\n".join([b"\xef\xbb\xbf" + records[0], b"", b"no JSON", b"1 2", *records[1:]])],
        "document": [
            b'{"source":"quet","language":"en","notify":"a","records":' + array + b"}",
            b'{"records":["\\ud800"],"records":[]}',
        ],
        "corrections": [
            b'{"corrections":[{"index":4,"id":17,"code":"x","record":' + records[0] + b'},{"id":17,"record":null}]}',
            b'{"corrections":["\\ud800"],"corrections":[{"index":null,"id":3,"record":"\\ud800"}]}',
        ],
        "status": [status, b""],
        "cursor": [b'[1.5,"a"]', b'["' + _SCAN + b'","k"]', b"17"],
    }  # fmt: skip
    folder = FOUND / target
    return right[target] + [path.read_bytes() for path in sorted(folder.glob("*"))]


def changed(data: bytes, chance: random.Random) -> bytes:
    """The input with a value replaced by one of another class, with one doubled or gone, or with a piece of syntax in it."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        places = [found.span() for found in _VALUE.finditer(data)]
        if places and chance.random() < 0.7:
            start, end = chance.choice(places)
            data = data[:start] + chance.choice(WELL_FORMED if chance.random() < 0.7 else ALL) + data[end:]
        elif places and chance.random() < 0.5:
            (start, end), (first, last) = chance.choice(places), chance.choice(places)
            data = data[:start] + data[first:last] + data[end:]
        else:
            at = chance.randrange(len(data) + 1)
            data = (
                data[:at]
                + chance.choice(_PIECES) * chance.choice([1, 1, 1, 2, 400])
                + data[at + chance.choice([0, 0, 1, 4]) :]
            )
    return data
