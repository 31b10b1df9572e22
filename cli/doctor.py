"""`scanline doctor`: what this machine has, what it lacks, and how to get it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from cli.options import Json
from cli.output import console, show
from infra.errors import InfraError
from infra.postgres.binaries import find_binaries, server_user
from infra.postgres.sessions import look
from infra.processes.running_file import settings_of
from infra.settings import InfraSettings, Secret
from operations.audit import user_name
from operations.exporter.settings import ExporterSettings
from producer_api.settings import ApiSettings
from schemas.numbers import decimal
from schemas.session_settings import OF_ROLES
from sinks.postgres.native.library import library_path, load
from stream_app.settings import WorkerSettings

_GIB = 1 << 30
_SESSION: Final = "postgresql: "
_ROOM: Final = "cần 5 GiB dưới SCANLINE_DATA_DIR / 5 GiB are wanted below SCANLINE_DATA_DIR"
_PYTHON_READS: Final = (
    "không bắt buộc; thiếu nó worker tốn CPU gấp đôi cho mỗi bản ghi / optional; without it the worker takes twice the"
    " processor for each record: apt-get install gcc libc6-dev; make setup"
)
_SPACE: Final = "cần 4 GiB cho mọi máy chủ / 4 GiB are wanted for all servers together"


class Finding(NamedTuple):
    """One thing looked at."""

    part: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


def examine(settings: InfraSettings) -> list[Finding]:
    """Looks at everything the native servers and the processes need."""
    checks: list[Callable[[InfraSettings], Finding]] = [
        *(_python, _java, _maven, _jars, _postgres, _user, _disk, _memory, _native_reader)
    ]
    return [check(settings) for check in checks] + [
        _session(role, url.get_secret_value()) for role, url in _roles(settings).items() if url
    ]


def _roles(settings: InfraSettings) -> dict[str, Secret | None]:
    """Those that processes log in with, where it is known with what."""
    return {
        "write": settings.postgres_write_url,
        "read": settings.postgres_read_url,
        "monitor": settings.postgres_monitor_url,
    }


def _session(role: str, url: str) -> Finding:
    """What a session of the role gets from PostgreSQL, or from the pooler before it."""
    name = f"SCANLINE_POSTGRES_{role.upper()}_URL"
    try:
        found = look(url, name)
    except InfraError as error:
        return Finding(f"{_SESSION}{role}", False, "-", f"{error.vi} / {error.en}")
    way = "qua pooler / through a pooler" if found.pooled else "trực tiếp / direct"
    lacks = ", ".join(f"{setting} = {value or '-'}" for setting, value in found.lacks.items())
    wanted = ", ".join(f"{setting} = {OF_ROLES[found.role][setting]}" for setting in found.lacks)
    remedy = f"{lacks}; cần / wanted: {wanted}. scanline migrate, pooler: RECONNECT" if lacks else ""
    return Finding(f"{_SESSION}{role}", not lacks, f"PostgreSQL {found.version}, {found.role}, {way}", remedy)


def _python(_: InfraSettings) -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, sys.version.split()[0], "" if ok else "apt-get install python3.11")


def _java(settings: InfraSettings) -> Finding:
    try:
        answer = subprocess.run([settings.java(), "-version"], capture_output=True, text=True, check=True)
    except (InfraError, OSError, subprocess.CalledProcessError):
        return Finding("java", False, "-", "make setup; apt-get install openjdk-17-jre-headless")
    return Finding("java", True, answer.stderr.splitlines()[0])


def _maven(settings: InfraSettings) -> Finding:
    found = shutil.which("mvn")
    have_jars = _jars(settings).ok
    return Finding("maven", bool(found) or have_jars, found or "-", "" if found else "apt-get install maven")


def _jars(settings: InfraSettings) -> Finding:
    jars = list(settings.kafka_libs.glob("kafka_2.13-*.jar"))
    return Finding("kafka", bool(jars), jars[0].name if jars else "-", "" if jars else "make setup")


def _postgres(_: InfraSettings) -> Finding:
    try:
        folder = find_binaries()
        answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    except (InfraError, OSError, subprocess.CalledProcessError):
        return Finding("postgresql", False, "-", "make setup; apt-get install postgresql")
    return Finding("postgresql", True, answer.stdout.strip())


def _user(_: InfraSettings) -> Finding:
    try:
        user = server_user()
    except InfraError as error:
        return Finding("postgresql user", False, "-", f"{error.vi} / {error.en}")
    return Finding("postgresql user", True, user.pw_name if user else user_name())


def _disk(settings: InfraSettings) -> Finding:
    folder = settings.data_dir.absolute()
    # what does not exist yet would be made on the disk of the folder above
    free = shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.is_dir())).free
    ok = free > 5 * _GIB
    return Finding("disk", ok, f"{decimal(free / _GIB, 1, 'vi')} GiB", "" if ok else _ROOM)


def _memory(_: InfraSettings) -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    ok = total > 3 * _GIB
    return Finding("memory", ok, f"{decimal(total / _GIB, 1, 'vi')} GiB", "" if ok else _SPACE)


def _native_reader(_: InfraSettings) -> Finding:
    path = library_path()
    ok = load(path) is not None
    found = path.name if ok else "-"
    return Finding("native reader", ok, found, "" if ok else _PYTHON_READS, needed=False)


def settings_table(running: Path) -> list[dict[str, Any]]:
    """Every setting of every process with its value; secrets are masked. Of processes that run below `running`, as they
    were given them; of others, as they would be started from here."""
    processes = {
        "infra": InfraSettings().shown(),
        "api": _values(ApiSettings, settings_of(running, "api")),
        "worker": _values(WorkerSettings, settings_of(running, "worker")),
        "exporter": _values(ExporterSettings, settings_of(running, "exporter")),
    }
    return [
        {"process": process, "setting": f"SCANLINE_{name.upper()}", "value": value}
        for process, values in processes.items()
        for name, value in values.items()
    ]


def _values(kind: type[BaseSettings], given: Mapping[str, str]) -> dict[str, Any]:
    """What a process would have, or what is wrong with it."""
    own: dict[str, Any] = {name.removeprefix("SCANLINE_").lower(): value for name, value in given.items()}
    try:
        return kind(**own).model_dump(mode="json")
    except ValidationError as error:
        return {str(part["loc"][0]): f"? {part['msg']}" for part in error.errors()}


def _show_settings(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Prints the settings, for people as a table for each process: with its name in each line it would not fit a
    terminal."""
    if as_json:
        show(rows, title="settings", as_json=True)
        return
    for process in dict.fromkeys(row["process"] for row in rows):
        own = [
            {"setting": row["setting"], "value": "" if row["value"] is None else str(row["value"])}
            for row in rows
            if row["process"] == process
        ]
        show(own, title=process, as_json=False)


def doctor(
    settings: bool = typer.Option(False, help="in mọi cấu hình, che mật khẩu / print every setting, secrets masked"),
    json: Json = False,
) -> None:
    """Kiểm tra máy: thiếu gì, cài thế nào. / Check the machine: what is missing, and how to get it."""
    findings = examine(InfraSettings())
    rows = [
        {
            "part": item.part,
            "ok": item.ok if json else ("✓" if item.ok else "✗"),
            "found": item.found,
            "to do": item.remedy,
        }
        for item in findings
    ]
    if settings:
        _show_settings(settings_table(InfraSettings().data_dir / "up"), as_json=json)
    else:
        show(rows, title="doctor", as_json=json)
    missing = [item for item in findings if not item.ok and item.needed]
    if missing:
        if not json and not all(item.part.startswith(_SESSION) for item in missing):
            console.print("Hãy chạy `make setup`. / Run `make setup`.")
        raise typer.Exit(1)
