"""Records as lines of COPY's text format (PostgreSQL documentation, COPY, "Text Format").

The fast way writes what needs no escaping as it stands: a message that is plain (schemas.text.is_plain) holds no backslash,
so no text in it can hold a quote, a tab, a line feed or a backslash. Everything else goes the careful way, which knows the
columns' types and no names. The fast way names each column in its place; a test holds it to the careful one.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple, overload

import msgspec
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Double, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from schemas.codes import HOME_COUNTRY, SENSITIVE_CATEGORIES
from schemas.decoder import Incoming
from schemas.record import Record, decode_record
from schemas.tables import WRITTEN_COLUMNS
from sinks.columns import values_of
from sinks.effects import Kind, kind_of

_NULL: Final = "\\N"
_HOME_OR_NONE: Final = frozenset({None, HOME_COUNTRY})
_json = msgspec.json.Encoder().encode
_ESCAPES: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_COPY_ESCAPES: Final = str.maketrans(_ESCAPES)
_UNESCAPED: Final = {escaped: character for character, escaped in _ESCAPES.items()}
_ESCAPED: Final = re.compile("|".join(map(re.escape, _UNESCAPED)))


class Lines(NamedTuple):
    """The rows of one message, ready for COPY: `data` holds them one behind the other, number i ends at ends[i]. ends[i],
    keys[i] (the activity_key) and kinds[i] belong to records[i]."""

    data: bytes
    ends: Sequence[int]
    keys: list[bytes]
    kinds: list[Kind]

    @classmethod
    def of(cls, lines: list[bytes], keys: list[bytes], kinds: list[Kind]) -> "Lines":
        """Of rows that were made one by one."""
        return cls(b"".join(lines), list(accumulate(map(len, lines))), keys, kinds)

    @property
    def lines(self) -> list[bytes]:
        """Each row by itself."""
        return [self.data[start:end] for start, end in pairwise((0, *self.ends))]

    def only(self, kept: Sequence[int]) -> "Lines":
        """The rows of some of the message's records."""
        lines = self.lines
        return Lines.of([lines[at] for at in kept], [self.keys[at] for at in kept], [self.kinds[at] for at in kept])


class FormattedRecords(Sequence[Record]):
    """Records of a message whose lines were made when its bytes were read (sinks.postgres.native). Each is decoded when
    somebody asks for it, which is seldom: where its scan is cancelled, or the database refuses its row."""

    def __init__(
        self, json: bytes, spans: Sequence[tuple[int, int]], lines: Lines, others: Mapping[int, Record]
    ) -> None:
        """`spans`: where each record stands in `json`, but for those that were decoded already, `others`."""
        self.lines = lines
        self._json = json
        self._spans = spans
        self._others = others

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        if at in self._others:
            return self._others[at]
        start, end = self._spans[at]
        return decode_record(self._json[start:end])


def lines_of(message: Incoming) -> Lines:
    """Formats the records of a message, where that was not done when they were read."""
    if isinstance(message.records, FormattedRecords):
        return message.records.lines
    return _plain_lines(message) if message.plain else _careful_lines(message)


def _plain_lines(message: Incoming) -> Lines:
    """The hot path: everything in one expression, no call per field."""
    prefix = f"{message.envelope.tenant_id}\t{message.envelope.scan_id}\t"
    first = message.envelope.first_index
    lines: list[str] = []
    kinds: list[Kind] = []
    append, append_kind = lines.append, kinds.append
    for position, record, discovered_at in zip(
        message.positions, message.records, _times(message.records), strict=True
    ):
        attributes = bytes(record.attributes).decode()
        if "\n" in attributes or "\t" in attributes or "\r" in attributes:  # white space between JSON tokens
            attributes = attributes.translate(_COPY_ESCAPES)
        categories, fields, recipients, transfer = (
            record.data_categories,
            record.data_fields,
            record.recipients,
            record.transfer,
        )
        sensitive = not SENSITIVE_CATEGORIES.isdisjoint(categories)
        cross_border = (
            record.storage_country != HOME_COUNTRY
            or record.provider_country not in _HOME_OR_NONE
            or transfer is not None
        )
        category_list = ",".join(categories)
        append_kind((category_list, sensitive, cross_border))
        append(
            f"{prefix}{record.activity_key}\t{_NULL if first is None else first + position}"
            f"\t{record.name}\t{record.source_system}\t{record.asset}"
            f"\t{_plain_array(fields) if fields else '{}'}\t{{{category_list}}}\t{{{','.join(record.data_subjects)}}}"
            f"\t{record.purpose}\t{record.legal_basis}\t{record.controller_role or _NULL}"
            f"\t{_plain_array(recipients) if recipients else '{}'}\t{record.storage_country}\t{record.provider_country or _NULL}"
            f"\t{_NULL if transfer is None else _json_text(transfer)}"
            f"\t{_NULL if record.retention_days is None else record.retention_days}"
            f"\t{_NULL if record.subject_count is None else record.subject_count}"
            f"\t{_NULL if record.confidence is None else record.confidence}"
            f"\t{discovered_at}\t{attributes}\t{'t' if sensitive else 'f'}\t{'t' if cross_border else 'f'}\n"
        )
    return _made(message, lines, kinds)


def _times(records: Sequence[Record]) -> list[str]:
    """RFC 3339 text of each discovered_at; one encoding of the whole list is several times faster than isoformat()."""
    if not records:
        return []
    return _json([record.discovered_at for record in records]).decode()[2:-2].split('","')


def _careful_lines(message: Incoming) -> Lines:
    lines: list[str] = []
    for at in range(len(message.records)):
        values = values_of(message, at)
        fields = [_NULL if value is None else write(value) for write, value in zip(_WRITERS, values, strict=True)]
        lines.append("\t".join(fields) + "\n")
    return _made(message, lines, [kind_of(record) for record in message.records])


def _made(message: Incoming, lines: list[str], kinds: list[Kind]) -> Lines:
    return Lines.of(
        [line.encode() for line in lines], [record.activity_key.encode() for record in message.records], kinds
    )


def _escape(text: str) -> str:
    if text.isprintable() and "\\" not in text:  # found out much faster than a text is translated
        return text
    return text.translate(_COPY_ESCAPES)


def texts_of(line: bytes) -> list[str | None]:
    """The texts that a line of COPY holds, one for each of COLUMNS."""
    return [None if field == _NULL else _ESCAPED.sub(_unescape, field) for field in line[:-1].decode().split("\t")]


def _unescape(found: re.Match[str]) -> str:
    return _UNESCAPED[found[0]]


def _plain_array(items: list[str]) -> str:
    return '{"' + '","'.join(items) + '"}'


def _escaped_array(items: list[str]) -> str:
    quoted = ('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items)
    return _escape("{" + ",".join(quoted) + "}")


def _json_text(value: Any) -> str:
    return _escape(_json(value).decode())


def _letter(value: bool) -> str:
    return "t" if value else "f"


_WRITER_OF: Final[dict[type[TypeEngine[Any]], Callable[[Any], str]]] = {
    Text: _escape,
    Uuid: _escape,
    ARRAY: _escaped_array,
    JSONB: _json_text,
    Integer: str,
    BigInteger: str,
    Double: str,
    Boolean: _letter,
    DateTime: dt.datetime.isoformat,
}
_WRITERS: Final = [_WRITER_OF[type(column.type)] for column in WRITTEN_COLUMNS]
