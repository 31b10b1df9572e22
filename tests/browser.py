"""A real Chromium for the tests of the pages: the machine's own, driven by Playwright. One serves all tests of a module."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from infra.settings import PROJECT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# as root, in a container or on a build machine, Chromium's sandbox cannot be had
_ARGUMENTS: Final = ("--no-sandbox", "--disable-dev-shm-usage")
_SERIOUS: Final = frozenset({"serious", "critical"})


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser. Skips the test where there is none and none can be installed."""
    subprocess.run([sys.executable, PROJECT / "infra" / "bootstrap.py", "browser"], check=True)
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium is on this machine, and Debian's package cannot be installed")
    from playwright.sync_api import sync_playwright  # installed a moment ago

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: "Browser", url: str, *, expected: str = "", **context: Any) -> Iterator["Page"]:
    """A page in a context of its own. At the end nothing has been complained of on its console, nothing it asked for was
    missing, and it asked for nothing from another host; `expected` is what the console may say all the same."""
    said: list[str] = []
    with browser.new_context(**context) as own:
        page = own.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        yield page
        origin = "/".join(url.split("/")[:3]) + "/"
        assert [each for each in asked if not each.startswith((origin, "blob:", "data:"))] == []
        assert [each for each in said if not expected or expected not in each] == []


def assert_accessible(page: "Page") -> None:
    """Asserts that axe-core finds nothing serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], node["target"], node["failureSummary"])
        for each in found
        if each["impact"] in _SERIOUS
        for node in each["nodes"]
    ]
    assert serious == []
