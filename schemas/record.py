"""The record, version 1: one processing activity found by one scan (docs/kafka-contract.md#the-record)."""

import datetime as dt
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from schemas.codes import (
    HOME_COUNTRY,
    SENSITIVE_CATEGORIES,
    Category,
    ControllerRole,
    Country,
    Exemption,
    LegalBasis,
    Mechanism,
    Subject,
)

MAX_ATTRIBUTES_BYTES: Final = 4 * 1024  # also with every number written out
# Of the objects and lists in a field, which is the first of them. What people and tools write has fewer than ten; strict
# parsers stop at 64 (System.Text.Json) or 100 (Ruby), and what reads a record finds it some levels inside an answer.
MAX_DEPTH: Final = 32
# Of a number in `attributes`, written out without an exponent. Every double has fewer: 309 at the upper end of the range, and
# 341 at the lower with 17 significant digits.
MAX_NUMBER_DIGITS: Final = 350
MAX_UNKNOWN_FIELDS: Final = 30  # of one record that are named; it has room for 40,000
MAX_SUBJECT_COUNT: Final = 10_000_000_000
MAX_RETENTION_DAYS: Final = 36_500
CLOCK_TOLERANCE: Final = dt.timedelta(minutes=5)
EARLIEST: Final = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)  # before any computer; keeps PostgreSQL's BC dates out
OFFSET_LIMIT: Final = dt.timedelta(hours=16)  # PostgreSQL takes less, either way
_DATE: Final = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?"
_OFFSET: Final = "(?:[Zz]|[+-](?:0[0-9]|1[0-5]):?[0-5][0-9])"

Text100 = Annotated[str, Meta(min_length=1, max_length=100)]
Text300 = Annotated[str, Meta(min_length=1, max_length=300)]
Text500 = Annotated[str, Meta(min_length=1, max_length=500)]
# The patterns are published; the decoder and the checks of schemas.validation hold the same, and the calendar besides.
Date = Annotated[dt.date, Meta(extra_json_schema={"pattern": f"^{_DATE}$"})]
DateTime = Annotated[dt.datetime, Meta(tz=True, extra_json_schema={"pattern": f"^{_DATE}[Tt ]{_TIME}{_OFFSET}$"})]


class Transfer(msgspec.Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """A cross-border transfer (Law 91/2025/QH15, Article 20; Decree 356/2025/ND-CP, Article 17)."""

    country: Country
    recipient: Text300
    mechanism: Mechanism
    exemption: Exemption | None = None
    dossier_ref: Text100 | None = None
    first_transferred_on: Date | None = None


class Record(msgspec.Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """One processing activity. Text lengths in characters after NFC; `attributes` is kept as the JSON it came in."""

    activity_key: Text300
    name: Text500
    source_system: Text100
    asset: Text300
    data_categories: Annotated[list[Category], Meta(min_length=1, max_length=50)]
    data_subjects: Annotated[list[Subject], Meta(min_length=1, max_length=20)]
    purpose: Text500
    legal_basis: LegalBasis
    storage_country: Country
    discovered_at: DateTime
    data_fields: Annotated[list[Text300], Meta(max_length=200)] = []
    controller_role: ControllerRole | None = None
    recipients: Annotated[list[Text300], Meta(max_length=100)] = []
    provider_country: Country | None = None
    transfer: Transfer | None = None
    retention_days: Annotated[int, Meta(ge=0, le=MAX_RETENTION_DAYS)] | None = None
    subject_count: Annotated[int, Meta(ge=0, le=MAX_SUBJECT_COUNT)] | None = None
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    attributes: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def sensitive(self) -> bool:
        """Decided by the categories on our side; a sender can never lower it (Law, Article 2; Decree, Article 4)."""
        return not SENSITIVE_CATEGORIES.isdisjoint(self.data_categories)

    @property
    def cross_border(self) -> bool:
        """Stored abroad, with a foreign provider even where its servers stand in Vietnam, or declared as a transfer."""
        return (
            self.storage_country != HOME_COUNTRY
            or (self.provider_country or HOME_COUNTRY) != HOME_COUNTRY
            or self.transfer is not None
        )


decode_record: Final = msgspec.json.Decoder(Record).decode
decode_records: Final = msgspec.json.Decoder(list[Record]).decode
split_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
