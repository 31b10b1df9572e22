"""The history of what was offered and what was acknowledged, as lines of JSON: the one thing a check has to go by
besides the servers.

A record is known by 16 hex digits of its bytes. A *body* is a list of records; an *offer* is one wish to have a body
taken, which may need several attempts. Two offers may share a body: the same scan sent under another key."""

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

DIGITS: Final = 16
Scan = tuple[str, str]  # (tenant_id, scan_id)


def digest(data: bytes) -> str:
    """The digest by which a record, or a message, is known."""
    return hashlib.blake2b(data, digest_size=DIGITS // 2).hexdigest()


class Fault(NamedTuple):
    """Why a record must be rejected; `key` is its activity_key, where that much can be read."""

    code: str
    pointer: str
    key: str | None


class Body(NamedTuple):
    """Records, by their place from 0. Those in `bad` must be rejected, all others are valid."""

    id: str
    tenant: str
    digests: str  # DIGITS for each
    bad: Mapping[int, Fault]

    def __len__(self) -> int:
        return len(self.digests) // DIGITS

    def at(self, place: int) -> str:
        """The digest of one record; empty where there is none."""
        return self.digests[place * DIGITS : (place + 1) * DIGITS]

    def places(self) -> dict[str, int]:
        """{digest: place}."""
        return {self.at(place): place for place in range(len(self))}


class Offer(NamedTuple):
    """One wish. `scan` is known beforehand by direct publishers only; `key` is the Idempotency-Key, if there is one."""

    id: str
    body: str
    way: str
    key: str | None = None
    scan: str | None = None


class Delivery(NamedTuple):
    """A message that Kafka has acknowledged to a direct publisher. `first` is its ce_firstindex, `count` its
    records."""

    offer: str
    kind: str
    partition: int
    offset: int
    digest: str
    first: int | None
    records: int


class Accepted(NamedTuple):
    """The API answered 202 or 200."""

    offer: str
    scan: str
    records: int


class History:
    """Thread-safe. Written to the file as it grows; `History.load` reads one back. A context manager that closes the file; what
    is in memory stays."""

    def __init__(self, path: Path | None = None) -> None:
        """`path` None keeps it in memory alone."""
        self._file: IO[str] | None = path.open("w") if path is not None else None
        self._lock = threading.Lock()
        self.tenants: set[str] = set()
        self.everyone = self.tenants  # of the whole history that this may be a part of
        self.starts: dict[str, dict[int, int]] = {}  # topic -> partition -> the first offset that can be ours
        self.bodies: dict[str, Body] = {}
        self.offers: dict[str, Offer] = {}
        self.accepted: list[Accepted] = []
        self.deliveries: list[Delivery] = []
        self.undelivered: dict[str, int] = defaultdict(int)  # offer -> messages that were given up
        self.junk: set[str] = set()  # digests of messages that cannot be read
        self.cancels: set[Scan] = set()  # acknowledged
        self.told: list[tuple[Scan, dict[str, Any]]] = []  # final statuses, as somebody was told
        self.refused: list[tuple[str, int, str]] = []  # (offer, HTTP status, code) that no right submission may get

    def begin(self, tenants: Sequence[str], starts: Mapping[str, Mapping[int, int]]) -> None:
        """Whose records these are, and where each topic ended before the first of them."""
        self._add("begin", list(tenants), {topic: dict(places) for topic, places in starts.items()})

    def add_body(self, body: Body) -> None:
        """Notes a body, before anything of it is sent."""
        self._add("body", *body)

    def add_offer(self, offer: Offer) -> None:
        """Notes an offer, before anything of it is sent."""
        self._add("offer", *offer)

    def add_accepted(self, offer: str, scan: str, records: int) -> None:
        self._add("accepted", offer, scan, records)

    def add_delivery(self, delivery: Delivery) -> None:
        self._add("delivery", *delivery)

    def add_undelivered(self, offer: str) -> None:
        """A message was given up; whether it is in the topic is not known."""
        self._add("undelivered", offer)

    def add_junk(self, message: str) -> None:
        """The digest of a message that nobody can read, before it is sent."""
        self._add("junk", message)

    def add_cancel(self, tenant: str, scan: str) -> None:
        """Cancelling was acknowledged."""
        self._add("cancel", tenant, scan)

    def add_told(self, tenant: str, scan: str, status: Mapping[str, Any]) -> None:
        """Somebody was told that the scan has ended like this."""
        names = ("status", "records_total", "records_stored", "records_rejected", "records_duplicate")
        self._add("told", tenant, scan, {name: status[name] for name in names})

    def add_refused(self, offer: str, status: int, code: str) -> None:
        """The API refused what was right."""
        self._add("refused", offer, status, code)

    def flush(self) -> None:
        """Everything so far is in the file."""
        with self._lock:
            if self._file is not None:
                self._file.flush()

    def close(self) -> None:
        """Closes the file; what is in memory stays."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def load(cls, path: Path) -> Self:
        """A saved one. A last line that was cut off is left out."""
        history = cls()
        for event in _events(path):
            history._apply(*event)
        return history

    def _add(self, kind: str, *values: Any) -> None:
        with self._lock:
            self._apply(kind, *values)
            if self._file is not None:
                self._file.write(json.dumps([kind, *values], ensure_ascii=False, separators=(",", ":")) + "\n")

    def _apply(self, kind: str, *values: Any) -> None:  # noqa: C901, PLR0912 - a kind of event a branch
        if kind == "begin":
            self.tenants.update(values[0])
            for topic, places in values[1].items():
                known = self.starts.setdefault(topic, {})
                for partition, offset in places.items():
                    known.setdefault(int(partition), offset)
        elif kind == "body":
            bad = {int(place): Fault(*fault) for place, fault in values[3].items()}
            self.bodies[values[0]] = Body(values[0], values[1], values[2], bad)
        elif kind == "offer":
            self.offers[values[0]] = Offer(*values)
        elif kind == "accepted":
            self.accepted.append(Accepted(*values))
        elif kind == "delivery":
            self.deliveries.append(Delivery(*values))
        elif kind == "undelivered":
            self.undelivered[values[0]] += 1
        elif kind == "junk":
            self.junk.add(values[0])
        elif kind == "cancel":
            self.cancels.add((values[0], values[1]))
        elif kind == "told":
            self.told.append(((values[0], values[1]), values[2]))
        elif kind == "refused":
            self.refused.append((values[0], values[1], values[2]))
        else:
            raise ValueError(f"no such event: {kind}")

    def parts(self, tenants_at_once: int) -> Iterator["History"]:
        """Histories in memory of so many tenants each, which share what they can with this one."""
        names = sorted(self.tenants)
        if tenants_at_once >= len(names):
            yield self
            return
        for at in range(0, len(names), tenants_at_once):
            yield self._part(set(names[at : at + tenants_at_once]))

    def _part(self, tenants: set[str]) -> "History":
        part = History()
        part.tenants, part.everyone = tenants, self.everyone
        part.starts, part.junk = self.starts, self.junk
        part.bodies = {name: body for name, body in self.bodies.items() if body.tenant in tenants}
        part.offers = {name: offer for name, offer in self.offers.items() if offer.body in part.bodies}
        part.accepted = [each for each in self.accepted if each.offer in part.offers]
        part.deliveries = [each for each in self.deliveries if each.offer in part.offers]
        part.undelivered.update({name: count for name, count in self.undelivered.items() if name in part.offers})
        part.cancels = {scan for scan in self.cancels if scan[0] in tenants}
        part.told = [each for each in self.told if each[0][0] in tenants]
        part.refused = [each for each in self.refused if each[0] in part.offers]
        return part

    def body_of(self, offer: str) -> Body:
        """The body that the offer is about."""
        return self.bodies[self.offers[offer].body]

    def acknowledged_scans(self) -> dict[Scan, str]:
        """{scan: offer} of what the API has taken, and of direct scans whose every message was acknowledged."""
        found = {(self.body_of(each.offer).tenant, each.scan): each.offer for each in self.accepted}
        closed = {each.offer for each in self.deliveries if each.kind == "closed"}
        for name in closed:
            scan = self.offers[name].scan
            if scan is not None and not self.undelivered.get(name):
                found[self.body_of(name).tenant, scan] = name
        return found


def _events(path: Path) -> Iterator[list[Any]]:
    with path.open() as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                if line.endswith("\n"):
                    raise
                return
