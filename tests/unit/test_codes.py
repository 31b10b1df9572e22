"""The closed lists are the law's and the standard's."""

from typing import get_args

import pycountry

from schemas import codes


def test_countries_are_those_of_iso_3166() -> None:
    assert {country.alpha_2 for country in pycountry.countries} == codes.COUNTRIES
    assert codes.HOME_COUNTRY in codes.COUNTRIES


def test_eleven_basic_and_thirteen_sensitive_categories() -> None:
    basic, sensitive = get_args(codes.BasicCategory), get_args(codes.SensitiveCategory)
    assert (len(set(basic)), len(set(sensitive))) == (11, 13)
    assert all(code.startswith("basic_") for code in basic) and all(code.startswith("sensitive_") for code in sensitive)
    assert {*basic, *sensitive} == codes.CATEGORIES and set(sensitive) == codes.SENSITIVE_CATEGORIES


def test_five_cases_without_consent() -> None:
    assert len(set(get_args(codes.LegalBasis)) - {"consent", "undetermined"}) == 5
    assert "legitimate_interests" not in get_args(codes.LegalBasis)


def test_four_states_are_final() -> None:
    assert set(codes.SCAN_STATES) - codes.FINAL_STATES == {"queued", "processing"}
