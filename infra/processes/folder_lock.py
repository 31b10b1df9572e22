"""One user of a folder, or of a file, at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from infra.errors import InfraError

Refusal = Callable[[str], InfraError]  # made of the process that has it


class OwnedLock:
    """An advisory lock that the kernel lets go of when the process ends, however it ends. The file names the
    process."""

    def __init__(self, path: Path, refusal: Refusal) -> None:
        self._path = path
        self._refusal: Final = refusal
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Raises InfraError, naming the process, when somebody else has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while self._file is None:
            file = self._path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                owner = file.read().strip() or "?"
                file.close()
                raise self._refusal(owner) from None
            if self._is_there(file):
                self._file = file
            else:  # its last owner has just taken it away
                file.close()
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def _is_there(self, file: IO[str]) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Lets go; safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Takes the file away, and lets go."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self.release()


class DataFolderLock(OwnedLock):
    """The lock of a folder that servers write into."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            data_dir / "lock",
            lambda owner: InfraError.of("data_dir_in_use", folder=data_dir, owner=owner),
        )


@contextmanager
def held(file: Path, refusal: Refusal) -> Iterator[None]:
    """This process alone works with `file` in the block: beside it stands a lock that goes at the end."""
    lock = OwnedLock(file.with_name(f"{file.name}.lock"), refusal)
    lock.take()
    try:
        yield
    finally:
        lock.remove()
