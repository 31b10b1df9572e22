"""Stock Faust as its guide shows it, in a process of its own: `python -m tests.stock_faust BOOTSTRAP TOPIC LOG AGENT`.

What the tests compare Scanline with: the same broker, the same fault, none of our transport. Values are numbers in text. LOG
takes a line of JSON for every message that an agent is done with; Faust takes standard output for its own log.
"""

import asyncio
import json
import os
import sys
import tempfile
from typing import Any, Final

import faust

SLOW_SECONDS: Final = 600.0  # as good as for ever
COMMIT_SECONDS: Final = 0.5
SESSION_SECONDS: Final = 6.0  # the least the broker takes: how soon another worker takes over from one that was killed
SLOW: Final = b"slow"
BAD: Final = b"bad"


def build(bootstrap: str, topic_name: str, log_file: str, agent: str) -> faust.App:
    """An app with one of the agents below."""
    app = faust.App(
        f"stock-{topic_name}",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="stock-faust-"),
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        broker_commit_interval=COMMIT_SECONDS,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=1.0,
        consumer_auto_offset_reset="earliest",
    )
    topic = app.topic(topic_name, value_serializer="raw", value_type=bytes)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def done(event: Any) -> None:
        message = event.message
        entry = {"pid": os.getpid(), "partition": message.partition, "offset": message.offset}
        os.write(log, json.dumps(entry | {"value": event.value.decode()}).encode() + b"\n")

    async def one_by_one(stream: Any) -> None:
        async for event in stream.events():
            if event.value == SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            done(event)

    async def batches(stream: Any) -> None:
        async for events in stream.take_events(100, within=1.0):
            if any(event.value == BAD for event in events):
                raise RuntimeError("a bad one among them")
            for event in events:
                done(event)

    if agent == "batches":
        app.agent(topic)(batches)
    elif agent == "isolated":
        app.agent(topic, isolated_partitions=True)(one_by_one)
    else:
        app.agent(topic, concurrency=int(agent))(one_by_one)
    return app


def main() -> None:
    """Runs until it is killed."""
    app = build(*sys.argv[1:])
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
