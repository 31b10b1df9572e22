"""What every process does first: its settings are read, and its port is opened. Where that fails, it ends and says in both
languages which setting to look at."""

import sys
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

Settings = TypeVar("Settings", bound=BaseSettings)


def settings_or_exit(kind: type[Settings]) -> Settings:
    """The settings of that kind from the environment."""
    try:
        return kind()
    except ValidationError as error:
        names = ", ".join(f"SCANLINE_{'_'.join(map(str, part['loc']))}".upper() for part in error.errors())
        sys.exit(f"Thiếu hoặc sai cấu hình: {names}. / Settings missing or wrong: {names}. See `scanline doctor`.")


def exit_without_port(host: str, port: int, setting: str, error: OSError) -> NoReturn:
    """Ends the process: the port that `setting` names cannot be opened."""
    sys.exit(
        f"Không mở được cổng {port} tại {host} ({error.strerror}); xem {setting}. / "
        f"Port {port} at {host} cannot be opened ({error.strerror}); see {setting}."
    )
