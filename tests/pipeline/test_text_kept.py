"""Text arrives in PostgreSQL as it was meant, whatever COPY, arrays or JSON would have to escape in it."""

import json
import unicodedata
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.processes.services import Service
from tests.helpers import Database, Publisher, StatusTopic, assert_accounted, assert_told, new_scan
from tests.servers import Servers

pytestmark = pytest.mark.usefixtures("worker")

TENANT: Final = "text-kept"
# docs/decisions/0002: stripped before anything else
ZERO_WIDTH: Final = [0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF]
# what COPY's text format, array literals and JSON have a meaning of their own for, and what NFC changes
PIECES: Final = [
    "\t", "\n", "\\", "\\\\", "\\N", "\\.", "\n\\.\n", "\\n", "\\t", "\\x41", "\\101", "N", "NULL", "null", '"', '\\"', "'",
    "''", "{", "}", "{}", "{,}", ",", "(", ")", " ", "  ", "%s", "%", "$1", "$$", "E'\\n'", "--", ";", "a", "Z", "0",
    "đ", "Đ", "ạ", "ỹ", "hòa", "hoà", "e\u0301", "o\u031b\u0323", "a\u0306\u0309", "u\u031b", "\u0323", "\u212b", "\u0958",
    "😀", "👩🏽", "👨\u200d👩\u200d👧", "🇻🇳", "\u200b", "\ufeff", "漢", "ﬁ", "\U00020000", "\U0010ffff", "\u00a0", "\u2028",
]  # fmt: skip
BAD: Final = {
    "text_nul": ["\x00"],
    "text_control": [chr(point) for point in [*range(1, 9), *range(11, 32), *range(127, 160)]],
    "text_surrogate": ["\ud800", "\udbff", "\udc00", "\udfff", "\udfff\ud800"],
    "text_bidi": [chr(point) for point in [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]],
}
LIMITS: Final = {"name": 500, "source_system": 100, "asset": 300, "purpose": 500}
Sent = dict[str, Any]
EXAMPLES: Final = settings(deadline=None, suppress_health_check=list(HealthCheck))


def stored_form(text: str) -> str:
    return unicodedata.normalize("NFC", text.translate(dict.fromkeys(ZERO_WIDTH)))


@st.composite
def texts(draw: st.DrawFn, maximum: int) -> str:
    """Some spelling of a text of 1 to `maximum` characters, often of the very most."""
    pieces = st.sampled_from(PIECES) | st.characters(
        exclude_categories=["Cc", "Cs"], exclude_characters=BAD["text_bidi"]
    )
    text = "".join(draw(st.lists(pieces, min_size=1, max_size=8)))
    if draw(st.sampled_from([False, False, True])):
        text *= maximum
    text = stored_form(text)[:maximum] or "x"
    text = draw(st.sampled_from([text, unicodedata.normalize("NFD", text), f"\u200b{text}\u2060"]))
    # decomposed, a few characters of other scripts come back as two
    return text if len(stored_form(text)) <= maximum else "x"


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | texts(12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts(6), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def records(draw: st.DrawFn) -> Sent:
    return {
        "activity_key": draw(texts(295)),
        **{name: draw(texts(limit)) for name, limit in LIMITS.items()},
        "data_fields": draw(st.lists(texts(300), max_size=3)),
        "data_categories": ["basic_name"],
        "data_subjects": ["customer"],
        "legal_basis": "consent",
        "recipients": draw(st.lists(texts(300), max_size=3)),
        "storage_country": "VN",
        "transfer": draw(
            st.none()
            | st.fixed_dictionaries(
                {"country": st.just("SG"), "recipient": texts(300), "mechanism": st.just("other")},
                optional={"dossier_ref": texts(100)},
            )
        ),
        "confidence": draw(st.none() | st.floats(0, 1)),
        "discovered_at": "2026-02-03T04:05:06.789012+07:00",
        "attributes": draw(st.dictionaries(texts(6), _json, max_size=2)),
    }


def numbered(found: list[Sent]) -> list[Sent]:
    """With keys that no two share."""
    return [record | {"activity_key": f"{number:03}/{record['activity_key']}"} for number, record in enumerate(found)]


def meant(value: Any) -> Any:
    """Every text in its stored form. Of members that become one the last counts, as in every JSON parser."""
    if isinstance(value, str):
        return stored_form(value)
    if isinstance(value, list):
        return [meant(each) for each in value]
    return {meant(name): meant(each) for name, each in value.items()} if isinstance(value, dict) else value


def encode(record: Sent, escaped: bool) -> bytes:
    return json.dumps(record, ensure_ascii=escaped).encode("utf-8", "backslashreplace")


def publish(servers: Servers, lines: list[bytes], single: bool) -> str:
    scan = new_scan()
    with Publisher(servers.bootstrap, **{"linger.ms": 0}) as publisher:
        if single:
            publisher.singles(TENANT, scan, lines)
        else:
            publisher.records(TENANT, scan, lines)
        publisher.closed(TENANT, scan, len(lines))
    return scan


@settings(EXAMPLES, max_examples=15)
@given(st.lists(records(), min_size=1, max_size=12).map(numbered), st.booleans(), st.booleans())
def test_every_text_is_stored_as_it_was_meant(
    servers: Servers, database: Database, sent: list[Sent], escaped: bool, single: bool
) -> None:
    scan = publish(servers, [encode(record, escaped) for record in sent], single)
    row = database.finished(TENANT, scan)
    problems = [(each["code"], each["pointer"]) for each in database.rejected(TENANT, scan)]
    assert (row["status"], row["records_stored"], problems) == ("completed", len(sent), [])
    stored = {each["activity_key"]: each for each in database.activities(TENANT, scan)}
    wanted = {meant(record["activity_key"]): meant(record) for record in sent}
    assert {
        key: {name: each[name] for name in wanted[key] if name != "discovered_at"} for key, each in stored.items()
    } == {key: {name: value for name, value in each.items() if name != "discovered_at"} for key, each in wanted.items()}
    assert {each["discovered_at"].isoformat() for each in stored.values()} == {"2026-02-02T21:05:06.789012+00:00"}


PLACES: Final = [
    *(f"/{name}" for name in ("activity_key", *LIMITS)),
    "/data_fields/0", "/recipients/0", "/transfer/recipient", "/transfer/dossier_ref", "/attributes", "/attributes key",
]  # fmt: skip


def spoilt(record: Sent, place: str, text: str) -> tuple[Sent, str]:
    """The record with this text somewhere, and the pointer to it."""
    _, name, *rest = place.split("/")
    if name.startswith("attributes"):
        return record | {"attributes": {text: 1} if name.endswith("key") else {"a": [{"b": text}]}}, "/attributes"
    if name == "transfer":
        whole = {"country": "SG", "recipient": "Sao Mai", "mechanism": "other"}
        return record | {name: whole | {rest[0]: text}}, place
    return record | {name: [text] if rest else text}, place


@st.composite
def refused(draw: st.DrawFn) -> tuple[Sent, str, str]:
    """A record with one character that is refused, its code, and where it stands."""
    code = draw(st.sampled_from(sorted(BAD)))
    before, after = draw(texts(20)), draw(texts(20))
    text = before + draw(st.sampled_from(BAD[code])) + after
    record, pointer = spoilt(draw(records()), draw(st.sampled_from(PLACES)), text)
    return record, code, pointer


@settings(EXAMPLES, max_examples=12)
@given(st.lists(refused(), min_size=1, max_size=12), records(), st.booleans(), st.booleans())
def test_what_no_text_may_hold_is_refused_by_name_and_its_neighbour_is_stored(
    servers: Servers, database: Database, bad: list[tuple[Sent, str, str]], good: Sent, escaped: bool, single: bool
) -> None:
    lines = [encode(record, escaped) for record, _, _ in bad]
    middle = len(lines) // 2
    scan = publish(servers, [*lines[:middle], encode(good, escaped), *lines[middle:]], single)
    row = database.finished(TENANT, scan)
    assert (row["status"], row["records_stored"]) == ("completed_with_errors", 1)
    rejected = [(bytes(each["original"]), each["code"], each["pointer"]) for each in database.rejected(TENANT, scan)]
    wanted = [(line, code, pointer) for line, (_, code, pointer) in zip(lines, bad, strict=True)]
    assert sorted(rejected) == sorted(wanted)
    assert database.keys(TENANT, scan) == [meant(good["activity_key"])]
    assert_accounted(database, TENANT, scan)


def test_every_scan_of_these_was_published(database: Database, statuses: StatusTopic, worker: Service) -> None:
    assert_told(database, statuses, [TENANT])
    assert worker.returncode is None
