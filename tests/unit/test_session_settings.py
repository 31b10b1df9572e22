"""Settings of roles are what the processes need, and what a role lacks is named in both languages."""

import pytest

from producer_api.settings import ApiSettings
from schemas.session_settings import OF_ROLES, deciding, lacking, lacking_text, local, milliseconds, reading, writing
from stream_app.settings import WorkerSettings

DEADLINES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


def test_the_writers_role_has_the_deadlines_that_a_worker_has_unless_told_otherwise() -> None:
    default = WorkerSettings.model_fields["write_deadline_seconds"].default
    role = OF_ROLES["scanline_writer"]
    assert {role[name] for name in DEADLINES} == {milliseconds(default)}
    assert {**writing(default), "synchronous_commit": "off"} == role
    assert {writing(3)[name] for name in DEADLINES} == {"3000"}


def test_a_read_ends_no_later_than_the_role_would_end_it() -> None:
    default = ApiSettings.model_fields["read_deadline_seconds"].default
    assert int(reading(default)["statement_timeout"]) <= int(OF_ROLES["scanline_reader"]["statement_timeout"])
    assert reading(default)["transaction_read_only"] == "on"


def test_what_an_operator_decides_waits_for_the_disk() -> None:
    assert OF_ROLES["scanline_writer"]["synchronous_commit"] == "off"
    assert deciding(1)["synchronous_commit"] == "on"


@pytest.mark.parametrize(("seconds", "value"), [(15, "15000"), (0.25, "250"), (0.0001, "1")])
def test_no_deadline_becomes_none(seconds: float, value: str) -> None:
    assert milliseconds(seconds) == value


def test_settings_are_statements_of_the_transaction() -> None:
    assert local({"statement_timeout": "250", "TimeZone": "UTC"}) == (
        "SET LOCAL statement_timeout = '250'; SET LOCAL TimeZone = 'UTC'; "
    )


def test_what_a_role_lacks_is_named_and_nothing_of_other_roles() -> None:
    whole = dict(OF_ROLES["scanline_writer"])
    assert lacking("scanline_writer", whole) == {} and lacking_text("scanline_writer", whole) == ""
    assert lacking("scanline_writer", {**whole, "lock_timeout": "0"}) == {"lock_timeout": "0"}
    text = lacking_text("scanline_writer", {**whole, "lock_timeout": "0"})
    assert "vai trò scanline_writer chưa có" in text and "the role scanline_writer does not" in text
    assert text.count("lock_timeout = 0") == 2 and text.count("scanline migrate") == 2
    assert lacking("somebody", {}) == {}
