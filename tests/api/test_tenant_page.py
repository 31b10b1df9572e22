"""A tenant's page in a real browser: a scan is checked, submitted, followed, corrected and sent again; errors are downloaded,
what was found is filtered, the language is switched."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import httpx
import pytest
from api_client import Tenant

from infra.processes.services import Service
from infra.settings import PROJECT
from schemas.codes import CATEGORIES, SCAN_STATES, LegalBasis
from schemas.problems import PROBLEMS
from schemas.wait_reasons import PauseReason
from tests.browser import assert_accessible, chromium, opened
from tests.helpers import wait_for
from trials import generator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_LINES = generator.records(30, 7, "page")


@pytest.fixture(scope="module")
def browser(worker: Service) -> Iterator["Browser"]:
    with chromium() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Thirty records, of which two lack something, and one is beyond a double."""
    records = [json.loads(line) for line in _LINES]
    del records[3]["purpose"], records[9]["legal_basis"]
    records[3]["attributes"] = {"exact": 0}
    lines = [json.dumps(each, ensure_ascii=False) for each in records]
    lines[3] = lines[3].replace('{"exact": 0}', '{"exact": 12345678901234567890.10}')
    path = tmp_path / "scan.ndjson"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _submitted(page: "Page", file: Path) -> str:
    page.locator("#file").set_input_files(file)
    page.get_by_text("28 bản ghi hợp lệ, 2 sẽ bị từ chối, trên tổng số 30").wait_for()
    page.get_by_role("button", name="Gửi lượt quét này").click()
    page.get_by_text("Hoàn tất, có lỗi: đã lưu 28 bản ghi, 2 bị từ chối").first.wait_for()
    return page.url.partition("#")[2]


def test_a_scan_is_checked_submitted_corrected_and_sent_again(
    browser: "Browser", api: Service, http: httpx.Client, tenant: str, file: Path
) -> None:
    caller = Tenant(http, tenant)
    with opened(browser, f"{api.base_url}/tenants/{tenant}") as page:
        page.get_by_text("Chưa có lượt quét nào.").wait_for()
        scan = _submitted(page, file)
        page.get_by_role("heading", name="Bản ghi bị từ chối").wait_for()
        assert_accessible(page)
        page.get_by_text("Sửa", exact=True).first.click()
        area = page.get_by_role("textbox", name="Sửa bản ghi 4")
        area.fill("{")
        assert page.locator("#mend").is_disabled()
        page.get_by_text("Chưa phải JSON đúng cú pháp.").first.wait_for()
        record = caller.get(f"/scans/{scan}/errors")["errors"][0]["record"]
        text = json.dumps(record | {"purpose": "Chăm sóc khách hàng", "attributes": {"exact": 0}}, ensure_ascii=False)
        area.fill(text.replace('{"exact": 0}', '{"exact": 12345678901234567890.10}'))
        page.get_by_role("button", name="Gửi lại 1 bản ghi đã sửa").click()
        page.get_by_text("Hoàn tất, có lỗi: đã lưu 29 bản ghi, 1 bị từ chối").first.wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name="Tải tệp lỗi (NDJSON)").click()
        lines = [json.loads(line) for line in Path(download.value.path()).read_text("utf-8").splitlines()]
        assert [each["index"] for each in lines] == [9]
        lines[0]["record"]["legal_basis"] = "consent"
        mended = file.with_name("errors.ndjson")
        mended.write_text(json.dumps(lines[0]), encoding="utf-8")
        page.locator("#mended").set_input_files(mended)
        page.get_by_text("Hoàn tất: đã lưu 30 bản ghi").first.wait_for()
        assert page.locator("#rejections").is_hidden()
    status = caller.status(scan)
    assert (status["status"], status["records_stored"]) == ("completed", 30)
    stored = http.get(f"/v1/tenants/{tenant}/processing-activities").text
    assert "12345678901234567890.10" in stored, "a number keeps its digits on its way through the page"


def test_what_was_found_is_filtered_in_either_language(
    browser: "Browser", api: Service, http: httpx.Client, tenant: str
) -> None:
    caller = Tenant(http, tenant)
    caller.ended(caller.submit(generator.records(60, 3, tenant)))
    sensitive = len(caller.everything("/processing-activities", "processing_activities", sensitive="true"))
    assert 0 < sensitive < 20
    with opened(
        browser, f"{api.base_url}/tenants/{tenant}", color_scheme="dark", viewport={"width": 400, "height": 800}
    ) as page:
        page.locator("#found tr").nth(19).wait_for()
        page.get_by_label("Tính chất").select_option("true")
        wait_for(lambda: page.locator("#found tr").count() == sensitive, "the sensitive ones alone")
        page.get_by_role("button", name="English").click()
        page.get_by_role("heading", name="Processing activities found").wait_for()
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.title() == f"Scanline – Tenant {tenant}"
        assert page.locator("#found tr").count() == sensitive
        page.get_by_label("Kind").select_option("")
        page.locator("#found tr").nth(19).wait_for()
        page.locator("#found-more").click()
        page.locator("#found tr").nth(39).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert_accessible(page)


def test_a_file_is_refused_with_the_reason_another_dropped_and_submitted(
    browser: "Browser", api: Service, http: httpx.Client, tenant: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "scan.ndjson"
    wrong.write_text("[" + ",".join(each.decode() for each in _LINES) + "]", encoding="utf-8")
    url = f"{api.base_url}/tenants/{tenant}?lang=en"
    with opened(browser, url, expected="status of 415") as page:  # which the browser writes on its console
        page.get_by_text("There are no scans yet.").wait_for()
        page.locator("#file").set_input_files(wrong)
        page.get_by_text(PROBLEMS["json_not_ndjson"].detail.en.format()).wait_for()
        assert page.locator("#submit").is_hidden()
        dropping = """content => {
            const data = new DataTransfer();
            data.items.add(new File([content], "scan.ndjson"));
            return data;
        }"""
        page.locator("#drop").dispatch_event(
            "drop", {"dataTransfer": page.evaluate_handle(dropping, b"\n".join(_LINES).decode())}
        )
        page.get_by_text("«scan.ndjson» is valid: 30 records.").wait_for()
        page.get_by_role("button", name="Submit this scan").focus()
        page.keyboard.press("Enter")
        page.get_by_text("Completed: 30 records stored").first.wait_for()
        assert len(Tenant(http, tenant).get("/scans")["scans"]) == 1


def test_every_text_is_in_both_languages_and_every_code_has_one() -> None:
    assets = PROJECT / "producer_api" / "assets"
    source = (assets / "texts.js").read_text(encoding="utf-8")
    texts = {name: (vi, en) for name, vi, en in re.findall(r'^  (\w+): \["(.+?)", "(.+?)"\],$', source, re.MULTILINE)}
    assert len(texts) == len(re.findall(r"^  \w+:", source, re.MULTILINE)), (
        "each in one line, both languages, each name once"
    )
    for name, (vi, en) in texts.items():
        assert set(re.findall(r"\{\w+\}", vi)) == set(re.findall(r"\{\w+\}", en)), name
    assert set(texts) >= CATEGORIES | set(SCAN_STATES) | {f"basis_{each}" for each in get_args(LegalBasis)}
    assert set(texts) >= {f"reason_{each}" for each in get_args(PauseReason)}
    used = set()
    for path in [*assets.glob("*.html"), *assets.glob("*.js")]:
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r'data-t(?:-label)?="(\w+)"|\bt\("(\w+)"', text))
    assert {first or second for first, second in used} <= set(texts)
