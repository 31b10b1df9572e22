"""A lane that has work and stands on one offset says so in metrics, readiness and its scans' status, whatever the cause; and
says when it goes on."""

import signal
from typing import Any, Final

import pytest

from infra.processes.services import Service
from infra.stack import Stack
from schemas.status import PAUSES
from tests.faults.test_stalled_lanes import start_stopping_worker
from tests.helpers import Database, Publisher, StatusTopic, assert_told, new_scan, wait_for
from tests.load import LONG, metric, worker_log
from tests.row_locks import held
from tests.stopping_worker import CHANGED
from trials import generator

# Neither the watchdog nor a deadline may come first.
SETTINGS: Final = {
    "SCANLINE_STREAM_STANDING_SECONDS": "2",
    "SCANLINE_STREAM_STALL_SECONDS": "600",
    "SCANLINE_WRITE_DEADLINE_SECONDS": "600",
}
_STANDING: Final = "scanline_stream_standing_lanes_count"


def standing(worker: Service) -> dict[str, Any]:
    """What /readyz says of lanes that stand, by partition."""
    found: dict[str, Any] = worker.health()["standing"]
    return found


def test_a_write_that_takes_long(stack: Stack) -> None:
    worker = stack.start_worker(SETTINGS)
    lines = generator.records(20, 1, "standing")
    scan, late = new_scan(), new_scan()
    with (
        Publisher(stack.kafka.bootstrap) as publisher,
        Database(stack.postgres.superuser_dsn()) as database,
        StatusTopic(stack.kafka.bootstrap) as statuses,
    ):
        publisher.records("standing", scan, lines[:10])
        publisher.flush()
        wait_for(lambda: f"standing/{scan}" in statuses.read(), "the scan is told")
        at = database.value("SELECT max(next_offset) FROM stream_offsets")
        with held(stack, [("standing", scan)]):
            publisher.records("standing", scan, lines[10:], first=10)
            publisher.closed("standing", scan, len(lines))
            publisher.send("standing", late, "opened", b"{}")
            publisher.flush()
            ((_, stand),) = wait_for(lambda: standing(worker), "the lane says that it stands", LONG).items()
            assert (stand["offset"], stand["doing"]) == (at, "writing")
            assert f"offset {at}" in stand["message"]["vi"] and f"offset {at}" in stand["message"]["en"]
            assert not worker.is_ready()
            assert metric(worker, _STANDING) == 1 and metric(worker, "scanline_stream_standing_seconds") >= 2
            for each in (scan, late):  # in hand, and only opened by what waits
                told = wait_for(
                    lambda key=f"standing/{each}": (now := statuses.read().get(key)) and now["paused"] and now,  # type: ignore[misc]
                    "the scan says that it waits",
                    LONG,
                )
                assert told["message"]["vi"].endswith(PAUSES["standing"].vi)
                assert told["message"]["en"].endswith(PAUSES["standing"].en)
        assert database.finished("standing", scan, LONG)["status"] == "completed"
        wait_for(worker.is_ready, "the worker is ready again", LONG)
        assert standing(worker) == {} and metric(worker, _STANDING) == 0
        wait_for(lambda: not any(told["paused"] for told in statuses.read().values()), "no scan says that it waits")
        assert_told(database, statuses, ["standing"])


@pytest.mark.long
def test_messages_that_are_not_fetched(stack: Stack) -> None:
    """The lane itself has nothing in hand, and the broker has."""
    worker = start_stopping_worker(stack, "paused", SETTINGS)
    with Publisher(stack.kafka.bootstrap) as publisher, Database(stack.postgres.superuser_dsn()) as database:
        scan = publisher.scan("standing", generator.records(10, 1, "standing"))
        publisher.flush()
        assert database.finished("standing", scan, LONG)["status"] == "completed"
        worker.signal(signal.SIGUSR1)
        wait_for(lambda: CHANGED in worker_log(worker), "nothing is fetched any more")

        def stands() -> dict[str, Any]:
            publisher.scan(
                "standing", generator.records(10, 2, "standing")
            )  # a fetch under way may still bring the first
            publisher.flush()
            return standing(worker)

        (stand,) = wait_for(stands, "the lane says that it stands", LONG).values()
        assert stand["doing"] == "fetching"
        assert metric(worker, _STANDING) == 1
