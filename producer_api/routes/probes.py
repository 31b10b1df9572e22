"""/healthz, /readyz, /metrics, and /docs: a page of our own, so that nobody's browser loads scripts from abroad."""

import html
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

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


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The calls on one page."""
    return HTMLResponse(_page(request.app.openapi()))


def _page(document: dict[str, Any]) -> str:
    rows = []
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            parameters = "".join(
                f"<li><code>{html.escape(each['name'])}</code> ({html.escape(each['in'])}) "
                f"{html.escape(each.get('description', ''))}</li>"
                for each in call.get("parameters", [])
            )
            answers = "".join(
                f"<li><b>{status}</b> {html.escape(answer.get('description', ''))}</li>"
                for status, answer in sorted(call["responses"].items())
            )
            rows.append(
                f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>"
                f"<p>{html.escape(call.get('summary', ''))}</p><ul>{parameters}</ul><ul>{answers}</ul></section>"
            )
    return (
        '<!doctype html><html lang="vi"><meta charset="utf-8"><title>Scanline API</title>'
        "<style>html{color-scheme:light dark}"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "h2{font-size:1.05rem;border-top:1px solid #ccc;padding-top:1rem}</style>"
        '<h1>Scanline API</h1><p>Mô tả máy đọc được / machine-readable: <a href="/openapi.json">openapi.json</a></p>'
        + "".join(rows)
        + "</html>"
    )
