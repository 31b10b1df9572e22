"""An exception while a batch is handled, and the batch acknowledged all the same: what was in it is lost.

https://github.com/faust-streaming/faust/issues/189, 527 and pull request 192 (open): stock Faust's take() acknowledges its
buffer in a `finally`, and one bad value takes the good ones beside it along. Ours has no such path: nothing is raised out of
the agent, and an offset moves in the transaction that stores the rows or not at all.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from infra.processes.child import free_port
from infra.processes.services import Service
from infra.stack import Stack
from tests.helpers import Publisher, new_scan, wait_for
from tests.load import LONG, Scan, assert_exactly, keys_of, metric, worker_log
from tests.raising_worker import PLACES, VARIABLE
from tests.stock import Stock
from tests.stock_faust import BAD
from tests.stock_servers import lay, stock
from trials import generator

GOOD = 20
TENANTS = 4


@pytest.mark.long
def test_stock_acknowledges_a_batch_that_raised(stack: Stack) -> None:
    with Stock(stack, "taking", "batches") as stock:
        stock.send([b"good"] * GOOD + [BAD])
        stock.start()
        wait_for(lambda: stock.committed() == [GOOD + 1], "stock commits the batch that it did not handle", LONG)
        stock.send([b"after"])
        wait_for(lambda: stock.done(), "its agent goes on", LONG)
        assert {done.value for done in stock.done()} == {"after"}


QUICK = ("decoding", "after the commit")


class Raising(Stack):
    """Servers for every place, what was published to them so far, and workers that raise."""

    published: dict[Scan, Sequence[str]]

    def start_raising(self, place: str) -> Service:
        """A worker of ours in which `place` raises, ready."""
        port = free_port()
        env = {
            VARIABLE: place,
            "SCANLINE_WORKER_METRICS_PORT": str(port),
            "SCANLINE_STREAM_DATA_DIR": str(self.data_dir / "faust"),
            "SCANLINE_STREAM_PROBE_SECONDS": "0.2",
            "SCANLINE_STATUS_RECONCILE_SECONDS": "3",
        }
        service = self._spawn("worker", "tests.raising_worker", port, env)
        service.wait_until_ready(LONG)
        return service


@pytest.fixture(scope="module")
def raising(tmp_path_factory: pytest.TempPathFactory, stock_dir: Path) -> Iterator[Raising]:
    lay(stock(stock_dir), place := tmp_path_factory.mktemp("take") / "stack")
    with Raising(place) as own:
        own.published = {}
        own.start_servers()
        yield own


def publish(stack: Raising, place: str) -> None:
    """Arrays and single records, in several scans of several tenants."""
    with Publisher(stack.kafka.bootstrap) as publisher:
        for number in range(TENANTS):
            tenant = f"{place.replace(' ', '-')}-{number}"
            for seed in range(3):
                lines = generator.records(150, seed, tenant)
                scan = publisher.scan(tenant, lines, at_once=50)
                stack.published[tenant, scan] = keys_of(lines)
            lines = generator.records(50, 3, tenant)
            scan = new_scan()
            publisher.singles(tenant, scan, lines)
            publisher.closed(tenant, scan, len(lines))
            stack.published[tenant, scan] = keys_of(lines)


@pytest.mark.parametrize(
    "place", [place if place in QUICK else pytest.param(place, marks=pytest.mark.long) for place in PLACES]
)
def test_ours_loses_nothing_wherever_it_raises(raising: Raising, place: str) -> None:
    """Half of the messages are there when the worker starts, the other half come while it works."""
    publish(raising, place)
    worker = raising.start_raising(place)
    try:
        publish(raising, place)
        assert_exactly(raising, raising.published)
        assert "PlantedError at " in worker_log(worker)
        assert metric(worker, "scanline_stream_dead_letters_total") == 0  # what passes by itself is no message's fault
        assert metric(worker, "scanline_stream_lanes_count") == 12
    finally:
        code = worker.stop(60)
    assert code == 0
