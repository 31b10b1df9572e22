"""docs/metrics.md: every metric of every process, generated from where each is declared.

    python -m dashboards.metrics_page           writes docs/metrics.md
    python -m dashboards.metrics_page --check   exits 1 where it is stale

The sources are read, not run: a metric is declared by one call with literal name, text and labels, so nothing has to be
started, and nothing that a process would do when it is loaded is done.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "metrics.md"
_PACKAGES: Final = ("schemas", "kafka_client", "sinks", "stream_app", "producer_api", "infra", "operations", "cli")
_DECLARES: Final = re.compile(r"(Counter|Gauge|Histogram)(?:MetricFamily)?")
_LABELS: Final = ("labelnames", "labels")
# heading, who exposes them, and how their names begin
_PARTS: Final = (
    ("API: nhận lượt quét / taking scans in", "API", ("scanline_api_", "scanline_process_")),
    ("Worker: lát, làn, lô nhỏ / slices, lanes, micro-batches", "worker", ("scanline_stream_",)),
    ("Worker: ghi vào PostgreSQL / writing to PostgreSQL", "worker", ("scanline_sink_", "scanline_tenant_")),
    (
        "Kết nối cơ sở dữ liệu / connection pools",
        'API (`pool="read"`), worker (`pool="write"`)',
        ("scanline_pool_",),
    ),
    (
        "Tình trạng / statuses",
        "worker (published, publish failures, delay), API (the others)",
        ("scanline_status_",),
    ),
    ("Trình xuất / exporter", "exporter", ("scanline_",)),
)
_HEAD: Final = """\
# Chỉ số / Metrics

*Mọi chỉ số mà các tiến trình công bố ở `/metrics` cho Prometheus. Trang này được sinh ra từ mã
nguồn (`make contract`); đừng sửa tay.*

Every metric that the processes expose at `/metrics` for Prometheus. This page is generated from the
code (`make contract`): do not edit it. Each text says what to do when the metric looks wrong; more
is in [operations](operations.md#what-to-look-at-what-to-do).

With `SCANLINE_API_PROCESSES` above 1 any process of the API answers for all of them. Labels are
closed lists, templates of routes, or numbers of partitions: none holds a value of a record, a scan
or a person. Beside these each process exposes what prometheus-client adds (`process_*`,
`python_*`), but for several processes of the API, which have `scanline_process_resident_bytes`
instead.

Buckets of latencies tell 50 ms, 200 ms, 1 s and 5 s apart.

## Tenants

No metric names a tenant, unless `SCANLINE_METRICS_TENANTS` is above 0. Then each worker counts
records in `scanline_tenant_records_total` under the names of that many tenants, and all others as
`other`. Chosen are those that sent most lately: counts fade by half in an hour, the choice is made
anew each minute, and who has a name keeps it until another has half as much again. A tenant begins
at 0 when it is chosen; what it sent before stands in `other`. One that is not chosen any more has
no series. A tenant's records are all of one worker, so over several workers sums are right.
"""


class Metric(NamedTuple):
    """A metric as it is declared. A counter's name ends with _total, as Prometheus shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str
    file: str


def declared(root: Path = ROOT) -> list[Metric]:
    """All of them, in the order of the files, and of their lines."""
    files = (file for package in _PACKAGES for file in sorted((root / package).rglob("*.py")))
    return [metric for file in files for metric in _declared_in(file, str(file.relative_to(root)))]


def _declared_in(file: Path, shown: str) -> Iterator[Metric]:
    source = file.read_text(encoding="utf-8")
    if '"scanline_' not in source:
        return
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or not call.args:
            continue
        kind = _DECLARES.fullmatch(call.func.id)
        if kind is None:
            continue
        try:
            name, text, *rest = [ast.literal_eval(argument) for argument in call.args[:3]]
            named = [ast.literal_eval(each.value) for each in call.keywords if each.arg in _LABELS]
        except ValueError as error:
            raise ValueError(f"{shown}:{call.lineno}: a metric is declared with literals") from error
        if kind[1] == "Counter":
            name = name.removesuffix("_total") + "_total"
        labels = (named or rest or [()])[0] or ()
        yield Metric(name, kind[1].lower(), tuple(labels), text, shown)


def page(metrics: list[Metric]) -> str:
    """The text of docs/metrics.md."""
    parts, left = [_HEAD], metrics
    for heading, exposed_by, prefixes in _PARTS:
        here = [metric for metric in left if metric.name.startswith(prefixes)]
        left = [metric for metric in left if metric not in here]
        if here:
            rows = "".join(_row(metric) for metric in here)
            parts.append(
                f"## {heading}\n\nCông bố bởi / exposed by: {exposed_by}.\n\n"
                f"| name | kind | labels | what it says, what to do |\n|---|---|---|---|\n{rows}"
            )
    return "\n".join(parts)


def _row(metric: Metric) -> str:
    labels = "".join(f" `{label}`," for label in metric.labels).rstrip(",")
    return f"| `{metric.name}` | {metric.kind} |{labels} | {metric.text} |\n"


def main(arguments: list[str] | None = None) -> int:
    """Writes the page, or checks it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.metrics_page", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is stale")
    text = page(declared())
    if parser.parse_args(arguments).check:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            print("docs/metrics.md is stale: run make contract", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    print("docs/metrics.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
