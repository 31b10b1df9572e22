"""What this machine tells: disks and certificates."""

import logging
import shutil
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from operations.exporter import declarations as told
from operations.exporter.sources import Sample

log = logging.getLogger("scanline.exporter")


def expiry_of(certificate: Path) -> float:
    """When the first certificate of a PEM file ends, in Unix seconds. Raises OSError, which SSLError is too."""
    # the standard library has no other way to read a certificate that nobody sends
    decoded: Mapping[str, Any] = ssl._ssl._test_decode_cert(str(certificate))  # type: ignore[attr-defined]  # no stub has it
    return float(ssl.cert_time_to_seconds(decoded["notAfter"]))


class Machine:
    """See Source."""

    name: Final = "machine"

    def __init__(self, folders: Mapping[str, Path | None], certificates: Sequence[Path]) -> None:
        """`folders` by what is on their disk."""
        self._folders = folders
        self._certificates = certificates
        self._unread: set[Path] = set()  # told already

    def look(self) -> list[Sample]:
        """See Source."""
        return [*self._disks(), *self._expiries()]

    def _disks(self) -> Iterator[Sample]:
        for path_of, folder in self._folders.items():
            if folder is not None:
                try:
                    usage = shutil.disk_usage(folder)
                except OSError as error:
                    self._tell(folder, error)
                    continue
                yield Sample(told.DISK_FREE, float(usage.free), (path_of,))
                yield Sample(told.DISK_SIZE, float(usage.total), (path_of,))

    def _expiries(self) -> Iterator[Sample]:
        for file in self._certificates:
            try:
                expiry = expiry_of(file)
            except OSError as error:
                self._tell(file, error)
                yield Sample(told.CERTIFICATE_READABLE, 0.0, (str(file),))
            else:
                yield Sample(told.CERTIFICATE_READABLE, 1.0, (str(file),))
                yield Sample(told.CERTIFICATE_EXPIRY, expiry, (str(file),))

    def _tell(self, path: Path, error: OSError) -> None:
        if path not in self._unread:
            self._unread.add(path)
            log.warning("%s không đọc được / cannot be read: %s", path, error.strerror or type(error).__name__)
