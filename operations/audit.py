"""The name under which a command stands in the audit log: who ran it."""

import getpass
import os
import socket
from typing import Final

NO_TENANT: Final = "-"  # about a partition, or about letters that do not say whose they are; no tenant can have this id


def user_name() -> str:
    """The name of the user; `uid:1234` where the system has no name for them, as in many containers."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        return f"uid:{os.geteuid()}"
    # it may come from LOGNAME or USER, where any bytes can stand
    return name.encode("utf-8", "backslashreplace").decode()


def actor() -> str:
    """user@machine."""
    return f"{user_name()}@{socket.gethostname()}"
