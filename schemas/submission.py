"""Reads what a submission says besides its records, and cuts a JSON body into records without decoding them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

import msgspec

from schemas.arrays import without_half_characters
from schemas.errors import Text
from schemas.format_mistakes import OTHER_CHARSET, WHITE_SPACE, is_utf8, without_bom, wrong_document
from schemas.messages import Language
from schemas.problems import printable, quantity, reason_of, request_error
from schemas.text import TextRefused, normalise
from schemas.topics import MAX_RECORD_BYTES

_LENGTHS: Final = {"source": 200, "notify": 300}  # characters, after normalisation
_LANGUAGES: Final = get_args(Language)
_JUDGED_TOGETHER: Final = 20  # records: where none of the first is UTF-8, the body is not
_POSITION: Final = re.compile(r"\(byte (\d+)\)")
Problems = list[dict[str, Any]]
Items = list[msgspec.Raw] | list[bytes]


class SubmissionRefused(Exception):
    """The body is not what it should be; nothing of it is to be taken. `code` is of schemas.problems.PROBLEMS, `params` fill its
    detail; `errors` and the members of `extra` are told beside it."""

    def __init__(
        self,
        code: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        extra: Mapping[str, Any] | None = None,
        **params: str | int | Text,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors
        self.extra = extra
        self.params = params


class Details(msgspec.Struct):
    """The details of a submission: who sends, in which language to answer, whom to notify."""

    source: str | None = None
    language: Language = "vi"
    notify: str | None = None


class Submission(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body. The records stay bytes. `complete` with none of them: the scan found nothing."""

    records: list[msgspec.Raw]
    source: str | None = None
    language: Language | None = None
    notify: str | None = None
    complete: bool = False


class Corrections(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body that mends: the entries of /errors, each with `record` mended. They stay bytes."""

    corrections: list[msgspec.Raw]


class _Kind(NamedTuple):
    """A kind of JSON bodies."""

    decode: Callable[[bytes], Any]
    items: str  # the member that holds the list
    others: tuple[str, ...]


_SUBMISSION: Final = _Kind(
    msgspec.json.Decoder(Submission).decode, "records", ("source", "language", "notify", "complete")
)
_CORRECTIONS: Final = _Kind(msgspec.json.Decoder(Corrections).decode, "corrections", ())
_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any: Final = msgspec.json.Decoder().decode
_decode_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def details_of(given: Mapping[str, Any], default_language: str, *, parameter: bool) -> tuple[Details, Problems]:
    """Checks source, language and notify; `parameter` says whether they came in the query."""
    details = Details(language="en" if default_language == "en" else "vi")
    problems: Problems = []
    for name, longest in _LENGTHS.items():
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            problems.append(request_error("not_text", name, parameter=parameter))
            continue
        try:
            text = normalise(value).strip()
        except TextRefused:
            problems.append(request_error("value_refused", name, parameter=parameter))
            continue
        if len(text) > longest:
            problems.append(request_error("too_long", name, parameter=parameter, max=longest))
        else:
            setattr(details, name, text or None)
    language = given.get("language")
    if language is not None:
        if language in _LANGUAGES:
            details.language = language
        else:
            problems.append(
                request_error("not_in_list", "language", parameter=parameter, allowed=", ".join(_LANGUAGES))
            )
    return details, problems


def read_json(body: bytes, default_language: str, most_records: int) -> tuple[Details, Items]:
    """The details and the records of a JSON body, none only where that is meant. Raises SubmissionRefused."""
    given, records, problems = _read(body, _SUBMISSION)
    details, more = details_of(given, default_language, parameter=False)
    if problems or more:
        raise _invalid(problems + more)
    if not records and given.get("complete") is not True:
        raise SubmissionRefused("no_records")
    _check(records, _SUBMISSION, most_records)
    return details, records


def read_corrections(body: bytes, most: int) -> Items:
    """The corrections of a JSON body, one at least, each as it came. Raises SubmissionRefused."""
    _, corrections, problems = _read(body, _CORRECTIONS)
    if problems:
        raise _invalid(problems)
    if not corrections:
        raise SubmissionRefused("no_records")
    _check(corrections, _CORRECTIONS, most)
    return corrections


def _read(body: bytes, kind: _Kind) -> tuple[dict[str, Any], Items, Problems]:
    """The members beside the items, the items, and what is wrong."""
    body = without_bom(body)
    if not body.strip(WHITE_SPACE):
        raise SubmissionRefused("no_records")
    try:
        whole = kind.decode(body)
    except RecursionError:
        raise SubmissionRefused("json_too_deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        try:
            return _read_carefully(body, kind)
        except RecursionError:
            raise SubmissionRefused("json_too_deep") from None
    return {name: getattr(whole, name) for name in kind.others}, getattr(whole, kind.items), []


def _check(items: Items, kind: _Kind, most: int) -> None:
    """Their encoding, number and sizes. Raises SubmissionRefused."""
    if items and not any(is_utf8(bytes(item)) for item in items[:_JUDGED_TOGETHER]):
        raise SubmissionRefused("charset_unsupported", format=OTHER_CHARSET)
    if len(items) > most:
        raise SubmissionRefused("too_many_records", limit=quantity(most), extra={"limit": most})
    if items and max(map(len, items)) > MAX_RECORD_BYTES:
        position = next(at for at, item in enumerate(items) if len(item) > MAX_RECORD_BYTES)
        raise SubmissionRefused(
            "record_too_large",
            limit=quantity(MAX_RECORD_BYTES),
            position=quantity(position + 1),
            extra={"limit": MAX_RECORD_BYTES, "pointer": f"/{kind.items}/{position}"},
        )


def _read_carefully(body: bytes, kind: _Kind) -> tuple[dict[str, Any], list[bytes], Problems]:
    """Reads what the one typed decode did not accept: finds each thing that is wrong, or reads what is right after
    all."""
    structure = without_half_characters(body)  # byte for byte as long
    try:
        fields = _decode_fields(structure)
    except msgspec.ValidationError:
        return {}, [], [request_error("body_not_object", "", items=kind.items)]
    except msgspec.DecodeError as error:
        raise _malformed(_position(error, body), body) from None
    except UnicodeDecodeError:
        raise _malformed(_first_bad_byte(body), body) from None
    problems = [
        request_error("field_unexpected", _shown(name)) for name in fields if name not in (kind.items, *kind.others)
    ]
    given: dict[str, Any] = {}
    for name in kind.others:
        if name in fields:
            try:
                given[name] = _decode_any(fields[name])
            except (msgspec.MsgspecError, UnicodeDecodeError):
                problems.append(request_error("value_refused", name))
    if not isinstance(given.get("complete", False), bool):
        problems.append(request_error("not_boolean", "complete"))
    if kind.items not in fields:
        problems.append(request_error("field_missing", kind.items))
        return given, [], problems
    array = bytes(fields[kind.items])
    try:
        return given, _originals(body, structure, array, kind.items), problems
    except msgspec.ValidationError:
        problems.append(request_error("not_list", kind.items))
        return given, [], problems


def _originals(body: bytes, structure: bytes, array: bytes, name: str) -> list[bytes]:
    """The items of the array as they came: found in the structure, taken from the body at the same places."""
    items = _decode_items(array)
    place = _place_of(structure, array, name)
    found = []
    inside = 1
    for item in items:
        raw = bytes(item)
        inside = array.index(raw, inside)
        found.append(body[place + inside : place + inside + len(raw)])
        inside += len(raw)
    return found


def _place_of(structure: bytes, array: bytes, name: str) -> int:
    """The offset at which the array that counts (the last, should the name be given twice) begins."""
    place = -1
    for match in re.finditer(rb'"%b"[ \t\r\n]*:[ \t\r\n]*' % name.encode(), structure):
        if structure.startswith(array, match.end()):
            place = match.end()
    return place


def _invalid(errors: Problems) -> SubmissionRefused:
    return SubmissionRefused("request_invalid", errors=errors, reason=reason_of(errors))


def _malformed(position: int, body: bytes) -> SubmissionRefused:
    mistake = wrong_document(body, position)
    if mistake is not None:
        return SubmissionRefused(mistake.code, format=mistake.name)
    return SubmissionRefused("json_malformed", position=quantity(position + 1))


def _position(error: msgspec.DecodeError, body: bytes) -> int:
    found = _POSITION.search(str(error))
    return int(found[1]) if found else len(body)


def _first_bad_byte(body: bytes) -> int:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _shown(name: str) -> str:
    """A name from outside as part of a JSON pointer, cut short."""
    return printable(name).replace("~", "~0").replace("/", "~1")
