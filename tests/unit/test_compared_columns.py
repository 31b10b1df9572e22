"""The checker imports nothing of ours, and has its own list of what a status and a row of `scans` both say: it is complete."""

from operations.replay.live_tables import COUNTS
from schemas.status import ScanStatus
from schemas.tables import scans
from trials.checker.statuses import COMPARED

_KEY = {"tenant_id", "scan_id"}
_TIMES = {"submitted_at", "started_at", "finished_at"}  # of each, the topic has them as text


def test_the_checker_compares_whatever_a_status_and_a_row_both_say() -> None:
    both = set(ScanStatus.__struct_fields__) & set(scans.columns.keys())
    assert set(COMPARED) == both - _KEY - _TIMES


def test_a_replay_compares_a_part_of_it() -> None:
    assert set(COUNTS) < set(COMPARED)
