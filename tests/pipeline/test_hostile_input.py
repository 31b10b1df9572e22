"""What is too large, too wide, too deep or no text, between good records, by each way in: over HTTP as JSON and as NDJSON, and
straight from Kafka in an array and as a single record. The good neighbours are stored, or nothing at all and the sender is told."""

import gzip
from typing import Any, Final, NamedTuple

import httpx
import pytest
import zstandard

from tests.helpers import Database, Publisher, StatusTopic, array, assert_accounted, assert_told, new_scan, wait_for
from tests.load import keys_of
from tests.servers import Servers
from tests.submissions import JSON, NDJSON, accepted, scans_of, submit
from trials import generator

pytestmark = pytest.mark.usefixtures("worker")
MIB: Final = 1024 * 1024


class Hostile(NamedTuple):
    """A record, and what comes of it. `json`: the problem of a whole JSON body; empty: the record alone is rejected."""

    record: bytes
    code: str
    json: str = ""
    message: str = (
        "rejected"  # what becomes of it in a message of Kafka's: `rejected` alone, or the message is `unreadable`
    )


def wide(fields: int) -> bytes:
    return b"{" + b",".join(b'"%d":1' % number for number in range(fields)) + b"}"


HOSTILE: Final = {
    "300 KB of text": Hostile(b'{"name":"' + b"x" * 300_000 + b'"}', "record_too_large", "record_too_large"),
    "20,000 fields": Hostile(wide(20_000), "unknown_field"),
    "100,000 fields": Hostile(wide(100_000), "record_too_large", "record_too_large", "unreadable"),
    "nested 100,000 times": Hostile(
        b'{"attributes":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested_too_deep", "json_too_deep"
    ),
    "no UTF-8": Hostile(b'{"name":"\xff\xfe\x80"}', "encoding_invalid"),
}


def scans(http: httpx.Client, tenant: str) -> list[dict[str, Any]]:
    """All that the tenant has."""
    found: list[dict[str, Any]] = http.get(scans_of(tenant)).json()["scans"]
    return found


def assert_rejected_alone(database: Database, statuses: StatusTopic, tenant: str, scan: str, code: str) -> None:
    """One record, and its neighbours are stored."""
    row = database.finished(tenant, scan)
    assert (row["status"], row["records_stored"], row["records_rejected"]) == ("completed_with_errors", 10, 1)
    assert [each["code"] for each in database.rejected(tenant, scan)] == [code]
    assert_accounted(database, tenant, scan)
    assert_told(database, statuses, [tenant])


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["json", "ndjson"])
def test_over_http(
    http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str, kind: dict[str, str], name: str
) -> None:
    hostile, good = HOSTILE[name], generator.records(10, 1, tenant)
    lines = [*good[:5], hostile.record, *good[5:]]
    body = b'{"records":' + array(lines) + b"}" if kind is JSON else generator.ndjson(lines)
    answer = submit(http, tenant, body, kind)
    if kind is JSON and hostile.json:
        assert (answer.json()["code"], set(answer.json()["messages"])) == (hostile.json, {"vi", "en"})
        assert answer.status_code in (400, 413)
        assert scans(http, tenant) == []
        return
    assert_rejected_alone(database, statuses, tenant, accepted(answer)["scan_id"], hostile.code)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("alone", [False, True], ids=["in an array", "alone"])
def test_straight_from_kafka(
    servers: Servers, database: Database, statuses: StatusTopic, tenant: str, alone: bool, name: str
) -> None:
    hostile, good, scan = HOSTILE[name], generator.records(10, 1, tenant), new_scan()
    with Publisher(servers.bootstrap, **{"compression.type": "zstd", "message.max.bytes": 8 * MIB}) as publisher:
        publisher.records(tenant, scan, good[:5])
        beside = [hostile.record] if alone else [good[5], hostile.record]
        publisher.send(tenant, scan, "records", beside[0] if alone else array(beside), first=5)
        publisher.records(tenant, scan, good[5 if alone else 6 :], first=5 + len(beside))
        publisher.closed(tenant, scan, 11)
    if hostile.message == "rejected":
        assert_rejected_alone(database, statuses, tenant, scan, hostile.code)
        return
    row = database.finished(tenant, scan)
    assert (row["status"], row["messages_unreadable"]) == ("failed", 1)
    assert row["records_stored"] == (10 if alone else 9)
    assert_told(database, statuses, [tenant])


def members(body: bytes) -> bytes:
    """Of gzip, some of them empty, at both ends and in between."""
    empty, middle = gzip.compress(b""), len(body) // 2
    return empty + gzip.compress(body[:middle]) + empty * 3 + gzip.compress(body[middle:]) + empty


def frames(body: bytes) -> bytes:
    """Of Zstandard, likewise."""
    empty, middle = zstandard.compress(b""), len(body) // 2
    return empty + zstandard.compress(body[:middle]) + empty * 3 + zstandard.compress(body[middle:]) + empty


@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["json", "ndjson"])
@pytest.mark.parametrize(("coding", "pack"), [("gzip", members), ("zstd", frames)], ids=["gzip", "zstd"])
def test_empty_members_between_others_are_nothing(
    http: httpx.Client, database: Database, tenant: str, kind: dict[str, str], coding: str, pack: object
) -> None:
    lines = generator.records(20, 2, tenant)
    body = b'{"records":' + array(lines) + b"}" if kind is JSON else generator.ndjson(lines)
    scan = accepted(submit(http, tenant, pack(body), kind, content_encoding=coding))["scan_id"]  # type: ignore[operator]
    assert database.finished(tenant, scan)["records_stored"] == 20
    assert database.keys(tenant, scan) == sorted(keys_of(lines))


@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["json", "ndjson"])
@pytest.mark.parametrize(("coding", "pack"), [("gzip", members), ("zstd", frames)], ids=["gzip", "zstd"])
def test_what_is_cut_short_is_reported_wherever_it_is_cut(
    http: httpx.Client, tenant: str, kind: dict[str, str], coding: str, pack: object
) -> None:
    """Unless the cut is between two members: then the body is whole, and too short for JSON."""
    lines = generator.records(20, 2, tenant)
    body = b'{"records":' + array(lines) + b"}" if kind is JSON else generator.ndjson(lines)
    packed: bytes = pack(body)  # type: ignore[operator]
    for end in range(len(packed) - 1, len(packed) - 4, -1):
        answer = submit(http, tenant, packed[:end], kind, content_encoding=coding)
        assert (answer.status_code, answer.json()["code"]) == (400, "encoding_malformed"), end
    for end in range(25, len(packed) // 2, len(packed) // 7):
        answer = submit(http, tenant, packed[:end], kind, content_encoding=coding)
        assert (answer.status_code, answer.json()["code"]) == (400, "encoding_malformed"), end
    wait_for(lambda: {each["status"] for each in scans(http, tenant)} <= {"cancelled"}, "what was begun is ended")


@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["json", "ndjson"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_is_reported_before_it_is_unpacked(
    http: httpx.Client, tenant: str, kind: dict[str, str], coding: str
) -> None:
    """A gigabyte in a megabyte, or in much less."""
    spaces = b" " * (64 * MIB)
    packed = gzip.compress(spaces, 9) * 16 if coding == "gzip" else zstandard.compress(spaces) * 16
    answer = submit(http, tenant, packed, kind, content_encoding=coding)
    assert (answer.status_code, answer.json()["code"]) == (413, "inflation_too_high")
    assert answer.json()["limit"] == 250
