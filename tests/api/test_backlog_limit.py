"""Too much waits for the workers: nothing more is taken until they have caught up, and what was taken is not lost."""

import httpx
from api_client import Tenant, assert_problem

from infra.stack import Stack
from tests.helpers import Database, wait_for
from trials import generator

LIMITED = {"SCANLINE_API_BACKLOG_MESSAGES": "20", "SCANLINE_API_BACKLOG_POLL_SECONDS": "0.2"}
JSON = {"Content-Type": "application/json"}


def test_submissions_wait_for_the_workers(stack: Stack, tenant: str) -> None:
    api = stack.start_api(LIMITED)
    body = generator.body(generator.records(10, 1, tenant))
    taken: list[str] = []
    with httpx.Client(base_url=api.base_url, timeout=60) as http:
        caller = Tenant(http, tenant)

        def refused() -> httpx.Response | None:
            answer = caller.call("POST", "/scans", content=body, headers=JSON)
            if answer.status_code == 202:
                taken.append(answer.json()["scan_id"])
                return None
            return answer

        for language in ({}, {"Accept-Language": "en"}):
            wait_for(refused, "the limit is reached")
            answer = caller.call("POST", "/scans", content=body, headers={**JSON, **language})
            assert_problem(answer, 503, "backlog_too_long")
            assert int(answer.headers["retry-after"]) > 0
        assert len(taken) >= 20 / 3  # opened, records, closed
        metrics = http.get("/metrics").text
        assert float(metrics.partition("\nscanline_api_backlog_messages ")[2].split()[0]) > 20
        assert http.get("/readyz").status_code == 200
        stack.start_worker()
        wait_for(lambda: refused() is None, "scans are taken again")
    with Database(stack.postgres.superuser_dsn()) as database:
        for scan in taken:
            assert database.finished(tenant, scan)["records_stored"] == 10
