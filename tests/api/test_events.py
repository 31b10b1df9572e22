"""Server-sent events: every change until the end, and going on where the last connection broke off."""

import json
import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import httpx
import pytest
from api_client import Event, Tenant
from confluent_kafka import Producer

from infra.processes.services import Service
from tests.helpers import STATUS, Database, Publisher, StatusTopic, assert_told, new_scan, wait_for
from tests.servers import Servers
from trials import generator
from trials.checker.history import History
from trials.load.http_sender import Sender

pytestmark = pytest.mark.usefixtures("worker")
IN_FLIGHT = "scanline_api_requests_in_flight_count "


@pytest.fixture
def caller(http: httpx.Client, database: Database, statuses: StatusTopic, tenant: str) -> Iterator[Tenant]:
    yield Tenant(http, tenant)
    assert_told(database, statuses, [tenant])


def of_status(events: list[Event]) -> list[dict[str, Any]]:
    """The statuses told, each under an id of its own."""
    found = [event for event in events if event.status is not None]
    assert all(event.id and event.name == "status" for event in found)
    assert len({event.id for event in found}) == len(found)
    return [event.status for event in found if event.status is not None]


def opened(caller: Tenant, publisher: Publisher, total: int) -> str:
    """A scan that waits for its first record, known to the API."""
    scan = new_scan()
    publisher.send(caller.name, scan, "opened", f'{{"records_total":{total}}}'.encode())
    wait_for(lambda: caller.call("GET", f"/scans/{scan}").status_code == 200, "the scan is known")
    return scan


def stops(caller: Tenant, scan: str, last: str | None) -> bool:
    """Whether an EventSource that comes back with this id is told not to do so again."""
    with caller.http.stream(
        "GET", f"{caller.base}/scans/{scan}/events", headers={"Last-Event-ID": last or ""}
    ) as answer:
        return answer.status_code == 204 and not answer.read()


def test_progress_until_the_end(caller: Tenant, servers: Servers, tenant: str) -> None:
    lines = generator.records(4_000, 5, tenant)
    told: list[Event] = []
    sent = 0
    with Publisher(servers.bootstrap) as publisher:
        scan = opened(caller, publisher, 4_000)
        for event in caller.events(scan):
            told.append(event)
            if event.status is None or event.status["records_stored"] < sent or event.status["finished_at"]:
                continue
            if sent == 4_000:  # the next step only once the last one has been told
                publisher.closed(tenant, scan, 4_000)
            else:
                publisher.records(tenant, scan, lines[sent : sent + 1_000], first=sent)
                sent += 1_000
            publisher.flush()
    seen = of_status(told)
    # a worker that is quick takes a thousand records, several messages, in two micro-batches
    whole = [status for status in seen if status["records_stored"] % 1_000 == 0]
    assert [(status["status"], status["records_stored"], status["progress"]) for status in whole] == [
        ("queued", 0, 0.0),
        ("processing", 1_000, 0.25),
        ("processing", 2_000, 0.5),
        ("processing", 3_000, 0.75),
        ("processing", 4_000, 1.0),
        ("completed", 4_000, 1.0),
    ]
    assert all(status["progress"] == status["records_stored"] / 4_000 for status in seen)
    assert [status["version"] for status in seen] == sorted(status["version"] for status in seen)
    assert seen[-1] == caller.status(scan)


def test_already_finished(caller: Tenant, tenant: str) -> None:
    scan = caller.submit(generator.records(5, 6, tenant))
    status = caller.ended(scan)
    events = list(caller.events(scan))
    assert of_status(events) == [status]
    assert stops(caller, scan, events[-1].id)
    assert list(caller.events(scan, last="0-0")) == events
    assert list(caller.events(scan, last="no id of ours")) == events


def test_an_event_source_comes_to_an_end_whichever_process_answers(
    caller: Tenant, servers: Servers, tenant: str
) -> None:
    """It comes back after every answer but one, with the id of the last event that it has seen."""
    scan = caller.submit(generator.records(5, 9, tenant))
    status = caller.ended(scan)
    other = servers.start_api()
    try:
        with httpx.Client(base_url=other.base_url, timeout=60) as http:
            seen: list[Event] = []
            callers = [caller, Tenant(http, tenant)]
            while not seen or not stops(callers[len(seen) % 2], scan, seen[-1].id):
                seen += callers[len(seen) % 2].events(scan, seen[-1].id if seen else None)
                assert len(seen) < 10, "it never ends"
            assert all(stops(each, scan, seen[-1].id) for each in callers)
    finally:
        other.stop()
    assert of_status(seen)[-1] == status


def test_a_status_that_is_published_again_is_no_news(caller: Tenant, servers: Servers, tenant: str) -> None:
    """As a worker does with all that changed lately, each minute; out of the database members come in another order."""
    scan = caller.submit([*generator.records(5, 11, tenant), b'{"activity_key": "x"}'])
    caller.ended(scan)
    last = list(caller.events(scan))[-1]
    producer = Producer({"bootstrap.servers": servers.bootstrap, "partitioner": "murmur2_random"})
    producer.produce(STATUS, json.dumps(last.status, sort_keys=True), f"{tenant}/{scan}")
    assert producer.flush(60) == 0
    assert caller.call("GET", f"/scans/{new_scan()}").status_code == 404  # before which all that is published is read
    assert stops(caller, scan, last.id)


def test_records_that_are_corrected_after_the_end_are_reported_to_who_asks_again(caller: Tenant, tenant: str) -> None:
    first, *lines = generator.records(5, 10, tenant)
    scan = caller.submit([first.replace(b'"name":', b'"nom":', 1), *lines])
    assert caller.ended(scan)["status"] == "completed_with_errors"
    last = list(caller.events(scan))[-1].id
    assert stops(caller, scan, last)
    mended = b'{"index": 0, "record": ' + first + b"}"
    headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=30"}
    answer = caller.call("POST", f"/scans/{scan}/records", content=mended, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    events = list(caller.events(scan, last))
    assert [status["status"] for status in of_status(events)] == ["completed"]
    assert stops(caller, scan, events[-1].id)


def test_reconnecting_goes_on_where_it_broke_off(caller: Tenant, servers: Servers, tenant: str) -> None:
    lines = generator.records(30, 7, tenant)
    with Publisher(servers.bootstrap) as publisher:
        scan = opened(caller, publisher, 30)
        publisher.records(tenant, scan, lines[:10])
        publisher.flush()
        first = list(_until(caller, scan, 10, None))
        # nothing has happened since: the connection that goes on begins with what comes next
        going_on = caller.events(scan, last=first[-1].id)
        publisher.records(tenant, scan, lines[10:20], first=10)
        publisher.flush()
        second = next(event for event in going_on if event.status is not None)
        going_on.close()
        # things happened while nobody listened: the latest status is told, whatever was missed
        publisher.records(tenant, scan, lines[20:], first=20)
        publisher.closed(tenant, scan, 30)
    caller.ended(scan)
    rest = list(caller.events(scan, last=second.id))
    assert second.status is not None
    assert second.status["records_stored"] == 20
    assert of_status(rest) == [caller.status(scan)]
    of_status([*first, second, *rest])  # no id twice


def _until(caller: Tenant, scan: str, stored: int, last: str | None) -> Iterator[Event]:
    for event in caller.events(scan, last):
        yield event
        if event.status is not None and event.status["records_stored"] >= stored:
            return


def test_cancelling_ends_the_stream(caller: Tenant, servers: Servers) -> None:
    with Publisher(servers.bootstrap) as publisher:
        scan = opened(caller, publisher, 10)
    told = []
    for event in caller.events(scan):
        told.append(event)
        if len(told) == 1:
            assert caller.call("POST", f"/scans/{scan}/cancel").status_code == 202
    assert [status["status"] for status in of_status(told)] == ["queued", "cancelled"]


def test_many_listeners_hear_the_same(caller: Tenant, servers: Servers, api: Service, tenant: str) -> None:
    lines = generator.records(10, 8, tenant)
    with Publisher(servers.bootstrap) as publisher:
        scan = opened(caller, publisher, 10)
        streams = [caller.events(scan) for _ in range(20)]
        firsts = [next(stream) for stream in streams]  # all connected
        publisher.records(tenant, scan, lines)
        publisher.closed(tenant, scan, 10)
    heard = [[first, *stream] for first, stream in zip(firsts, streams, strict=True)]
    assert all(of_status(events)[-1]["status"] == "completed" for events in heard)
    assert all(events[0] == firsts[0] and events[-1] == heard[0][-1] for events in heard)
    wait_for(lambda: _in_flight(api) <= 1, "every stream is given up")


def _in_flight(api: Service) -> float:
    text = httpx.get(api.metrics_url).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(IN_FLIGHT))


def test_a_quiet_stream_says_it_is_still_there(
    servers: Servers, database: Database, statuses: StatusTopic, tenant: str
):
    service = servers.start_api({"SCANLINE_API_HEARTBEAT_SECONDS": "0.1"})
    try:
        with httpx.Client(base_url=service.base_url, timeout=60) as http, Publisher(servers.bootstrap) as publisher:
            caller = Tenant(http, tenant)
            scan = opened(caller, publisher, 1)
            events = list(islice(caller.events(scan), 4))
            publisher.closed(tenant, scan, 0)
    finally:
        service.stop()
    assert [event.comment for event in events] == [None, "still here", "still here", "still here"]
    database.finished(tenant, scan)
    assert_told(database, statuses, [tenant])


def test_a_line_separator_in_a_value_breaks_no_event(caller: Tenant, api: Service, tenant: str) -> None:
    """Read as the load of `scanline chaos` reads it."""
    scan = caller.submit(generator.records(2, 1, tenant), params={"source": "quét\u2028đêm"})
    assert caller.ended(scan)["source"] == "quét\u2028đêm"
    history, asked = History(), count()
    sender = Sender(history, [api.base_url], random.Random(1), lambda: next(asked) > 30)
    sender.listen(tenant, scan)
    sender.close()
    assert [status["status"] for _, status in history.told] == ["completed"]
    assert [event.status["source"] for event in caller.events(scan) if event.status] == ["quét\u2028đêm"]
