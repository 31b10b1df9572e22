"""Compares what was offered and acknowledged with what lies in scan.records.v1."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from trials.checker.findings import Finding, Kind
from trials.checker.history import Body, Fault, History, Scan
from trials.checker.model import Message

_DONE = frozenset({"completed", "completed_with_errors"})


class Offers:
    """Knows whose every scan and every record is."""

    def __init__(self, history: History, messages: Mapping[Scan, Sequence[Message]]) -> None:
        self._history = history
        self._messages = messages
        self._faults = {body.at(place): fault for body in history.bodies.values() for place, fault in body.bad.items()}
        self._by_record = {body.at(place): body.id for body in history.bodies.values() for place in range(len(body))}
        self._acknowledged = history.acknowledged_scans()
        self._bodies: dict[Scan, str] = {}
        for offer in history.offers.values():
            if offer.scan is not None:
                self._bodies[history.bodies[offer.body].tenant, offer.scan] = offer.body
        for each in history.accepted:
            body = history.body_of(each.offer)
            self._bodies[body.tenant, each.scan] = body.id
        for scan, received in messages.items():
            found = self._bodies.get(scan) or self._guess(scan, received)
            if found is not None:
                self._bodies[scan] = found

    def _guess(self, scan: Scan, received: Sequence[Message]) -> str | None:
        """An upload that was never acknowledged: known by its source, or by its records."""
        for message in received:
            source = message.body.get("source")
            if source in self._history.bodies:
                return str(source)
            for element in message.elements:
                if element.digest in self._by_record:
                    return self._by_record[element.digest]
        return None

    def fault_of(self, record: str) -> Fault | None:
        """Why the record with this digest must be rejected."""
        return self._faults.get(record)

    def is_acknowledged(self, scan: Scan) -> bool:
        return scan in self._acknowledged

    def findings(self) -> list[Finding]:
        """Finds what was acknowledged and is not in the topic as it was sent, what is there and was never offered, and
        wrong answers."""
        found = self._deliveries_lost()
        for scan, name in self._acknowledged.items():
            if self._history.offers[name].scan is None:
                found += self._not_whole(scan, self._history.body_of(name))
        for scan, received in self._messages.items():
            found += self._strange(scan, received)
        found += self._answers_wrong()
        return found

    def _deliveries_lost(self) -> list[Finding]:
        there = {
            (message.partition, message.offset): message.digest for each in self._messages.values() for message in each
        }
        return [
            self._finding(
                "lost", each.offer, f"Kafka acknowledged {each.kind} at {each.partition}, {each.offset}; not there"
            )
            for each in self._history.deliveries
            if there.get((each.partition, each.offset)) != each.digest
        ]

    def _finding(self, kind: Kind, offer: str, text: str) -> Finding:
        known = self._history.offers[offer]
        body = self._history.bodies[known.body]
        return Finding(kind, body.tenant, known.scan or "", "", f"{offer} ({known.way}): {text}")

    def _not_whole(self, scan: Scan, body: Body) -> list[Finding]:
        """An acknowledged submission whose records are not all in the topic."""
        received = self._messages.get(scan, ())
        there = {
            message.first + place
            for message in received
            if message.first is not None
            for place in range(len(message.elements))
        }
        found = [
            Finding("lost", *scan, "", f"the record {place} was acknowledged and is not in the topic")
            for place in range(len(body))
            if place not in there
        ]
        if not any(message.kind == "closed" and message.body.get("records_total") == len(body) for message in received):
            found.append(Finding("lost", *scan, "", f"acknowledged, and never closed with {len(body)} records"))
        return found

    def _strange(self, scan: Scan, received: Sequence[Message]) -> list[Finding]:
        """Records of the topic that were not offered, or not there."""
        name = self._bodies.get(scan)
        if name is None:
            if all(message.kind == "cancelled" for message in received):
                return []  # an upload of which nothing arrived but its end
            return [Finding("unaccounted", *scan, "", "the topic has messages of a scan that nobody offered")]
        body = self._history.bodies[name]
        if body.tenant != scan[0]:
            return [Finding("foreign", *scan, "", f"these records were offered by {body.tenant}")]
        places = body.places()
        found = []
        for message in received:
            for at, element in enumerate(message.elements):
                right = body.at(message.first + at) if message.first is not None else None
                if element.digest not in places:
                    text = f"the topic has a record that was not offered, at {message.partition}, {message.offset}"
                    found.append(Finding("altered", *scan, element.key or "", text))
                elif right is not None and right != element.digest:
                    text = f"the topic has it as record {message.first}+{at}, offered as {places[element.digest]}"
                    found.append(Finding("altered", *scan, element.key or "", text))
        return found

    def _answers_wrong(self) -> list[Finding]:
        found = [
            self._finding("misreported", offer, f"a right submission was answered {status} {code}")
            for offer, status, code in self._history.refused
        ]
        scans: dict[str, set[str]] = defaultdict(set)
        for each in self._history.accepted:
            scans[each.offer].add(each.scan)
            size = len(self._history.body_of(each.offer))
            if each.records != size:
                text = f"{size} records were sent, the answer says {each.records}"
                found.append(self._finding("misreported", each.offer, text))
        found += [
            self._finding("doubled", offer, f"one Idempotency-Key was accepted as several scans: {sorted(several)}")
            for offer, several in scans.items()
            if len(several) > 1
        ]
        keys: dict[Scan, set[str | None]] = defaultdict(set)
        for each in self._history.accepted:
            keys[self._history.body_of(each.offer).tenant, each.scan].add(self._history.offers[each.offer].key)
        found += [
            Finding("misreported", *scan, "", f"several keys were answered with this scan: {sorted(map(str, several))}")
            for scan, several in keys.items()
            if len(several) > 1
        ]
        found += [
            Finding("lost", *scan, "", "cancelling was acknowledged, and the topic has no such message")
            for scan in self._history.cancels
            if all(message.kind != "cancelled" for message in self._messages.get(scan, ()))
        ]
        return found

    def twice(self, states: Mapping[Scan, str]) -> list[Finding]:
        """Bodies that became more scans than they were offered as. What broke off and was cancelled does not count."""
        offered = Counter(offer.body for offer in self._history.offers.values())
        done: dict[str, list[Scan]] = defaultdict(list)
        for scan, state in states.items():
            name = self._bodies.get(scan)
            if state in _DONE and name is not None:
                done[name].append(scan)
        return [
            Finding(
                "doubled", *scans[-1], "", f"{name} was offered {offered[name]} times and is there as {sorted(scans)}"
            )
            for name, scans in done.items()
            if len(scans) > offered[name]
        ]

    def knows(self, scan: Scan, source: object) -> bool:
        """True where somebody of this history can have begun the scan."""
        return scan in self._bodies or source in self._history.bodies

    def offered(self) -> int:
        """Records, as `acknowledged` counts them; single records that were sent twice on purpose are two."""
        again: Counter[str] = Counter()
        seen: set[tuple[str, str]] = set()
        for each in self._history.deliveries:
            if each.first is None and each.records:
                again[each.offer] += each.records * ((each.offer, each.digest) in seen)
                seen.add((each.offer, each.digest))
        return sum(len(self._history.body_of(offer)) + again[offer] for offer in self._history.offers)

    def acknowledged(self) -> int:
        """Records: of accepted submissions, of direct messages; an array sent twice counts once."""
        whole = sum(
            len(self._history.body_of(name))
            for name in self._acknowledged.values()
            if self._history.offers[name].scan is None
        )
        arrays = {(each.offer, each.first): each.records for each in self._history.deliveries if each.first is not None}
        singles = sum(each.records for each in self._history.deliveries if each.first is None)
        return whole + sum(arrays.values()) + singles
