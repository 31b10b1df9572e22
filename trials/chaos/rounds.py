"""Rounds: load, faults in the middle of it, heal, recover, reconcile. And over again."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

from trials.chaos.plan import Setup, Step
from trials.chaos.results import Round, append
from trials.chaos.rig import Rig
from trials.checker.checker import check, wait_until_drained
from trials.checker.history import History
from trials.load.load import Load

WORKERS: Final = 2  # and as many API processes
SESSION_SECONDS: Final = 3.0
# Short, so that a round sees what a production system sees within minutes.
WORKER_ENV: Final = {
    "SCANLINE_SESSION_TIMEOUT_SECONDS": f"{SESSION_SECONDS:.0f}",
    "SCANLINE_WRITE_DEADLINE_SECONDS": "5",
    "SCANLINE_STREAM_PROBE_SECONDS": "0.5",
}
_WARM: Final = (0.8, 2.0)  # seconds of load before the first strike
_LONG: Final = (25.0, 40.0)  # seconds: more than three questions to a broker that does not answer
_PATIENCE: Final = 180.0  # seconds for everything to settle after the heal
_EXAMPLES: Final = 5
_SECOND_LOOK: Final = 10.0  # seconds; longer than an API tries to tell that an upload broke off
_DISK_MB: Final = {"kafka": 600, "postgres": 900, "postgres-wal": 256}  # with room for the rounds of one rig
Announce = Callable[[Round], None]


def run(setup: Setup, steps: Sequence[Step], folder: Path, results: Path, rate: int, announce: Announce) -> list[Round]:
    """Runs the steps on one rig below `folder`; each finished round is added to the file `results` and told."""
    done = []
    disks: dict[str, Any] = {f"{setup.disk.replace('-', '_')}_disk_mb": _DISK_MB[setup.disk]} if setup.disk else {}
    with Rig(folder, brokers=setup.brokers, worker_env=WORKER_ENV, **disks) as rig:
        rig.start_servers()
        for _ in range(WORKERS):
            rig.start_api()
            rig.start_worker()
        for step in steps:
            one = _round(rig, step, folder, rate)
            append(results, one)
            announce(one)
            done.append(one)
    return done


def _round(rig: Rig, step: Step, folder: Path, rate: int) -> Round:
    rng = Random(step.seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        History(folder / f"history-{step.number:04}.jsonl") as history,
        Load(history, rig.api_urls, rig.client_bootstrap, seed=step.seed, rate=rate, name=f"r{step.number:04}") as load,
    ):
        time.sleep(rng.uniform(*_WARM))
        began = time.monotonic()
        _strike(rig, step, rng)
        while len(rig.workers) < WORKERS:  # one that ended by itself: its supervisor starts it again
            rig.start_worker()
        held = time.monotonic() - began
        load.stop_offering()
    healed = began + held
    recovered = wait_until_drained(history, rig.admin_dsn, rig.admin_bootstrap, _PATIENCE)
    report = check(history, rig.admin_dsn, rig.admin_bootstrap)
    if report.findings:  # an API may still cancel a broken-off upload while the check reads: what is wrong stays wrong
        time.sleep(_SECOND_LOOK)
        report = check(history, rig.admin_dsn, rig.admin_bootstrap)
    findings: Counter[str] = Counter(finding.kind for finding in report.findings)
    return Round(
        step.number,
        step.seed,
        tuple(fault.name for fault in step.faults),
        round(held, 2),
        None if recovered is None else round(time.monotonic() - healed, 2),
        report.offered,
        report.acknowledged,
        report.stored,
        report.rejected,
        report.duplicates,
        report.redelivered,
        dict(findings),
        tuple(map(str, report.findings[:_EXAMPLES])),
    )


def _strike(rig: Rig, step: Step, rng: Random) -> None:
    """All of them within the longest one's time; each at its own moment, healed in reverse order."""
    with ExitStack() as struck:
        for fault in step.faults:
            struck.enter_context(fault.strike(rig, rng))
            seconds = rng.uniform(*fault.seconds) / len(step.faults)
            time.sleep(rng.uniform(*_LONG) if step.is_long else seconds)
