"""Which scan an Idempotency-Key stands for. Pure, so that other publishers can go by the same rule."""

import uuid
from typing import Final

_NAMESPACE: Final = uuid.UUID("5d2a6c1e-9a53-5a3f-8f0b-7a1c4b1d9e60")  # fixed for ever: scan ids follow from it


def scan_id_for(tenant_id: str, key: str, attempt: int = 0) -> str:
    """The scan id of a key: the same in every process, another one after each attempt that failed."""
    return str(uuid.uuid5(_NAMESPACE, f"{tenant_id}\0{key}\0{attempt}"))
