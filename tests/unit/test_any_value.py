"""Whatever bytes stand in a field, what comes of them is a record or a refusal, and both can be written down."""

import pytest

from schemas.validation import examine
from tests.fuzz.targets import record
from tests.fuzz.values import ALL, SURROUNDINGS
from tests.unit.examples import FULL, NOW, changed, encode

_HERE = "@here@"
_FIELDS = [*FULL, *(f"transfer/{name}" for name in FULL["transfer"]), "extra", "transfer/extra"]
_ITEMS = ["data_fields/0", "data_categories/0", "data_subjects/1", "recipients/0", "attributes/column_type"]


@pytest.mark.parametrize("path", [*_FIELDS, *_ITEMS])
def test_any_value_of_any_field_is_a_record_or_a_refusal(path: str) -> None:
    base = FULL | {"data_subjects": ["customer", "other"]}
    template = encode(changed("/" + path, _HERE, base))
    for value in ALL:
        for old, new in SURROUNDINGS:
            record(template.replace(f'"{_HERE}"'.encode(), value).replace(old, new, 1))


def test_any_value_in_place_of_a_record_is_a_refusal() -> None:
    for value in ALL:
        record(value)


@pytest.mark.parametrize(
    "name", ["", "\\ud800", "\\u0000", "\\u202e", "~/", "{field}", "{0}", "x" * 5_000, "\\ud83d\\ude00"]
)
def test_any_name_of_a_field_is_a_record_or_a_refusal(name: str) -> None:
    for value in ALL:
        member = b'"' + name.encode() + b'":' + value
        record(b"{" + member + b"," + encode(FULL)[1:])
        record(encode(FULL).replace(b'"country"', member + b',"country"'))
        record(encode(FULL).replace(b'"column_type"', member + b',"column_type"'))


def test_of_a_field_given_twice_the_last_one_counts() -> None:
    twice = encode(FULL)[:-1] + b',"retention_days":1,"retention_days":7}'
    found = examine(twice, NOW).record
    assert found is not None and found.retention_days == 7
