"""Settings of PostgreSQL's sessions: what each role has, and what a process says anew in each of its transactions, so that it is
in force behind a pooler too (docs/decisions/0015-settings-of-sessions.md). Values as in pg_settings: times in milliseconds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

Settings = Mapping[str, str]

# A role has them wherever it logs in, whatever stands between. A process whose deadline is another says so itself.
OF_ROLES: Final[Mapping[str, Settings]] = {
    "scanline_writer": {
        "synchronous_commit": "off",
        "statement_timeout": "15000",
        "lock_timeout": "15000",
        "idle_in_transaction_session_timeout": "15000",
        # a server whose client is gone must not go on waiting for locks, with the locks it has
        "client_connection_check_interval": "2000",
        "TimeZone": "UTC",
        "jit": "off",
    },
    "scanline_reader": {
        "default_transaction_read_only": "on",
        "statement_timeout": "30000",
        "client_connection_check_interval": "2000",
        "TimeZone": "UTC",
    },
    # It never waits long for a lock: what it could not see this time it sees the next.
    "scanline_monitor": {
        "default_transaction_read_only": "on",
        "statement_timeout": "10000",
        "lock_timeout": "500",
    },
}

# `reset_val` is what the session began with: of the role, the database and the server, whatever this transaction says. A pooler
# gives its clients other process ids than the server's.
AT_REST: Final = (
    "SELECT current_user, pg_backend_pid(), json_object_agg(name, reset_val) FROM pg_settings WHERE name = ANY (%s)"
)
NAMES: Final = sorted({name for settings in OF_ROLES.values() for name in settings})


def milliseconds(seconds: float) -> str:
    """A time as a value of these settings: at least one, since 0 would mean no limit."""
    return str(max(1, round(seconds * 1000)))


def local(settings: Settings) -> str:
    """Statements that give the transaction these settings. They go before its first statement, in one message with it: that
    takes no round trip, and a pooler in transaction mode cannot come between them."""
    return "".join(f"SET LOCAL {name} = '{value}'; " for name, value in settings.items())


def for_session(settings: Settings) -> str:
    """Statements that give the whole session these settings: only where no pooler lends it to others."""
    return "".join(f"SET {name} = '{value}'; " for name, value in settings.items())


def writing(deadline_seconds: float) -> dict[str, str]:
    """Settings of a transaction that writes rows: the role's, with this deadline for each statement, each lock and each silence
    of ours. Each commit says itself whether it waits for the disk."""
    deadline = milliseconds(deadline_seconds)
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    own = {**OF_ROLES["scanline_writer"], **dict.fromkeys(names, deadline)}
    del own["synchronous_commit"]
    return own


def reading(deadline_seconds: float) -> dict[str, str]:
    """Settings of a transaction that only reads."""
    return {"transaction_read_only": "on", "statement_timeout": milliseconds(deadline_seconds), "TimeZone": "UTC"}


def deciding(deadline_seconds: float) -> dict[str, str]:
    """Settings of a transaction in which an operator decides something, by the writer's role: what was done must be known after
    a crash of the server, too."""
    return {
        "synchronous_commit": "on",
        "statement_timeout": milliseconds(deadline_seconds),
        "TimeZone": "UTC",
    }


def begin_with(engine: "Engine", settings: Settings) -> None:
    """From now on each transaction of the engine begins with these settings, by a statement of its own."""
    from sqlalchemy import event

    statement = local(settings)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql(statement, execution_options={"stream_results": False})  # it is no query


def lacking(role: str, found: Settings) -> dict[str, str]:
    """The settings of the role that a session of it did not begin with, as they were found. Of another role: none."""
    wanted = OF_ROLES.get(role, {})
    return {name: found.get(name, "?") for name, value in wanted.items() if found.get(name) != value}


def lacking_text(role: str, found: Settings) -> str:
    """The same for a log, in both languages; empty where nothing is lacking."""
    wrong = ", ".join(f"{name} = {value or '-'}" for name, value in lacking(role, found).items())
    if not wrong:
        return ""
    return (
        f"vai trò {role} chưa có cấu hình của mình ({wrong}); giao dịch của tiến trình này tự đặt thời hạn. Hãy chạy"
        f" `scanline migrate` / the role {role} does not have its settings ({wrong}); transactions of this process set their"
        " deadlines themselves. Run `scanline migrate`"
    )
