"""Headers are taken as their published patterns say: only spaces and tabs around a value do not count."""

import pytest
from starlette.requests import Request

from producer_api.http.headers import idempotency_key, traceparent
from producer_api.http.problems import ApiProblem

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def request(name: str, value: str) -> Request:
    return Request({"type": "http", "headers": [(name.encode(), value.encode("latin-1"))]})


@pytest.mark.parametrize("around", ["", " ", "\t", " \t "])
def test_spaces_and_tabs_around_a_value_are_none_of_it(around: str) -> None:
    assert idempotency_key(request("idempotency-key", f"{around}k-1{around}")) == "k-1"
    assert traceparent(request("traceparent", f"{around}{TRACE}{around}")) == TRACE


@pytest.mark.parametrize("beside", ["\xa0", "\x85", "\x1c"])
def test_other_white_space_is_part_of_it(beside: str) -> None:
    for value in (f"k-1{beside}", f"{beside}k-1"):
        with pytest.raises(ApiProblem):
            idempotency_key(request("idempotency-key", value))
    assert traceparent(request("traceparent", f"{TRACE}{beside}")) is None
