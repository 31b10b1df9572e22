"""A real Prometheus reads the running system under load: every query of every dashboard finds something."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from dashboards.board import Query
from dashboards.boards import BOARDS
from infra.processes.services import Service
from tests.helpers import changed, wait_for
from tests.monitoring import RULES, Prometheus, prometheus
from tests.servers import Servers
from tests.submissions import accepted, submit
from trials import generator

RATE: Final = "10s"  # what Grafana would make of $__rate_interval where a scrape comes every second
QUERIES: Final = [
    (f"{board.uid}: {panel.title.en}", query) for board in BOARDS for panel in board.panels for query in panel.queries
]


@pytest.fixture(scope="module")
def server(
    servers: Servers, api: Service, worker: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    exporter = servers.start_exporter(
        {
            "SCANLINE_EXPORTER_INTERVAL_SECONDS": "1",
            "SCANLINE_EXPORTER_KAFKA_DIR": str(servers.data_dir),
            "SCANLINE_EXPORTER_POSTGRES_DIR": str(servers.data_dir),
        }
    )
    jobs = {"scanline-api": [api], "scanline-worker": [worker], "scanline-exporter": [exporter]}
    with prometheus(tmp_path_factory.mktemp("prometheus"), jobs, rules=RULES) as running:
        yield running


def unanswered(server: Prometheus) -> list[tuple[str, str]]:
    """Queries that find nothing, or no number."""
    return [(panel, query.expr) for panel, query in QUERIES if not _found(server, query)]


def _found(server: Prometheus, query: Query) -> bool:
    values = [value for _, value in server.series(query.expr.replace("$__rate_interval", RATE))]
    return any(value == value for value in values)  # NaN: a share of nothing


def test_every_query_of_every_dashboard_finds_something(server: Prometheus, http: httpx.Client, tenant: str) -> None:
    assert len(QUERIES) > 9
    rounds = iter(range(1_000))

    def left() -> list[tuple[str, str]]:
        lines = generator.records(300, next(rounds), tenant)
        lines[7] = changed(lines[7], category="no-such-category")  # something is rejected
        accepted(submit(http, tenant, generator.body(lines)))
        return unanswered(server)

    try:
        wait_for(lambda: not left(), "every query is answered", 60)
    except AssertionError:
        assert left() == []
        raise


def test_pictures_are_drawn_of_what_it_knows(server: Prometheus, tmp_path: Path) -> None:
    from dashboards import pictures  # which draws with a library that is slow to load

    assert pictures.main([server.url, str(tmp_path), "--minutes", "0.5"]) == 0
    drawn = {file.stem: file.stat().st_size for file in tmp_path.glob("*.png")}
    assert set(drawn) == {board.uid for board in BOARDS} and min(drawn.values()) > 10_000


def test_no_rule_fails(server: Prometheus) -> None:
    wait_for(
        lambda: (
            (found := server.get("rules"))
            and all(rule["health"] == "ok" for group in found["groups"] for rule in group["rules"])
        ),
        "all rules were worked out",
    )
