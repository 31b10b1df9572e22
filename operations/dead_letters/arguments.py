"""Turns the arguments that an operator typed into a selection of dead letters."""

import datetime as dt
import re
import uuid
from collections.abc import Sequence
from typing import Final

from infra.errors import InfraError
from operations.dead_letters.dead_letter import DeadLetterSelection
from schemas.messages import is_tenant_id

_RELATIVE: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ID: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


def moment(text: str, now: dt.datetime) -> dt.datetime | None:
    """RFC 3339 with an offset, or so long ago: 30s, 15m, 2h, 7d. None for an empty text. Raises InfraError."""
    if not text:
        return None
    relative = _RELATIVE.fullmatch(text)
    try:
        if relative is not None:
            return now - dt.timedelta(**{_UNITS[relative[2]]: int(relative[1])})
        found = dt.datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise InfraError.of("dlq_time_invalid")


def letter_place(text: str) -> tuple[int, int]:
    """partition:offset. Raises InfraError."""
    found = _ID.fullmatch(text)
    if found is None:
        raise InfraError.of("dlq_letter_id_invalid")
    return int(found[1]), int(found[2])


def selection(
    ids: Sequence[str],
    tenant: str,
    scan: str,
    reason: str,
    since: str,
    until: str,
    partition: int | None,
    offset: int | None,
) -> DeadLetterSelection:
    """Raises InfraError where something cannot be meant."""
    if tenant and not is_tenant_id(tenant):
        raise InfraError.of("tenant_id_invalid")
    now = dt.datetime.now(dt.UTC)
    try:
        wanted = str(uuid.UUID(scan)) if scan else None
    except ValueError:
        raise InfraError.of("scan_id_invalid") from None
    return DeadLetterSelection(
        frozenset(map(letter_place, ids)),
        tenant or None,
        wanted,
        reason or None,
        moment(since, now),
        moment(until, now),
        partition,
        offset,
    )


def unknown_letter(place: str) -> InfraError:
    """A letter that is not there."""
    return InfraError.of("dlq_letter_unknown", place=place)
