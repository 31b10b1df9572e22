"""Compares what a soak promises with what it measured."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from infra.settings import InfraSettings
from producer_api.settings import ApiSettings
from stream_app.settings import WorkerSettings
from trials.chaos.rounds import WORKERS
from trials.soak.flatness import MOST, Memory, judge
from trials.soak.sampler import Sample, Struck, columns, series

_NOTHING: Final = 100.0  # messages that wait for less than the time between two samples


class _Pool(NamedTuple):
    """Connections of all processes together: the most they may open, and what they open in time without any harm (a
    pool keeps what it once needed): one for each lane, whose call may take long while others go on, and one more for
    each worker; one for the one reader of the soak, in each API."""

    most: int
    needed: int


_POOLS: Final = {
    "write": _Pool(
        WORKERS * WorkerSettings.model_fields["write_connections"].default,
        InfraSettings.kafka_partitions + WORKERS,
    ),
    "read": _Pool(WORKERS * ApiSettings.model_fields["read_connections"].default, WORKERS),
}


class Promise(NamedTuple):
    """`held` None where the run was too short to say."""

    what_vi: str
    what_en: str
    held: bool | None
    told: str


class Settled(NamedTuple):
    """A fault's backlog: the most messages between its strike and the next one's, samples in between once it was
    healed, and seconds from there until one of these showed no more than there was before the first fault, or next to
    nothing."""

    fault: str
    most: float
    looks: int
    after: float | None  # None where none did


def promises(measured: Mapping[str, Any], samples: Sequence[Sample]) -> list[Promise]:
    """All of them, in the order of their weight."""
    faults = [Struck(*each) for each in measured["faults"]]
    return [
        _exactly_once(measured),
        _drained(measured, samples),
        _caught_up(settled(samples, faults)),
        *(_pool(samples, faults, pool) for pool in _POOLS),
        *(_flat(memory(samples), kind) for kind in MOST),
    ]


def memory(samples: Sequence[Sample]) -> list[Memory]:
    """Judges the memory of every process that was there."""
    found = []
    for column in columns(samples):
        if not column.startswith("memory "):
            continue
        process = column.removeprefix("memory ")
        times, values = series(samples, column)
        found.append(judge(process, times, values, _kept(samples, process)))
    return found


def _kept(samples: Sequence[Sample], process: str) -> list[float]:
    """MiB that it must hold, at each sample of it; what it said last, where it could not be asked."""
    last, found = 0.0, []
    for sample in samples:
        if f"memory {process}" in sample:
            last = sample.get(f"kept {process}", last)
            found.append(last)
    return found


def settled(samples: Sequence[Sample], faults: Sequence[Struck]) -> list[Settled]:
    """The time in which each fault's backlog went away."""
    quiet = max(_NOTHING, _most_before(samples, faults, "lag"))
    found = []
    for number, fault in enumerate(faults):
        until = faults[number + 1].began if number + 1 < len(faults) else float("inf")
        points = [
            (one["seconds"], one["lag"]) for one in samples if "lag" in one and fault.began <= one["seconds"] < until
        ]
        healed = [(at, lag) for at, lag in points if at >= fault.ended]
        after = next((round(at - fault.ended, 1) for at, lag in healed if lag <= quiet), None)
        found.append(Settled(fault.name, max((lag for _, lag in points), default=0.0), len(healed), after))
    return found


def _most_before(samples: Sequence[Sample], faults: Sequence[Struck], name: str) -> float:
    """The most in the quiet time before the first fault."""
    end = faults[0].began if faults else float("inf")
    return max((one[name] for one in samples if name in one and one["seconds"] < end), default=0.0)


def _exactly_once(measured: Mapping[str, Any]) -> Promise:
    findings = measured["findings"]
    told = f"{measured['acknowledged']:,} bản ghi đã xác nhận / acknowledged records, {len(findings)} sai / findings"
    return Promise("mỗi bản ghi đúng một lần", "each record exactly once", not findings, told)


def _drained(measured: Mapping[str, Any], samples: Sequence[Sample]) -> Promise:
    _, lags = series(samples, "lag")
    last, drained = (lags[-1] if lags else None), measured["drained_after"]
    told = f"lag {'?' if last is None else f'{last:.0f}'}, sau / after {'-' if drained is None else f'{drained:.1f}'} s"
    return Promise("cuối cùng không còn gì chờ ghi", "lag is zero in the end", drained is not None and last == 0, told)


def _caught_up(found: Sequence[Settled]) -> Promise:
    left = [each.fault for each in found if each.looks and each.after is None]
    worst = max((each.after for each in found if each.after is not None), default=0.0)
    told = ", ".join(left) if left else f"lâu nhất / longest {worst:.0f} s"
    held = False if left else None if any(not each.looks for each in found) else True
    return Promise(
        "sau mỗi sự cố, số chờ ghi trở về như trước", "after each fault lag is back where it was", held, told
    )


def _pool(samples: Sequence[Sample], faults: Sequence[Struck], pool: str) -> Promise:
    _, counts = series(samples, f"connections {pool}")
    before, most = _most_before(samples, faults, f"connections {pool}"), max(counts, default=0.0)
    allowed, last = _POOLS[pool], counts[-1] if counts else None
    told = f"trước / before {before:.0f}, cao nhất / most {most:.0f} (≤ {allowed.most}), cuối / last "
    told += "?" if last is None else f"{last:.0f} (≤ {max(before, allowed.needed):.0f})"
    held = last is not None and most <= allowed.most and last <= max(before, allowed.needed)
    return Promise(f"kết nối {pool} ổn định", f"{pool} connections are steady", held, told)


def _flat(found: Sequence[Memory], kind: str) -> Promise:
    ours = [each for each in found if each.process.startswith(f"{kind}-")]
    bad = [each for each in ours if each.verdict in ("grows", "too much")]
    judged = [each for each in ours if each.verdict == "flat"]
    peak = max((each.peak for each in ours), default=0.0)
    told = f"cao nhất / peak {peak:.0f} MiB (≤ {MOST[kind]:.0f})"
    for each in bad or judged:
        climb = "?" if each.climb is None else f"{each.climb:+.1f}"
        told += f"; {each.process}: {each.verdict}, {climb} MiB"
    return Promise(
        f"bộ nhớ {kind} không tăng mãi", f"{kind} memory is flat", False if bad else True if judged else None, told
    )
