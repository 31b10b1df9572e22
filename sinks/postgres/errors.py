"""Classifies database errors by their SQLSTATE (PostgreSQL documentation, Appendix A), never by their text."""

from typing import Final, Literal

import psycopg2
from psycopg2 import errorcodes
from sqlalchemy import exc

Meaning = Literal["conflict", "data", "unavailable"]

# Data exception, integrity constraint violation, program limit exceeded (a value that is too large for an index or a row).
_DATA_CLASSES: Final = frozenset({"22", "23", "54"})
# What psycopg2 raises by itself when it cannot write a value into a statement. It says so without a SQLSTATE, as it does of a
# lost socket, for which it has other classes (OperationalError, InterfaceError, DatabaseError).
_CLIENTS_WORD_ON_DATA: Final = (psycopg2.DataError, psycopg2.ProgrammingError, psycopg2.NotSupportedError)


def _code(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", None) or error, "pgcode", None)


def sqlstate(error: BaseException) -> str:
    """The five characters, or 08006 (connection failure) where the server could not say any more."""
    return _code(error) or errorcodes.CONNECTION_FAILURE


def meaning(error: BaseException) -> Meaning:
    """One of "conflict": a row is there already. "data": a value is at fault. "unavailable": everything else.

    What is neither data nor conflict waits for the database or its operator (08, 40, 53, 55P, 57P, 58, lost sockets,
    but also a missing table or right): pausing is safe, and dropping good records never is."""
    code = _code(error)
    if code is None:
        return "data" if isinstance(error, _CLIENTS_WORD_ON_DATA) else "unavailable"
    if code == errorcodes.UNIQUE_VIOLATION:
        return "conflict"
    return "data" if code[:2] in _DATA_CLASSES else "unavailable"


def may_be_a_messages(error: BaseException) -> bool:
    """True where a value in a micro-batch may be why it was refused as a whole. PostgreSQL's internal error can be
    one's, or its own: what else it takes will show that (docs/decisions/0009-unexpected-errors.md)."""
    return meaning(error) == "data" or _code(error) == errorcodes.INTERNAL_ERROR


DATABASE_ERRORS: Final = (psycopg2.Error, exc.SQLAlchemyError)
