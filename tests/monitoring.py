"""A real Prometheus and a real Alertmanager beside the tests' servers, and somebody who gets their messages."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from infra.processes.child import Child, free_port
from infra.processes.services import Service
from infra.settings import PROJECT
from tests.packages import program, wait_until_answers

RULES: Final = sorted((PROJECT / "dashboards" / "rules").glob("*.yml"))
ALERTMANAGER: Final = PROJECT / "dashboards" / "alertmanager"


class Prometheus:
    """What it knows, by its HTTP API."""

    def __init__(self, url: str, log_file: Path) -> None:
        self.url = url
        self.log_file = log_file
        self._http = httpx.Client(base_url=url, timeout=30)

    def get(self, path: str, **params: str) -> Any:
        """None while it does not answer, or refuses."""
        try:
            answer = self._http.get(f"/api/v1/{path}", params=params)
        except httpx.HTTPError:
            return None
        return answer.json()["data"] if answer.status_code == 200 else None

    def series(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each."""
        found = (self.get("query", query=query) or {}).get("result", ())
        return [(each["metric"], float(each["value"][1])) for each in found]

    def values(self, query: str) -> dict[str, float]:
        """By job."""
        return {labels["job"]: value for labels, value in self.series(query)}

    def own_metrics(self) -> str:
        return self._http.get("/metrics").text

    def close(self) -> None:
        self._http.close()


@contextmanager
def prometheus(
    folder: Path,
    jobs: Mapping[str, Iterable[Service]],
    *,
    rules: Iterable[Path] = (),
    alertmanager: str | None = None,
    scrape_configs: Iterable[Mapping[str, Any]] = (),
) -> Iterator[Prometheus]:
    """Running in `folder`; looks at the processes of each job, and at the rules, every second. `scrape_configs`: beside those."""
    binary = program("prometheus")
    settings: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(each) for each in rules],
        "scrape_configs": [
            {
                "job_name": name,
                "static_configs": [{"targets": [each.base_url.removeprefix("http://") for each in services]}],
            }
            for name, services in jobs.items()
        ]
        + list(scrape_configs),
    }
    if alertmanager is not None:
        targets = [{"targets": [alertmanager.removeprefix("http://")]}]
        settings["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
    configuration = folder / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(settings))
    port = free_port()
    command = [
        str(binary),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    child = Child("prometheus", command, log_file=folder / "prometheus.log", cwd=folder)
    try:
        with closing(Prometheus(f"http://127.0.0.1:{port}", child.log_file)) as asked:
            yield asked
    finally:
        child.stop()


class Inbox:
    """What Alertmanager has sent: by mail, and to the webhook."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.posts: list[dict[str, Any]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """A mail has come."""
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def mail(self, alert: str, status: str) -> EmailMessage | None:
        """The first of this alert, «ALERT» or «OVER»."""
        return next((each for each in self.mails if f"{status} · {alert} ·" in each["Subject"]), None)

    def post(self, alert: str, status: str) -> dict[str, Any] | None:
        """What the webhook was told first of this alert, «firing» or «resolved»."""
        told = (each for post in self.posts for each in post["alerts"])
        return next((each for each in told if (each["labels"]["alertname"], each["status"]) == (alert, status)), None)


@contextmanager
def alertmanager(folder: Path) -> Iterator[tuple[str, Inbox]]:
    """Its address, and what it sends. It runs with the project's own configuration and texts; only the addresses are others,
    and it does not wait for more alerts of a group."""
    binary = program("prometheus-alertmanager")
    inbox = Inbox()
    mails = Controller(inbox, hostname="127.0.0.1", port=free_port())
    mails.start()
    web = ThreadingHTTPServer(("127.0.0.1", free_port()), _handler(inbox))
    threading.Thread(target=web.serve_forever, name="webhook").start()
    settings = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8"))
    settings["global"]["smtp_smarthost"] = f"127.0.0.1:{mails.port}"
    settings["templates"] = [str(ALERTMANAGER / each) for each in settings["templates"]]
    settings["route"] |= {"group_wait": "1s", "group_interval": "2s"}
    (receiver,) = settings["receivers"]
    receiver["webhook_configs"][0]["url"] = f"http://127.0.0.1:{web.server_port}/alerts"
    configuration = folder / "alertmanager.yml"
    configuration.write_text(yaml.safe_dump(settings))
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        str(binary),
        f"--config.file={configuration}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",  # alone
        "--log.level=warn",
    ]
    child = Child("alertmanager", command, log_file=folder / "alertmanager.log", cwd=folder)
    try:
        wait_until_answers(child, f"{url}/-/ready")
        yield url, inbox
    finally:
        child.stop()
        web.shutdown()
        web.server_close()
        mails.stop()


def _handler(inbox: Inbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
