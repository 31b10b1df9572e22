"""A command line that means something, for every command there is, taken from the commands themselves."""

from collections.abc import Iterator
from typing import Any, Final

from cli.commands import Commands, app

Name = tuple[str, ...]
SCAN: Final = "0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11"  # nobody's
# They become another program, in the foreground.
_OTHERS: Final = {("api",), ("worker",), ("exporter",)}
# What a command needs besides an option in question.
_GIVEN: Final[dict[str, list[str]]] = {
    "offsets reset": ["--all", "--to", "earliest"],
    "dlq retry": ["--tenant", "nobody"],
    "dlq drop": ["--tenant", "nobody", "--because", "x", "--yes"],
    "dlq allow": ["--partition", "0", "--count", "1"],
    "dlq show": ["0:1000000", "--raw"],
    "dlq list": ["--tenant", "nobody"],
    "replay": ["--nice", "0", "--tenant", "nobody"],
    "tail": ["--scan", SCAN],
}
_VALUES: Final = {"tenant": "nobody", "scan_id": SCAN}
# They would start servers of their own.
STARTS: Final = {"up", "demo", "bench", "chaos", "soak"}


def _commands(group: Commands, path: Name = ()) -> Iterator[tuple[Name, Any]]:
    for name in group.commands:
        command = group.load(name)
        if isinstance(command, Commands):
            yield from _commands(command, (*path, name))
        elif (*path, name) not in _OTHERS:
            yield (*path, name), command


COMMANDS: Final = dict(_commands(app))


def arguments(path: Name, file: str, without: str = "") -> list[str]:
    """With everything that is needed but the parameter `without`; `file` is what a command may read."""
    name = " ".join(path)
    found = [*path, *_GIVEN.get(name, [])]
    for parameter in COMMANDS[path].params:
        if not parameter.required or parameter.name == without or name in _GIVEN:
            continue
        value = _VALUES.get(parameter.name, file)
        found += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    if name == "replay" and not without.startswith("to_"):
        found.append("--to-ndjson")
    if name in STARTS and without != "data_dir":
        found += ["--data-dir", "/dev/null/x"]
    return found
