"""Documents can be read in a diff: prose is wrapped at 100 columns, and a table's cell is no paragraph."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "dashboards").glob("*.md"),
        ROOT / "tests/fuzz/README.md",
    ]
)
COLUMNS = 100
CELL = 200
# a line may be longer where it cannot be broken: it is one code span, one link or one word
_UNBREAKABLE = re.compile(r"[ >]*(?:[-*+] |\d+\. )?(?:`[^`]+`\S*|\S*\[[^\]]*\]\([^)]*\)\S*|\S+)")

_PARSER = MarkdownIt("commonmark").enable("table")  # it comes with rich


def too_long(page: str) -> Iterator[str]:
    """Lines of paragraphs that are over the limit: not those of code, tables and headings."""
    lines = page.split("\n")
    for token in _PARSER.parse(page):
        if token.type == "paragraph_open" and token.map is not None:
            for number in range(*token.map):
                if len(lines[number]) > COLUMNS and not _UNBREAKABLE.fullmatch(lines[number]):
                    yield f"line {number + 1}: {lines[number]}"


def crowded(page: str) -> Iterator[str]:
    """Cells of tables over the limit, the addresses of links not counted."""
    for token, inline in pairwise(_PARSER.parse(page)):
        if token.type in ("td_open", "th_open"):
            text = re.sub(r"\]\([^)]*\)", "]", inline.content)
            if len(text) > CELL:
                yield text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_is_wrapped_and_cells_are_short(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not list(too_long(text))
    assert not list(crowded(text))


def test_a_long_line_and_a_crowded_cell_are_found() -> None:
    words = "word " * 40
    assert list(too_long(f"# {words}\n\n- {words}\n\n```text\n{words}\n```\n\n    {words}\n"))
    assert not list(too_long(f"# {words}\n\n```text\n{words}\n```\n\n    {words}\n\n[a b]({'x' * 120}).\n"))
    assert list(crowded(f"| a |\n|---|\n| {words * 2} |\n"))
    assert not list(crowded(f"| a |\n|---|\n| [b]({'x' * 300}) |\n"))
