"""One case's figures, and whether they reach what was set out."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

from trials.bench.http import percentile


class Result(NamedTuple):
    """Figures of one case. Times in seconds; `rate` in committed rows a second; `cpu` in processor seconds by
    process."""

    case: str
    records: int
    rate: float
    seconds: float
    latencies: Sequence[float] = ()
    cpu: dict[str, float] = {}
    problems: Sequence[str] = ()
    note: str = ""
    rates: Sequence[float] = ()  # of every repeat, where the case was repeated

    @classmethod
    def median(cls, repeats: Sequence[Self]) -> Self:
        """The repeat with the median rate; with the answers' times and the problems of all of them."""
        middle = sorted(repeats, key=lambda result: result.rate)[len(repeats) // 2]
        return middle._replace(
            latencies=[seconds for result in repeats for seconds in result.latencies],
            problems=[problem for result in repeats for problem in result.problems],
            rates=[result.rate for result in repeats],
        )

    def latency(self, share: float) -> float | None:
        """The latency of the API's answers; None where there were none."""
        return percentile(self.latencies, share) if self.latencies else None

    def as_json(self, raw: float | None) -> dict[str, Any]:
        """The result as the file has it."""
        return {
            "case": self.case,
            "records": self.records,
            "rows_per_second": round(self.rate),
            "ratio_to_raw_copy": round(self.rate / raw, 3) if raw else None,
            "rows_per_second_of_repeats": [round(rate) for rate in self.rates],
            "seconds": round(self.seconds, 4),
            "api_seconds": {
                name: _rounded(self.latency(share))
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
            },
            "cpu_seconds": self.cpu,
            "problems": list(self.problems),
            "note": self.note,
        }


class Verdict(NamedTuple):
    """A target and what was measured; `reached` is None where the case did not run."""

    target: str
    wanted: str
    measured: str
    reached: bool | None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


_RATIOS: Final = (("direct", 0.6), ("http-100x1000", 0.5))
_LIMITS: Final = (
    ("http-1x1000", "Prefer: wait, 1,000 records: slowest answer", 1.0, 1.0),
    ("http-1x10000", "10,000 records completed: slowest", 1.0, 3.0),
    ("http-100x1000-2s", "API p99, 100 tenants within two seconds", 0.99, 0.2),
    ("reads-while-writing", "reads while writing at full rate, p99", 0.99, 0.1),
)


def verdicts(results: Sequence[Result], raw: float | None) -> list[Verdict]:
    """Compares what was measured with what was set out to be reached on two cores."""
    by_case = {result.case: result for result in results}
    found = []
    for case, wanted in _RATIOS:
        result = by_case.get(case)
        ratio = result.rate / raw if result is not None and raw else None
        found.append(
            Verdict(
                f"{case} / raw COPY, 1 connection",
                f">= {wanted}",
                "-" if ratio is None else f"{ratio:.2f}",
                None if ratio is None else ratio >= wanted,
            )
        )
    for case, text, share, limit in _LIMITS:
        result = by_case.get(case)
        latency = result.latency(share) if result is not None else None
        found.append(
            Verdict(
                text,
                f"< {limit:g} s",
                "-" if latency is None else f"{latency:.3f} s",
                None if latency is None else latency < limit,
            )
        )
    return found


def table_row(result: Result, raw: float | None) -> dict[str, str]:
    """The result as a row of the table."""

    def milliseconds(share: float) -> str:
        value = result.latency(share)
        return "" if value is None else f"{value * 1000:,.0f}"

    return {
        "case": result.case,
        "records": f"{result.records:,}",
        "rows/s": f"{result.rate:,.0f}",
        "× raw": f"{result.rate / raw:.2f}" if raw else "",
        "seconds": f"{result.seconds:.2f}",
        "p50 ms": milliseconds(0.5),
        "p95 ms": milliseconds(0.95),
        "p99 ms": milliseconds(0.99),
        "CPU s: api/worker/pg/kafka/client": "/".join(
            f"{result.cpu.get(kind, 0):.1f}" for kind in ("api", "worker", "postgres", "kafka", "client")
        )
        if result.cpu
        else "",
        "ok": "✗" if result.problems else "✓",
    }
