"""The findings of a check, and their totals."""

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "lost",  # acknowledged, or in the topic, and nowhere in the database
    "doubled",  # there more than once
    "foreign",  # under another tenant
    "altered",  # there, and not as it was sent
    "misreported",  # counts, a status or an answer say something else than what is
    "unaccounted",  # there, and nobody offered it
    "dead_lettered_wrongly",  # a good message in the dead-letter topic, or a letter that is not what came in
    "offset_wrong",  # stream_offsets does not stand at the topic's end
]


class Finding(NamedTuple):
    """One thing that is not as it must be."""

    kind: Kind
    tenant: str
    scan: str
    activity_key: str
    text: str

    def __str__(self) -> str:
        place = " ".join(part for part in (self.tenant, self.scan, self.activity_key) if part)
        return f"{self.kind}: {place}: {self.text}"


@dataclass
class Report:
    """Counts are records. `maybe` are those that were counted without having been acknowledged (a broken-off upload's
    beginning); what is stored, rejected and duplicate adds up to acknowledged + maybe."""

    offered: int = 0
    acknowledged: int = 0
    stored: int = 0
    rejected: int = 0
    duplicates: int = 0
    redelivered: int = 0  # messages that the ledger recognised
    maybe: int = 0
    scans: int = 0
    cancelled: int = 0  # scans
    dead_letters: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        """Takes over what another one, of other tenants, counted and found."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def passed(self) -> bool:
        return not self.findings

    @property
    def kinds(self) -> dict[str, int]:
        """The number of findings of each kind."""
        return dict(Counter(finding.kind for finding in self.findings))

    def as_json(self) -> dict[str, Any]:
        """The findings as a file or --json shows them."""
        return asdict(self) | {"findings": [finding._asdict() for finding in self.findings], "passed": self.passed}
