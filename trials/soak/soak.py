"""A long run at half of what the rig can take, faults now and then: nothing may grow, and everything must settle."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import psutil

from infra.errors import InfraError
from trials.bench import machine
from trials.bench.row_watcher import server_version
from trials.chaos.faults import FAULTS
from trials.chaos.rig import Rig
from trials.chaos.rounds import WORKER_ENV, WORKERS
from trials.checker.checker import check, wait_until_drained
from trials.checker.findings import Report
from trials.checker.history import History
from trials.load.load import Load
from trials.load.reader import ApiReader
from trials.soak.rig_watch import Watch
from trials.soak.sampler import Sample, Sampler, database_figures

# The kinds of a bad month, one at a time; what needs other servers is left to the rounds.
SOAK_FAULTS: Final = (
    "worker-sigkill",
    "kafka-sigkill",
    "postgres-immediate",
    "worker-zombie",
    "api-sigkill",
    "worker-postgres-blackhole",
    "api-kafka-cut",
    "postgres-connections-exhausted",
)
_QUIET: Final = 0.1  # of the time, at the beginning and at the end, without faults
_SETTLE_SECONDS: Final = 600.0
_IDLE_SECONDS: Final = 15.0  # after everything is written, for the last samples
_TELL_EVERY: Final = 60.0
_SECOND_LOOK: Final = 10.0  # as in the rounds: longer than an API tries to tell that an upload broke off
_TENANTS_AT_ONCE: Final = 6  # half an hour's records of all 24 would take the checker several GiB
Announce = Callable[[str], None]


class Measured(dict[str, Any]):
    """The figures that a soak measured, ready for JSON: `flat_out` and `rate` in records a second; `busy_flat_out` and
    `busy_half` as {kind of process: processors used}, with `machine` for everything that runs there; `faults` as [name,
    began, ended] in seconds; `drained_after` in seconds or None; `findings` as sentences; the counts of the check."""


def soak(
    folder: Path,
    samples: Path,
    minutes: float,
    seed: int,
    announce: Announce,
    *,
    faults: tuple[str, ...] = SOAK_FAULTS,
    flat_out_seconds: float = 45.0,
) -> Measured:
    """Runs it on servers below `folder`, which is recreated; writes what was sampled to the file `samples` (CSV).

    Raises InfraError where the servers do not start, or do not take the load at all.
    """
    rng = Random(seed)
    with Rig(folder, worker_env=WORKER_ENV, kafka_whole_heap=True) as rig:
        announce("khởi động máy chủ / starting servers")
        rig.start_servers()
        for _ in range(WORKERS):
            rig.start_api()
            rig.start_worker()
        host = machine.describe(server_version(rig.admin_dsn))
        announce(f"đo mức tối đa, {flat_out_seconds:.0f} s / measuring flat out")
        flat_out, busy_flat_out = _flat_out(rig, folder, seed, flat_out_seconds)
        rate = round(flat_out / 2)
        announce(f"tối đa / flat out {flat_out:,.0f}, một nửa / half {rate:,} bản ghi/s / records/s")
        with Sampler(Watch(rig), samples) as sampler:
            with (
                History(folder / "history.jsonl") as history,
                Load(history, rig.api_urls, rig.client_bootstrap, seed=seed, rate=rate) as load,
                ApiReader(rig.api_urls, load.tenants) as reader,
            ):
                busy_half = _faults_now_and_then(rig, sampler, minutes * 60, faults, rng, announce)
                load.stop_offering()
            announce("ngừng gửi, chờ ghi hết / no more is sent, waiting until all is written")
            drained = wait_until_drained(history, rig.admin_dsn, rig.admin_bootstrap, _SETTLE_SECONDS)
            time.sleep(_IDLE_SECONDS)
        announce("đối soát từng bản ghi / reconciling every record")
        began = time.monotonic()
        report = _check(history, rig)
        if report.findings:
            time.sleep(_SECOND_LOOK)
            report = _check(history, rig)
        checked = time.monotonic() - began
    totals = {name: value for name, value in report.as_json().items() if name not in ("findings", "passed")}
    return Measured(
        seed=seed,
        minutes=minutes,
        machine=host,
        flat_out=round(flat_out),
        rate=rate,
        busy_flat_out=busy_flat_out,
        busy_half=busy_half,
        faults=[list(each) for each in sampler.struck],
        drained_after=None if drained is None else round(drained, 1),
        check_seconds=round(checked, 1),
        looks_failed=sampler.failed,
        reads_answered=reader.answered,
        **totals,
        findings=list(map(str, report.findings)),
    )


def _check(history: History, rig: Rig) -> Report:
    return check(history, rig.admin_dsn, rig.admin_bootstrap, tenants_at_once=_TENANTS_AT_ONCE)


def _flat_out(rig: Rig, folder: Path, seed: int, seconds: float) -> tuple[float, dict[str, float]]:
    """Records stored a second while the load offers as fast as it can, until all of it is; and who used the processors
    while it offered."""
    before = database_figures(rig.admin_dsn)["stored"]
    with (
        History(folder / "history-flat-out.jsonl") as history,
        # a seed of its own: direct publishers draw their scans' ids from it
        Load(history, rig.api_urls, rig.client_bootstrap, seed=seed + 1, name="flatout") as load,
    ):
        began = time.monotonic()
        busy = _busy_during(rig, lambda: time.sleep(seconds))
        load.stop_offering()
    if wait_until_drained(history, rig.admin_dsn, rig.admin_bootstrap, _SETTLE_SECONDS) is None:
        raise InfraError.of("soak_not_drained", seconds=_SETTLE_SECONDS, folder=folder)
    return (database_figures(rig.admin_dsn)["stored"] - before) / (time.monotonic() - began), busy


def _busy_during(rig: Rig, run: Callable[[], None]) -> dict[str, float]:
    """Processors used by each kind of process while `run` does; `machine` is everything, other people's work
    included."""
    began, before = time.monotonic(), _used(rig)
    run()
    spent = time.monotonic() - began
    return {kind: round(used / spent, 2) for kind, used in machine.since(before, _used(rig)).items()}


def _used(rig: Rig) -> dict[str, float]:
    links = [link.pid for link in rig.links.values() if link.pid is not None]
    whole = psutil.cpu_times()
    return machine.cpu_seconds_of(
        {
            "api": [service.pid for service in rig.apis],
            "worker": [service.pid for service in rig.workers],
            "postgres": [rig.postgres.pid],
            "kafka": [rig.kafka.brokers[0].pid],
            "links": links,
        }
    ) | {"machine": sum(whole) - whole.idle - whole.iowait - whole.guest - whole.guest_nice}


def _faults_now_and_then(
    rig: Rig, sampler: Sampler, seconds: float, faults: tuple[str, ...], rng: Random, announce: Announce
) -> dict[str, float]:
    """Evenly over the middle: the first and the last tenth of the time are quiet. Returns who used the processors in
    the first."""
    step = seconds * (1 - 2 * _QUIET) / max(1, len(faults))
    busy = _busy_during(rig, lambda: _wait_until(sampler, seconds * _QUIET, announce))
    for number, name in enumerate(faults):
        _wait_until(sampler, seconds * _QUIET + number * step, announce)
        announce(f"{_minutes(sampler)}  [yellow]{name}[/yellow]")
        fault = FAULTS[name]
        with sampler.fault(name), fault.strike(rig, rng):
            time.sleep(rng.uniform(*fault.seconds))
        while len(rig.workers) < WORKERS:  # one that ended by itself: its supervisor starts it again
            announce(f"{_minutes(sampler)}  [red]một worker tự dừng / a worker ended by itself[/red]")
            rig.start_worker()
    _wait_until(sampler, seconds, announce)
    return busy


def _wait_until(sampler: Sampler, seconds: float, announce: Announce) -> None:
    """Waits until so much of the run is over; says every minute how it stands."""
    while (left := seconds - sampler.seconds) > 0:
        time.sleep(min(left, _TELL_EVERY - sampler.seconds % _TELL_EVERY))
        if sampler.seconds < seconds and sampler.samples:
            announce(f"{_minutes(sampler)}  {_in_short(sampler.samples[-1])}")


def _minutes(sampler: Sampler) -> str:
    return f"{sampler.seconds / 60:5.1f} ph/min"


def _in_short(sample: Mapping[str, float] | Sample) -> str:
    parts = [f"lag {sample['lag']:.0f}"] if "lag" in sample else []
    parts += [f"{sample['stored']:,.0f} đã lưu / stored"] if "stored" in sample else []
    parts += [
        f"{name.removeprefix('memory ')} {value:.0f} MiB"
        for name, value in sample.items()
        if name.startswith("memory ")
    ]
    return ", ".join(parts)
