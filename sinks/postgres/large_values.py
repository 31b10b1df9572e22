"""One value that is too large for a statement over a slow link: sent in pieces, and put together in the database."""

from typing import Final

from sinks.postgres.calls import TimedCursor

GATHERED: Final = "(SELECT string_agg(piece, '' ORDER BY place) FROM pieces)"  # in the statement that uses it
_CHARACTER_BYTES: Final = 3  # at most, in most scripts; a few more do no harm
_MAKE: Final = """
CREATE TEMP TABLE IF NOT EXISTS pieces (place int, piece text) ON COMMIT DELETE ROWS;
TRUNCATE pieces
"""
_ADD: Final = "INSERT INTO pieces VALUES (%s, %s)"


def send_in_pieces(cursor: TimedCursor, text: str) -> None:
    """Sends the text in pieces. Afterwards GATHERED is the text, until the next one is sent or the transaction ends."""
    cursor.execute(_MAKE)
    place = 0
    while place < len(text):
        limit = cursor.parts.limit
        end = len(text) if limit is None else place + limit // _CHARACTER_BYTES
        cursor.execute(_ADD, (place, text[place:end]))
        place = end
