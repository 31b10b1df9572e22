"""The contract as documents, generated from the structs: JSON Schema (draft 2020-12) and AsyncAPI 3.0.

    python -m schemas.documents           writes docs/contract/
    python -m schemas.documents --check   exits 1 and names the files that are stale

Needs PyYAML, which the running processes do not.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from schemas import topics
from schemas.codes import COUNTRIES
from schemas.errors import ALL_TEXTS, Text
from schemas.field_texts import STRUCTS
from schemas.header_schemas import Schema, both, dead_letter_headers, message_headers
from schemas.messages import Cancelled, Closed, Opened
from schemas.record import Record
from schemas.status import ScanStatus

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "docs" / "contract"
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
DAY_MS: Final = 24 * 60 * 60 * 1000
_STAMPED: Final = {"message.timestamp.type": "LogAppendTime"}
# topic -> partitions, and of its settings as created by default those that its users go by
TOPIC_DEFAULTS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    topics.RECORDS_TOPIC: (
        12,
        {"cleanup.policy": ["delete"], "retention.ms": 7 * DAY_MS, "max.message.bytes": 1024 * 1024, **_STAMPED},
    ),
    topics.STATUS_TOPIC: (
        12,
        {
            "cleanup.policy": ["compact"],
            "delete.retention.ms": DAY_MS,
            "max.message.bytes": 1024 * 1024,
            **_STAMPED,
        },
    ),
    topics.DLQ_TOPIC: (
        3,
        {
            "cleanup.policy": ["delete"],
            "retention.ms": 30 * DAY_MS,
            "max.message.bytes": topics.MAX_DEAD_LETTER_BYTES,
        },
    ),
}


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


_ROOTS: Final = {
    "Record": _record_for_schema(),
    "Opened": Opened,
    "Closed": Closed,
    "Cancelled": Cancelled,
    "ScanStatus": ScanStatus,
}


def _share_countries(schema: Any, reference: str) -> Any:
    """The list of 249 countries once, by reference, instead of at every field."""
    if isinstance(schema, dict):
        if schema.get("enum") == sorted(COUNTRIES):
            return {"$ref": reference}
        return {key: _share_countries(value, reference) for key, value in schema.items()}
    return [_share_countries(each, reference) for each in schema] if isinstance(schema, list) else schema


def components(prefix: str) -> dict[str, Schema]:
    """Every schema of the contract by name, with references that start with `prefix`."""
    template = prefix + "{name}"
    _, found = msgspec.json.schema_components(list(_ROOTS.values()), ref_template=template)
    for name, schema in found.items():
        about, fields = STRUCTS[name]
        schema["description"] = both(about)
        for field, field_schema in schema["properties"].items():
            field_schema["description"] = both(fields[field])
        if not schema.get("required"):
            schema.pop("required", None)
    for name, field in (("ScanStatus", "submitted_at"), ("ScanStatus", "started_at"), ("ScanStatus", "finished_at")):
        found[name]["properties"][field]["anyOf"][0]["format"] = "date-time"
    found["ScanStatus"]["properties"]["progress"] |= {"minimum": 0, "maximum": 1}
    found["ErrorSample"]["properties"]["code"]["enum"] = sorted(ALL_TEXTS)
    found = _share_countries(found, prefix + "Country")
    found["Country"] = {
        "title": "Country",
        "description": "Mã quốc gia ISO 3166-1 alpha-2. / ISO 3166-1 alpha-2 country code.",
        "enum": sorted(COUNTRIES),
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


_TENANT_KEY: Final = {
    "type": "string",
    "pattern": topics.TENANT_ID_PATTERN,
    "description": both(
        Text(
            "Mã tổ chức. Partitioner phải là murmur2 để mọi bản ghi của một tổ chức vào cùng một phân vùng.",
            "The tenant id. The partitioner must be murmur2, so that all records of a tenant meet in one partition.",
        )
    ),
}
_STATUS_KEY: Final = {"type": "string", "description": "tenant_id/scan_id"}


def _message(name: str, title: Text, headers: Schema, payload: Schema, key: Schema, content_type: str) -> Schema:
    return {
        "name": name,
        "title": title.en,
        "summary": both(title),
        "contentType": content_type,
        "headers": headers,
        "payload": payload,
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }


_KINDS: Final = {
    "opened": (topics.OPENED, "Opened", Text("Mở lượt quét", "A scan is opened")),
    "records": (topics.RECORDS, "Records", Text("Bản ghi của lượt quét", "Records of a scan")),
    "mended": (topics.MENDED, "Records", Text("Bản ghi bị từ chối đã sửa", "Rejected records, mended")),
    "closed": (topics.CLOSED, "Closed", Text("Đóng lượt quét", "A scan is closed")),
    "cancelled": (topics.CANCELLED, "Cancelled", Text("Hủy lượt quét", "A scan is cancelled")),
}


def _messages() -> dict[str, Schema]:
    messages = {
        name: _message(
            kind,
            title,
            message_headers(kind),
            {"$ref": f"#/components/schemas/{schema}"},
            _TENANT_KEY,
            "application/json",
        )
        for name, (kind, schema, title) in _KINDS.items()
    }
    messages["status"] = _message(
        "status",
        Text("Tình trạng của lượt quét; giá trị rỗng xóa nó", "Status of a scan; an empty value removes it"),
        {"type": "object"},
        {"$ref": "#/components/schemas/ScanStatus"},
        _STATUS_KEY,
        "application/json",
    )
    messages["dead_letter"] = _message(
        "dead_letter",
        Text(
            "Thông điệp không xử lý được: nguyên byte và tiêu đề gốc, thêm lý do",
            "A dead letter: the original bytes and headers, with the reason added",
        ),
        dead_letter_headers(),
        {"description": both(Text("Byte gốc của thông điệp.", "The message's original bytes."))},
        {"description": both(Text("Khóa gốc của thông điệp.", "The message's original key."))},
        "application/octet-stream",
    )
    return messages


_CHANNELS: Final = {
    "records": (topics.RECORDS_TOPIC, list(_KINDS), Text("Bản ghi vào Scanline.", "Records on their way in.")),
    "status": (
        topics.STATUS_TOPIC,
        ["status"],
        Text("Tình trạng mới nhất của mỗi lượt quét.", "The latest status of every scan."),
    ),
    "deadLetters": (
        topics.DLQ_TOPIC,
        ["dead_letter"],
        Text("Thông điệp không xử lý được.", "What could not be read at all."),
    ),
}


def _channel(topic: str, messages: list[str], about: Text) -> Schema:
    partitions, settings = TOPIC_DEFAULTS[topic]
    return {
        "address": topic,
        "description": both(about),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": partitions,
                "topicConfiguration": settings,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(action: str, channel: str, about: Text) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": both(about),
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in _CHANNELS[channel][1]],
    }


def asyncapi() -> Schema:
    """The AsyncAPI 3.0 document, told from Scanline's side: it receives records, sends status and dead letters."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:scanline:kafka:v1",
        "info": {
            "title": "Scanline: hợp đồng Kafka / the Kafka contract",
            "version": "1.0.0",
            "description": both(
                Text(
                    "Thông điệp là CloudEvents 1.0 ở chế độ nhị phân của Kafka: thuộc tính nằm trong tiêu đề "
                    "ce_*, dữ liệu là giá trị. "
                    f"Một thông điệp tối đa {topics.MAX_RECORDS_PER_MESSAGE} bản ghi và "
                    f"{topics.MAX_MESSAGE_BYTES} byte. "
                    "Khóa được phân vùng bằng murmur2 (librdkafka: partitioner=murmur2_random).",
                    "Messages are CloudEvents 1.0 in Kafka's binary content mode: attributes in ce_* headers, "
                    "the data as the value. "
                    f"A message holds at most {topics.MAX_RECORDS_PER_MESSAGE} records and "
                    f"{topics.MAX_MESSAGE_BYTES} bytes. "
                    "Keys are partitioned by murmur2 (librdkafka: partitioner=murmur2_random).",
                )
            ),
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(*channel) for name, channel in _CHANNELS.items()},
        "operations": {
            "receiveRecords": _operation(
                "receive", "records", Text("Scanline nhận bản ghi.", "Scanline receives records.")
            ),
            "sendStatus": _operation("send", "status", Text("Scanline báo tình trạng.", "Scanline tells the status.")),
            "sendDeadLetters": _operation(
                "send",
                "deadLetters",
                Text("Scanline cất thông điệp không đọc được.", "Scanline keeps what it could not read."),
            ),
        },
        "components": {"messages": _messages(), "schemas": components("#/components/schemas/")},
    }


class _Plain(yaml.SafeDumper):
    """YAML without anchors: the document is read by people and by other tools."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def documents() -> dict[str, str]:
    """Every document as {file name: text}."""

    def as_json(schema: Schema) -> str:
        return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"

    return {
        "record.v1.schema.json": as_json(json_schema("record:v1", "Record")),
        "messages.v1.schema.json": as_json(json_schema("messages:v1", ["Records", "Opened", "Closed", "Cancelled"])),
        "status.v1.schema.json": as_json(json_schema("status:v1", "ScanStatus")),
        "asyncapi.yaml": yaml.dump(asyncapi(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120),
    }


def stale(directory: Path = DIRECTORY) -> list[str]:
    """Names of the documents that are missing or differ from what the code says."""
    return [
        name
        for name, text in documents().items()
        if not (directory / name).is_file() or (directory / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Writes the documents, or checks them. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.documents", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a document is stale")
    if parser.parse_args(arguments).check:
        old = stale()
        for name in old:
            print(f"docs/contract/{name} is stale: run python -m schemas.documents", file=sys.stderr)
        return 1 if old else 0
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
        print(f"docs/contract/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
