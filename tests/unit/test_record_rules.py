"""Every rule of the record: its code, its pointer, and its words in both languages."""

import datetime as dt
import json
import re
from typing import Any

import pytest

from schemas.errors import RECORD_ERRORS
from schemas.record import MAX_UNKNOWN_FIELDS, Record, Transfer
from tests.unit.examples import FULL, MINIMAL, MISSING, NOW, changed, encode, only_error, outcome_of

SECRET = "079090012345"  # shaped like an identity number: no error may repeat it
# errors that only the sink can find
BY_THE_SINK = {"scan_cancelled", "database_refused"}
BY_TEST_ATTRIBUTES = {"nested_too_deep", "number_too_long"}

TEXTS = {
    "/activity_key": 300,
    "/name": 500,
    "/source_system": 100,
    "/asset": 300,
    "/purpose": 500,
    "/data_fields/0": 300,
    "/recipients/0": 300,
    "/transfer/recipient": 300,
    "/transfer/dossier_ref": 100,
}
CODES = {
    "/data_categories/0": "unknown_code",
    "/data_subjects/0": "unknown_code",
    "/legal_basis": "unknown_code",
    "/controller_role": "unknown_code",
    "/storage_country": "country_unknown",
    "/provider_country": "country_unknown",
    "/transfer/country": "country_unknown",
    "/transfer/mechanism": "unknown_code",
    "/transfer/exemption": "unknown_code",
}
LISTS = {"/data_fields": (0, 200), "/data_categories": (1, 50), "/data_subjects": (1, 20), "/recipients": (0, 100)}
NUMBERS = {"/retention_days": 36_500, "/subject_count": 10_000_000_000, "/confidence": 1}
REQUIRED = [
    "/activity_key", "/name", "/source_system", "/asset", "/data_categories", "/data_subjects", "/purpose",
    "/legal_basis", "/storage_country", "/discovered_at", "/transfer/country", "/transfer/recipient",
    "/transfer/mechanism",
]  # fmt: skip
MAY_BE_NULL = [
    "/controller_role", "/provider_country", "/transfer", "/retention_days", "/subject_count", "/confidence",
    "/transfer/exemption", "/transfer/dossier_ref", "/transfer/first_transferred_on",
]  # fmt: skip
MAY_BE_MISSING = [*MAY_BE_NULL, "/data_fields", "/recipients", "/attributes"]
BAD_CHARACTERS = {
    "text_nul": "\x00",
    "text_control": "\x01\x0b\r\x1b\x7f\x85",
    "text_surrogate": "\ud800\udfff",
    "text_bidi": "\u202e\u2066",
}


def _cases() -> list[Any]:
    cases: list[tuple[str, str, Any]] = []
    cases += [("required", path, MISSING) for path in REQUIRED] + [("required", path, None) for path in REQUIRED]
    cases += [
        ("wrong_type", path, wrong) for path in [*TEXTS, *CODES] for wrong in (int(SECRET), [SECRET], {SECRET: 1}, True)
    ]
    cases += [
        ("wrong_type", path, wrong)
        for path in (*LISTS, "/transfer", "/attributes")
        for wrong in (SECRET, int(SECRET), False)
    ]
    cases += [("wrong_type", path, None) for path in ("/data_fields", "/recipients", "/attributes", "/data_fields/0")]
    cases += [("wrong_type", path, wrong) for path in NUMBERS for wrong in (SECRET, [1], {}, True)]
    cases += [("wrong_type", path, wrong) for path in ("/retention_days", "/subject_count") for wrong in (1.5, 3.0)]
    cases += [("text_empty", path, "") for path in TEXTS] + [("text_empty", path, "\u200b\ufeff") for path in TEXTS]
    cases += [("text_too_long", path, "đ" * (maximum + 1)) for path, maximum in TEXTS.items()]
    cases += [
        (code, path, f"a{bad}{SECRET}") for path in TEXTS for code, all_bad in BAD_CHARACTERS.items() for bad in all_bad
    ]
    cases += [
        (code, "/attributes", {"a": [f"a{bad}{SECRET}"]}) for code, all_bad in BAD_CHARACTERS.items() for bad in all_bad
    ]
    cases += [
        (code, "/attributes", {f"a{bad}{SECRET}": 1}) for code, all_bad in BAD_CHARACTERS.items() for bad in all_bad
    ]
    cases += [(code, path, wrong) for path, code in CODES.items() for wrong in (SECRET, "", "CONSENT", "vn")]
    cases += [("list_too_short", path, []) for path, (minimum, _) in LISTS.items() if minimum]
    cases += [("list_too_long", path, ["other"] * (maximum + 1)) for path, (_, maximum) in LISTS.items()]
    cases += [
        ("out_of_range", path, wrong)
        for path, maximum in NUMBERS.items()
        for wrong in (-1, maximum + 1, 10**30, 10**400)
    ]
    cases += [("out_of_range", "/confidence", wrong) for wrong in (-0.001, 1.001)]
    cases += [("unknown_field", path, SECRET) for path in ("/ho_ten", "/transfer/note", "/sensitive", "/cross_border")]
    cases += [
        ("datetime_invalid", "/discovered_at", wrong)
        for wrong in ("", "hôm qua", "2026-11-20", "2026-11-20T09:30:00", "2026-02-30T00:00:00Z",
                      "2026-11-20T24:00:00Z", "20/11/2026 09:30", 1_762_000_000, ["2026-11-20T09:30:00Z"], True,
                      "\ud800", "2026-11-20T09:30:00\udfffZ", "2026-11-20T09:30:0٠Z")
    ]  # fmt: skip
    cases += [
        ("datetime_future", "/discovered_at", (NOW + dt.timedelta(minutes=5, microseconds=1)).isoformat()),
        ("datetime_future", "/discovered_at", "9999-12-31T23:59:59-14:00"),
        ("datetime_too_old", "/discovered_at", "1899-12-31T23:59:59Z"),
        ("datetime_too_old", "/discovered_at", "0001-01-01T00:00:00+14:00"),
    ]
    cases += [
        ("date_invalid", "/transfer/first_transferred_on", wrong)
        for wrong in ("", "01/02/2026", "2026-02-30", "2026-02-01T00:00:00Z", 20_260_201, [], True, "\ud800",
                      "2026-02-01\udfff", "2026-02-0١")
    ]  # fmt: skip
    cases += [("attributes_too_large", "/attributes", {"a": "x" * 4089})]
    cases += [("attributes_too_large", "/attributes", {"a": [10**349] * 12})]
    return [pytest.param(*case, id=f"{case[0]} {case[1]} {number}") for number, case in enumerate(cases)]


CASES = _cases()


@pytest.mark.parametrize(("code", "path", "value"), CASES)
def test_a_broken_rule_is_named_by_code_pointer_and_both_languages(code: str, path: str, value: Any) -> None:
    error = only_error(changed(path, value))
    assert (error.code, error.pointer) == (code, path)
    words = error.messages_for(16)
    assert words["vi"].startswith("Bản ghi thứ 17 bị từ chối: ") and words["en"].startswith("Record 17 was rejected: ")
    for text in words.values():
        assert f"«{path.removeprefix('/')}»" in text
        assert "{" not in text and SECRET not in text
    shown = json.dumps([error.code, error.params, words], ensure_ascii=False)
    if isinstance(value, str) and len(value) > 3:
        assert value not in shown


@pytest.mark.parametrize(
    ("code", "raw"),
    [
        ("record_not_object", b""),
        ("record_not_object", b"null"),
        ("record_not_object", b"[]"),
        ("record_not_object", b'"text"'),
        ("record_not_object", b'{"name": }'),
        ("record_not_object", encode(MINIMAL) + b"x"),
        ("record_not_object", encode(MINIMAL)[:-1]),
        ("record_not_object", b"\xef\xbb\xbf" + encode(MINIMAL)),
        ("number_not_finite", encode(FULL).replace(b"0.93", b"NaN")),
        ("number_not_finite", encode(FULL).replace(b"0.93", b"-Infinity").replace(b"varchar", b"\\ud83d\\ude00")),
        ("number_not_finite", encode(encode(FULL).replace(b"0.93", b"NaN").decode())),  # a line as its text
        ("several_in_line", encode(MINIMAL) + encode(FULL)),
        ("several_in_line", encode((encode(MINIMAL) + b" , " + encode(FULL)).decode())),
        ("record_not_object", encode(FULL).replace(b"365", b"007")),
        ("encoding_invalid", encode(MINIMAL).replace(b"crm/", b"\x80/")),
        ("encoding_invalid", encode(FULL).replace(b"varchar", b"\xe1\xba")),
        ("encoding_invalid", encode(FULL).replace(b"varchar", b"\xc0\xaf")),  # overlong
        ("encoding_invalid", encode(FULL).replace(b"varchar", b"\xed\xa0\x80")),  # a surrogate in UTF-8
        ("record_too_large", encode(changed("/attributes", {"a": "x" * 300_000}))),
    ],
)
def test_what_is_no_record_at_all_is_said_so(code: str, raw: bytes) -> None:
    error = only_error(raw)
    assert (error.code, error.pointer) == (code, "")
    assert set(error.messages_for(None)) == {"vi", "en"}
    assert outcome_of(raw).original == raw


def test_every_error_of_the_catalogue_is_met_by_these_tests() -> None:
    met = {case.values[0] for case in CASES} | {
        "record_not_object",
        "number_not_finite",
        "several_in_line",
        "encoding_invalid",
        "record_too_large",
    }
    assert met | BY_THE_SINK | BY_TEST_ATTRIBUTES == set(RECORD_ERRORS)


def test_every_field_is_met_by_these_tests() -> None:
    met = {*TEXTS, *CODES, *NUMBERS, *LISTS, "/transfer", "/attributes", "/discovered_at"}
    met |= {"/transfer/first_transferred_on"}
    inner = {f"/transfer/{field}" for field in Transfer.__struct_fields__}
    assert {path.removesuffix("/0") for path in met} == {f"/{field}" for field in Record.__struct_fields__} | inner
    assert set(FULL) == set(Record.__struct_fields__) and set(FULL["transfer"]) == set(Transfer.__struct_fields__)


@pytest.mark.parametrize("path", MAY_BE_NULL)
def test_null_means_not_given(path: str) -> None:
    outcome = outcome_of(changed(path, None))
    assert outcome.errors == ()
    assert outcome.record == outcome_of(changed(path, MISSING)).record


@pytest.mark.parametrize("path", MAY_BE_MISSING)
def test_what_is_not_required_may_be_missing(path: str) -> None:
    assert outcome_of(changed(path, MISSING)).errors == ()


def test_bounds_are_inside() -> None:
    for path, maximum in TEXTS.items():
        assert outcome_of(changed(path, "đ" * maximum)).errors == (), path
        assert outcome_of(changed(path, "x")).errors == (), path
    for path, number in NUMBERS.items():
        for value in (0, number):
            assert outcome_of(changed(path, value)).errors == (), path
    for path, (minimum, maximum) in LISTS.items():
        item = {"/data_categories": "basic_name", "/data_subjects": "other"}.get(path, "cột")
        for count in (minimum, maximum):
            assert outcome_of(changed(path, [item] * count)).errors == (), path
    assert outcome_of(changed("/attributes", {"a": "x" * 4_088})).errors == ()
    assert outcome_of(changed("/discovered_at", (NOW + dt.timedelta(minutes=5)).isoformat())).errors == ()
    assert outcome_of(changed("/discovered_at", "1900-01-01T00:00:00Z")).errors == ()


def test_every_error_of_a_record_is_reported_at_once() -> None:
    record = changed("/name", "") | {"retention_days": -1, "ho_ten": SECRET, "purpose": None}
    del record["asset"]
    found = {(error.code, error.pointer) for error in outcome_of(record).errors}
    assert found == {
        ("text_empty", "/name"),
        ("out_of_range", "/retention_days"),
        ("unknown_field", "/ho_ten"),
        ("required", "/purpose"),
        ("required", "/asset"),
    }


def test_a_rejected_record_keeps_its_key_and_its_bytes() -> None:
    raw = encode(changed("/name", ""))
    outcome = outcome_of(b" \n" + raw + b"\r\n")
    assert outcome.activity_key == FULL["activity_key"]
    assert outcome.original == raw


def test_of_many_unknown_fields_the_first_are_named_and_every_known_one() -> None:
    outcome = outcome_of(FULL | {f"x{number}": 1 for number in range(10_000)} | {"name": "", "purpose": None})
    told = [(error.code, error.pointer) for error in outcome.errors]
    unknown = [("unknown_field", f"/x{number}") for number in range(MAX_UNKNOWN_FIELDS)]
    assert sorted(told) == sorted([*unknown, ("text_empty", "/name"), ("required", "/purpose")])


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("a/b~c", "/a~1b~0c"),
        ("x" * 500, "/" + "x" * 80),
        ("a\x00b", "/a\ufffdb"),
        ("\u202ename", "/\ufffdname"),
        ("\ud800", "/\ufffd"),
        ("{field}", "/{field}"),
    ],
)
def test_an_unknown_field_is_named_safely(name: str, pointer: str) -> None:
    error = only_error(FULL | {name: 1})
    assert (error.code, error.pointer) == ("unknown_field", pointer)
    assert f"«{pointer.removeprefix('/').replace('~1', '/').replace('~0', '~')}»" in error.messages["vi"]


def test_text_is_normalised_before_it_is_measured_and_stored() -> None:
    nfd = "Nguye\u0302\u0303n Thi\u0323 Ho\u0300a"
    outcome = outcome_of(changed("/name", f"\u200b{nfd}\u200d\ufeff"))
    assert outcome.record is not None and outcome.record.name == "Nguyễn Thị Hòa"
    # 500 letters of two code points each fit: it is the composed text that is measured
    assert outcome_of(changed("/name", "e\u0301" * 500)).errors == ()
    assert outcome_of(changed("/name", "é" * 500 + "\u200b" * 100)).errors == ()


def test_tab_and_line_feed_are_text() -> None:
    record = outcome_of(changed("/purpose", 'một\thai\nba \\ " 😀')).record
    assert record is not None and record.purpose == 'một\thai\nba \\ " 😀'


def test_attributes_keep_their_numbers_and_lose_what_cannot_be_seen() -> None:
    raw = encode(FULL).replace(
        b'{"column_type":"varchar"', '{"số":1.10000000000000000000001,"e\u0301":"\u200bx\\u00e9"'.encode()
    )
    record = outcome_of(raw).record
    assert record is not None
    stored = bytes(record.attributes).decode()
    assert stored.startswith('{"số":1.10000000000000000000001,"é":"xé"')


def test_attributes_are_measured_as_they_are_stored() -> None:
    assert outcome_of(changed("/attributes", {"a": "x" * 4_000 + "\u200b" * 100})).errors == ()
    # each of these takes 3 bytes as sent and 6 in NFC
    assert only_error(changed("/attributes", {"a": "\u0958" * 1_300})).code == "attributes_too_large"


def test_sensitivity_and_borders_are_derived() -> None:
    def derived(**fields: Any) -> tuple[bool, bool]:
        record = outcome_of(MINIMAL | fields).record
        assert record is not None
        return record.sensitive, record.cross_border

    transfer = {"country": "VN", "recipient": "Sao Mai", "mechanism": "intragroup"}
    assert derived() == (False, False)
    assert derived(provider_country="VN") == (False, False)
    assert derived(data_categories=["basic_name", "sensitive_bank"]) == (True, False)
    assert derived(storage_country="US") == (False, True)
    assert derived(provider_country="US") == (False, True)
    assert derived(transfer=transfer) == (False, True)


def test_no_code_of_an_error_looks_like_a_sentence() -> None:
    assert all(re.fullmatch(r"[a-z_]+", code) for code in RECORD_ERRORS)
