"""The sink's calls to the server: which thread waits for which answer, for how long, and what makes it wait no
longer."""

import io
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from sinks.postgres.errors import DATABASE_ERRORS
from sinks.postgres.parts import Parts

Result = TypeVar("Result")
# A server that can answer ends a statement at the deadline itself, and says why. Only a silent one is given up.
_PATIENCE: Final = 1.25
_LOOKS: Final = 20  # in one deadline
_BUFFER: Final = 1 << 20


class Call:
    """A call: what one thread has the server do, statement after statement on one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.asking = False
        self.waited = 0.0  # seconds for the answer that is due
        self.answers = 0

    def end(self) -> None:
        """Shuts the socket: libpq then sees the end of the connection, whatever the server does."""
        with suppress(OSError, *DATABASE_ERRORS), socket.socket(fileno=os.dup(self.connection.fileno())) as half:
            half.shutdown(socket.SHUT_RDWR)


class Calls:
    """All calls of a sink. A thread ends those that wait in vain: no timeout of PostgreSQL's or TCP's notices a network
    that takes everything, confirms it, and delivers nothing."""

    def __init__(self, deadline_seconds: float) -> None:
        self._held: dict[int, Call] = {}  # by thread
        self._patience = deadline_seconds * _PATIENCE
        self._step = deadline_seconds / _LOOKS
        self._closed = threading.Event()
        threading.Thread(target=self._keep_deadlines, name="sink-deadlines", daemon=True).start()

    def begin(self, connection: Connection) -> Call:
        """This thread is using the connection."""
        call = self._held[threading.get_ident()] = Call(connection)
        return call

    def finish(self) -> None:
        """This thread is not any more."""
        self._held.pop(threading.get_ident(), None)

    def end(self, thread: int) -> None:
        """Makes what the thread waits for fail."""
        call = self._held.get(thread)
        if call is not None:
            call.end()

    def answers(self, thread: int | None) -> int:
        """The number of answers that the thread's call has had."""
        call = None if thread is None else self._held.get(thread)
        return 0 if call is None else call.answers

    def close(self) -> None:
        """Ends the thread that looks after them."""
        self._closed.set()

    def _keep_deadlines(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(self._step):
            now = time.monotonic()
            passed, last = min(now - last, 2 * self._step), now  # a process that was frozen did not wait
            for call in list(self._held.values()):
                if call.asking:
                    call.waited += passed
                    if call.waited >= self._patience:
                        call.end()


class TimedCursor(Cursor):
    """A cursor that notes how long the server took for how many bytes. `call`, `parts` and `settings` (of each transaction, as
    statements) are set by its maker."""

    call: Call
    parts: Parts
    settings: str

    def begin(self, query: str, vars: Any = None, *, answer_bytes: int = 0) -> None:
        """Begins a transaction with its settings and its first statement, all in one message."""
        self.execute(f"BEGIN; {self.settings}{query}", vars, answer_bytes=answer_bytes)

    def alone(self, query: str, vars: Any = None) -> None:
        """Executes what is a transaction of its own, as the statements of one message are to PostgreSQL, with its settings."""
        self.execute(f"{self.settings}{query}", vars)

    def execute(self, query: Any, vars: Any = None, *, answer_bytes: int = 0) -> None:
        """`answer_bytes`: how large the answer may be, where that is more than a few lines. How large it was, nobody
        counts: only a failure is held against it."""
        self._timed(lambda: super(TimedCursor, self).execute(query, vars), lambda: len(self.query or b""), answer_bytes)

    def copy_in(self, statement: str, data: bytes) -> None:
        """COPY FROM STDIN of `data`."""
        self._timed(lambda: self.copy_expert(statement, io.BytesIO(data), _BUFFER), lambda: len(data))

    def _timed(self, ask: Callable[[], Result], size: Callable[[], int], answer_bytes: int = 0) -> Result:
        call = self.call
        call.waited, call.asking = 0.0, True
        started = time.perf_counter()
        try:
            result = ask()
        except BaseException:
            self.parts.failed(size() + answer_bytes, time.perf_counter() - started)
            raise
        finally:
            call.asking = False
        call.answers += 1
        self.parts.passed(size(), time.perf_counter() - started)
        return result
