"""Every command that README and docs show is there, with the options that it is shown with; and none in a block is run by no
test."""

import importlib.util
import re
from pathlib import Path
from typing import Any, Final

import pytest
from typer._click.exceptions import MissingParameter

from cli.commands import Commands, app
from infra.settings import PROJECT
from tests.docs_commands import COMMANDS, ELSEWHERE, PAGES, RUN, Shown, elsewhere, is_shell, lines_of, tokens

# A reader's own value: N, FILE, [SCAN_ID], earliest|latest|OFFSET, "..."
_NUMBER: Final = re.compile(r"[A-Z]")
_OPTIONAL: Final = re.compile(r"\[[A-Z_]+\]")
_CHOICE: Final = re.compile(r"(\w+)\\?\|.*")
# Options of other programs, in the middle of a sentence.
_OF_OTHERS: Final = frozenset({"--describe", "--link", "--check", "--http2", "--long", "--output-format"})


def _of(program: str) -> list[Shown]:
    return [each for each in COMMANDS if each.program == program]


def _named(each: Shown) -> str:
    return f"{each.page}: {each.text[:60]}"


def _filled(words: list[str]) -> list[str]:
    """With a value wherever the reader's own belongs, as far as a sentence says one."""
    kept = [word for word in words if word not in ("...", "…") and not _OPTIONAL.fullmatch(word)]
    return [_CHOICE.sub(r"\1", "1" if _NUMBER.fullmatch(word) else word) for word in kept]


def _loaded(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the rest of them."""
    command: Any = app
    while isinstance(command, Commands) and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, name
        command = command.load(name)
    return command, words


def _options(command: Any) -> set[str]:
    """All that it takes; a group's are those of its commands."""
    if isinstance(command, Commands):
        return {option for name in command.commands for option in _options(command.load(name))}
    return {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts} | {"--help"}


@pytest.mark.parametrize("shown", _of("scanline"), ids=_named)
def test_the_command_takes_what_it_is_shown_with(shown: Shown) -> None:
    command, words = _loaded(_filled(shown.words[1:]))
    if isinstance(command, Commands):  # a group in a sentence
        assert not shown.in_block and set(words) <= {"--help"}
        return
    try:
        command.make_context(command.name, words)
    except MissingParameter:  # it stands in full elsewhere
        assert not shown.in_block


@pytest.mark.parametrize("shown", _of("make"), ids=_named)
def test_the_target_is_there(shown: Shown) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}:" in makefile for target in shown.words[1:])


@pytest.mark.parametrize("shown", _of("python"), ids=_named)
def test_the_module_or_file_is_there(shown: Shown) -> None:
    _, first, *rest = shown.words
    if first == "-m":
        assert importlib.util.find_spec(rest[0]) is not None
        files = [word for word in rest if word.endswith(".py")]
    else:
        files = [first, *(word for word in rest if "/" in word and ":" not in word)]
    folders = (PROJECT, PROJECT / "docs" / "examples")  # http-api.md names the second
    assert all(any((folder / file).exists() for folder in folders) for file in files), files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_an_option_in_a_sentence_is_one_of_a_command(page: Path) -> None:
    known = _options(app) | _OF_OTHERS
    spans = [token.content for token in tokens(page) if token.type == "code_inline"]
    assert not [span for span in spans if span.startswith("--") and span.split()[0].partition("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_row_about_a_command_names_options_that_it_has(page: Path) -> None:
    """A table's first cell names it."""
    for row in re.findall(r"^\|.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE):
        spans = re.findall(r"`([^`]+)`", row)
        if not spans or not row.startswith("| `scanline "):
            continue
        command, _ = _loaded(spans[0].split()[1:2])
        named = {span.split()[0] for span in spans if span.startswith("--")}
        assert named <= _options(command), row


def test_every_command_in_a_block_is_run_by_a_test() -> None:
    blocks = [each for each in COMMANDS if each.in_block and each.program != "SELECT"]
    assert [each for each in blocks if each.text not in RUN and not elsewhere(each)] == []
    texts = [each.text for each in blocks]
    assert [each for each in RUN if each not in texts] == []
    assert [each for each in ELSEWHERE if not any(text.startswith(each) for text in texts)] == []
    tests = re.findall(r"tests/\w+/\w+\.py", " ".join(ELSEWHERE.values()))
    assert tests and all((PROJECT / each).exists() for each in tests)


def test_a_shell_block_has_commands_alone() -> None:
    """So that none is passed over by these tests: what is printed stands in a block of another kind."""
    blocks = [token for page in PAGES for token in tokens(page) if is_shell(token)]
    lines = [line for block in blocks for line in lines_of(block.content)]
    commands = {each.text for each in COMMANDS}
    assert lines and not [line for line in lines if line not in commands and not re.fullmatch(r"[A-Z]+=\S+", line)]
