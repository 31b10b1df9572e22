"""Wrong uses of the command line, in both languages and with the name that was typed. Those that typer finds it tells in
English alone."""

import re
from collections.abc import Sequence
from typing import Any, Final, Self

from typer._click import exceptions as click

from infra.errors import InfraError
from infra.nearest import nearest
from schemas.numbers import decimal

_EXTRA: Final = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)", re.DOTALL)
_NUMBERS: Final = {int: ("một số nguyên", "a whole number"), float: ("một số", "a number")}


class WrongUse(InfraError):
    """`parameter` is the option or the argument as people type it; none where it is none of them. `path` is the command
    whose help says more."""

    def __init__(self, vi: str, en: str, parameter: str | None, path: str | None = None) -> None:
        super().__init__(vi, en, "usage")
        self.parameter = parameter
        self.path = path

    @classmethod
    def not_one_of(cls, name: str, value: str, known: Sequence[str]) -> Self:
        """`value` is none of those that the option takes."""
        vi, en = nearest(value, known)
        every = ", ".join(known)
        return cls(
            f"{name} không nhận «{value}»; phải là một trong: {every}.{vi}",
            f"{name} does not take «{value}»; it must be one of: {every}.{en}",
            name,
        )


def wrong_use(error: click.ClickException) -> WrongUse:
    """What typer found wrong, as an error of ours."""
    found = _found(error)
    context = getattr(error, "ctx", None)
    found.path = None if context is None else context.command_path
    return found


def _found(error: click.ClickException) -> WrongUse:
    match error:
        case click.NoSuchOption(option_name=name):
            vi, en = nearest(name, error.possibilities or ())
            return WrongUse(f"Không có tùy chọn {name}.{vi}", f"There is no option {name}.{en}", name)
        case click.BadOptionUsage(option_name=name) if "not take" in error.message:
            return WrongUse(f"{name} không nhận giá trị.", f"{name} takes no value.", name)
        case click.BadOptionUsage(option_name=name):
            return WrongUse(f"{name} cần một giá trị.", f"{name} needs a value.", name)
        case click.MissingParameter(param=parameter) if parameter is not None:
            name = _name(parameter)
            help_vi, _, help_en = str(getattr(parameter, "help", None) or "").rpartition(" / ")
            vi, en = (f" ({text})" if text else "" for text in (help_vi or help_en, help_en))
            return WrongUse(f"Thiếu {name}{vi}.", f"{name} is missing{en}.", name)
        case click.BadParameter(param=parameter) if parameter is not None:
            return _bad_value(parameter, error)
    extra = _EXTRA.fullmatch(error.message)
    if extra is not None:
        return WrongUse(f"Thừa đối số: {extra[1]}", f"There is an argument too many: {extra[1]}", extra[1])
    return WrongUse(f"Lệnh hoặc tùy chọn không đúng: {error.message}", error.message, None)


def _bad_value(parameter: Any, error: click.BadParameter) -> WrongUse:
    name, kind = _name(parameter), parameter.type_descriptor
    given = _given(error)
    if kind.choices is not None:
        return WrongUse.not_one_of(name, given, [str(choice) for choice in kind.choices])
    words = next((words for type_, words in _NUMBERS.items() if _is(kind.annotation, type_)), None)
    if words is None:
        return WrongUse(f"{name} không dùng được: {error.message}", f"{name} cannot be used: {error.message}", name)
    vi, en = (f"{word}{limits}" for word, limits in zip(words, _limits(kind.parameter_info), strict=True))
    said = f": «{given}»" if given else ""
    return WrongUse(f"{name} cần {vi}{said}.", f"{name} takes {en}{said}.", name)


def _is(annotation: Any, type_: type) -> bool:
    return annotation in (type_, type_ | None)


def _limits(info: Any) -> tuple[str, str]:
    least, most = ({language: _figure(value, language) for language in ("vi", "en")} for value in (info.min, info.max))
    if info.min is not None and info.max is not None:
        return f" từ {least['vi']} đến {most['vi']}", f" from {least['en']} to {most['en']}"
    if info.min is not None:
        return f" từ {least['vi']} trở lên", f" of at least {least['en']}"
    return ("", "") if info.max is None else (f" không quá {most['vi']}", f" of at most {most['en']}")


def _figure(value: float | None, language: str) -> str:
    return "" if value is None else decimal(value, 0 if value == int(value) else 1, language)


def _given(error: click.BadParameter) -> str:
    """The value as it was typed, where the error has it."""
    errors = getattr(error.__cause__, "errors", None)
    return "" if errors is None else str(errors()[0].get("input", ""))


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.display_name_raw)
    return str(next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0]))
