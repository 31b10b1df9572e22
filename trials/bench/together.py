"""Transactions of several connections at the same time, and how long all of them and each of them took."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import psycopg2

Transaction = Callable[[Any], None]  # takes a cursor


def run_together(dsn: str, options: str, shares: Sequence[Sequence[Transaction]]) -> tuple[float, list[float]]:
    """Each share on a connection of its own, one transaction after the other, begun when all are connected. Seconds of all
    together, and of each transaction. Raises the first error that a connection met."""
    start = threading.Barrier(len(shares) + 1)
    times: list[float] = []
    errors: list[Exception] = []

    def write(share: Sequence[Transaction]) -> None:
        with closing(psycopg2.connect(dsn, options=options)) as connection:
            start.wait()
            try:
                for transaction in share:
                    began = time.perf_counter()
                    with connection, connection.cursor() as cursor:
                        transaction(cursor)
                    times.append(time.perf_counter() - began)
            except Exception as error:  # raised below, in the caller's thread
                errors.append(error)

    threads = [threading.Thread(target=write, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if errors:
        raise errors[0]
    return seconds, times
