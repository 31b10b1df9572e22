"""Apps in one process have nothing in common, and leave nothing behind. No server answers them here; none is needed."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from infra.processes.child import free_port
from producer_api.app import build_app
from producer_api.http.connections import BoundedProtocol
from producer_api.settings import ApiSettings
from tests.helpers import wait_for


def settings(**named: Any) -> ApiSettings:
    nobody = f"127.0.0.1:{free_port()}"
    return ApiSettings(
        kafka_bootstrap=nobody,
        postgres_read_url=f"postgresql+psycopg2://reader:none@{nobody}/none",
        api_backlog_messages=0,
        **named,
    )


@contextmanager
def served(chosen: ApiSettings) -> Iterator[str]:
    """The address of an app with these settings."""
    port = free_port()
    config = uvicorn.Config(build_app(chosen), port=port, http=BoundedProtocol, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, "the app answers")
        yield f"http://127.0.0.1:{port}/healthz"
    finally:
        server.should_exit = True
        thread.join()


def test_the_connections_of_an_app_keep_to_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANLINE_API_HEAD_BYTES", "1024")
    monkeypatch.setenv("SCANLINE_POSTGRES_READ_URL", "postgresql://somebody@else/")
    with served(settings(api_head_bytes=4_096)) as small, served(settings(api_head_bytes=8_192)) as large:
        statuses = [
            httpx.get(url, headers={"X-Long": "x" * size}).status_code
            for url in (small, large)
            for size in (2_000, 6_000, 10_000)
        ]
    assert statuses == [200, 431, 431, 200, 200, 431]


def test_nothing_of_an_app_outlives_it() -> None:
    async def run() -> None:
        before = signal.getsignal(signal.SIGTERM)
        app = build_app(settings())
        async with app.router.lifespan_context(app):
            assert signal.getsignal(signal.SIGTERM) is not before
            cancellations = app.state.services.cancellations
            done: list[int] = []

            async def soon() -> None:
                await asyncio.sleep(0.01)
                done.append(1)

            async def never() -> None:
                await asyncio.Event().wait()

            cancellations.see_through(soon())
            cancellations.see_through(never())
        assert done == [1]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert signal.getsignal(signal.SIGTERM) is before

    asyncio.run(run())
