"""Records for chaos: 200 bytes to 8 KiB, a few of them wrong in known ways, a few with a key that the scan already has."""

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple

from trials import generator
from trials.checker.history import Body, Fault, digest

_WRONG: Final = 0.03
_TWIN: Final = 0.02
_SMALL: Final = {
    "source_system": "c",
    "asset": "a",
    "data_categories": ["basic_name"],
    "data_subjects": ["other"],
    "purpose": "p",
    "legal_basis": "consent",
    "storage_country": "VN",
    "discovered_at": "2026-11-20T23:47:00Z",
}
_LARGEST: Final = 8 * 1024
_FILLER: Final = "cột dữ liệu cá nhân "
Spoil = Callable[[dict[str, Any]], Fault]


class Made(NamedTuple):
    """A body with its bytes: a line for each record."""

    body: Body
    lines: list[bytes]


def make(name: str, tenant: str, count: int, rng: Random, *, lines_too: bool = False) -> Made:
    """`count` records whose keys begin with `name`. `lines_too`: some may be no JSON at all, as lines of NDJSON can."""
    samples = [json.loads(line) for line in rng.sample(generator.sample("crm"), min(count, 20))]
    lines: list[bytes] = []
    bad: dict[int, Fault] = {}
    for place in range(count):
        record = _record(name, place, samples, rng)
        chance = rng.random()
        if chance < _WRONG:
            line, bad[place] = _wrong(record, rng, lines_too)
        else:
            if chance < _WRONG + _TWIN and place:
                record["activity_key"] = f"{name}/{rng.randrange(place)}"
            line = _dump(record)
        lines.append(line)
    return Made(Body(name, tenant, "".join(map(digest, lines)), bad), lines)


def _record(name: str, place: int, samples: list[dict[str, Any]], rng: Random) -> dict[str, Any]:
    chance = rng.random()
    mark = {"activity_key": f"{name}/{place}", "name": f"{name} {place}"}
    if chance < 0.3:
        return mark | _SMALL
    record = rng.choice(samples) | mark | {"subject_count": rng.randrange(10_000)}
    if chance > 0.9:
        room = rng.randrange(1_000, _LARGEST) - len(_dump(record))
        fields = [f"{_FILLER * 7}{number}" for number in range(max(0, room) // len(f"{_FILLER * 7}00,''".encode()))]
        record["data_fields"] = fields
        record["attributes"] = {"note": rng.random(), "Ghi chú": [1, None, {"tỷ lệ": rng.randrange(100) / 8}]}
    if chance > 0.8:
        record["storage_country"] = rng.choice(("SG", "US", "VN"))
        record["data_categories"] = ["sensitive_health", "basic_name"]
    if chance > 0.95:
        record["transfer"] = {"country": "SG", "recipient": "Bên nhận", "mechanism": "cloud_storage"}
    return record


def _dump(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _wrong(record: dict[str, Any], rng: Random, lines_too: bool) -> tuple[bytes, Fault]:
    if lines_too and rng.random() < 0.2:
        return b'{"activity_key": "' + record["activity_key"].encode(), Fault("record_not_object", "", None)
    name, value, code, pointer = rng.choice(_SPOILS)
    record[name] = value
    key = None if name == "activity_key" else record["activity_key"]
    return _dump(record), Fault(code, pointer, key)


# field, what it is set to, and what the contract says to that
_SPOILS: Final[tuple[tuple[str, Any, str, str], ...]] = (
    ("purpose", "", "text_empty", "/purpose"),
    ("data_categories", ["no_such_code"], "unknown_code", "/data_categories/0"),
    ("data_subjects", [], "list_too_short", "/data_subjects"),
    ("storage_country", "XX", "country_unknown", "/storage_country"),
    ("subject_count", -1, "out_of_range", "/subject_count"),
    ("confidence", 1.5, "out_of_range", "/confidence"),
    ("discovered_at", "2026-11-20", "datetime_invalid", "/discovered_at"),
    ("discovered_at", "2999-01-01T00:00:00Z", "datetime_future", "/discovered_at"),
    ("retention_days", "mười", "wrong_type", "/retention_days"),
    ("no_such_field", 1, "unknown_field", "/no_such_field"),
    ("asset", None, "required", "/asset"),
    ("activity_key", 7, "wrong_type", "/activity_key"),
    ("name", "a\u202eb", "text_bidi", "/name"),
)
