"""Sends the demo's scans on every way in."""

import gzip
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx

from infra.errors import InfraError
from infra.settings import PROJECT
from schemas.errors import Text
from trials import generator
from trials.bench.http import Call, submit_all
from trials.demo.scans import SPREAD, Sample, Sent, new_scan_id, wanted

_PUBLISHER: Final = PROJECT / "docs" / "examples" / "direct_publisher.py"
_LINES_AT_ONCE: Final = 50
_NDJSON: Final = {"Content-Type": "application/x-ndjson"}


def send_samples(samples: Sequence[Sample], api_url: str, bootstrap: str) -> list[Sent]:
    """All at the same time. Raises InfraError when one is not taken."""
    with ThreadPoolExecutor(len(samples)) as pool:
        return list(pool.map(lambda sample: _send(sample, api_url, bootstrap), samples))


def _send(sample: Sample, api_url: str, bootstrap: str) -> Sent:
    expected = wanted(sample.lines)
    began = time.perf_counter()
    if sample.way == "Kafka":
        scan_id = new_scan_id()
        _publish(sample, bootstrap, scan_id)
        return Sent(sample.tenant, scan_id, sample.way, expected, began, None)
    url = f"{api_url}/v1/tenants/{sample.tenant}/scans"
    if sample.way == "JSON":
        content: bytes | Iterator[bytes] = generator.body(sample.lines, sample.name)
        headers = {"Content-Type": "application/json"}
    elif sample.way == "NDJSON":
        content, headers = _stream(sample.lines), _NDJSON
        url += f"?source={sample.name}"
    else:
        content, headers = gzip.compress(generator.ndjson(sample.lines)), {**_NDJSON, "Content-Encoding": "gzip"}
        url += f"?source={sample.name}"
    try:
        answer = httpx.post(url, content=content, headers=headers, timeout=60, trust_env=False)
    except httpx.HTTPError as error:
        raise InfraError.of("demo_api_no_answer", reason=type(error).__name__) from error
    answered = time.perf_counter()
    if answer.status_code != 202:
        raise _refused(sample.tenant, answer.status_code, answer.json())
    return Sent(sample.tenant, answer.json()["scan_id"], sample.way, expected, began, answered)


def _stream(lines: Sequence[bytes]) -> Iterator[bytes]:
    """A body without a length, in pieces, as a scanner sends it while it still scans."""
    for at in range(0, len(lines), _LINES_AT_ONCE):
        yield generator.ndjson(lines[at : at + _LINES_AT_ONCE])


def _publish(sample: Sample, bootstrap: str, scan_id: str) -> None:
    """Publishes with the documentation's publisher: nothing of ours but the contract."""
    done = subprocess.run(
        [sys.executable, str(_PUBLISHER), bootstrap, sample.tenant, str(sample.file), scan_id],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InfraError.of("demo_not_published", name=sample.name, reason=done.stderr[-300:])


def send_generated(scans: Mapping[str, Sequence[bytes]], api_url: str) -> list[Sent]:
    """Every tenant on a connection of its own, evenly over SPREAD seconds. Raises InfraError when one is not taken."""
    calls = [
        Call(tenant, generator.body(lines, "generator"), after=SPREAD * number / len(scans))
        for number, (tenant, lines) in enumerate(scans.items())
    ]
    expected = [wanted(lines) for lines in scans.values()]
    start = time.perf_counter()
    answers = submit_all([api_url], calls)
    sent = []
    for call, answer, want in zip(calls, answers, expected, strict=True):
        if answer.status != 202:
            raise _refused(answer.tenant, answer.status, answer.document)
        began = start + call.after
        sent.append(Sent(answer.tenant, answer.scan_id, "JSON", want, began, began + answer.seconds))
    return sent


def _refused(tenant: str, status: int, document: Mapping[str, object]) -> InfraError:
    messages = document.get("messages")
    texts = messages if isinstance(messages, dict) else {}
    reason = Text(*(str(texts.get(language, document)) for language in ("vi", "en")))
    return InfraError.of("demo_scan_refused", tenant=tenant, status=status, reason=reason)
