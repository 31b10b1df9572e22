"""The audit log always names who ran a command."""

import os
import pwd
import socket

import pytest

from operations.audit import actor, user_name

_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


@pytest.fixture(autouse=True)
def no_name_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)


def _nobody_knows() -> int:
    """A user id without an entry in the system's list."""
    known = {each.pw_uid for each in pwd.getpwall()}
    return next(number for number in range(54_321, 60_000) if number not in known)


def test_a_user_without_an_entry_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    uid = _nobody_knows()
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert actor() == f"uid:{uid}@{socket.gethostname()}"


@pytest.mark.parametrize("value", [b"lan", b"l\xe1\xba\xa1n", b"l\xffn", b"\xed\xa0\x80"])
def test_whatever_the_environment_says_can_be_written_down(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", os.fsdecode(value))
    assert user_name().encode()
