"""What holds for every call of the API, whichever is added: its query is checked, and a slash at its end is no redirect."""

from typing import Any, Final, NamedTuple

import httpx
import pytest

from schemas.problems import PROBLEMS

NAMES: Final = {"tenant_id": "acme", "scan_id": "0b6c8a4e-7a51-4bb5-9b9e-6c2f7a1d2e3f"}
PAGES: Final = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/docs/text",
    "/openapi.json",
)  # no calls: their queries are passed over


class Call(NamedTuple):
    """One method of one address, and the parameters of its query."""

    method: str
    path: str
    parameters: list[str]


@pytest.fixture
def calls(http: httpx.Client) -> list[Call]:
    """All of them, as the API describes itself."""
    found = [
        Call(
            method.upper(),
            path.format(**NAMES),
            sorted(each["name"] for each in call.get("parameters", ()) if each["in"] == "query"),
        )
        for path, methods in http.get("/openapi.json").json()["paths"].items()
        for method, call in methods.items()
    ]
    assert len(found) >= 9
    assert {name for call in found for name in call.parameters} >= {"limit", "cursor", "source", "category"}
    return found


def refused(http: httpx.Client, call: Call, query: str) -> list[dict[str, Any]]:
    """The errors of a 422."""
    answer = http.request(call.method, f"{call.path}?{query}", headers={"Content-Type": "application/x-ndjson"})
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid"), (call, query, answer.text)
    errors: list[dict[str, Any]] = answer.json()["errors"]
    assert all(set(error["messages"]) == {"vi", "en"} for error in errors)
    return errors


def test_an_unknown_parameter_is_refused_by_name(http: httpx.Client, calls: list[Call]) -> None:
    for call in calls:
        [error] = refused(http, call, "zzzz=0912345678")
        assert error["parameter"] == "zzzz"
        assert error["code"] == ("parameter_unknown" if call.parameters else "parameter_unexpected")
        for text in error["messages"].values():
            assert "«zzzz»" in text and all(name in text for name in call.parameters) and "0912345678" not in text


def test_a_misspelt_parameter_is_answered_the_nearest_name(http: httpx.Client, calls: list[Call]) -> None:
    for call in calls:
        for name in call.parameters:
            for misspelt in (name.upper(), name + "s", name[:-2] + name[-1] + name[-2]):
                [error] = refused(http, call, f"{misspelt}=1")
                assert (error["parameter"], error["code"]) == (misspelt, "parameter_misspelt")
                assert all(f"«{name}»" in text for text in error["messages"].values())


def test_of_two_values_of_a_parameter_none_is_passed_over(http: httpx.Client, calls: list[Call]) -> None:
    for call in calls:
        for name in call.parameters:
            for query in (f"{name}=1&{name}=2", f"{name}=1&{name}=1", f"{name}=&{name}="):
                [error] = refused(http, call, query)
                assert (error["parameter"], error["code"]) == (name, "parameter_repeated")


def test_every_parameter_that_is_wrong_is_named_once(http: httpx.Client, calls: list[Call]) -> None:
    [listing] = [call for call in calls if call.method == "GET" and call.path.endswith("/scans")]
    errors = refused(http, listing, "limits=1&limits=2&%00=1&limit=1&limit=2")
    assert [(error["parameter"], error["code"]) for error in errors] == [
        ("limits", "parameter_misspelt"),
        ("\ufffd", "parameter_unknown"),
        ("limit", "parameter_repeated"),
    ]


@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_slash_at_the_end_is_answered_the_right_address_and_never_redirected(
    http: httpx.Client, calls: list[Call], language: str
) -> None:
    detail = getattr(PROBLEMS["slash_at_the_end"].detail, language)
    for path in sorted({call.path for call in calls} | set(PAGES)):
        for method, slashes in (("GET", "/"), ("POST", "//"), ("PUT", "/"), ("HEAD", "/")):
            answer = http.request(method, f"{path}{slashes}?limit=1", headers={"Accept-Language": language})
            assert (answer.status_code, answer.headers.get("location")) == (404, None), (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
            if method != "HEAD":
                assert answer.json()["code"] == "slash_at_the_end"
                assert answer.json()["detail"] == detail.format(address=path)


def test_a_slash_after_no_address_is_no_address(http: httpx.Client) -> None:
    for path in ("/", "/v1/", "/v1/tenants/acme/nothing/"):
        assert http.get(path).json()["code"] == "route_not_found"
