"""The API's description as plain HTML: for screen readers, terminals and print, where Swagger UI is of little use."""

import html
from collections.abc import Iterator, Mapping
from typing import Any


def call_list(document: Mapping[str, Any]) -> str:
    """A page with every call of an OpenAPI document, its parameters and its answers."""
    sections = "".join(
        f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(call['summary'])}</p>"
        f"<h3>Tham số / parameters</h3><ul>{''.join(_parameters(call))}</ul>"
        f"<h3>Trả lời / answers</h3><ul>{''.join(_answers(call))}</ul></section>"
        for path, calls in document["paths"].items()
        for method, call in calls.items()
    )
    return (
        '<!doctype html><html lang="vi"><head><meta charset="utf-8"><title>Scanline – Tài liệu API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="/assets/mark.svg" type="image/svg+xml"><link rel="stylesheet" href="/assets/pages.css">'
        '</head><body class="calls"><main><h1>Scanline: tài liệu API / API documentation</h1>'
        '<p><a href="/docs">Trang dùng thử / the page to try calls out</a> · '
        f'<a href="/openapi.json">openapi.json</a></p>{sections}</main></body></html>'
    )


def _parameters(call: Mapping[str, Any]) -> Iterator[str]:
    for each in call.get("parameters", ()):
        needed = ", bắt buộc / required" if each.get("required") else ""
        text = html.escape(each.get("description", ""))
        yield f"<li><code>{html.escape(each['name'])}</code> ({html.escape(each['in'])}{needed}) {text}</li>"


def _answers(call: Mapping[str, Any]) -> Iterator[str]:
    for status, answer in sorted(call["responses"].items()):
        yield f"<li><b>{html.escape(status)}</b> {html.escape(answer.get('description', ''))}</li>"
