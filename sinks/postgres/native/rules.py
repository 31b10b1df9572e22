"""The rules of the record as C: rules.h, made from schemas/ whenever records.c is compiled, so that nothing is said twice.

What records.c does not know how to read raises TypeError here: a new kind of field, or a bound of another form."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import inspect

from schemas.codes import CATEGORIES, COUNTRIES, HOME_COUNTRY, SENSITIVE_CATEGORIES
from schemas.field_checks import given_type, may_be_null, struct_fields
from schemas.record import EARLIEST, MAX_ATTRIBUTES_BYTES, MAX_DEPTH, Record, Transfer
from schemas.text import PLAIN_BYTES
from schemas.topics import MAX_RECORD_BYTES
from sinks.columns import COLUMNS, KNOWN_BY

CATEGORY_CODES: Final = tuple(sorted(CATEGORIES))  # bit i of a row's kind is number i of these
_DERIVED: Final = ("sensitive", "cross_border")
_NAMED: Final = ("activity_key", "data_categories", "storage_country", "provider_country", "transfer")
_LETTERS: Final = range(ord("A"), ord("Z") + 1)
_LEADS: Final = {**dict.fromkeys(range(0xC2, 0xE0), "LEAD_OF_TWO"), 0xE1: "LEAD_OF_THREE", ord('"'): "QUOTE"}


def header() -> str:
    """The text of rules.h."""
    fields, within = struct_fields(Record), struct_fields(Transfer)
    names = [field.name for field in fields]
    columns = COLUMNS[len(KNOWN_BY) : -len(_DERIVED)]
    if COLUMNS[-len(_DERIVED) :] != _DERIVED or {"activity_key", *columns} != set(names):
        raise TypeError("the columns between the first and the last are the record's fields")
    kinds = [given_type(field.type) for field in fields]
    sensitive = sum(1 << at for at, code in enumerate(CATEGORY_CODES) if code in SENSITIVE_CATEGORIES)
    parts = [
        "/* Made from schemas/ by sinks/postgres/native/rules.py. */",
        f"#define FIELDS {len(fields)}",
        f"#define TRANSFER_FIELDS {len(within)}",
        f"#define ALL_ITEMS {sum(kind.max_length or 0 for kind in kinds if isinstance(kind, inspect.ListType))}",
        f"#define CATEGORIES {len(CATEGORY_CODES)}",
        f"#define SENSITIVE_CATEGORIES {sensitive}u",
        f'#define HOME_COUNTRY "{HOME_COUNTRY}"',
        f"#define MAX_DEPTH {MAX_DEPTH}",
        f"#define MAX_RECORD_BYTES {MAX_RECORD_BYTES}",
        f"#define EARLIEST INT64_C({int(EARLIEST.timestamp()) * 1_000_000})",
        *(f"#define {name.upper()} {names.index(name)}" for name in _NAMED),
        _table("uint8_t CLASS[256]", map(_class_of, range(256))),
        _table("uint8_t COUNTRIES[]", (str(int(chr(a) + chr(b) in COUNTRIES)) for a in _LETTERS for b in _LETTERS)),
        _table("uint8_t COLUMNS[]", (str(names.index(name)) for name in columns)),
        *_object("record_field", ("RULES", "CODES_OF", "REQUIRED"), fields),
        *_object("transfer_field", ("TRANSFER_RULES", "TRANSFER_CODES", "TRANSFER_REQUIRED"), within),
        _table("Str TRANSFER_NAMES[]", (f'{{(P) "{field.name}", {len(field.name)}}}' for field in within)),
    ]
    return "\n".join(parts) + "\n"


def _table(declared: str, values: Iterable[str]) -> str:
    return f"static const {declared} = {{{', '.join(values)}}};"


def _class_of(byte: int) -> str:
    """The class of a byte where a character of a text begins."""
    if byte not in PLAIN_BYTES:
        return "STRANGE"
    # bytes above 0x7F that begin no character, and white space, which JSON has between its tokens alone
    return _LEADS.get(byte, "PLAIN" if 0x20 <= byte < 0x7F else "STRANGE")


def _object(find: str, tables: tuple[str, str, str], fields: Sequence[inspect.Field]) -> Iterator[str]:
    """The function that finds a field by its name, and what is said of each field."""
    rules, codes_of, required = tables
    yield _lookup(find, [field.name for field in fields])
    functions: list[str] = []
    for field in fields:
        codes = _codes(given_type(field.type))
        functions.append(f"{find}_{field.name}" if codes else "NULL")
        if codes:
            yield _lookup(functions[-1], codes)
    yield f"static int (*const {codes_of}[])(P, uint32_t) = {{{', '.join(functions)}}};"
    yield _table(
        f"Rule {rules}[]", (_rule(given_type(field.type), nullable=may_be_null(field.type)) for field in fields)
    )
    yield f"#define {required} {sum(1 << at for at, field in enumerate(fields) if field.required)}u"


def _codes(kind: inspect.Type) -> Sequence[str]:
    """The codes that are looked up among others; a country has a table."""
    if isinstance(kind, inspect.ListType):
        return _codes(kind.item_type)
    if not isinstance(kind, inspect.LiteralType) or set(kind.values) == COUNTRIES:
        return ()
    codes = sorted(map(str, kind.values))
    return CATEGORY_CODES if set(codes) == CATEGORIES else codes


def _rule(kind: inspect.Type, *, nullable: bool) -> str:
    name, longest, fewest, most, greatest = _bounds(kind)
    return f"{{{name}, {int(nullable)}, {longest}, {fewest}, {most}, INT64_C({greatest})}}"


def _bounds(kind: inspect.Type) -> tuple[str, int, int, int, int]:  # noqa: PLR0911 - each kind once
    """A field's kind, most characters, fewest and most items, and greatest number."""
    match kind:
        case inspect.StrType(min_length=1, max_length=int(longest)):
            return "TEXT", longest, 0, 0, 0
        case inspect.LiteralType():
            return ("COUNTRY" if set(kind.values) == COUNTRIES else "CODE"), 0, 0, 0, 0
        case inspect.ListType(inspect.StrType(min_length=1, max_length=int(longest)), max_length=int(most)):
            return "TEXTS", longest, kind.min_length or 0, most, 0
        case inspect.ListType(inspect.LiteralType(), max_length=int(most)):
            return "CODES", 0, kind.min_length or 0, most, 0
        case inspect.IntType(ge=0, le=int(greatest)):
            return "WHOLE", 0, 0, 0, greatest
        case inspect.FloatType(ge=0, le=1):
            return "SHARE", 0, 0, 0, 0
        case inspect.DateTimeType(tz=True):
            return "TIME", 0, 0, 0, 0
        case inspect.DateType():
            return "DATE", 0, 0, 0, 0
        case inspect.StructType() if kind.cls is Transfer:
            return "OBJECT", 0, 0, 0, 0
        case inspect.RawType():
            return "JSON", MAX_ATTRIBUTES_BYTES, 0, 0, 0
    raise TypeError(f"records.c does not read {kind}")


def _lookup(name: str, words: Sequence[str]) -> str:
    """A function that finds which of the words its bytes are; -1: none."""
    cases = []
    for length in sorted({len(word) for word in words}):
        found = (
            f'if (!memcmp(s, "{word}", {length})) return {at};' for at, word in enumerate(words) if len(word) == length
        )
        cases.append(f"    case {length}: {' '.join(found)} break;")
    lines = [f"static int {name}(P s, uint32_t n) {{", "    switch (n) {", *cases, "    }", "    return -1;", "}"]
    return "\n".join(lines)
