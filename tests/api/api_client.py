"""The HTTP API's calls as a client makes them, with nothing of the API's own code: for the tests of what it answers."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import httpx

from operations.body_lines import lines_of
from tests.helpers import FINAL, PATIENCE, wait_for


class Event(NamedTuple):
    """One server-sent event; a comment has only `comment`."""

    id: str | None = None
    name: str = "message"
    status: dict[str, Any] | None = None
    comment: str | None = None


class Tenant:
    """Everything below /v1/tenants/{tenant}."""

    def __init__(self, http: httpx.Client, name: str) -> None:
        self.http = http
        self.name = name
        self.base = f"/v1/tenants/{name}"

    def call(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Any call, any answer."""
        return self.http.request(method, self.base + path, **how)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a 200."""
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, lines: Sequence[bytes], **how: Any) -> str:
        """A scan as NDJSON that is accepted. Returns its id."""
        headers = {"Content-Type": "application/x-ndjson", **how.pop("headers", {})}
        answer = self.call("POST", "/scans", content=b"\n".join(lines), headers=headers, **how)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["scan_id"])

    def status(self, scan: str) -> dict[str, Any]:
        return dict(self.get(f"/scans/{scan}"))

    def ended(self, scan: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The status, once it is a final one."""

        def look() -> dict[str, Any] | None:
            status = self.status(scan)
            return status if status["status"] in FINAL else None

        return wait_for(look, f"{scan} ends", seconds)

    def pages(self, path: str, member: str, **params: Any) -> list[list[dict[str, Any]]]:
        """Every page of a list, by its cursors."""
        found = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.get(path, **params, **cursor)
            found.append(answer[member])
            if answer["next_cursor"] is None:
                return found
            assert len(answer[member]) == params.get("limit", 100), "only the last page may be shorter"
            assert answer["next_cursor"] != cursor.get("cursor"), "a list that does not move on"
            assert len(found) < 2_000, "a list without end"
            cursor = {"cursor": answer["next_cursor"]}

    def everything(self, path: str, member: str, **params: Any) -> list[dict[str, Any]]:
        """All pages, one after another."""
        return [each for page in self.pages(path, member, **params) for each in page]

    def events(self, scan: str, last: str | None = None) -> Iterator[Event]:
        """The events of a scan until the server ends the stream; `last` is the Last-Event-ID."""
        headers = {} if last is None else {"Last-Event-ID": last}
        with self.http.stream("GET", f"{self.base}/scans/{scan}/events", headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield from _events(line.decode() for line in lines_of(answer.iter_bytes()))


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """WHATWG HTML, section 9.2.6, as far as it is needed here."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield Event(fields.get("id"), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
        elif line.startswith(":"):
            yield Event(comment=line[1:].strip())
        else:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """RFC 9457 with both languages, in the language asked for. Returns the body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json", answer.headers
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:scanline:problem:{code}"), body
    assert body["instance"] == answer.request.url.path, body
    assert body["messages"].keys() == {"vi", "en"}, body
    assert all(body["messages"].values()), body
    assert body["messages"]["vi"] != body["messages"]["en"], body
    language = "en" if answer.request.headers.get("accept-language", "").startswith("en") else "vi"
    assert answer.headers["content-language"] == language, answer.headers
    assert body["detail"] == body["messages"][language], body
    assert body["title"], body
    if status == 503:
        assert int(answer.headers["retry-after"]) > 0, answer.headers
        assert answer.headers["retry-after"] in body["detail"], body
    return body
