"""The headers of a message, as confluent-kafka reads them."""

from operator import methodcaller
from typing import Any, Final

from schemas.messages import Header

Sendable = tuple[str, str | bytes | None]  # a header as confluent-kafka's `produce` is declared to take it, in a list

# confluent-kafka returns a list that is not whole, with an exception set, where a header's name is no UTF-8. A call that the
# interpreter has made often no longer looks for that, and the exception comes to light anywhere; this one always does.
_headers: Final = methodcaller("headers")


def headers_of(message: Any) -> list[Header]:
    """The headers of a message of confluent-kafka; none where the client cannot read them, which is so where a name is
    no UTF-8. To be called once: the list that is not whole is handed out again."""
    try:
        return list(_headers(message) or [])
    except (SystemError, UnicodeDecodeError):
        return []
