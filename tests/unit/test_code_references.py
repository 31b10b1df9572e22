"""What the code refers to can be read by whoever reads the code: a page or a decision of this repository, or a public document
that is named in full."""

import io
import re
import tokenize
from pathlib import Path
from typing import Final

import pytest

from infra.settings import PROJECT
from tests.unit.test_docs_links import anchors

FOLDERS: Final = (
    *("schemas", "kafka_client", "sinks", "stream_app", "producer_api", "infra", "operations", "cli", "trials"),
    *("tests", "docs"),
)
_PLACE: Final = re.compile(r"\b(?:sections?|lines?|pages?|chapters?|points?|§) ?\d+", re.IGNORECASE)
_PUBLIC: Final = re.compile(r"(?:RFC \d+|WHATWG HTML|KIP-\d+|(?:Law|Decree) \d+/\d{4}/[A-Z0-9ĐÂ-]+),? *$")
_PAGE: Final = re.compile(r"\b((?:docs|tests|dashboards)/[\w./-]+\.md)(?:#([\w-]+))?|\bdecision (\d{4})\b")


def _files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((PROJECT / folder).rglob("*.py"))]


def prose(source: str) -> list[str]:
    """The comments and docstrings, each on one line."""
    found = []
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        starts_statement = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and starts_statement):
            found.append(re.sub(r"\s+(?:# )?", " ", token.string))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type
    return found


def unresolved(text: str) -> list[str]:
    """The places that a text refers to without saying in which public document they are."""
    return [
        text[max(0, found.start() - 40) : found.end()]
        for found in _PLACE.finditer(text)
        if not _PUBLIC.search(text[: found.start()])
    ]


@pytest.mark.parametrize(
    "text", ["(design, section 3)", "as design says (sections 1 and 5)", "peers, line 4", "page 12"]
)
def test_a_place_in_an_unnamed_document_is_found(text: str) -> None:
    assert unresolved(text)


@pytest.mark.parametrize(
    "text", ["(RFC 9112, section 6)", "WHATWG HTML, section 9.2.6", "a line of 3 words", "KIP-516"]
)
def test_a_place_in_a_public_document_is_none(text: str) -> None:
    assert not unresolved(text)


def test_no_comment_refers_to_what_is_not_there() -> None:
    found = [
        f"{path.relative_to(PROJECT)}: {place}"
        for path in _files()
        if path != Path(__file__).resolve()
        for text in prose(path.read_text(encoding="utf-8"))
        for place in unresolved(text)
    ]
    assert found == []


def test_pages_and_decisions_that_comments_name_are_there() -> None:
    for path in _files():
        for text in prose(path.read_text(encoding="utf-8")):
            for page, anchor, decision in _PAGE.findall(text):
                if decision:
                    assert list((PROJECT / "docs" / "decisions").glob(f"{decision}-*.md")), (path, decision)
                    continue
                assert (PROJECT / page).is_file(), (path, page)
                assert not anchor or anchor in anchors(PROJECT / page), (path, page, anchor)
