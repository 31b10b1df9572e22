"""The contract's structs as JSON Schema (draft 2020-12), for every document that describes it."""

import json
from collections.abc import Sequence
from typing import Any, Final, get_args

import msgspec

from schemas import topics
from schemas.codes import CATEGORIES, COUNTRIES, ControllerRole, LegalBasis, ScanState, Subject
from schemas.errors import ALL_TEXTS, Text
from schemas.field_texts import STRUCTS
from schemas.header_schemas import Schema, both
from schemas.messages import Cancelled, Closed, Opened
from schemas.record import Record
from schemas.status import ScanStatus

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def _record_for_schema() -> type:
    """Record with `attributes` typed as the object it must be; msgspec.Raw says nothing to a reader of the schema."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(Record):
        if field.required:
            fields.append((field.name, field.type))
        elif field.name == "attributes":
            fields.append((field.name, dict[str, Any], msgspec.field(default_factory=dict)))
        elif field.default is msgspec.NODEFAULT:
            fields.append((field.name, field.type, msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((field.name, field.type, field.default))
    return msgspec.defstruct("Record", fields, forbid_unknown_fields=True)


ROOTS: Final[dict[str, Any]] = {
    "Record": _record_for_schema(),
    "Opened": Opened,
    "Closed": Closed,
    "Cancelled": Cancelled,
    "ScanStatus": ScanStatus,
}


# Lists of codes that several fields have.
_CODES: Final[dict[str, tuple[Text, list[str]]]] = {
    name: (Text(vi, en), sorted(codes))
    for name, vi, en, codes in (
        ("Country", "Mã quốc gia ISO 3166-1 alpha-2.", "ISO 3166-1 alpha-2 country code.", COUNTRIES),
        ("Category", "Loại dữ liệu cá nhân.", "Category of personal data.", CATEGORIES),
        ("Subject", "Nhóm chủ thể dữ liệu cá nhân.", "Group of data subjects.", get_args(Subject)),
        ("LegalBasis", "Căn cứ pháp lý.", "Legal basis.", get_args(LegalBasis)),
        ("ControllerRole", "Vai trò.", "Role.", get_args(ControllerRole)),
        ("ScanState", "Trạng thái của lượt quét.", "State of a scan.", get_args(ScanState)),
        ("RecordError", "Mã lý do một bản ghi bị từ chối.", "Code of why a record is rejected.", ALL_TEXTS),
    )
}


def shared(schema: Any, prefix: str) -> Any:
    """What many fields have in common once, by reference: lists of codes, and a text in both languages."""
    if isinstance(schema, list):
        return [shared(each, prefix) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = next((name for name, (_, codes) in _CODES.items() if sorted(schema.get("enum", ())) == codes), None)
    if schema.get("additionalProperties") == {"type": "string"}:
        name = "Texts"
    if name is None:
        return {key: shared(value, prefix) for key, value in schema.items()}
    kept = {key: value for key, value in schema.items() if key not in ("type", "enum", "additionalProperties")}
    return {"$ref": prefix + name, **kept}


def components(prefix: str, more: Sequence[Any] = ()) -> dict[str, Schema]:
    """Every schema of the contract by name, and those of `more` types, with references that start with `prefix`."""
    template = prefix + "{name}"
    found: dict[str, Schema]
    _, found = msgspec.json.schema_components([*ROOTS.values(), *more], ref_template=template)
    for name, schema in found.items():
        if name in STRUCTS:
            about, fields = STRUCTS[name]
            schema["description"] = both(about)
            for field, field_schema in schema["properties"].items():
                field_schema["description"] = both(fields[field])
        elif "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
        if not schema.get("required"):
            schema.pop("required", None)
    for name, field in (("ScanStatus", "submitted_at"), ("ScanStatus", "started_at"), ("ScanStatus", "finished_at")):
        found[name]["properties"][field]["anyOf"][0]["format"] = "date-time"
    found["ScanStatus"]["properties"]["progress"] |= {"minimum": 0, "maximum": 1}
    found["ErrorSample"]["properties"]["code"]["enum"] = sorted(ALL_TEXTS)
    found["ScanStatus"]["properties"]["scan_id"]["format"] = "uuid"
    found = shared(found, prefix)
    for name, (text, codes) in _CODES.items():
        found[name] = {"title": name, "description": both(text), "type": "string", "enum": codes}
    found["Texts"] = {
        "title": "Texts",
        "description": "Một câu bằng hai ngôn ngữ. / A sentence in both languages.",
        "type": "object",
        "properties": {"vi": {"type": "string"}, "en": {"type": "string"}},
        "required": ["vi", "en"],
        "additionalProperties": False,
    }
    found["Records"] = {
        "title": "Records",
        "description": "Một bản ghi, hoặc một mảng tối đa 1.000 bản ghi. / One record, or an array of up to 1,000.",
        "oneOf": [
            {"$ref": prefix + "Record"},
            {
                "type": "array",
                "items": {"$ref": prefix + "Record"},
                "maxItems": topics.MAX_RECORDS_PER_MESSAGE,
            },
        ],
    }
    return found


def _used(names: list[str], schemas: dict[str, Schema]) -> list[str]:
    """The names and, in order of first use, every schema they refer to."""
    found: list[str] = []
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            waiting += [part.split('"')[0] for part in json.dumps(schemas[name]).split("#/$defs/")[1:]]
    return found


def json_schema(identity: str, root: str | list[str]) -> Schema:
    """A self-contained JSON Schema: of `root`, or of any of several."""
    schemas = components("#/$defs/")
    roots = [root] if isinstance(root, str) else root
    entry: Schema = (
        {"$ref": f"#/$defs/{root}"}
        if isinstance(root, str)
        else {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in roots]}
    )
    return {
        "$schema": DRAFT,
        "$id": f"urn:scanline:{identity}",
        **entry,
        "$defs": {name: schemas[name] for name in _used(roots, schemas)},
    }
