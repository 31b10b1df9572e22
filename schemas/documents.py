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

import yaml

from schemas import topics
from schemas.errors import Text
from schemas.header_schemas import Schema, both, dead_letter_headers, message_headers
from schemas.json_schemas import components, json_schema

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "docs" / "contract"
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
