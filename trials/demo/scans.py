"""The scans that the demo sends, and what must become of them: worked out from plain JSON, without the pipeline's
code."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from trials import generator

TENANTS: Final = 100
RECORDS: Final = 1_000
SPREAD: Final = 2.0  # seconds within which the hundred tenants submit
_FLAWED: Final = 5  # of each kind, in every generated scan


class Wanted(NamedTuple):
    """The result that a scan must have. `keys` are the activity_keys to be stored."""

    records: int
    stored: int
    rejected: int
    duplicates: int
    sensitive: int
    cross_border: int
    keys: frozenset[str]


class Sample(NamedTuple):
    """One of the real scans, and the way it goes: JSON, NDJSON or gzip (all over HTTP), or Kafka."""

    name: str
    tenant: str
    way: str
    lines: list[bytes]

    @property
    def file(self) -> Path:
        """The file that its lines come from."""
        return generator.sample_file(self.name)


def samples() -> list[Sample]:
    """The four real scans, for four tenants, on the four ways in."""
    ways = {
        "clinic": ("phong-kham-an-binh", "JSON"),
        "hrms": ("nhan-su-hoang-ha", "NDJSON"),
        "education": ("dai-hoc-phuong-nam", "gzip"),
        "crm": ("ban-hang-sao-mai", "Kafka"),
    }
    return [Sample(name, tenant, way, generator.sample(name)) for name, (tenant, way) in ways.items()]


def generated() -> dict[str, list[bytes]]:
    """A thousand records for each of a hundred tenants; among them five nobody may store and five that come twice."""
    found = {}
    for number in range(TENANTS):
        tenant = f"to-chuc-{number:03}"
        lines = generator.records(RECORDS - _FLAWED, number, tenant)
        for at in range(_FLAWED):
            lines[100 + at] = json.dumps(json.loads(lines[100 + at]) | {"purpose": ""}, ensure_ascii=False).encode()
        found[tenant] = [*lines, *lines[:_FLAWED]]
    return found


def wanted(lines: Sequence[bytes]) -> Wanted:
    """A record without a purpose is to be rejected (the law asks for one specific purpose), a key's second one not
    counted."""
    good = [line for line in lines if json.loads(line)["purpose"]]
    counts = generator.expected(good)
    keys = frozenset(json.loads(line)["activity_key"] for line in good)
    return Wanted(
        records=len(lines),
        stored=counts.distinct,
        rejected=len(lines) - len(good),
        duplicates=counts.records - counts.distinct,
        sensitive=counts.sensitive,
        cross_border=counts.cross_border,
        keys=keys,
    )


class Sent(NamedTuple):
    """A scan that was acknowledged. Times are of time.perf_counter(); `answered` is None for one that took no HTTP."""

    tenant: str
    scan_id: str
    way: str
    wanted: Wanted
    began: float
    answered: float | None

    @property
    def key(self) -> tuple[str, str]:
        return self.tenant, self.scan_id


def new_scan_id() -> str:
    """A new scan id, for a publisher that names its scans itself."""
    return str(uuid.uuid4())
