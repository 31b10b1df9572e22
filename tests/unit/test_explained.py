"""What is hidden from the type checker says which rule it breaks, and why."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CHECKED: Final = (
    "schemas",
    "kafka_client",
    "sinks",
    "stream_app",
    "producer_api",
    "infra",
    "operations",
    "cli",
    "trials",
)
EXPLAINED: Final = re.compile(r"# type: ignore\[[a-z-]+(, [a-z-]+)*\]  # \S.{8,}$")


def test_every_ignored_type_error_has_its_reason() -> None:
    unexplained = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in CHECKED
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in path.read_text().splitlines()
        if "type: ignore" in line and not EXPLAINED.search(line)
    ]
    assert unexplained == []
