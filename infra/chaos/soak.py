"""A long run at half of what the rig can take, faults now and then: nothing may grow, and everything must settle."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from infra.chaos.checker import check, messages_behind, wait_until_drained
from infra.chaos.faults import FAULTS
from infra.chaos.history import History
from infra.chaos.load import Load
from infra.chaos.rig import Rig
from infra.chaos.sampling import Sampler, database_figures, memory_mib, slope_per_hour
from infra.errors import InfraError

# The kinds of a bad month, one at a time; what needs other servers is left to the rounds.
_FAULTS: Final = (
    "worker-sigkill",
    "kafka-sigkill",
    "postgres-immediate",
    "worker-zombie",
    "api-sigkill",
    "worker-postgres-blackhole",
    "api-kafka-cut",
    "postgres-connections-exhausted",
)
_FLAT_OUT_SECONDS: Final = 45.0
_SETTLE_SECONDS: Final = 600.0


def soak(folder: Path, minutes: float, seed: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Runs it on servers below `folder`, which must be new; returns what was measured and found.

    The figures: `flat_out` and `rate` in records a second, `memory` {process: MiB at a third of the time, at the end, and
    the slope in MiB an hour}, `lag_end` in messages, `findings` as sentences. samples.csv lies in the folder.
    """
    rng = Random(seed)
    with Rig(folder) as rig:
        rig.start_servers()
        for _ in range(2):
            rig.start_api()
            rig.start_worker()
        flat_out = _flat_out(rig, folder, seed)
        tell(f"flat out: {flat_out:,.0f} records/s, so the soak offers {flat_out / 2:,.0f}")
        history = History(folder / "history.jsonl")
        load = Load(history, rig.api_urls, rig.client_bootstrap, seed=seed, rate=int(flat_out / 2))
        with Sampler(lambda: _look(rig), folder / "samples.csv") as sampler:
            with load:
                _faults_now_and_then(rig, sampler, minutes * 60, rng, tell)
                load.stop_offering()
            drained = wait_until_drained(history, rig.admin_dsn, rig.admin_bootstrap, _SETTLE_SECONDS)
            time.sleep(15)  # idle, for the last samples
        report = check(history, rig.admin_dsn, rig.admin_bootstrap)
    return {
        "seed": seed,
        "minutes": minutes,
        "flat_out": round(flat_out),
        "rate": round(flat_out / 2),
        "acknowledged": report.acknowledged,
        "stored": report.stored,
        "drained_after": drained,
        "faults": sampler.events,
        "samples": sampler.samples,
        "memory": _memory(sampler.samples),
        "lag_end": sampler.samples[-1].get("lag"),
        "findings": list(map(str, report.findings)),
    }


def _flat_out(rig: Rig, folder: Path, seed: int) -> float:
    """Records stored a second while the load offers as fast as it can."""
    history = History(folder / "history-flat-out.jsonl")
    load = Load(history, rig.api_urls, rig.client_bootstrap, seed=seed, name="flatout")
    began, before = time.monotonic(), database_figures(rig.admin_dsn)["stored"]
    with load:
        time.sleep(_FLAT_OUT_SECONDS)
        load.stop_offering()
    if wait_until_drained(history, rig.admin_dsn, rig.admin_bootstrap, _SETTLE_SECONDS) is None:
        raise InfraError(
            f"Hệ thống chưa xử lý hết sau {_SETTLE_SECONDS:.0f} giây; xem {folder}.",
            f"The system had not drained after {_SETTLE_SECONDS:.0f} s; see {folder}.",
        )
    return (database_figures(rig.admin_dsn)["stored"] - before) / (time.monotonic() - began)


def _faults_now_and_then(rig: Rig, sampler: Sampler, seconds: float, rng: Random, tell: Callable[[str], None]) -> None:
    """Evenly over the middle: the first and the last tenth of the time are quiet."""
    began = time.monotonic()
    step = seconds * 0.8 / len(_FAULTS)
    for number, name in enumerate(_FAULTS):
        time.sleep(max(0.0, began + seconds * 0.1 + number * step - time.monotonic()))
        fault = FAULTS[name]
        tell(f"{(time.monotonic() - began) / 60:5.1f} min  {name}")
        sampler.event(name)
        with fault.strike(rig, rng):
            time.sleep(rng.uniform(*fault.seconds))
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def _look(rig: Rig) -> dict[str, float]:
    pids = {f"api {at}": one.pid for at, one in enumerate(rig.apis, 1)}
    pids |= {f"worker {at}": one.pid for at, one in enumerate(rig.workers, 1)}
    pids |= {"kafka": rig.kafka.brokers[0].pid} if rig.kafka.brokers[0].running else {}
    pids |= {"postgres": rig.postgres.pid} if rig.postgres.running else {}
    lag = messages_behind(rig.admin_dsn, rig.admin_bootstrap)
    return memory_mib(pids) | database_figures(rig.admin_dsn) | ({} if lag is None else {"lag": float(lag)})


def _memory(samples: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    names = sorted({name for sample in samples for name in sample if name.startswith("memory ")})
    found = {}
    for name in names:
        times = [sample["seconds"] for sample in samples if name in sample]
        values = [sample[name] for sample in samples if name in sample]
        found[name.removeprefix("memory ")] = {
            "early": values[len(values) // 3],
            "end": values[-1],
            "most": max(values),
            "mib_per_hour": round(slope_per_hour(times, values), 1),
        }
    return found
