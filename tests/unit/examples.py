"""A right record, and ways to change it."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

from schemas.errors import FieldError
from schemas.validation import ExaminedRecord, examine

NOW = dt.datetime(2026, 11, 24, 3, 0, tzinfo=dt.UTC)
SAMPLES = Path(__file__).resolve().parents[2] / "trials" / "samples"
MISSING = object()

MINIMAL: dict[str, Any] = {
    "activity_key": "crm/khach_hang/ho_ten",
    "name": "Chăm sóc khách hàng: họ, chữ đệm và tên",
    "source_system": "crm",
    "asset": "crm.public.khach_hang",
    "data_categories": ["basic_name"],
    "data_subjects": ["customer"],
    "purpose": "Chăm sóc khách hàng",
    "legal_basis": "consent",
    "storage_country": "VN",
    "discovered_at": "2026-11-20T09:30:00+07:00",
}
FULL: dict[str, Any] = MINIMAL | {
    "data_fields": ["ho_ten", "ten_dem"],
    "data_categories": ["basic_name", "sensitive_health"],
    "controller_role": "controller",
    "recipients": ["Công ty Lưu trữ Sao Mai"],
    "provider_country": "SG",
    "transfer": {
        "country": "SG",
        "recipient": "Sao Mai Cloud",
        "mechanism": "cloud_storage",
        "exemption": "employee_data_on_cloud",
        "dossier_ref": "HS-2026-09",
        "first_transferred_on": "2026-02-01",
    },
    "retention_days": 365,
    "subject_count": 12_000,
    "confidence": 0.93,
    "attributes": {"column_type": "varchar", "ghi chú": ["a", 1, 2.50]},
}


def encode(record: dict[str, Any]) -> bytes:
    """A record as a publisher writes it: UTF-8, no escapes but the needed ones."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def changed(path: str, value: Any, base: dict[str, Any] = FULL) -> dict[str, Any]:
    """The full record with the member at a JSON pointer set, or taken away by MISSING."""
    record: dict[str, Any] = json.loads(json.dumps(base))
    *parents, last = path.removeprefix("/").split("/")
    place: Any = record
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    key = int(last) if isinstance(place, list) else last
    if value is MISSING:
        del place[key]
    else:
        place[key] = value
    return record


def outcome_of(record: dict[str, Any] | bytes) -> ExaminedRecord:
    """What `examine` makes of a record at NOW."""
    return examine(record if isinstance(record, bytes) else encode(record), NOW)


def only_error(record: dict[str, Any] | bytes) -> FieldError:
    """The one error of a record that has exactly one."""
    outcome = outcome_of(record)
    assert outcome.record is None
    assert len(outcome.errors) == 1, [(error.code, error.pointer) for error in outcome.errors]
    return outcome.errors[0]


def sample_lines() -> list[bytes]:
    """Every record of the real scans."""
    return [line for path in sorted(SAMPLES.glob("scan-*.ndjson")) for line in path.read_bytes().splitlines()]
