"""The HTTP API as the command line uses it. Refusals are InfraErrors in the API's own words, in both languages."""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from infra.errors import InfraError
from infra.loopback import is_loopback
from operations.body_lines import lines_of

_PATIENCE: Final = httpx.Timeout(60, connect=5, read=120)
_PAGE: Final = 1_000
_QUOTED: Final = re.compile("«([^»]+)»")


class Refused(InfraError):
    """The API answered with a problem (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any], typed: Mapping[str, str]) -> None:
        """`typed`: the options of the command by the names that their values have for the API."""

        def said(messages: Mapping[str, Any], language: str) -> str:
            return _QUOTED.sub(lambda name: f"«{typed.get(name[1], name[1])}»", str(messages[language]))

        texts = {language: [said(problem["messages"], language)] for language in ("vi", "en")}
        for error in problem.get("errors", ()):
            place = error.get("parameter") or error.get("pointer") or "/"
            place = typed.get(place, place)
            for language, lines in texts.items():
                reason = said(error["messages"], language)
                if reason not in lines[0]:  # the first one is there already
                    lines.append(f"  {place}: {reason}")
        super().__init__("\n".join(texts["vi"]), "\n".join(texts["en"]), str(problem["code"]))
        self.status = int(problem["status"])


class ApiClient:
    """A context manager. Every call raises InfraError, where the API refuses it Refused."""

    def __init__(self, base_url: str, typed: Mapping[str, str] = MappingProxyType({})) -> None:
        """`typed`: see Refused."""
        self._typed = typed
        self._base_url = base_url.rstrip("/")
        try:
            # an API elsewhere may well lie behind the proxy that the environment names; this machine never does
            trust_env = not is_loopback(base_url)
            self._http = httpx.Client(base_url=self._base_url, timeout=_PATIENCE, trust_env=trust_env)
        except (
            ValueError,
            ImportError,
            httpx.InvalidURL,
        ):  # what httpx raises for a proxy it cannot use, and for an address
            raise InfraError.of("api_url_invalid") from None

    def submit(
        self, tenant: str, pieces: Iterable[bytes], details: Mapping[str, str | None], key: str, *, compress: bool
    ) -> dict[str, Any]:
        """Sends NDJSON as a stream. Returns the answer: scan_id, records, replayed."""
        headers = {"Content-Type": b"application/x-ndjson", **_keyed(key)}
        if compress:
            headers["Content-Encoding"] = b"gzip"
        return self._call(
            "POST",
            _scans(tenant),
            params={name: value for name, value in details.items() if value is not None},
            headers=headers,
            content=_compressed(pieces) if compress else iter(pieces),
        )

    def submit_nothing(self, tenant: str, details: Mapping[str, str | None], key: str) -> dict[str, Any]:
        """Sends a scan that found nothing. Returns the same."""
        given = {name: value for name, value in details.items() if value is not None}
        return self._call("POST", _scans(tenant), json={**given, "records": [], "complete": True}, headers=_keyed(key))

    def status(self, tenant: str, scan_id: str) -> dict[str, Any]:
        """One scan."""
        return self._call("GET", f"{_scans(tenant)}/{quote(scan_id, safe='')}")

    def errors(self, tenant: str, scan_id: str) -> Iterator[bytes]:
        """The scan's rejected records as lines of NDJSON."""
        headers = {"Accept": "application/x-ndjson"}
        path = f"{_scans(tenant)}/{quote(scan_id, safe='')}/errors"
        try:
            with self._http.stream("GET", path, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                    self._document(answer)
                yield from (line + b"\n" for line in lines_of(answer.iter_bytes()))
        except httpx.HTTPError as error:
            raise self._silent(error) from error

    def mend(self, tenant: str, scan_id: str, pieces: Iterable[bytes], wait: float) -> dict[str, Any]:
        """Sends corrections. Returns the scan's status once they were judged, or what was taken after `wait`
        seconds."""
        return self._call(
            "POST",
            f"{_scans(tenant)}/{quote(scan_id, safe='')}/records",
            headers={"Content-Type": "application/x-ndjson", "Prefer": f"wait={wait:.0f}"},
            content=iter(pieces),
        )

    def scans(self, tenant: str, state: str | None, most: int) -> list[dict[str, Any]]:
        """Gives at most so many scans, newest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < most:
            asked = {"status": state, "cursor": cursor, "limit": min(_PAGE, most - len(found))}
            page = self._call("GET", _scans(tenant), params={k: v for k, v in asked.items() if v is not None})
            found += page["scans"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    def _call(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **how)
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        return self._document(answer)

    def _silent(self, error: httpx.HTTPError) -> InfraError:
        return InfraError.of("api_no_answer", url=self._base_url, reason=type(error).__name__)

    def _document(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            document = answer.json()
            if answer.is_success:
                return dict(document)
            refusal = Refused(document, self._typed)
        except (ValueError, KeyError, TypeError):
            raise InfraError.of("api_answer_unknown", url=self._base_url, status=answer.status_code) from None
        raise refusal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()


def _scans(tenant: str) -> str:
    return f"/v1/tenants/{quote(tenant, safe='')}/scans"


def _keyed(key: str) -> dict[str, bytes]:
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    return {"Idempotency-Key": f'"{quoted}"'.encode()}


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()
