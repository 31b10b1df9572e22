"""A library that says the same many times a second is heard a few times a minute, and nothing else is held back."""

import logging

from stream_app.faust_bridge.log_filter import Repeats


def said(name: str, line: int, text: str = "broker %s is away") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "conn.py", line, text, ("1",), None)


def test_a_line_is_heard_once_in_ten_seconds_with_the_count_of_the_others() -> None:
    now = 0.0
    repeats = Repeats(("aiokafka",), 10, lambda: now)
    assert repeats.filter(said("aiokafka.conn", 1))
    assert not any(repeats.filter(said("aiokafka.conn", 1)) for _ in range(70))
    assert repeats.filter(said("aiokafka.conn", 2))  # another line
    assert all(repeats.filter(said("scanline.lane", 1)) for _ in range(3))  # ours
    assert all(repeats.filter(said("aiokafkaesque", 1)) for _ in range(3))
    now = 10.0
    last = said("aiokafka.conn", 1)
    assert repeats.filter(last) and last.getMessage() == "broker 1 is away [+70]"
    assert not repeats.filter(said("aiokafka.conn", 1))
