"""Which requests for a replay make no sense."""

from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from operations.replay.command import Request
from operations.replay.selection import Selection


@pytest.mark.parametrize(
    "wanted",
    [
        *({"schema": name} for name in ("public", "pg_catalog", "information_schema", "Mine", "a;b", "", "x" * 64)),
        {"schema": "mine", "to_ndjson": True},
        {"schema": "mine", "parquet": Path("x")},
        {"schema": "mine", "verify": True},
        {"schema": "mine", "checkpoint": Path("x")},
        {"schema": "mine", "output": Path("x")},
        {"to_ndjson": True, "parquet": Path("x")},
        {},
    ],
)
def test_is_refused_in_both_languages(wanted: dict[str, Any]) -> None:
    with pytest.raises(InfraError) as refused:
        Request(Selection(), **wanted).check()
    assert refused.value.vi and refused.value.en and refused.value.vi != refused.value.en


@pytest.mark.parametrize(
    "wanted",
    [{"schema": "replay_2026_07"}, {"to_ndjson": True}, {"verify": True}, {"parquet": Path("x"), "verify": True}],
)
def test_is_taken(wanted: dict[str, Any]) -> None:
    Request(Selection(), **wanted).check()
