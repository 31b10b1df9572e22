"""The answer that sends events (text/event-stream) as they come."""

from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse

HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx is not to hold events back


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """These events, which nobody on the way keeps."""
    return StreamingResponse(events, 200, HEADERS, "text/event-stream")
