"""Which scans are told to wait while their lane does."""

from kafka_client.bounded_fetch.record_batches import Streamed
from schemas.decoder import Incoming
from schemas.messages import Cancelled, Opened, read_envelope
from schemas.topics import CANCELLED, HEADER_SUBJECT, HEADER_TYPE, OPENED
from stream_app.lanes.unfinished_scans import UnfinishedScans
from tests.helpers import new_scan


def message(offset: int, scan: str, kind: str) -> Streamed:
    headers = [(HEADER_TYPE, kind.encode()), (HEADER_SUBJECT, scan.encode())]
    return Streamed(offset, 0, 0, b"tenant-a", b'{"source":"s"}', headers)


def in_hand(offset: int, scan: str, control: Opened | Cancelled) -> Incoming:
    kind = OPENED if isinstance(control, Opened) else CANCELLED
    was = message(offset, scan, kind)
    return Incoming(offset, read_envelope(was.key, was.headers), control=control)


def test_scans_opened_by_what_is_buffered_and_by_what_is_in_hand_are_reported_once() -> None:
    scans, taken, waiting = UnfinishedScans(), new_scan(), new_scan()
    hand, buffered = [in_hand(1, taken, Opened("s"))], [message(2, waiting, OPENED)]
    told = scans.waiting(hand, buffered, "database")
    assert {status.scan_id for status in told} == {taken, waiting}
    assert all(status.paused for status in told)
    assert scans.waiting(hand, buffered, "database") == []


def test_a_scan_that_is_cancelled_meanwhile_is_not_reported_as_waiting() -> None:
    scans, scan = UnfinishedScans(), new_scan()
    assert scans.waiting([in_hand(1, scan, Opened("s"))], [message(2, scan, CANCELLED)], "database") == []
