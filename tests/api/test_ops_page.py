"""/ops: what an operator looks at first, in a real browser, and who may look."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from api_client import Tenant

from infra.processes.services import Service
from infra.stack import Stack
from tests.browser import assert_accessible, chromium, opened
from tests.helpers import wait_for
from tests.servers import Servers
from trials import generator

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as running:
        yield running


def overviews(url: str, **headers: str) -> Iterator[tuple[str, Any]]:
    """The events of /ops/events: their names and data."""
    with httpx.stream("GET", f"{url}/ops/events", headers=headers, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def test_the_page_shows_lanes_servers_and_a_scan_with_errors(
    browser: "Browser", api: Service, http: httpx.Client, tenant: str
) -> None:
    with opened(browser, f"{api.base_url}/ops", viewport={"width": 1280, "height": 900}) as page:
        assert page.locator("html").get_attribute("lang") == "vi"
        page.get_by_role("heading", name="Mọi thứ hoạt động bình thường").wait_for()
        scan = Tenant(http, tenant).submit([*generator.records(40, 1, tenant), b'{"name": "Nguyen Van A"}'])
        row = page.locator("#troubled tr", has_text=tenant)
        row.wait_for()
        assert scan[:8] in row.inner_text() and "required" in row.inner_text()
        assert page.locator("#lanes .tiles li").count() == 12
        assert_accessible(page)
        page.get_by_role("button", name="English").click()
        page.get_by_role("heading", name="Everything works").wait_for()
        assert "Throughput" in page.locator("#throughput").inner_text()
        chart = page.locator("#throughput svg[role=img]").get_attribute("aria-label")
        assert re.match(r"Throughput, records/s: now .+, most .+", chart or "")
        assert "Nguyen" not in page.content()
        page.reload()
        page.get_by_role("heading", name="Everything works").wait_for()  # the choice is kept
        assert page.locator("html").get_attribute("lang") == "en"
    with opened(browser, f"{api.base_url}/ops", color_scheme="dark", viewport={"width": 400, "height": 800}) as page:
        page.get_by_role("heading", name="Mọi thứ hoạt động bình thường").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert_accessible(page)


def test_what_needs_a_person_is_said_first(browser: "Browser", stack: Stack) -> None:
    api = stack.start_api()
    with opened(browser, f"{api.base_url}/ops") as page:
        page.get_by_text("Phân vùng 0–11: không tiến trình xử lý nào nhận.").wait_for()
        assert page.get_by_role("heading", name="Có một điều cần xem").is_visible()
        stack.postgres.stop()
        page.get_by_text("PostgreSQL không trả lời: bản ghi chờ trong Kafka").wait_for()
        assert page.get_by_role("heading", name="Có 2 điều cần xem").is_visible()
        assert_accessible(page)


def test_every_viewer_gets_the_same_and_history_comes_first(api: Service) -> None:
    first = overviews(api.base_url)
    assert next(first)[0] == "history"
    shown = [next(first)[1] for _ in range(3)]
    assert shown[-1]["kafka"]["ok"] and shown[-1]["postgres"]["ok"]
    second = overviews(api.base_url)
    name, points = next(second)
    assert name == "history" and [each["point"] for each in shown] == points[-3:]
    assert next(second)[1] == shown[-1]


def test_records_are_counted_as_they_are_stored(api: Service, http: httpx.Client, tenant: str) -> None:
    told = (each for name, each in overviews(api.base_url) if name == "overview")
    next(told)
    caller = Tenant(http, tenant)
    caller.ended(caller.submit([*generator.records(500, 2, tenant), b"{}"]))
    rates = [next(told)["point"] for _ in range(3)]
    assert sum(each[1] or 0 for each in rates) > 0
    assert sum(each[2] or 0 for each in rates) > 0


@pytest.mark.parametrize(
    "headers",
    [{"Host": "scanline.example.vn"}, {"X-Forwarded-For": "10.1.2.3"}, {"Forwarded": "for=10.1.2.3"}, {"Via": "1.1 a"}],
)
def test_it_is_not_there_for_who_comes_through_a_proxy_or_by_another_name(
    http: httpx.Client, headers: dict[str, str]
) -> None:
    for path in ("/ops", "/ops/events"):
        answer = http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")


def test_it_is_there_for_whom_the_settings_say_and_for_so_many(servers: Servers) -> None:
    on = servers.start_api({"SCANLINE_API_OPS": "on", "SCANLINE_API_OPS_VIEWERS": "1"})
    off = servers.start_api({"SCANLINE_API_OPS": "off"})
    assert httpx.get(f"{off.base_url}/ops").status_code == 404
    assert httpx.get(f"{on.base_url}/ops", headers={"X-Forwarded-For": "10.1.2.3"}).status_code == 200
    viewer = overviews(on.base_url)
    next(viewer)
    answer = httpx.get(f"{on.base_url}/ops/events")
    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_viewers")
    viewer.close()  # type: ignore[attr-defined]

    def again() -> bool:
        with httpx.stream("GET", f"{on.base_url}/ops/events") as other:
            return other.status_code == 200

    wait_for(again, "a place is free again")
    on.stop()
    off.stop()


def test_nothing_on_the_pages_comes_from_elsewhere_or_runs_inline(http: httpx.Client) -> None:
    for path in ("/ops", "/tenants/a"):
        answer = http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert re.findall(r"https?:|//", answer.text) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=|<script(?! type=\"module\" src=\"/assets/)", answer.text) == []
        for name in re.findall(r'(?:src|href)="(/[^"]+)"', answer.text):
            got = http.get(name)
            assert got.status_code == 200 and got.headers["x-content-type-options"] == "nosniff"
            assert http.get(name, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    assert http.get("/assets/nothing.js").status_code == 404
