"""What a database error means, told by its SQLSTATE (PostgreSQL documentation, Appendix A), never by its text."""

from typing import Final, Literal

import psycopg2
from psycopg2 import errorcodes
from sqlalchemy import exc

Meaning = Literal["conflict", "data", "unavailable"]

_DATA_CLASSES: Final = frozenset({"22", "23"})  # data exception, integrity constraint violation


def sqlstate(error: BaseException) -> str:
    """The five characters, or 08006 (connection failure) where the server could not say any more."""
    original = getattr(error, "orig", None) or error
    return getattr(original, "pgcode", None) or errorcodes.CONNECTION_FAILURE


def meaning(error: BaseException) -> Meaning:
    """ "conflict": a row is there already. "data": a value is at fault. "unavailable": everything else.

    What is neither data nor conflict waits for the database or its operator (08, 40, 53, 55P, 57P, 58, lost sockets, but also
    a missing table or right): pausing is safe, and dropping good records never is.
    """
    code = sqlstate(error)
    if code == errorcodes.UNIQUE_VIOLATION:
        return "conflict"
    if code[:2] in _DATA_CLASSES or code == errorcodes.PROGRAM_LIMIT_EXCEEDED:
        return "data"
    return "unavailable"


DATABASE_ERRORS: Final = (psycopg2.Error, exc.SQLAlchemyError)
