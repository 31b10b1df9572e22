"""What a submission says besides its records, and a JSON body cut into records without decoding them."""

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from producer_api.elements import without_half_characters
from producer_api.problems import ApiProblem, printable, request_error, request_invalid
from schemas.messages import Language
from schemas.mistakes import OTHER_CHARSET, WHITE_SPACE, is_utf8, without_bom, wrong_document
from schemas.problems import quantity
from schemas.text import TextRefused, normalise
from schemas.topics import MAX_RECORD_BYTES

_LENGTHS: Final = {"source": 200, "notify": 300}  # characters, after normalisation
_LANGUAGES: Final = get_args(Language)
_JUDGED_TOGETHER: Final = 20  # records: where none of the first is UTF-8, the body is not
_POSITION: Final = re.compile(r"\(byte (\d+)\)")
_FIELDS: Final = ("source", "language", "notify", "records", "complete")
Problems = list[dict[str, Any]]


class Details(msgspec.Struct):
    """Who sends, in which language to answer, whom to tell."""

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


_decode: Final = msgspec.json.Decoder(Submission).decode
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


def read_json(body: bytes, default_language: str, most_records: int) -> tuple[Details, list[msgspec.Raw] | list[bytes]]:
    """The details and the records of a JSON body, none only where that is meant. Raises ApiProblem: 400, 413, 415 or 422."""
    body = without_bom(body)
    if not body.strip(WHITE_SPACE):
        raise ApiProblem("no_records")
    try:
        submission = _decode(body)
        given: dict[str, Any] = {
            "source": submission.source,
            "language": submission.language,
            "notify": submission.notify,
        }
        records: list[msgspec.Raw] | list[bytes] = submission.records
        complete = submission.complete
        problems: Problems = []
    except RecursionError:
        raise ApiProblem("json_too_deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        try:
            given, records, problems = _read_carefully(body)
            complete = given.get("complete") is True
        except RecursionError:
            raise ApiProblem("json_too_deep") from None
    details, more = details_of(given, default_language, parameter=False)
    if problems or more:
        raise request_invalid(problems + more)
    if not records and not complete:
        raise ApiProblem("no_records")
    if records and not any(is_utf8(bytes(record)) for record in records[:_JUDGED_TOGETHER]):
        raise ApiProblem("charset_unsupported", format=OTHER_CHARSET)
    if len(records) > most_records:
        raise ApiProblem("too_many_records", limit=quantity(most_records), extra={"limit": most_records})
    if records and max(map(len, records)) > MAX_RECORD_BYTES:
        position = next(at for at, record in enumerate(records) if len(record) > MAX_RECORD_BYTES)
        raise ApiProblem(
            "record_too_large",
            limit=quantity(MAX_RECORD_BYTES),
            position=quantity(position + 1),
            extra={"limit": MAX_RECORD_BYTES, "pointer": f"/records/{position}"},
        )
    return details, records


def _read_carefully(body: bytes) -> tuple[dict[str, Any], list[bytes], Problems]:
    """What the one typed decode did not accept: finds each thing that is wrong, or reads what is right after all."""
    structure = without_half_characters(body)  # byte for byte as long
    try:
        fields = _decode_fields(structure)
    except msgspec.ValidationError:
        return {}, [], [request_error("body_not_object", "")]
    except msgspec.DecodeError as error:
        raise _malformed(_position(error, body), body) from None
    except UnicodeDecodeError:
        raise _malformed(_first_bad_byte(body), body) from None
    problems = [request_error("field_unexpected", _shown(name)) for name in fields if name not in _FIELDS]
    given: dict[str, Any] = {}
    for name in _LENGTHS.keys() | {"language", "complete"}:
        if name in fields:
            try:
                given[name] = _decode_any(fields[name])
            except (msgspec.MsgspecError, UnicodeDecodeError):
                problems.append(request_error("value_refused", name))
    if not isinstance(given.get("complete", False), bool):
        problems.append(request_error("not_boolean", "complete"))
    if "records" not in fields:
        problems.append(request_error("field_missing", "records"))
        return given, [], problems
    array = bytes(fields["records"])
    try:
        return given, _originals(body, structure, array), problems
    except msgspec.ValidationError:
        problems.append(request_error("not_list", "records"))
        return given, [], problems


def _originals(body: bytes, structure: bytes, array: bytes) -> list[bytes]:
    """The items of `records` as they came: found in the structure, taken from the body at the same places."""
    items = _decode_items(array)
    place = _place_of_records(structure, array)
    found = []
    inside = 1
    for item in items:
        raw = bytes(item)
        inside = array.index(raw, inside)
        found.append(body[place + inside : place + inside + len(raw)])
        inside += len(raw)
    return found


def _place_of_records(structure: bytes, array: bytes) -> int:
    """Where the array that counts (the last, should the name be given twice) begins."""
    place = -1
    for match in re.finditer(rb'"records"[ \t\r\n]*:[ \t\r\n]*', structure):
        if structure.startswith(array, match.end()):
            place = match.end()
    return place


def _malformed(position: int, body: bytes) -> ApiProblem:
    mistake = wrong_document(body, position)
    if mistake is not None:
        return ApiProblem(mistake.code, format=mistake.name)
    return ApiProblem("json_malformed", position=quantity(position + 1))


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
