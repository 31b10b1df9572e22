"""The end of a command: its exit code, and what is printed where it did not do what was asked."""

import errno
import os
import sys
from contextlib import suppress
from typing import Any, Final

import typer
from rich.markup import escape
from typer._click import exceptions as click

from cli import INTERRUPTED, output, terminal
from cli.commands import Commands
from cli.usage import WrongUse, wrong_use
from infra.errors import InfraError, Interrupted

_FAILED: Final = 1
_NOT_READ: Final = (
    141  # as shells have it for a program that SIGPIPE ended: not all of it was read, so it is no success
)
_WRONG_USE: Final = 2  # the command line's own code for an option that it does not know
_DATABASE: Final = ("sqlalchemy.exc.SQLAlchemyError", "psycopg2.Error")
_KAFKA: Final = ("confluent_kafka.KafkaException",)
_VALIDATION: Final = ("pydantic_core.ValidationError",)
_SETTINGS: Final = ("pydantic_settings.SettingsError",)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def run(app: Commands) -> int:
    """Runs the command that was asked for. Returns its exit code."""
    terminal.prepare()
    try:
        code = _called(app)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read standard output has had enough
        terminal.leave_output()
        return _NOT_READ
    except Exception as error:
        sentence = known(error)
        if sentence is None:
            raise
        _print_error(sentence)
        if isinstance(error, Interrupted):
            return INTERRUPTED
        return _WRONG_USE if isinstance(error, WrongUse) else _FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _called(app: Commands) -> int:
    try:
        code = app(standalone_mode=False)  # else typer would tell its errors itself, in English alone
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # rich would have it that the command failed
            raise BrokenPipeError from None
        return ending.code if isinstance(ending.code, int) else _FAILED
    except typer.Abort:
        return _FAILED
    except click.NoArgsIsHelpError as error:
        error.show()
        return _WRONG_USE
    except click.ClickException as error:
        raise wrong_use(error) from None
    return code if isinstance(code, int) else 0


def _print_error(error: InfraError) -> None:
    """Prints the error on standard error; where JSON was asked for and none is there yet, as JSON on standard output
    too."""
    text = f"[red]{escape(error.vi)}[/red]\n{escape(error.en)}"
    if isinstance(error, WrongUse) and error.path is not None:
        text += f"\n[dim]Xem / see: {escape(error.path)} --help[/dim]"
    with suppress(OSError):
        output.stderr.print(text)
    try:
        _answer(error)
        sys.stdout.flush()
    except OSError:
        terminal.leave_output()


def _answer(error: InfraError) -> None:
    if "--json" in sys.argv and not output.is_taken():
        document = {"code": error.code, "vi": error.vi, "en": error.en}
        if isinstance(error, WrongUse) and error.parameter is not None:
            document["parameter"] = error.parameter
        output.print_json({"error": document})


def _is(error: Exception, *classes: str) -> bool:
    """True where the error is of one of these classes. A library that is not loaded has raised nothing, and is not
    loaded for this."""
    for name in classes:
        module, _, kind = name.rpartition(".")
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(error, getattr(loaded, kind)):
            return True
    return False


def known(error: Exception) -> InfraError | None:
    """Puts what went wrong outside of us into a sentence; gives None for what is our own fault. Never a value of a
    setting: there are passwords among them."""
    if isinstance(error, InfraError):
        return error
    if isinstance(error, OSError):
        return _of_the_system(error)
    if _is(error, *_SETTINGS):
        return _of_settings(str(error))
    if _is(error, *_VALIDATION):
        return _of_settings(_reasons(error))
    if _is(error, *_KAFKA):
        reason = error.args[0].str()
        return InfraError.of("kafka_refuses", reason=reason)
    if isinstance(error, ModuleNotFoundError):  # of a URL that names another database
        return InfraError.of("library_missing", library=error.name)
    return _of_the_database(error) if _is(error, *_DATABASE) else None


def _of_the_database(error: Exception) -> InfraError:
    code = getattr(getattr(error, "orig", error), "pgcode", None)
    kind = type(error).__name__ + (f", SQLSTATE {code}" if code else "")
    return InfraError.of("postgres_refuses", reason=kind)


def _of_the_system(error: OSError) -> InfraError:
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    why = error.strerror or type(error).__name__
    reason = f"{where}: {why}" if where else why
    if error.errno in _FULL:
        return InfraError.of("disk_full", reason=reason)
    return InfraError.of("port_taken" if error.errno == errno.EADDRINUSE else "system_refuses", reason=reason)


def _reasons(error: Any) -> str:
    return "; ".join(
        f"SCANLINE_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}"
        for each in error.errors(include_input=False, include_context=False)
    )


def _of_settings(reasons: str) -> InfraError:
    return InfraError.of("settings_wrong", reason=reasons)
