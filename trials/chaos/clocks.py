"""Wall clocks that jump while a process runs: a small library is loaded before libc and moves what the process reads.

Made with the machine's C compiler. libfaketime was tried first: with it Python's time.sleep fails and librdkafka waits
for ever, because it moves some of the calls that wait and not others."""

import atexit
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from infra.errors import InfraError

_SOURCE: Final = Path(__file__).with_name("clock.c")


def can_jump() -> bool:
    """True where there is a C compiler that makes the library."""
    return _library() is not None


@cache
def _library() -> Path | None:
    """Made once, and gone with this process."""
    if shutil.which("cc") is None:
        return None
    folder = tempfile.TemporaryDirectory(prefix="scanline-clock-")
    atexit.register(folder.cleanup)
    library = Path(folder.name) / "clock.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wl,-z,defs", "-o", str(library), str(_SOURCE)]
    made = subprocess.run(command, capture_output=True, check=False)
    return library if made.returncode == 0 else None


class Clock:
    """The wall clock of every process that is started with `env`; right until it jumps."""

    def __init__(self, file: Path) -> None:
        """The file holds by how much it moves. Raises InfraError."""
        self._library = _library()
        if self._library is None:
            raise InfraError.of("chaos_no_compiler")
        self._file = file.resolve()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(bytes(8))

    @property
    def env(self) -> Mapping[str, str]:
        """Variables for the process."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK_FILE": str(self._file)}

    def jump(self, seconds: int) -> None:
        """Moves the clock so many seconds ahead of the machine's from now on; below 0: behind it."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", seconds))
