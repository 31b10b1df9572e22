"""Room for bodies is shared: however little there is, all uploads move together, and none is kept out by those that are slow."""

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

import httpx
import pytest
import zstandard

from infra.processes.services import Service
from tests.helpers import Database, wait_for
from tests.load import metric
from tests.servers import Servers
from tests.submissions import JSON, NDJSON, HeldUpload, accepted, odd_pieces, scans_of, submit, wait_until_taken
from trials import generator

MIB: Final = 1024 * 1024
UPLOADS: Final = 12
RECORDS: Final = 2_000  # of each: twice what one message takes
pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(scope="module")
def tight(servers: Servers) -> Iterator[Service]:
    """An API with room for five messages."""
    service = servers.start_api({"SCANLINE_API_BUFFER_BYTES": str(4 * MIB), "SCANLINE_API_BUFFER_WAIT_SECONDS": "20"})
    yield service
    service.stop()


@pytest.fixture
def http(tight: Service) -> Iterator[httpx.Client]:
    """Afterwards all of the room has come back."""
    with httpx.Client(base_url=tight.base_url, timeout=120) as client:
        yield client
    wait_for(lambda: metric(tight, "scanline_api_buffered_bytes") == 0, "no room is held")


@pytest.fixture
def tenants(tenant: str) -> list[str]:
    return [f"{tenant}-{number}" for number in range(UPLOADS)]


def begin(stack: ExitStack, http: httpx.Client, tenants: list[str], begun: bytes) -> list[HeldUpload]:
    """An upload of each tenant that has sent so much, and rests; all of them are under way."""
    uploads = [stack.enter_context(HeldUpload(str(http.base_url), name, begun, {})) for name in tenants]
    for name in tenants:
        wait_until_taken(http, name)
    return uploads


def test_more_uploads_than_messages_of_room_are_under_way_at_once(http: httpx.Client, tenants: list[str]) -> None:
    lines = generator.records(RECORDS, 1)
    with ExitStack() as stack, ThreadPoolExecutor(UPLOADS) as pool:
        uploads = begin(stack, http, tenants, lines[0] + b"\n")
        answers = list(pool.map(lambda upload: upload.finish(b"\n".join(lines[1:])), uploads))
    assert [accepted(answer)["records"] for answer in answers] == [RECORDS] * UPLOADS


def test_uploads_that_rest_keep_nobody_out(http: httpx.Client, tenants: list[str], tenant: str) -> None:
    lines = generator.records(RECORDS, 2)
    with ExitStack() as stack:
        uploads = begin(stack, http, tenants, b"\n".join(lines[:60]) + b"\n")
        for _ in range(2):
            assert accepted(submit(http, tenant, b"\n".join(lines), NDJSON))["records"] == RECORDS
            assert accepted(submit(http, tenant, generator.body(lines)))["records"] == RECORDS
        for upload in uploads:
            assert accepted(upload.finish(b"\n".join(lines[60:])))["records"] == RECORDS


def _json(lines: list[bytes]) -> bytes:
    return generator.body(lines)


def _ndjson(lines: list[bytes]) -> bytes:
    return b"\n".join(lines)


PACKED: Final[list[tuple[dict[str, str], Callable[[list[bytes]], bytes]]]] = [
    (NDJSON, _ndjson),
    (JSON, _json),
    ({**NDJSON, "Content-Encoding": "gzip"}, lambda lines: gzip.compress(_ndjson(lines))),
    ({**JSON, "Content-Encoding": "gzip"}, lambda lines: gzip.compress(_json(lines))),
    ({**NDJSON, "Content-Encoding": "zstd"}, lambda lines: zstandard.compress(_ndjson(lines))),
    ({**JSON, "Content-Encoding": "zstd"}, lambda lines: zstandard.compress(_json(lines))),
]


def test_whatever_way_bodies_come_all_are_taken_and_stored(
    http: httpx.Client, database: Database, tenants: list[str]
) -> None:
    """Whole or as lines, compressed or not, of known length or not, under a key or not: all at once."""
    lines = generator.records(RECORDS, 3)

    def send(number: int) -> httpx.Response:
        headers, pack = PACKED[number % len(PACKED)]
        body = pack(lines)
        key = {"Idempotency-Key": "k"} if number % 4 < 2 else {}
        chunked = number >= len(PACKED)
        content = odd_pieces(body, number, 200_000) if chunked else body
        return submit(http, tenants[number], content, {**headers, **key})

    with ThreadPoolExecutor(UPLOADS) as pool:
        answers = [accepted(answer) for answer in pool.map(send, range(UPLOADS))]
    for name, answer in zip(tenants, answers, strict=True):
        assert answer["records"] == RECORDS
        row = database.finished(name, answer["scan_id"])
        assert (row["status"], row["records_stored"]) == ("completed", RECORDS)


def test_bodies_that_are_only_read_share_the_room_as_well(http: httpx.Client, tenants: list[str]) -> None:
    """Checked without being stored, or sent again under the same key."""
    lines = generator.records(RECORDS, 4)
    first = accepted(submit(http, tenants[0], _ndjson(lines), NDJSON, idempotency_key="k"))

    def send(number: int) -> httpx.Response:
        if number % 2:
            return submit(http, tenants[0], _ndjson(lines), NDJSON, idempotency_key="k")
        headers, pack = PACKED[number // 2]
        return http.post(f"{scans_of(tenants[0])}:validate", content=pack(lines), headers=headers)

    with ThreadPoolExecutor(UPLOADS) as pool:
        for number, answer in enumerate(pool.map(send, range(UPLOADS))):
            if number % 2:
                assert (accepted(answer)["scan_id"], accepted(answer)["replayed"]) == (first["scan_id"], True)
            else:
                assert answer.json()["records_valid"] == RECORDS, answer.text
