"""Whatever bytes stand in a field, what comes of them is a record or a refusal, and both can be written down."""

import json

import msgspec
import pytest

from schemas.status import error_sample
from schemas.validation import examine
from tests.fuzz.values import ALL, SURROUNDINGS
from tests.unit.examples import FULL, NOW, changed, encode

_HERE = "@here@"
_FIELDS = [*FULL, *(f"transfer/{name}" for name in FULL["transfer"]), "extra", "transfer/extra"]
_ITEMS = ["data_fields/0", "data_categories/0", "data_subjects/1", "recipients/0", "attributes/column_type"]


def assert_record_or_refusal(raw: bytes) -> None:
    """All that is kept or shown of either is UTF-8 and JSON."""
    outcome = examine(raw, NOW)
    assert (outcome.record is None) == bool(outcome.errors)
    if outcome.record is not None:
        assert msgspec.json.decode(msgspec.json.encode(outcome.record), type=type(outcome.record)) == outcome.record
        return
    assert outcome.original == raw.strip(b" \t\r\n")
    (outcome.activity_key or "").encode()
    for error in outcome.errors:
        shown = msgspec.json.encode([error, error.messages, error_sample(3, outcome.activity_key, error)])
        assert "\x00" not in json.dumps(json.loads(shown), ensure_ascii=False)


@pytest.mark.parametrize("path", [*_FIELDS, *_ITEMS])
def test_any_value_of_any_field_is_a_record_or_a_refusal(path: str) -> None:
    base = FULL | {"data_subjects": ["customer", "other"]}
    template = encode(changed("/" + path, _HERE, base))
    for value in ALL:
        for old, new in SURROUNDINGS:
            assert_record_or_refusal(template.replace(f'"{_HERE}"'.encode(), value).replace(old, new, 1))


def test_any_value_in_place_of_a_record_is_a_refusal() -> None:
    for value in ALL:
        assert_record_or_refusal(value)


@pytest.mark.parametrize(
    "name", ["", "\\ud800", "\\u0000", "\\u202e", "~/", "{field}", "{0}", "x" * 5_000, "\\ud83d\\ude00"]
)
def test_any_name_of_a_field_is_a_record_or_a_refusal(name: str) -> None:
    for value in ALL:
        member = b'"' + name.encode() + b'":' + value
        assert_record_or_refusal(b"{" + member + b"," + encode(FULL)[1:])
        assert_record_or_refusal(encode(FULL).replace(b'"country"', member + b',"country"'))
        assert_record_or_refusal(encode(FULL).replace(b'"column_type"', member + b',"column_type"'))


def test_of_a_field_given_twice_the_last_one_counts() -> None:
    twice = encode(FULL)[:-1] + b',"retention_days":1,"retention_days":7}'
    record = examine(twice, NOW).record
    assert record is not None and record.retention_days == 7
