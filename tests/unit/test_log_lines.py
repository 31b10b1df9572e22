"""Log lines as text and as JSON: one line each, what they are about, and never the text of an exception."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from schemas import log_lines
from schemas.log_lines import JsonLines, TextLines, about, without_values

SECRET: Final = "0987 654 321"


def failed() -> Any:
    """What logging hands on of an exception that came of another."""
    try:
        try:
            {}[SECRET]
        except KeyError as error:
            raise ValueError(SECRET) from error
    except ValueError:
        return sys.exc_info()


def record(message: str, *arguments: object, raised: Any = None, **places: Any) -> logging.LogRecord:
    made = logging.LogRecord("scanline.lane", logging.WARNING, __file__, 1, message, arguments, raised)
    made.__dict__.update(about(**places))
    return made


def test_a_json_line_says_what_it_is_about() -> None:
    text = JsonLines().format(record("phân vùng %d:\ndừng", 3, partition=3, offset=17, scan_id=None))
    assert "\n" not in text and "phân vùng" in text
    line = json.loads(text)
    assert line.pop("time").endswith("+00:00") and line.pop("process") > 0
    assert line == {
        "level": "WARNING",
        "logger": "scanline.lane",
        "message": "phân vùng 3:\ndừng",
        "partition": 3,
        "offset": 17,
    }


def test_half_a_character_is_no_reason_to_lose_a_line() -> None:
    assert json.loads(JsonLines().format(record("a \udc80 b")))["message"] == "a \udc80 b"


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()], ids=["text", "json"])
def test_an_exception_is_reported_without_its_text(formatter: logging.Formatter) -> None:
    text = formatter.format(record("it failed", raised=failed()))
    assert SECRET not in text
    assert text.index("KeyError") < text.index("ValueError") and "test_log_lines.py" in text


def test_what_the_operating_system_says_is_reported() -> None:
    with pytest.raises(OSError) as raised:
        open("/nowhere/at-all")  # noqa: SIM115
    assert without_values(raised.value).endswith("FileNotFoundError: No such file or directory")


def test_a_ring_of_exceptions_is_reported_once() -> None:
    one, other = ValueError(SECRET), KeyError(SECRET)
    one.__cause__, other.__cause__ = other, one
    assert without_values(one) == "KeyError\nValueError"


@contextmanager
def handled() -> Iterator[logging.Handler]:
    """As in a process: everything goes to standard error."""
    hooks = sys.excepthook, threading.excepthook
    root = logging.getLogger()
    added = log_lines.handler("json")
    root.addHandler(added)
    try:
        yield added
    finally:
        root.removeHandler(added)
        sys.excepthook, threading.excepthook = hooks


def test_what_nobody_catches_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    with handled():
        thread = threading.Thread(target=fail, name="poller")
        thread.start()
        thread.join()
        sys.excepthook(*failed())
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines] == ["CRITICAL", "CRITICAL"]
    assert "poller" in lines[0]["message"] and lines[0]["exception"].endswith("ValueError")
    assert SECRET not in json.dumps(lines)


def test_a_line_that_cannot_be_written_gives_nothing_away(capsys: pytest.CaptureFixture[str]) -> None:
    with handled() as handler:
        handler.handle(record("%d", SECRET))
    err = capsys.readouterr().err
    assert SECRET not in err and "a line of scanline.lane could not be written: TypeError" in err
