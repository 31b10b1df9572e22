"""An API of ours that ends by SIGKILL when Kafka has everything of a scan, before the client is answered: `python -m
tests.dying_api`."""

import os
import signal
from typing import Any

from producer_api import __main__ as api
from producer_api.routes import submit


async def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    submit._answer = _die  # type: ignore[assignment]
    api.main()
