"""A proxy for the way out is no way to this machine itself."""

import re
from pathlib import Path
from typing import Final

import pytest

from infra.errors import InfraError
from infra.loopback import is_loopback, opened
from infra.processes.supervisor import LogTail
from operations.api_client import ApiClient
from tests.commands import DEAD_PROXY
from tests.fixed_server import fixed_server

ROOT: Final = Path(__file__).resolve().parents[2]
_REQUEST: Final = re.compile(r"(?:httpx\.(?:get|post|put|delete|request|stream|Client|AsyncClient)|urlopen)\((.*)")
PROXIES: Final = pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://x", "http://[::"])


@pytest.fixture
def behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in DEAD_PROXY.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.8.9.1", True),
        ("http://localhost:8000/x", True),
        ("http://LOCALHOST", True),
        ("http://api.localhost:8000", True),
        ("http://[::1]:8000", True),
        ("http://10.0.0.1", False),
        ("https://scans.example", False),
        ("http://127.0.0.1.example", False),
        ("nonsense", False),
    ],
)
def test_what_this_machine_is_called(url: str, is_ours: bool) -> None:
    assert is_loopback(url) is is_ours


@pytest.mark.usefixtures("behind_a_proxy")
def test_this_machine_is_never_asked_through_a_proxy() -> None:
    with fixed_server(b"{}", "application/json") as url:
        assert opened(url, 10).read() == b"{}"
        with ApiClient(url) as api:
            assert api.status("tenant-a", "x") == {}


@pytest.mark.usefixtures("behind_a_proxy")
def test_an_api_elsewhere_is_asked_through_the_proxy() -> None:
    with ApiClient("http://scans.example") as api, pytest.raises(InfraError, match="ConnectError"):
        api.status("tenant-a", "x")


@PROXIES
def test_a_proxy_that_cannot_be_used_is_reported_in_both_languages(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEAD_PROXY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(InfraError) as refused:
        ApiClient("https://scans.example")
    assert "proxy" in refused.value.vi and "ALL_PROXY" in refused.value.en
    assert proxy not in str(refused.value)  # it may hold a password


def test_no_request_of_ours_goes_by_the_environments_proxy_without_a_thought() -> None:
    """Whatever in infra or in the examples asks by HTTP says whether the environment counts."""
    for folder in ("infra", "docs/examples", "producer_api", "stream_app"):
        for file in (ROOT / folder).rglob("*.py"):
            for request in _REQUEST.finditer(file.read_text(encoding="utf-8")):
                assert "trust_env=" in request[1], (file.name, request[0])


@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "not ended"])
def test_the_last_line_is_a_line_without_a_line_feed_too(end: bytes) -> None:
    lines = [b'{"index": 0, "name": "\xe2\x80\xa8"}', b'{"index": 1}']
    with fixed_server(b"\n".join(lines) + end, "application/x-ndjson") as url, ApiClient(url) as api:
        assert list(api.errors("tenant-a", "x")) == [line + b"\n" for line in lines]


def test_a_log_is_followed_from_where_this_run_began_and_by_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "api-1.log"
    log.write_bytes(b"an earlier run\n")
    tail = LogTail(log, log.stat().st_size)
    assert tail.lines() == []
    with log.open("ab") as file:
        file.write("một\nha".encode())
        file.flush()
        assert tail.lines() == ["một"]
        file.write(b"i\nba")
        file.flush()
        assert tail.lines() == ["hai"]
    assert tail.lines(last=True) == ["ba"]
    assert tail.lines(last=True) == []
