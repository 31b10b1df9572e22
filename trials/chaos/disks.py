"""Small disks that can be filled: tmpfs mounts, made as root."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from infra.errors import InfraError

_FILLER: Final = "filler"
_STEP: Final = 4096  # a page: the least that a file of this kind takes
_PIECE: Final = 16 * 1024 * 1024


@cache
def can_mount() -> bool:
    """True where this process may mount. Root may not everywhere: most containers do not let it."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    folder = Path(tempfile.mkdtemp(prefix="scanline-mount-"))
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False).returncode:
            return False
        unmount(folder)
        return True
    finally:
        folder.rmdir()


def unmount(folder: Path) -> None:
    """Takes the mount away; one that is still in use leaves the folder now and goes when its last file is closed."""
    for command in (["umount", str(folder)], ["umount", "-l", str(folder)]):
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return


def mounted_below(folder: Path) -> list[Path]:
    """Mounts at or below the folder, the innermost first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    places = [Path(line.split()[1].encode().decode("unicode_escape")) for line in lines]
    return sorted((place for place in places if place.is_relative_to(folder)), reverse=True)


class Disk:
    """A file system of its own in memory, `size_mb` MiB large."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.folder = folder
        self.size_mb = size_mb
        self._filler = folder / _FILLER

    def mount(self) -> None:
        """Raises InfraError where that is not allowed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.size_mb}m,mode=755", "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise InfraError.of("chaos_disk_not_mounted", folder=self.folder, reason=done.stderr.strip())

    @property
    def free_kb(self) -> int:
        """KiB that can still be written."""
        about = os.statvfs(self.folder)
        return about.f_bavail * about.f_frsize // 1024

    def fill(self, leave_kb: int = 0) -> None:
        """Takes all but `leave_kb` KiB, whatever others write meanwhile; called again, what has become free since."""
        piece = _PIECE
        with self._filler.open("ab") as file:
            while piece >= _STEP:
                if piece > (self.free_kb - leave_kb) * 1024:
                    piece //= 2
                    continue
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, piece)
                except OSError:  # somebody was quicker
                    piece //= 2

    def free(self) -> None:
        """Gives it back."""
        self._filler.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Unmounts the disk with everything on it."""
        unmount(self.folder)
