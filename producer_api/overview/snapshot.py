"""What the operators' page shows at one moment, as its JSON. Codes, counts and ids alone: no value of a record, no key of
one, and no text that a sender wrote."""

import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from kafka_client.lag import Look, Pace
from producer_api.kafka.status_messages import Key
from producer_api.kafka.statuses import StatusEntry, StatusStore
from producer_api.overview.servers import Answer, ServersLook
from schemas.errors import RECORD_ERRORS
from schemas.pool_metrics import PoolUse
from schemas.record import Record
from schemas.status import ErrorSample, ScanStatus, decode_status

SCANS: Final = 50
TROUBLED: Final = 12
_FIELDS: Final = frozenset(Record.__struct_fields__)


class _Blanks(dict[str, str]):
    """Parameters of a text; those that are not told are dots."""

    def __missing__(self, name: str) -> str:
        return "…"


def document(
    statuses: StatusStore, *, ready: bool, servers: ServersLook | None, pace: Pace | None, pool: PoolUse
) -> dict[str, Any]:
    """The page's data, but for the points of its charts."""
    facts = None if servers is None else servers.facts
    there = None if servers is None else servers.letters_there
    done = None if facts is None else facts.letters_done
    return {
        "at": round(time.time() * 1000),
        "process": os.getpid(),
        "statuses_read": ready,
        "kafka": _answer(None if servers is None else servers.kafka),
        "postgres": _answer(None if servers is None else servers.postgres),
        "seen_seconds_ago": None if servers is None else round(time.monotonic() - servers.at, 1),
        "lag": _lag(None if servers is None else servers.lag, pace),
        "lanes": _lanes(None if servers is None else servers.lag),
        "unfinished": statuses.unfinished_count,
        "scans": [_scan(key, entry) for key, entry in statuses.unfinished(SCANS)],
        "troubled": [_troubled(key, entry) for key, entry in statuses.troubled(TROUBLED)],
        "letters": {"there": there, "waiting": None if there is None or done is None else max(0, there - done)},
        "pool": pool._asdict(),
        "connections": None if facts is None else facts.connections,
        "connections_limit": None if facts is None else facts.connections_limit,
    }


def _answer(answer: Answer | None) -> dict[str, Any] | None:
    return None if answer is None else {**answer._asdict(), "seconds": round(answer.seconds, 3)}


def _lag(look: Look | None, pace: Pace | None) -> dict[str, Any] | None:
    if look is None:
        return None
    return {
        "messages": look.lag,
        "seconds": None if look.lag_seconds is None else round(look.lag_seconds, 1),
        "counted_by": look.counted_by,
        "sent": None if pace is None else round(pace.sent, 1),
        "written": None if pace is None else round(pace.written, 1),
        "seconds_to_empty": None if pace is None or pace.seconds_to_empty is None else round(pace.seconds_to_empty, 1),
    }


def _lanes(look: Look | None) -> list[dict[str, Any]] | None:
    if look is None:
        return None
    return [
        {
            "partition": each.partition,
            "lag": each.lag,
            "lag_seconds": None if each.lag_seconds is None else round(each.lag_seconds, 1),
            "gone": each.gone,
            "owner": each.owner,
            "state": each.state,
            "reason": each.reason,
            "since": each.since,
        }
        for each in look.partitions
    ]


def _status(entry: StatusEntry) -> ScanStatus | None:
    """None where another version wrote what this one cannot read."""
    try:
        return decode_status(entry.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _scan(key: Key, entry: StatusEntry) -> dict[str, Any]:
    told = _status(entry)
    found: dict[str, Any] = {
        "tenant": key[0],
        "scan": key[1],
        "state": entry.state,
        "submitted_at": round(entry.submitted_at * 1000),
        "published_at": round(entry.published_at * 1000),
    }
    if told is not None:
        found |= {
            "total": told.records_total,
            "stored": told.records_stored,
            "rejected": told.records_rejected,
            "duplicate": told.records_duplicate,
            "unreadable": told.messages_unreadable,
            "progress": told.progress,
            "paused": told.paused,
        }
    return found


def _troubled(key: Key, entry: StatusEntry) -> dict[str, Any]:
    told = _status(entry)
    counted = Counter(_reason(each) for each in (told.errors_sample if told is not None else ()))
    reasons = [
        {"code": code, "field": field, "count": count, "messages": _texts(code, field)}
        for (code, field), count in counted.most_common(3)
    ]
    return _scan(key, entry) | {"reasons": reasons}


def _reason(error: ErrorSample) -> tuple[str, str | None]:
    """The code, and the field where it is one of ours: others are named by the sender."""
    code = error.code if error.code in RECORD_ERRORS else "unknown"
    name = error.pointer.lstrip("/").partition("/")[0]
    return code, name if name in _FIELDS else None


def _texts(code: str, field: str | None) -> Mapping[str, str]:
    text = RECORD_ERRORS.get(code)
    if text is None:
        return {"vi": "lý do của một phiên bản khác", "en": "a reason of another version"}
    given = _Blanks({"field": field} if field is not None else {})
    return {"vi": text.vi.format_map(given), "en": text.en.format_map(given)}
