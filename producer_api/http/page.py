"""Pages of a list: as many items as were asked for, unless bytes or time end the page before. There is always one
item."""

import time
from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec
from starlette.responses import Response

from producer_api.http.cursors import cursor_of

PAGE_BYTES: Final = 4 * 1024 * 1024  # a thousand usual items have a quarter of it
Item = TypeVar("Item")


class SourceFailed(Exception):
    """The source of the items gives no more now."""


class PageBounds(NamedTuple):
    """The bounds of one page."""

    items: int
    bytes: int = PAGE_BYTES
    seconds: float = float("inf")


class Page(NamedTuple, Generic[Item]):
    """Items as JSON. `last` is the last of them where more follow, else None."""

    items: list[bytes]
    last: Item | None


def page_of(found: Iterable[Item], encode: Callable[[Item], bytes], bounds: PageBounds) -> Page[Item]:
    """The first items that fit. Raises SourceFailed where not one could be had."""
    items: list[bytes] = []
    size = 0
    last: Item | None = None
    ends = time.monotonic() + bounds.seconds
    try:
        for each in found:
            if len(items) == bounds.items or (items and time.monotonic() > ends):
                return Page(items, last)
            item = encode(each)
            size += len(item)
            if items and size > bounds.bytes:
                return Page(items, last)
            items.append(item)
            last = each
    except SourceFailed:
        if not items:
            raise
        return Page(items, last)
    return Page(items, None)


def page_answer(name: str, page: Page[Item], place: Callable[[Item], object]) -> Response:
    """The page as a JSON object: the items under `name`, and the cursor that goes on behind them."""
    cursor = None if page.last is None else cursor_of(place(page.last))
    body = b'{"%b":[%b],"next_cursor":%b}' % (name.encode(), b",".join(page.items), msgspec.json.encode(cursor))
    return Response(body, media_type="application/json")
