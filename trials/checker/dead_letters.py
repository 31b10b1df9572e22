"""The dead-letter topic: exactly the messages that nobody can read, with their original bytes."""

from typing import Final

from trials.checker.findings import Finding
from trials.checker.history import History, digest
from trials.checker.topics import Entry, Topics

DEAD_LETTERS: Final = "scan.dlq.v1"
_ADDED: Final = "scanline_"  # begins the names of the headers that a letter has and its message had not


class Letters:
    """The dead letters that there must be. One may be there twice: a worker that dies between the letter and its offset
    writes it again."""

    def __init__(self) -> None:
        self._expected: dict[tuple[int, int], Entry] = {}
        self.count = 0  # distinct ones found

    def expect(self, entry: Entry) -> None:
        """A message that cannot be read."""
        self._expected[entry.partition, entry.offset] = entry

    def findings(self, topics: Topics, history: History) -> list[Finding]:
        """Finds what is missing, and what should not be there."""
        missing = dict(self._expected)
        found = []
        for letter in topics.read(DEAD_LETTERS, history.starts.get(DEAD_LETTERS, {})):
            tenant = letter.key.decode("utf-8", "replace")
            if tenant not in history.tenants:
                continue
            scan = letter.headers.get("ce_subject", b"").decode("ascii", "replace")
            place = (_number(letter, "partition"), _number(letter, "offset"))
            came = self._expected.get(place)
            if came is None:
                text = f"{DEAD_LETTERS}[{letter.partition}] {letter.offset}: the message {place} is none that cannot be read"
                found.append(Finding("dead_lettered_wrongly", tenant, scan, "", text))
                continue
            missing.pop(place, None)
            kept = {name: value for name, value in letter.headers.items() if not name.startswith(_ADDED)}
            if (letter.value, letter.key, kept) != (came.value, came.key, came.headers):
                text = f"the letter of the message {place} is not what came in"
                found.append(Finding("dead_lettered_wrongly", tenant, scan, "", text))
        for place, entry in missing.items():
            scan = entry.headers.get("ce_subject", b"").decode("ascii", "replace")
            text = f"the message {place} cannot be read and is not in {DEAD_LETTERS}"
            found.append(Finding("lost", entry.key.decode(), scan, "", text))
        found += [
            Finding(
                "unaccounted", entry.key.decode(), "", "", f"the message {place} cannot be read, and nobody offered it"
            )
            for place, entry in self._expected.items()
            if digest(entry.value or b"") not in history.junk
        ]
        self.count = len(self._expected) - len(missing)
        return found


def _number(letter: Entry, name: str) -> int:
    text = letter.headers.get(_ADDED + name, b"")
    return int(text) if text.isdigit() else -1
