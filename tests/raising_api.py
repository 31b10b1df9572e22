"""An API of ours with a defect: it raises, with the value in the exception's text, when it shows a rejected record whose code
is PLANTED: `python -m tests.raising_api`."""

from typing import Any, Final

from infra.processes.child import free_port
from infra.processes.services import Processes, Service

PLANTED: Final = "planted"


def start_raising_api(servers: Processes) -> Service:
    """Such an API, ready."""
    port = free_port()
    own = {"SCANLINE_API_HOST": "127.0.0.1", "SCANLINE_API_PORT": str(port), "SCANLINE_API_DRAIN_SECONDS": "0"}
    raising = servers._spawn("api", "tests.raising_api", port, own)
    raising.wait_until_ready()
    return raising


def _main() -> None:
    from producer_api import __main__ as api
    from producer_api import reads

    rejected = reads.rejected

    def raising(row: Any) -> bytes:
        if row.code == PLANTED:
            raise KeyError(row.activity_key)
        return rejected(row)

    reads.rejected = raising
    api.main()


if __name__ == "__main__":
    _main()
