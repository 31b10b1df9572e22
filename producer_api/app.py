"""The FastAPI app: its routes, its errors, and what lives as long as it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig

from producer_api.http import description, problems
from producer_api.http.budget import Budget
from producer_api.http.connections import SETTINGS
from producer_api.http.drain import Drain, Leaving
from producer_api.http.parameters import check_parameters
from producer_api.http.tracing import Traced
from producer_api.kafka.backlog import Backlog
from producer_api.kafka.follower import Follower
from producer_api.kafka.publisher import Publisher
from producer_api.kafka.statuses import StatusStore
from producer_api.metrics import Timing
from producer_api.overview.overview import Overview
from producer_api.reads import DatabaseReader
from producer_api.routes import activities, corrections, daily_counts, pages, probes, scans, submit, validate
from producer_api.services import Services
from producer_api.settings import ApiSettings
from producer_api.uploads.cancellations import Cancellations
from producer_api.uploads.idempotency import Keys
from producer_api.uploads.lease import Leases

# FastAPI's own spans hold paths, and its logs the texts of exceptions; a variable in the environment would send them off.
_NONE_OF_ITS_OWN: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def build_app(settings: ApiSettings | None = None) -> FastAPI:
    """The app; without `settings` they come from the environment."""
    chosen = settings or ApiSettings()
    drain = Drain(chosen.api_drain_seconds)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, ApiSettings]]:
        statuses = StatusStore(chosen.api_upload_lease_seconds)
        follower, publisher = Follower(chosen, statuses), Publisher(chosen)
        reader = DatabaseReader(chosen)
        app.state.services = made = Services(
            chosen,
            statuses,
            follower,
            publisher,
            Budget(chosen.api_buffer_bytes, chosen.api_buffer_wait_seconds),
            Keys(statuses, chosen.api_retry_after_seconds),
            reader,
            Backlog(chosen),
            drain,
            Cancellations(),
            Leases(statuses, follower, publisher, chosen.api_upload_lease_seconds, chosen.api_delivery_seconds),
            Overview(chosen, statuses, follower, reader),
        )
        drain.install()
        try:
            yield {SETTINGS: chosen}
        finally:
            drain.uninstall()
            await made.overview.close()
            await made.cancellations.close()
            await made.publisher.close()
            await made.follower.close()
            made.reader.close()
            made.backlog.close()
            if traces is not None:
                await asyncio.to_thread(traces.close)

    app = FastAPI(
        title="Scanline",
        version="0.1.0",
        description="Kết quả quét dữ liệu cá nhân, mỗi bản ghi đúng một lần. / Data-scan results, each record exactly once.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to http://, whatever the client's own address is behind a proxy
        lifespan=lifespan,
        telemetry=_NONE_OF_ITS_OWN,
    )
    problems.install(app)
    description.install(app, chosen)
    for module in (submit, scans, corrections, activities, daily_counts, validate):
        app.include_router(module.router, prefix="/v1/tenants/{tenant_id}", dependencies=[Depends(check_parameters)])
    app.include_router(probes.router)
    app.include_router(pages.router)
    app.add_middleware(Timing)
    traces = None
    if chosen.traces_endpoint:
        from schemas.traces import Traces

        traces = Traces("scanline-api", chosen.traces_endpoint)
        app.add_middleware(Traced, traces=traces)
    app.add_middleware(Leaving, drain=drain, retry_after=chosen.api_retry_after_seconds)
    return app
