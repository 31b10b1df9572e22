"""What documents refer to is there: files, tests, and the headings that links lead to."""

import re
from pathlib import Path

import pytest

from infra.settings import PROJECT
from tests.unit.test_docs_wrapped import PAGES

_LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([\w-]+))?\)")
_FILE = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


def anchors(page: Path) -> set[str]:
    """The headings as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), (target, anchor)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_files_and_tests_that_are_named_are_there(page: Path) -> None:
    """A file may be named without its folder where that is clear."""
    for name, test in _FILE.findall(page.read_text(encoding="utf-8")):
        found = [name] if (PROJECT / name).exists() else []
        found += [] if found or "/" in name else [each for each in _modules() if each.endswith(f"/{name}")]
        assert found, name
        assert not test or any(f"def {test}(" in (PROJECT / each).read_text(encoding="utf-8") for each in found), test


def _modules() -> list[str]:
    folders = [folder for folder in PROJECT.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    return [str(path.relative_to(PROJECT)) for folder in folders for path in folder.rglob("*.py")]
