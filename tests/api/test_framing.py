"""However a request is framed (RFC 9112), offered, and cut into segments: all of its records are stored, or it is refused.

Never is a scan completed with fewer, and never is what is left of a refused request taken for another one.
"""

import itertools
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import httpx
import pytest
from framing import (
    CHUNKED,
    OFFERS,
    RECORDS,
    RIGHT,
    SPLITS,
    Frame,
    Sent,
    assert_stored,
    final_answer,
    in_chunks,
    records,
    request,
    scans,
    send,
)
from sockets import Connection

from infra.processes.services import Service
from tests.helpers import wait_for
from tests.submissions import scans_of

pytestmark = pytest.mark.usefixtures("worker")
GET: Final = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"


def assert_none_whole(http: httpx.Client, tenant: str) -> None:
    """What was begun is cancelled."""
    assert {scan["status"] for scan in scans(http, tenant)} <= {"cancelled"}


@pytest.mark.parametrize("framing", RIGHT)
def test_a_body_framed_by_the_rules_is_stored_whole_whatever_is_offered_and_however_it_is_cut(
    api: Service, http: httpx.Client, tenant: str, framing: str
) -> None:
    for offer, split in itertools.product(OFFERS, SPLITS):
        with Connection(api.base_url) as connection:
            send(connection, RIGHT[framing](tenant, records(tenant), OFFERS[offer]), split)
            answer = final_answer(connection)
            assert answer.status == 202, (offer, split, answer)
            if answer.headers.get("connection") != "close":
                connection.send(GET)  # both sides agree on where the request ended
                assert connection.next_answer().status == 200, (offer, split)
    assert_stored(http, tenant, len(OFFERS) * len(SPLITS))


def _length(value: str, *more: str, version: str = "1.1") -> Frame:
    """`{}` stands for the right length."""

    def frame(tenant: str, body: bytes, offer: str) -> Sent:
        lines = [line.replace("{}", str(len(body))) for line in (f"Content-Length: {value}", *more)]
        return request(tenant, body, *lines, offer, version=version)

    return frame


def _coding(*lines: str, version: str = "1.1") -> Frame:
    """Chunks under another head."""
    return lambda tenant, body, offer: request(tenant, in_chunks(body), *lines, offer, version=version)


def _chunks(size: str = "{:x}", end: bytes = b"0\r\n\r\n") -> Frame:
    return lambda tenant, body, offer: request(tenant, in_chunks(body, 400, size, end), CHUNKED, offer)


def _replaced(old: bytes, new: bytes) -> Frame:
    """A request with a length, changed in one place."""

    def frame(tenant: str, body: bytes, offer: str) -> Sent:
        sent = RIGHT["length"](tenant, body, offer)
        assert old in sent.data
        return Sent(sent.data.replace(old, new, 1), sent.body_at + len(new) - len(old))

    return frame


WRONG: Final[dict[str, Frame]] = {
    "two-lengths": _length("{}", "Content-Length: 5"),
    "the-same-length-twice": _length("{}", "Content-Length: {}"),
    "list-of-lengths": _length("{}, {}"),
    "plus": _length("+{}"),
    "negative": _length("-1"),
    "hexadecimal": _length("0x10"),
    "no-number": _length(""),
    "beyond-64-bits": _length("99999999999999999999"),
    "folded-length": _length("1\r\n 0"),
    "length-and-chunks": _coding("Content-Length: 5", CHUNKED),
    "chunks-and-length": _coding(CHUNKED, "Content-Length: 5"),
    "gzip-chunked": _coding("Transfer-Encoding: gzip, chunked"),
    "gzip-then-chunked": _coding("Transfer-Encoding: gzip", CHUNKED),
    "chunked-gzip": _coding("Transfer-Encoding: chunked, gzip"),
    "chunked-twice": _coding(CHUNKED, CHUNKED),
    "chunked-chunked": _coding("Transfer-Encoding: chunked, chunked"),
    "empty-element": _coding("Transfer-Encoding: , chunked"),
    "parameter": _coding("Transfer-Encoding: chunked;q=1"),
    "identity": _coding("Transfer-Encoding: identity"),
    "identity-and-length": _length("{}", "Transfer-Encoding: identity"),
    "vertical-tab": _coding("Transfer-Encoding:\x0bchunked"),
    "folded-coding": _coding("Transfer-Encoding:\r\n chunked"),
    "chunks-of-1.0": _coding(CHUNKED, version="1.0"),
    "chunks-of-1.0-kept": _coding(CHUNKED, "Connection: keep-alive", version="1.0"),
    "space-before-colon": _coding("Transfer-Encoding : chunked"),
    "space-before-colon-of-length": _replaced(b"Content-Length:", b"Content-Length :"),
    "folded-header": _length("{}", "X-Folded: a\r\n\tb"),
    "line-without-colon": _length("{}", "X-Nothing"),
    "bare-line-feeds": _replaced(b"\r\n", b"\n"),
    "bare-line-feed-at-the-end": _replaced(b"\r\n\r\n", b"\r\n\n"),
    "bare-carriage-return": _length("{}", "X-Bare: a\rb"),
    "nul": _length("{}", "X-Nul: a\0b"),
    "method-in-small-letters": _replaced(b"POST", b"post"),
    "connect": _replaced(b"POST", b"CONNECT"),
    "connect-to-a-host": _replaced(b"POST /", b"CONNECT test:443 /"),
    "version-2.0": _length("{}", version="2.0"),
    "version-0.9": _length("{}", version="0.9"),
    "version-1.2": _length("{}", version="1.2"),
    "http2-preface": _replaced(b"POST", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nPOST"),
    "tls": _replaced(b"POST", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03POST"),
    "chunk-size-with-space": _chunks("{:x} "),
    "chunk-size-with-plus": _chunks("+{:x}"),
    "chunk-size-negative": _chunks("-{:x}"),
    "chunk-size-with-0x": _chunks("0x{:x}"),
    "chunk-size-missing": _chunks(";{:x}"),
    "chunk-size-beyond-64-bits": _chunks("f0000000000000{:04x}"),
    "chunk-too-short": lambda t, body, offer: request(t, b"5\r\n" + body + b"\r\n0\r\n\r\n", CHUNKED, offer),
    "chunk-too-long": lambda t, body, offer: request(t, b"ff\r\nshort\r\n" + in_chunks(body), CHUNKED, offer),
    "chunk-size-ended-by-line-feed": lambda t, body, offer: request(
        t, in_chunks(body).replace(b"\r\n", b"\n", 1), CHUNKED, offer
    ),
    "length-in-a-trailer": _chunks(end=b"0\r\nContent-Length: 5\r\n\r\n"),
    "coding-in-a-trailer": _chunks(end=b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
}  # fmt: skip
# The body ends where the head says, and what comes after it is no request: seen before the body is read, the body is in doubt.
LYING: Final[dict[str, Frame]] = {
    "half-of-the-length": lambda t, body, more: request(t, body, f"Content-Length: {len(body) // 2}", more),
    "the-length-of-a-record": lambda t, body, more: request(t, body, f"Content-Length: {body.index(10) + 1}", more),
    "one-byte-less": lambda t, body, more: request(t, body + b"}", f"Content-Length: {len(body)}", more),
    "no-length": lambda t, body, more: request(t, body, more),
    "no-length-of-1.0-kept": lambda t, body, more: request(t, body, "Connection: keep-alive", more, version="1.0"),
    "after-the-last-chunk": lambda t, body, more: request(t, in_chunks(body) + b"7\r\n", CHUNKED, more),
}


def refusal(connection: Connection) -> bytes:
    """What comes until the server closes; nothing where its closing met what was still being sent."""
    with suppress(ConnectionResetError):
        return connection.rest()
    return b""


def assert_refused_and_closed(
    service: Service, http: httpx.Client, tenant: str, frame: Frame, split: str, offer: str
) -> None:
    """Followed by a good request that nobody must take: it may be part of the body."""
    hidden = f"hidden-{tenant}"
    sent = frame(tenant, records(tenant), OFFERS[offer])
    with Connection(service.base_url) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            send(connection, sent._replace(data=sent.data + RIGHT["length"](hidden, records(hidden), "").data), split)
        answered = re.findall(rb"HTTP/1\.1 (\d\d\d) ", refusal(connection))
    assert [status[:1] for status in answered if status != b"100"] in ([b"4"], [b"5"], []), answered
    assert scans(http, hidden) == []
    assert_none_whole(http, tenant)


@pytest.mark.parametrize("framing", WRONG)
def test_a_body_whose_end_is_in_doubt_is_refused_and_nothing_after_it_is_taken(
    api: Service, http: httpx.Client, tenant: str, framing: str
) -> None:
    for offer, split in itertools.product(("nothing", "h2c"), ("whole", "odd-pieces")):
        assert_refused_and_closed(api, http, tenant, WRONG[framing], split, offer)


@pytest.mark.parametrize("framing", LYING)
def test_a_body_followed_by_what_is_no_request_is_refused(
    api: Service, http: httpx.Client, tenant: str, framing: str
) -> None:
    for offer in OFFERS:
        assert_refused_and_closed(api, http, tenant, LYING[framing], "whole", offer)


CUT: Final = {
    "length": ("within a record", "between records", "a byte before the end"),
    "chunks-of-seven": ("within a record", "between records", "a byte before the end", "before the last chunk"),
    "trailers": ("within a record", "between records", "a byte before the end", "before the last chunk"),
}
ENDS: Final[dict[str, Callable[[Connection], None]]] = {
    "closed": lambda connection: None,
    "half-closed": lambda connection: connection.half_close(),
    "reset": lambda connection: connection.reset(),
}


def cut(sent: Sent, where: str) -> bytes:
    """The request up to there."""
    data, at = sent
    ends = {
        "within a record": at + (len(data) - at) // 2,
        "between records": data.index(b"\n", at + 200) + 1,
        "a byte before the end": len(data) - 1,
        "before the last chunk": data.rfind(b"\r\n0\r\n") + 2,
    }
    return data[: ends[where]]


@pytest.mark.parametrize("end", ENDS)
def test_a_body_that_breaks_off_is_no_scan_and_sent_again_under_its_key_it_is_whole(
    api: Service, http: httpx.Client, tenant: str, end: str
) -> None:
    """As a proxy does that tries again."""
    places = [
        (framing, where, offer) for framing, all_of in CUT.items() for where in all_of for offer in ("nothing", "h2c")
    ]
    kept = []
    for number, (framing, where, offer) in enumerate(places):
        key = f"Idempotency-Key: {number}"
        sent = RIGHT[framing](tenant, records(tenant), "\r\n".join(filter(None, (OFFERS[offer], key))))
        kept.append(sent)
        with Connection(api.base_url) as connection:
            connection.send(cut(sent, where))
            ENDS[end](connection)
            if end == "half-closed":
                assert connection.rest() == b"", (framing, where)
    assert_none_whole(http, tenant)

    def taken(sent: Sent) -> bool:
        with Connection(api.base_url) as connection:
            connection.send(sent.data)
            return bool(connection.next_answer().status == 202)

    for sent in (*kept, *kept):
        wait_for(lambda again=sent: taken(again), "the key is free again")  # type: ignore[misc]
    found = [scan for scan in scans(http, tenant) if scan["status"] != "cancelled"]
    assert {(scan["records_total"], scan["records_stored"]) for scan in found} == {(RECORDS, RECORDS)}
    assert len(found) == len(kept)


@pytest.mark.parametrize("offer", OFFERS)
def test_requests_in_one_segment_are_each_stored_whole_and_answered_in_order(
    api: Service, http: httpx.Client, tenant: str, offer: str
) -> None:
    framings = ("chunks-of-seven", "length", "trailers", "chunked")
    several = b"".join(RIGHT[each](tenant, records(tenant), OFFERS[offer]).data + GET for each in framings)
    with Connection(api.base_url) as connection:
        connection.send(several)
        answers = [final_answer(connection).status for _ in range(2 * len(framings))]
    assert answers == [202, 200] * len(framings)
    assert_stored(http, tenant, len(framings))


def test_what_follows_a_request_that_closes_is_not_taken(api: Service, http: httpx.Client, tenant: str) -> None:
    for framing, more in (("length", "Connection: close"), ("chunked", "Connection: close"), ("length-of-1.0", "")):
        sent = RIGHT[framing](tenant, records(tenant), more)
        with Connection(api.base_url) as connection:
            connection.send(sent.data + sent.data)
            assert connection.rest().count(b"HTTP/1.1 ") == 1
    assert_stored(http, tenant, 3)


def test_a_request_is_answered_though_what_follows_it_is_refused(api: Service, http: httpx.Client, tenant: str) -> None:
    with Connection(api.base_url) as connection:
        connection.send(RIGHT["chunked"](tenant, records(tenant), "").data)
        assert connection.next_answer().status == 202
        connection.send(GET + WRONG["gzip-chunked"](tenant, records(tenant), "Accept-Language: en").data)
        assert connection.next_answer().status == 200
        refused = connection.answer()
    assert (refused.status, refused.problem["code"]) == (501, "transfer_unsupported")
    assert (refused.headers["connection"], refused.headers["content-language"]) == ("close", "en")
    assert_stored(http, tenant, 1)


def test_a_body_found_malformed_on_the_way_is_answered_in_both_languages(
    api: Service, http: httpx.Client, tenant: str
) -> None:
    with Connection(api.base_url) as connection:
        connection.post(scans_of(tenant))
        connection.chunk(records(tenant))
        wait_for(lambda: http.get(scans_of(tenant)).json()["scans"], "the upload has begun")
        connection.send(b"no size\r\n" + b"x" * (1 << 20))
        answer = connection.answer()
    assert (answer.status, answer.problem["code"]) == (400, "http_malformed")
    assert_none_whole(http, tenant)


def test_an_offered_websocket_is_an_ordinary_request(api: Service, http: httpx.Client, tenant: str) -> None:
    with Connection(api.base_url) as connection:
        for _ in range(2):
            connection.send(f"GET {scans_of(tenant)} HTTP/1.1\r\nHost: test\r\n{OFFERS['websocket']}\r\n\r\n".encode())
            assert connection.next_answer().status == 200


def test_a_client_that_asks_first_is_answered_100_or_refused_with_its_connection(
    api: Service, http: httpx.Client, tenant: str
) -> None:
    body = records(tenant)
    with Connection(api.base_url) as connection:
        for offer in ("expect", "expect-and-h2c"):
            sent = RIGHT["length"](tenant, body, OFFERS[offer])
            connection.send(sent.data[: sent.body_at])
            assert connection.next_answer().status == 100
            connection.send(body)
            assert connection.next_answer().status == 202
        # refused before it has sent the body, which it may never send: what comes next must not be taken for it
        sent = RIGHT["length"](tenant, body, f"{OFFERS['expect']}\r\nContent-Encoding: br")
        connection.send(sent.data[: sent.body_at])
        answer = connection.answer()
    assert (answer.status, answer.headers["connection"]) == (415, "close")
    with Connection(api.base_url) as connection:  # HTTP/1.0 knows no «100 Continue»
        connection.send(RIGHT["length-of-1.0"](tenant, body, OFFERS["expect"]).data)
        assert connection.answer().status == 202
    assert_stored(http, tenant, 3)
