"""/docs: every call of the API, drawn by Swagger UI from files of the API's own, in a real browser."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from api_client import Tenant

from infra.processes.services import Service
from tests.browser import assert_accessible, chromium, opened
from trials import generator

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as running:
        yield running


def test_every_call_is_there_in_the_language_chosen(browser: "Browser", api: Service, http: httpx.Client) -> None:
    calls = [
        (method.upper(), path, call["summary"].split(" / "))
        for path, methods in http.get("/openapi.json").json()["paths"].items()
        for method, call in methods.items()
    ]
    with opened(browser, f"{api.base_url}/docs", color_scheme="dark", viewport={"width": 1280, "height": 900}) as page:
        for chosen, language in enumerate(("Tiếng Việt", "English")):
            page.get_by_role("button", name=language).click()
            for method, path, summary in calls:
                call = page.locator(f".opblock-{method.lower()}", has=page.locator(f'[data-path="{path}"]'))
                call.get_by_text(summary[chosen], exact=True).wait_for()
                assert call.count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_as_text_it_can_be_read_by_everybody(browser: "Browser", api: Service, http: httpx.Client, scheme: Any) -> None:
    """What Swagger UI draws cannot: axe-core finds contrast, roles and labels of its own."""
    document = http.get("/openapi.json").json()
    with opened(browser, f"{api.base_url}/docs", viewport={"width": 400, "height": 900}, color_scheme=scheme) as page:
        page.get_by_role("link", name="Dạng văn bản").click()
        page.get_by_role("heading", level=1).wait_for()
        text = page.locator("main").inner_text()
        for path, methods in document["paths"].items():
            for method, call in methods.items():
                assert f"{method.upper()} {path}" in text and call["summary"] in text
                assert all(parameter["name"] in text for parameter in call.get("parameters", ()))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert_accessible(page)


def test_a_call_is_tried_out(browser: "Browser", api: Service, http: httpx.Client, tenant: str) -> None:
    scan = Tenant(http, tenant).submit(generator.records(3, 1, tenant))
    with opened(browser, f"{api.base_url}/docs?lang=en", viewport={"width": 400, "height": 900}) as page:
        call = page.locator(".opblock-get", has=page.locator('[data-path="/v1/tenants/{tenant_id}/scans/{scan_id}"]'))
        call.locator(".opblock-summary-control").click()
        call.get_by_role("button", name="Try it out").click()
        call.locator('[data-param-name="tenant_id"] input').fill(tenant)
        call.locator('[data-param-name="scan_id"] input').fill(scan)
        call.get_by_role("button", name="Execute").click()
        answer = call.locator(".live-responses-table .response-col_description pre").first
        answer.wait_for()
        assert json.loads(answer.inner_text())["scan_id"] == scan
        assert "200" in call.locator(".live-responses-table tr.response .response-col_status").first.inner_text()
