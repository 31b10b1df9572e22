"""docs/http-api.md lists every problem of the catalogue with its status, and no other."""

import re
from pathlib import Path

from schemas.problems import PROBLEMS

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "http-api.md"


def test_every_problem_is_listed_with_its_status() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| .*\|$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {code: int(status) for code, status in rows} == {code: problem.status for code, problem in PROBLEMS.items()}
    assert len(rows) == len(PROBLEMS)
