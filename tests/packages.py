"""Servers that tests alone want, out of Debian's packages: fetched at the first call, unpacked into the runtime folder and kept.

Nothing is installed, so no rights are needed for it, nothing of the machine changes and no service of theirs is started.
"""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import httpx
import pytest

from infra.processes.child import Child
from infra.settings import PROJECT
from tests.helpers import wait_for

_FOLDER: Final = PROJECT / ".runtime" / "packages"
_PLACES: Final = ("usr/sbin", "usr/bin")


def program(name: str, package: str = "") -> Path:
    """The machine's own, else the package's (named as the program is, unless said). Skips the test where neither is to be had."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if found is not None:
        return Path(found)
    package = package or name
    unpacked = _unpacked(package)
    for place in _PLACES:
        if os.access(unpacked / place / name, os.X_OK):
            return unpacked / place / name
    pytest.skip(f"{name} is not on this machine, and Debian's package {package} does not have it")


def libraries(*packages: str) -> list[Path]:
    """Folders with the shared libraries of these packages, for LD_LIBRARY_PATH: a program that was not installed brings none of
    its own."""
    return [folder for package in packages for folder in _unpacked(package).glob("usr/lib/*/")]


def _unpacked(package: str) -> Path:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once: the second finds it done
        unpacked = _FOLDER / package
        if not unpacked.is_dir():
            _unpack(package, unpacked)
    return unpacked


def wait_until_answers(server: Child, url: str) -> None:
    """Waits until it answers a GET with 200. Fails with what it wrote where it has ended instead."""
    wait_for(lambda: server.returncode is not None or _answers(url), f"{server.name} answers")
    assert server.returncode is None, server.log_file.read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def _unpack(package: str, folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip(
            f"{package} is not on this machine, and comes from Debian's packages, which it does not have either"
        )
    arriving = folder.with_suffix(".arriving")
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir()
    if not _run(["apt-get", "download", package], arriving):
        _run(["apt-get", "update", "-qq"], arriving)  # a new machine has no list of packages yet
        if not _run(["apt-get", "download", package], arriving):
            pytest.skip(f"{package} is not on this machine, and its package cannot be fetched")
    (file,) = arriving.glob("*.deb")
    assert _run(["dpkg-deb", "--extract", str(file), str(arriving)], arriving)
    file.unlink()
    arriving.rename(folder)


def _run(command: list[str], folder: Path) -> bool:
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
