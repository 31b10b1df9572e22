"""The commands that README and docs show, as they stand there: in blocks of code, and in the middle of a sentence."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from infra.settings import PROJECT

PAGES: Final = [
    PROJECT / "README.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
    PROJECT / "dashboards" / "README.md",
    PROJECT / "tests" / "fuzz" / "README.md",
]
_SHELLS: Final = frozenset({"bash", "sh", "shell", "console"})
_PROGRAMS: Final = frozenset({"scanline", "make", "python", "curl", "gzip", "openapi-python-client", "SELECT"})
_ASSIGNED: Final = re.compile(r"[A-Z_]+=\S*")
_PARSER: Final = MarkdownIt("commonmark").enable("table")  # it comes with rich


class Shown(NamedTuple):
    """A command of a page. One in a block stands there in full; in a sentence it may lack arguments."""

    page: str
    text: str
    in_block: bool

    @property
    def words(self) -> list[str]:
        """Its own, without variables before it, a prompt, a comment, or where its output goes."""
        lexer = shlex.shlex(self.text.removeprefix("$ ").partition(" > ")[0], posix=True, punctuation_chars=False)
        lexer.whitespace_split = True
        words = list(lexer)
        while words and _ASSIGNED.fullmatch(words[0]):
            del words[0]
        return words

    @property
    def program(self) -> str:
        """What is run; empty where it is none that the documents speak of."""
        name = Path(self.words[0]).name if self.words else ""
        return name if name in _PROGRAMS else ""

    @property
    def is_command(self) -> bool:
        """True for something to type: in a sentence, the name alone of a program is none."""
        try:
            return bool(self.program) and (self.in_block or len(self.words) > 1)
        except ValueError:  # an apostrophe: a sentence, or what a command printed
            return False


def tokens(page: Path) -> Iterator[Token]:
    """All of them, those inside of lines too."""
    for token in _PARSER.parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def is_shell(token: Token) -> bool:
    """True for a fenced block whose every line is a command or a comment."""
    return token.type == "fence" and token.info in _SHELLS


def lines_of(block: str) -> list[str]:
    """What stands on several lines is one; where a block has prompts, the other lines are what was printed."""
    lines = re.sub(r"\\\n\s*", "", block).split("\n")
    prompted = [line for line in lines if line.startswith("$ ")]
    return [line.strip() for line in prompted or lines if line.strip() and not line.lstrip().startswith("#")]


def script_with(page: str, text: str) -> str:
    """The one block on this page that holds the text, of those that a test runs as they stand (`bash script`)."""
    fences = [token for token in tokens(PROJECT / page) if token.type == "fence" and token.info == "bash script"]
    (found,) = [token.content for token in fences if text in token.content]
    return found


def _shown() -> Iterator[Shown]:
    for page in PAGES:
        name = str(page.relative_to(PROJECT))
        for token in tokens(page):
            if is_shell(token) or token.type == "code_block":
                yield from (Shown(name, line, True) for line in lines_of(token.content))
            elif token.type == "code_inline":
                yield Shown(name, token.content, False)


COMMANDS: Final = [each for each in dict.fromkeys(_shown()) if each.is_command]

# What is shown in blocks, and the test that runs it: tests/pipeline/test_docs_run.py runs those, with its own values in place of
# the page's.
RUN: Final[dict[str, dict[str, str]]] = {
    ".venv/bin/python docs/examples/direct_publisher.py BOOTSTRAP tenant-a trials/samples/scan-education.ndjson": {
        "BOOTSTRAP": "{bootstrap}",
        "tenant-a": "{tenant}",
    },
    "python docs/examples/direct_publisher.py 127.0.0.1:9092 tenant-a trials/samples/scan-crm.ndjson": {
        "127.0.0.1:9092": "{bootstrap}",
        "tenant-a": "{tenant}",
    },
    "python docs/examples/map_findings.py openmetadata docs/examples/mapping/openmetadata.json "
    "docs/examples/mapping/declarations.json > scan.ndjson": {},
    ".venv/bin/scanline publish scan.ndjson --tenant tenant-a": {"tenant-a": "{tenant}"},
    "scanline replay --tenant tenant-a --to-ndjson > rows.ndjson": {"tenant-a": "{tenant}"},
    "scanline replay --since 2026-07-01 --until 2026-07-02 --to-parquet rows/": {},
    "scanline replay --tenant tenant-a --to-schema replay_a": {"tenant-a": "{tenant}", "replay_a": "{schema}"},
    "scanline replay --from 3:1200 --to 3:5000 --to-ndjson -o rows.ndjson --rate 5000": {
        "3:1200": "{first}",
        "3:5000": "{end}",
        "rows.ndjson": "part.ndjson",
    },
    "scanline replay --tenant tenant-a --verify": {"tenant-a": "{tenant}"},
    "$ scanline dlq list": {},
    "$ scanline dlq show 1:0": {"1:0": "{letter}"},
    "$ scanline dlq retry --tenant cong-ty-minh-an --dry-run": {"cong-ty-minh-an": "{tenant}"},
    "$ scanline dlq retry --tenant cong-ty-minh-an": {"cong-ty-minh-an": "{tenant}"},
    "$ scanline dlq drop --tenant cong-ty-minh-an --reason message_unreadable "
    '--because "máy quét cũ gửi hỏng; đã báo" --yes': {"cong-ty-minh-an": "{tenant}"},
}
# And those that it cannot run: why, and what does.
ELSEWHERE: Final = {
    "make demo": "starts servers of its own: tests/pipeline/test_demo.py",
    "make test": "runs these tests",
    "make up": "starts servers of its own, and runs until Ctrl-C: tests/pipeline/test_up.py",
    "scanline rebuild": "needs an empty database: tests/faults/test_rebuild.py",
    "SCANLINE_POSTGRES_ADMIN_URL=postgresql+psycopg2://postgres:…@host/postgres scanline rebuild": "as above",
    "openapi-python-client generate": "has an environment of its own: tests/api/test_generated_client.py",
    "python generated_client.py": "runs in that environment",
    "scanline bench": "starts servers of its own, and measures for minutes",
    "scanline lag": "tests/pipeline/test_cli_lag_live.py",
    "curl": "tests/api/test_curl_examples.py",
    "gzip": "tests/api/test_curl_examples.py",
}


def elsewhere(command: Shown) -> bool:
    """True where ELSEWHERE says who runs it."""
    return any(command.text == each or command.text.startswith(f"{each} ") for each in ELSEWHERE)
