"""Stops a worker at a chosen moment."""

import signal
from typing import Final

import psutil

from infra.processes.services import Service
from tests.helpers import Database, wait_for
from tests.load import LONG

_TRANSACTIONS: Final = """
SELECT query FROM pg_stat_activity
WHERE client_port = ANY(%s) AND xact_start IS NOT NULL AND wait_event = 'ClientRead' AND query LIKE %s
"""


def freeze_with_open_transaction(worker: Service, database: Database, query: str) -> None:
    """Stops the worker at a moment when one of its transactions waits for it, in a statement like `query`."""

    def stopped() -> bool:
        worker.signal(signal.SIGSTOP)
        ports = [each.laddr.port for each in psutil.Process(worker.pid).net_connections()]
        if all(database.rows(_TRANSACTIONS, ports, query) for _ in range(3)):
            return True
        worker.signal(signal.SIGCONT)
        return False

    wait_for(stopped, f"{worker.name} is caught in {query}", LONG)
