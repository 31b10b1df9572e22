"""Records as a scanner would send them, made from the samples: the same seed gives the same bytes."""

import json
import random
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

SAMPLES: Final = ("clinic", "crm", "education", "hrms")
_SAMPLES_FOLDER: Final = Path(__file__).parent / "samples"
_SUBJECTS_AT: Final = '"subject_count":'


class Expected(NamedTuple):
    """The result expected of valid records, worked out from plain JSON alone."""

    records: int
    distinct: int
    sensitive: int
    cross_border: int


def sample(name: str) -> list[bytes]:
    """The lines of one of the SAMPLES: a scan of a public business application's columns."""
    return [line for line in sample_file(name).read_bytes().split(b"\n") if line.strip()]


def sample_file(name: str) -> Path:
    """The file of one of the SAMPLES: NDJSON."""
    return _SAMPLES_FOLDER / f"scan-{name}.ndjson"


class _Template(NamedTuple):
    """A sample record's JSON, cut where the generated parts go."""

    key_and_name: str
    before_count: str
    after_count: str


@cache
def _templates() -> tuple[_Template, ...]:
    """The samples with a key, a name's end and a subject count to be filled in."""
    found = []
    for name in SAMPLES:
        for line in sample(name):
            record = json.loads(line)
            if record.get("subject_count") is None:
                continue
            title = json.dumps(record["name"], ensure_ascii=False)[1:-1]
            rest = {field: value for field, value in record.items() if field not in ("activity_key", "name")}
            body = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
            before, _, after = body[1:].partition(_SUBJECTS_AT)
            digits = len(str(record["subject_count"]))
            key = json.dumps(record["activity_key"], ensure_ascii=False)[1:-1]
            found.append(_Template(f'{key}","name":"{title}', f'",{before}{_SUBJECTS_AT}', after[digits:]))
    return tuple(found)


def records(count: int, seed: int = 0, tenant: str = "") -> list[bytes]:
    """`count` valid records of about 640 bytes of JSON each; keys are distinct. Deterministic."""
    chance = random.Random(f"{seed}/{tenant}/{count}")
    templates = _templates()
    prefix = f'{{"activity_key":"{seed:x}/{tenant}/' if tenant else f'{{"activity_key":"{seed:x}/'
    random_number = chance.random
    made = []
    for index in range(count):
        key_and_name, before, after = templates[int(random_number() * len(templates))]
        made.append(f"{prefix}{index:06d}/{key_and_name}{before}{int(random_number() * 200_000)}{after}".encode())
    return made


def array(lines: Sequence[bytes]) -> bytes:
    """A JSON array of records: the value of one message."""
    return b"[" + b",".join(lines) + b"]"


def body(lines: Sequence[bytes], source: str = "generator") -> bytes:
    """The JSON body of POST /scans."""
    return b'{"source":' + json.dumps(source).encode() + b',"records":' + array(lines) + b"}"


def ndjson(lines: Sequence[bytes]) -> bytes:
    """The NDJSON body of POST /scans."""
    return b"\n".join(lines) + b"\n"


def expected(lines: Iterable[bytes]) -> Expected:
    """Counts what valid records must come to, by the law's words and without the pipeline's code."""
    keys: set[str] = set()
    total = sensitive = cross_border = 0
    for line in lines:
        record = json.loads(line)
        total += 1
        if record["activity_key"] in keys:
            continue
        keys.add(record["activity_key"])
        sensitive += _is_sensitive(record)
        cross_border += _crosses(record)
    return Expected(total, len(keys), sensitive, cross_border)


def _is_sensitive(record: dict[str, Any]) -> bool:
    """Decree 356/2025/ND-CP, Article 4."""
    return any(str(code).startswith("sensitive_") for code in record["data_categories"])


def _crosses(record: dict[str, Any]) -> bool:
    """Stored abroad, at a foreign provider, or declared as a transfer (Law 91/2025/QH15, Article 20)."""
    places = {record["storage_country"], record.get("provider_country") or "VN"}
    return places != {"VN"} or record.get("transfer") is not None
