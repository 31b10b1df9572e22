"""The published documents say what the code does."""

import json
import uuid
from pathlib import Path
from typing import Any, Final

import jsonschema
import msgspec
import pytest
import yaml

from infra.kafka.topics import specs
from operations.dead_letters.dead_letter import DeadLetter
from operations.dead_letters.sender import headers_again
from schemas import documents, json_schemas, topics
from schemas.dead_letters import REASON_HEADERS, RETRY_HEADERS, DeadLetterId
from schemas.field_texts import STRUCTS
from schemas.messages import headers_for
from schemas.status import Scan, encode_status, error_sample, status_of
from schemas.validation import examine
from tests.unit.examples import FULL, MINIMAL, MISSING, NOW, changed, encode, outcome_of, sample_lines

THIRD_PARTY = Path(__file__).resolve().parents[1] / "data" / "third_party"


def _validator(name: str) -> Any:
    schema = json.loads((documents.DIRECTORY / name).read_text(encoding="utf-8"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def test_the_documents_are_fresh() -> None:
    assert documents.stale() == [], "run python -m schemas.documents"


def test_a_stale_document_is_noticed(tmp_path: Path) -> None:
    assert set(documents.stale(tmp_path)) == set(documents.documents())


def test_every_field_is_described_and_no_other() -> None:
    roots = msgspec.json.schema_components(list(json_schemas.ROOTS.values()))[1]
    assert {name: set(schema["properties"]) for name, schema in roots.items()} == {
        name: set(fields) for name, (_, fields) in STRUCTS.items()
    }


def test_the_real_scans_are_valid() -> None:
    validator = _validator("record.v1.schema.json")
    for line in sample_lines():
        validator.validate(json.loads(line))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/name", MISSING), ("/name", ""), ("/name", 1), ("/name", "x" * 501), ("/data_categories", []),
        ("/data_categories/0", "basic"),
        ("/storage_country", "XX"), ("/transfer/country", None), ("/retention_days", -1), ("/retention_days", 1.5),
        ("/subject_count", 10**10 + 1), ("/confidence", 1.01), ("/attributes", []), ("/ho_ten", "x"),
        ("/transfer/note", "x"),
        ("/recipients", ["x"] * 101), ("/recipients", None),
    ],
)  # fmt: skip
def test_the_schema_refuses_what_the_rules_refuse(path: str, value: Any) -> None:
    record = changed(path, value)
    assert outcome_of(record).errors
    assert not _validator("record.v1.schema.json").is_valid(record)


@pytest.mark.parametrize("record", [MINIMAL, FULL, changed("/transfer", None), changed("/attributes", MISSING)])
def test_the_schema_accepts_what_the_rules_accept(record: dict[str, Any]) -> None:
    assert examine(encode(record), NOW).errors == ()
    _validator("record.v1.schema.json").validate(record)
    _validator("messages.v1.schema.json").validate([record])


def test_a_message_of_more_than_a_thousand_records_is_not_valid() -> None:
    validator = _validator("messages.v1.schema.json")
    assert validator.is_valid([MINIMAL] * 1_000)
    assert not validator.is_valid([MINIMAL] * 1_001)


def test_a_status_we_write_is_valid() -> None:
    scan = Scan("tenant-a", "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11", records_stored=1, records_rejected=1)
    scan.settle(NOW)
    scan.errors_sample = [error_sample(0, None, error) for error in outcome_of(changed("/name", "")).errors]
    _validator("status.v1.schema.json").validate(json.loads(encode_status(status_of(scan))))


def test_asyncapi_is_valid_against_its_own_schema() -> None:
    schema = json.loads((THIRD_PARTY / "asyncapi-3.0.0.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    document = yaml.safe_load((documents.DIRECTORY / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)] == []
    document["channels"]["records"]["address"] = 5
    assert not validator.is_valid(document)  # the check does check


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("name", sorted(documents.documents()))
def test_every_reference_leads_somewhere(name: str) -> None:
    document = yaml.safe_load((documents.DIRECTORY / name).read_text(encoding="utf-8"))
    references = set(_references(document))
    assert references
    for reference in references:
        node = document
        assert reference.startswith("#/")
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_asyncapi_names_the_three_topics_and_all_message_types() -> None:
    document = documents.asyncapi()
    assert {channel["address"] for channel in document["channels"].values()} == {
        topics.RECORDS_TOPIC,
        topics.STATUS_TOPIC,
        topics.DLQ_TOPIC,
    }
    headers = [message["headers"].get("properties", {}) for message in document["components"]["messages"].values()]
    types = {fields.get("ce_type", {}).get("const") for fields in headers}
    assert types - {None} == topics.MESSAGE_TYPES


def _published(message: str) -> dict[str, Any]:
    return dict(documents.asyncapi()["components"]["messages"][message]["headers"])


@pytest.mark.parametrize("kind", sorted(topics.MESSAGE_TYPES))
def test_every_header_that_is_written_is_published(kind: str) -> None:
    """By the API and by the command line, and by both for what is sent again after it was a dead letter."""
    mends = (0, -7) if kind == topics.MENDED else ()
    first = 3 if kind == topics.RECORDS else None
    own = headers_for(kind, str(uuid.uuid4()), first_index=first, mends=mends, traceparent="00-1-1-00")
    letter = DeadLetter(DeadLetterId(1, 2, 3), b"tenant-a", b"[]", own, "message_unreadable", "tenant-a", None, 4, 5)
    written = {name: value.decode() for name, value in headers_again(letter) if value is not None}
    schema = _published(kind.split(".")[-2])
    jsonschema.validate(written, schema | {"additionalProperties": False})
    assert set(written) >= RETRY_HEADERS


def test_every_header_of_a_dead_letter_is_published() -> None:
    assert set(_published("dead_letter")["properties"]) == REASON_HEADERS | RETRY_HEADERS


# For the broker's own housekeeping: nobody who publishes or reads goes by them.
HOUSEKEEPING: Final = {"min.insync.replicas", "min.cleanable.dirty.ratio", "segment.ms"}


def test_asyncapi_has_the_topics_as_they_are_made() -> None:
    made = {spec.name: (spec.partitions, spec.settings) for spec in specs()}
    assert set(made) == set(documents.TOPIC_DEFAULTS)
    for name, (partitions, settings) in documents.TOPIC_DEFAULTS.items():
        assert made[name][0] == partitions
        for setting, value in settings.items():
            assert made[name][1][setting] == (",".join(value) if isinstance(value, list) else str(value))
        assert made[name][1].keys() - settings.keys() <= HOUSEKEEPING
