"""/healthz, /readyz and /metrics."""

from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from producer_api import metrics
from producer_api.routes.scans import json_answer
from producer_api.services import Services, services

router = APIRouter(include_in_schema=False)
_PROBED: Final = ["GET", "HEAD"]  # their queries are not checked: some probes add a changing one against caches


@router.api_route("/healthz", methods=_PROBED)
async def healthz(service: Services = Depends(services)) -> Response:
    """200 while the threads that serve requests are there; otherwise the process is to be restarted."""
    parts = {"publisher": service.publisher.alive, "follower": service.follower.alive}
    return json_answer({"ok": all(parts.values()), **parts}, 200 if all(parts.values()) else 503)


@router.api_route("/readyz", methods=_PROBED)
async def readyz(service: Services = Depends(services)) -> Response:
    """200 when Kafka answers and the statuses have been read, until the process is told to end (SIGTERM).

    PostgreSQL is not asked: scans are taken without it.
    """
    parts = {
        "kafka": await service.publisher.probe(),
        "statuses": service.follower.ready,
        "serving": not service.drain.begun,
    }
    return json_answer({"ok": all(parts.values()), **parts}, 200 if all(parts.values()) else 503)


@router.api_route("/metrics", methods=_PROBED)
async def prometheus(request: Request) -> Response:
    """Prometheus exposition."""
    body, kind = metrics.render(", ".join(request.headers.getlist("accept")))
    return Response(body, headers={"Content-Type": kind, "Vary": "Accept"})
