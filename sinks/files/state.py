"""The state of a local replay: offsets, scans, arrays already counted, keys already stored. In SQLite, so that memory
stays small whatever the topic holds, and so that an interrupted replay goes on exactly where it was."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from schemas.status import Scan
from sinks.effects import Key

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offsets (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS scans (number INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL, scan_id TEXT NOT NULL,
  body BLOB NOT NULL, UNIQUE (tenant_id, scan_id));
CREATE TABLE IF NOT EXISTS arrays (scan INTEGER, first_index INTEGER, PRIMARY KEY (scan, first_index)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS letters (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejections (number INTEGER PRIMARY KEY, scan INTEGER NOT NULL, record_index INTEGER);
CREATE INDEX IF NOT EXISTS rejections_by_scan ON rejections (scan, record_index);
CREATE TABLE IF NOT EXISTS keys (scan INTEGER, activity_key TEXT, fingerprint BLOB NOT NULL,
  PRIMARY KEY (scan, activity_key)) WITHOUT ROWID;
"""
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Scan).decode
_OTHER: Final = """
CREATE TEMP TABLE IF NOT EXISTS other (activity_key TEXT PRIMARY KEY, fingerprint BLOB NOT NULL) WITHOUT ROWID
"""
# activity_keys of one scan that are known here and not there, there and not here, and here and there with other content
_MISSING: Final = """
FROM keys AS k WHERE k.scan = :scan AND NOT EXISTS (SELECT 1 FROM other AS o WHERE o.activity_key = k.activity_key)
"""
_EXTRA: Final = """
FROM other AS k WHERE NOT EXISTS (SELECT 1 FROM keys AS o WHERE o.scan = :scan AND o.activity_key = k.activity_key)
"""
_ALTERED: Final = """
FROM keys AS k JOIN other AS o ON o.activity_key = k.activity_key WHERE k.scan = :scan AND o.fingerprint <> k.fingerprint
"""


class Compared(NamedTuple):
    """A number of keys, and the first of them in order."""

    keys: int
    first: list[str]

    def as_json(self) -> dict[str, Any]:
        """The count and the first keys, as JSON."""
        return {"count": self.keys, "first": self.first}


class Comparison(NamedTuple):
    """The comparison of one scan with rows from elsewhere: those missing there, those only there, those that differ.
    `excused` of the missing were said to be missing for a good reason, and are not counted."""

    missing: Compared
    extra: Compared
    altered: Compared
    excused: int


class State:
    """One SQLite file; `path` None keeps it in a temporary file that goes with the process. Raises sqlite3.Error."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        # An empty name is SQLite's own temporary database: on disk once it outgrows its cache, and deleted at the end
        self.connection = sqlite3.connect("" if path is None else str(path), isolation_level=None)
        if path is not None:
            # a killed process loses nothing; a machine that loses power at most the last moments, offsets and rows together
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute("PRAGMA cache_size = -32768")  # 32 MiB
        self.connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in the block, or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def get(self, name: str) -> str | None:
        """A note of `put`."""
        row = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, name: str, value: str) -> None:
        """Keeps a note."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def offsets(self) -> dict[int, int]:
        """The offset at which each partition is to be read on."""
        return dict(self.connection.execute("SELECT partition, next_offset FROM offsets"))

    def move(self, partition: int, start: int, end: int) -> bool:
        """False where the partition is not at `start`."""
        found = self.connection.execute("SELECT next_offset FROM offsets WHERE partition = ?", (partition,)).fetchone()
        if (found[0] if found else 0) != start:
            return False
        self.connection.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?)", (partition, end))
        return True

    def load_scans(self, keys: Iterable[Key]) -> tuple[dict[Key, Scan], dict[Key, int]]:
        """The scans, new where they are not known, and their numbers in here."""
        scans, numbers = {}, {}
        for key in sorted(keys):
            row = self.connection.execute(
                "SELECT number, body FROM scans WHERE tenant_id = ? AND scan_id = ?", key
            ).fetchone()
            if row is None:
                scans[key] = Scan(*key)
                cursor = self.connection.execute(
                    "INSERT INTO scans (tenant_id, scan_id, body) VALUES (?, ?, ?)", (*key, _encode(scans[key]))
                )
                numbers[key] = int(cursor.lastrowid or 0)
            else:
                numbers[key], scans[key] = row[0], _decode(row[1])
        return scans, numbers

    def save_scans(self, scans: Mapping[Key, Scan], numbers: Mapping[Key, int]) -> None:
        """Stores the scans as they are now."""
        self.connection.executemany(
            "UPDATE scans SET body = ? WHERE number = ?", [(_encode(scan), numbers[key]) for key, scan in scans.items()]
        )

    def new_array(self, scan: int, first_index: int) -> bool:
        """Notes a numbered array; False where it was noted before."""
        cursor = self.connection.execute("INSERT OR IGNORE INTO arrays VALUES (?, ?)", (scan, first_index))
        return cursor.rowcount == 1

    def new_letter(self, name: str) -> bool:
        """Notes a dead letter that came back; False where it was noted before."""
        return self.connection.execute("INSERT OR IGNORE INTO letters VALUES (?)", (name,)).rowcount == 1

    def add_rejections(self, rows: Iterable[tuple[int, int | None]]) -> None:
        """(scan's number, record's index where it is known)."""
        self.connection.executemany("INSERT INTO rejections (scan, record_index) VALUES (?, ?)", rows)

    def take_rejection(self, scan: int, mend: int) -> bool:
        """Takes away the first rejection under this index; of a negative one, the first without an index, once."""
        if mend < 0 and not self.new_letter(f"rejection {scan} {mend}"):
            return False
        cursor = self.connection.execute(
            "DELETE FROM rejections WHERE number = (SELECT min(number) FROM rejections WHERE scan = ? AND record_index IS ?)",
            (scan, mend if mend >= 0 else None),
        )
        return cursor.rowcount == 1

    def known_keys(self, scan: int, names: Collection[str]) -> set[str]:
        """The keys among `names` that the scan holds already."""
        query = "SELECT activity_key FROM keys WHERE scan = ? AND activity_key IN (SELECT value FROM json_each(?))"
        return {row[0] for row in self.connection.execute(query, (scan, json.dumps(list(names))))}

    def add_keys(self, rows: Iterable[tuple[int, str, bytes]]) -> None:
        """(scan's number, activity_key, fingerprint)."""
        self.connection.executemany("INSERT INTO keys VALUES (?, ?, ?)", rows)

    def scans(self) -> Iterator[tuple[int, Scan]]:
        """All of them with their numbers, by tenant and id."""
        query = "SELECT number, body FROM scans ORDER BY tenant_id, scan_id"
        for number, body in self.connection.execute(query):
            yield number, _decode(body)

    def keys(self, scan: int) -> Iterator[tuple[str, bytes]]:
        """(activity_key, fingerprint) of a scan."""
        yield from self.connection.execute("SELECT activity_key, fingerprint FROM keys WHERE scan = ?", (scan,))

    def compare(self, scan: int, rows: Iterable[tuple[str, bytes]], excused: Collection[str], named: int) -> Comparison:
        """The scan's keys with the (activity_key, fingerprint) of elsewhere; at most `named` keys of each kind are
        named."""
        self.connection.execute(_OTHER)
        with self.transaction() as connection:
            connection.execute("DELETE FROM other")
            connection.executemany("INSERT INTO other VALUES (?, ?)", rows)
            cursor = connection.execute(
                "INSERT OR IGNORE INTO other SELECT activity_key, fingerprint FROM keys"
                " WHERE scan = ? AND activity_key IN (SELECT value FROM json_each(?))",
                (scan, json.dumps(list(excused))),
            )
        missing, extra, altered = (self._kind(kind, scan, named) for kind in (_MISSING, _EXTRA, _ALTERED))
        return Comparison(missing, extra, altered, cursor.rowcount)

    def _kind(self, kind: str, scan: int, named: int) -> Compared:
        (count,) = self.connection.execute(f"SELECT count(*) {kind}", {"scan": scan}).fetchone()
        query = f"SELECT k.activity_key {kind} ORDER BY 1 LIMIT :named"
        return Compared(count, [row[0] for row in self.connection.execute(query, {"scan": scan, "named": named})])

    def close(self) -> None:
        """The file stays."""
        self.connection.close()

    def remove(self) -> None:
        """Closes it, and takes the file away."""
        self.connection.close()
        if self.path is not None:
            for ending in ("", "-wal", "-shm"):
                Path(f"{self.path}{ending}").unlink(missing_ok=True)
