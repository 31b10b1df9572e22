"""A soak of a few seconds: it runs, accounts for every record, says what is too short to be judged, and draws its picture."""

from pathlib import Path

import pytest

from trials.soak.picture import draw
from trials.soak.promises import memory, promises
from trials.soak.sampler import Struck, columns, load
from trials.soak.soak import soak

pytestmark = pytest.mark.long

FAULT = "worker-sigkill"


def test_a_short_soak_reports_what_it_saw(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "samples.csv"
    measured = soak(tmp_path / "rig", file, 0.3, 2026, said.append, faults=(FAULT,), flat_out_seconds=3)
    samples = load(file)
    held = {promise.what_en: promise.held for promise in promises(measured, samples)}
    assert (held["each record exactly once"], held["lag is zero in the end"]) == (True, True), measured["findings"]
    assert held["worker memory is flat"] is None  # too short to say
    assert (measured["acknowledged"] > 100, measured["looks_failed"]) == (True, [])
    assert [name for name, *_ in measured["faults"]] == [FAULT] and any(FAULT in line for line in said)
    assert {"api-1", "worker-3", "kafka-1", "postgres-1"} <= {one.process for one in memory(samples)}
    assert {"lag", "stored", "connections write", "connections read", "kept api-1"} <= set(columns(samples))
    draw(samples, [Struck(*each) for each in measured["faults"]], tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
