"""records.c compiled and loaded: one library for each text of it and of its rules. `python -m sinks.postgres.native.library`
compiles it, with any C compiler; `make setup` and the image do."""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sinks.postgres.native.rules import header

SOURCE: Final = Path(__file__).with_name("records.c")
FOLDER: Final = Path(__file__).parents[3] / ".runtime" / "native"
FLAGS: Final = ("-std=c11", "-O2", "-fvisibility=hidden")


class Job(ctypes.Structure):
    """What a message's records have in common; see records.c."""

    _fields_ = [
        ("prefix", ctypes.c_char_p),
        ("prefix_n", ctypes.c_uint32),
        ("first_index", ctypes.c_int64),
        ("latest", ctypes.c_int64),
        ("declined", ctypes.c_uint32),
    ]


def library_path() -> Path:
    """Where the library lies, or would: its name says what it was made of, so that it can never be another's."""
    made_of = [SOURCE.read_text(), header(), " ".join(FLAGS), platform.machine(), platform.libc_ver()[0]]
    return FOLDER / f"records-{hashlib.sha256(chr(0).join(made_of).encode()).hexdigest()[:16]}.so"


def compiler() -> list[str] | None:
    """The command of a C compiler: that of the variable CC, or `cc`. None: there is none."""
    command = shlex.split(os.environ.get("CC", "cc"))
    return command if command and shutil.which(command[0]) else None


def compile_to(target: Path, command: Sequence[str]) -> None:
    """Compiles records.c with its rules, by a command that says how, without the files. Raises CalledProcessError and
    OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as folder:
        rules, made = Path(folder) / "rules.h", Path(folder) / target.name
        rules.write_text(header())
        subprocess.run([*command, f"-I{folder}", "-o", str(made), str(SOURCE)], check=True, capture_output=True)
        made.replace(target)  # whoever looks for it finds it whole


def load(path: Path) -> ctypes.CDLL | None:
    """The library, or None where it was not compiled or cannot be loaded here."""
    try:
        found = ctypes.CDLL(str(path))
    except OSError:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_uint32
    job = ctypes.POINTER(Job)
    found.scanline_read_message.argtypes = [ctypes.c_char_p, number, job, pointer, number, pointer, number]
    found.scanline_read_singles.argtypes = [ctypes.c_char_p, pointer, number, job, pointer, pointer, number]
    return found


def main() -> int:
    """Compiles the library where it is not there. Returns the exit code: 1 where it cannot be had."""
    target = library_path()
    if target.exists():
        return 0
    command = compiler()
    if command is None:
        return 1
    for old in FOLDER.glob("records-*.so"):
        old.unlink(missing_ok=True)
    try:
        compile_to(target, [*command, *FLAGS, "-shared", "-fPIC"])
    except (OSError, subprocess.CalledProcessError) as error:
        print(getattr(error, "stderr", b"").decode(errors="replace") or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
