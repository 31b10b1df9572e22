"""The ledger of what was done about dead letters, in PostgreSQL. Rows are only added, so that nobody takes back what
was done.

A letter is claimed, sent, marked as sent, in this order. A run that dies between sending and marking leaves a claim
without a mark; the next run looks in scan.records.v1 whether the message got there (recovery.py)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, and_, create_engine, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import InfraError
from operations.audit import NO_TENANT, actor
from operations.dead_letters.dead_letter import DeadLetter, State
from schemas.dead_letters import DeadLetterId
from schemas.errors import Text
from schemas.numbers import number
from schemas.session_settings import begin_with, deciding
from schemas.tables import audit_log, dead_letter_actions
from sinks.postgres.errors import sqlstate

_ALONE: Final = 8_201_508  # any number, of advisory locks; ours alone in this database
_DATABASE_SECONDS: Final = 10
# Between two statements Kafka is asked, and sent to, for as long as that takes.
_TAKE_TURN: Final = text("SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_try_advisory_xact_lock(:number)")
_STILL: Final = text("SELECT 1")
_UNDEFINED_TABLE: Final = "42P01"
_table: Final = dead_letter_actions
_place: Final = tuple_(_table.c.letter_partition, _table.c.letter_offset, _table.c.failed_at_ms)
Action = Literal["dead_letters_retried", "dead_letters_dropped", "dead_letter_shown"]
AUDIT_TEXTS: Final[dict[Action, Text]] = {
    "dead_letters_retried": Text(
        "Đã gửi lại {count} thông điệp không xử lý được.", "{count} dead letter(s) were sent again."
    ),
    "dead_letters_dropped": Text(
        "Đã bỏ hẳn {count} thông điệp không xử lý được; lý do: {note}",
        "{count} dead letter(s) were dropped for good; reason: {note}",
    ),
    "dead_letter_shown": Text(
        "Đã xem nội dung của {count} thông điệp không xử lý được.", "The content of {count} dead letter(s) was shown."
    ),
}


class RetryClaim(NamedTuple):
    """A letter that was claimed and not marked as sent. `ends` of scan.records.v1 before it was sent, by partition;
    `arrived` is where (partition, offset) the worker has met it since."""

    id: DeadLetterId
    tenant_id: str | None
    scan_id: str | None
    reason: str
    ends: Mapping[int, int]
    arrived: tuple[int, int] | None


def database_error(error: BaseException) -> InfraError:
    """The operator's error for a failed statement; never with its values."""
    code = sqlstate(error)
    if code == _UNDEFINED_TABLE:
        return InfraError.of("dlq_table_missing")
    return InfraError.of("dlq_postgres_refuses", sqlstate=code)


class DeadLetterLedger:
    """One connection, for one command. A context manager; every call raises InfraError."""

    def __init__(self, url: str) -> None:
        arguments = {
            "connect_timeout": _DATABASE_SECONDS,
            "application_name": "scanline-dlq",
            # a machine that vanished gives its lock back within half a minute
            "tcp_user_timeout": 20_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        self._engine = create_engine(url, connect_args=arguments, hide_parameters=True)
        begin_with(self._engine, deciding(_DATABASE_SECONDS))
        self._turn: Connection | None = None
        self._actor = actor()
        with _told():
            self._connection: Connection = self._engine.connect()

    def take_turn(self) -> None:
        """Retrying and dropping is for one operator at a time; ends with the command, however that ends. The turn is a
        transaction on a connection of its own, which stays open: behind a pooler nothing else keeps a session."""
        with _told():
            self._turn = self._engine.connect()
            alone = self._turn.execute(_TAKE_TURN, {"number": _ALONE}).scalar()
        if not alone:
            raise InfraError.of("dlq_busy")

    def states(self, ids: Iterable[DeadLetterId]) -> dict[DeadLetterId, State]:
        """The state of each of these letters."""
        wanted = list(ids)
        if not wanted:
            return {}
        done = func.array_agg(_table.c.action)
        places = (_table.c.letter_partition, _table.c.letter_offset, _table.c.failed_at_ms)
        query = select(*places, done).where(_place.in_([tuple(each) for each in wanted])).group_by(*places)
        with _told(), self._connection.begin():
            found = {DeadLetterId(*row[:3]): _state(row[3]) for row in self._connection.execute(query)}
        return {each: found.get(each, "open") for each in wanted}

    def in_doubt(self, ids: Iterable[DeadLetterId]) -> list[RetryClaim]:
        """The claims on these letters of a run that ended before it could say what became of them."""
        sent, arrived = _table.alias(), _table.alias()
        query = (
            select(_table, arrived.c.details.label("met"))
            .outerjoin(arrived, _same(arrived, "arrived"))
            .where(
                _place.in_([tuple(each) for each in ids]),
                _table.c.action == "claimed",
                ~select(sent.c.action).where(_same(sent, "sent")).exists(),
            )
        )
        with _told(), self._connection.begin():
            return [_claim(row) for row in self._connection.execute(query)]

    def claim(self, letters: Sequence[DeadLetter], ends: Mapping[int, int]) -> None:
        """Claims the letters, before they are sent. Claiming again what an earlier run claimed and did not send changes
        nothing."""
        by_name = {str(partition): end for partition, end in ends.items()}
        self._add("claimed", [(each, {"reason": each.reason, "ends": by_name}) for each in letters])

    def mark_sent(self, sent: Sequence[tuple[DeadLetter | RetryClaim, Mapping[str, Any]]]) -> None:
        """Marks the letters as sent, with an audit row for each scan, in one transaction."""
        self._add("sent", sent, "dead_letters_retried")

    def drop(self, letters: Sequence[DeadLetter], note: str) -> None:
        """Drops the letters for good, with an audit row for each scan, in one transaction."""
        self._add(
            "dropped", [(each, {"reason": each.reason, "note": note}) for each in letters], "dead_letters_dropped"
        )

    def shown(self, letter: DeadLetter) -> None:
        """The audit row of somebody who looks at content."""
        with _told(), self._connection.begin():
            self._audit("dead_letter_shown", [(letter, {"reason": letter.reason})])

    def _add(
        self,
        action: str,
        done: Sequence[tuple[DeadLetter | RetryClaim, Mapping[str, Any]]],
        audited: Action | None = None,
    ) -> None:
        if not done:
            return
        rows = [
            {
                "letter_partition": each.id.partition,
                "letter_offset": each.id.offset,
                "failed_at_ms": each.id.failed_at_ms,
                "action": action,
                "tenant_id": each.tenant_id,
                "scan_id": each.scan_id,
                "actor": self._actor,
                "details": dict(details),
            }
            for each, details in done
        ]
        with _told(), self._connection.begin():
            if self._turn is not None:
                self._turn.execute(_STILL)  # raises where the connection is gone, and the turn with it
            self._connection.execute(insert(_table).on_conflict_do_nothing(), rows)
            if audited is not None:
                self._audit(audited, done)

    def _audit(self, action: Action, done: Sequence[tuple[DeadLetter | RetryClaim, Mapping[str, Any]]]) -> None:
        """A row for each scan: what was touched, how much, when and by whom (Law 91/2025/QH15, Article 23)."""
        by_scan: dict[tuple[str, str | None], list[tuple[DeadLetter | RetryClaim, Mapping[str, Any]]]] = defaultdict(
            list
        )
        for each, details in done:
            by_scan[each.tenant_id or NO_TENANT, each.scan_id].append((each, details))
        rows = []
        for (tenant, scan), group in by_scan.items():
            note = str(group[0][1].get("note", ""))
            words = {
                language: getattr(AUDIT_TEXTS[action], language).format(count=number(len(group), language), note=note)
                for language in ("vi", "en")
            }
            facts: dict[str, Any] = {
                "count": len(group),
                "reasons": dict(Counter(each.reason for each, _ in group)),
                "letters": [each.id.short for each, _ in group],
            }
            if note:
                facts["note"] = note
            if any(details.get("recognised") for _, details in group):
                facts["recognised"] = sum(bool(details.get("recognised")) for _, details in group)
            rows.append(
                {
                    "tenant_id": tenant,
                    "scan_id": scan,
                    "actor": self._actor,
                    "action": action,
                    "details": facts,
                    "message": words,
                }
            )
        self._connection.execute(audit_log.insert(), rows)

    def history(self, letter: DeadLetterId) -> list[dict[str, Any]]:
        """The actions on one letter, in order."""
        query = (
            select(_table.c.at, _table.c.action, _table.c.actor, _table.c.details)
            .where(_place.in_([tuple(letter)]))
            .order_by(_table.c.at)
        )
        with _told(), self._connection.begin():
            return [{**row._mapping, "at": row.at.isoformat()} for row in self._connection.execute(query)]

    def __enter__(self) -> "DeadLetterLedger":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._turn is not None:
                self._turn.close()
            self._connection.close()
        finally:
            self._engine.dispose()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise database_error(error) from None


def _state(actions: Sequence[str]) -> State:
    if "sent" in actions or "arrived" in actions:
        return "retried"
    return "dropped" if "dropped" in actions else "claimed"


def _same(other: Any, action: str) -> Any:
    """The SQL condition that the same letter has another action, too."""
    return and_(
        other.c.letter_partition == _table.c.letter_partition,
        other.c.letter_offset == _table.c.letter_offset,
        other.c.failed_at_ms == _table.c.failed_at_ms,
        other.c.action == action,
    )


def _claim(row: Any) -> RetryClaim:
    ends = {int(partition): end for partition, end in row.details["ends"].items()}
    scan = None if row.scan_id is None else str(row.scan_id)
    letter = DeadLetterId(row.letter_partition, row.letter_offset, row.failed_at_ms)
    met = None if row.met is None else (row.met["partition"], row.met["offset"])
    return RetryClaim(letter, row.tenant_id, scan, row.details["reason"], ends, met)
