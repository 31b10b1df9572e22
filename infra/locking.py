"""One user of a data folder at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO

from infra.errors import InfraError


class DataFolderLock:
    """An advisory lock that the kernel lets go of when the process ends, however it ends."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Raises InfraError, naming the process, when somebody else has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "?"
            raise InfraError(
                f"Thư mục dữ liệu {self._path.parent} đang được tiến trình {owner} sử dụng. Hãy dừng tiến trình đó trước.",
                f"The data folder {self._path.parent} is in use by process {owner}. Stop that process first.",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Lets go; safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
