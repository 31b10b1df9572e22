"""Publishes a scan straight to Kafka, with nothing but confluent-kafka. Copy it, change it.

    python docs/examples/direct_publisher.py BOOTSTRAP TENANT FILE.ndjson [SCAN_ID]

FILE holds one record (JSON object) per line. Prints the scan id. Run again with the same file and the printed id, it
changes nothing: every array carries the index of its first record, and an array that was counted once counts nothing.
"""

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Producer

TOPIC = "scan.records.v1"
RECORDS_PER_MESSAGE = 500  # at most 1,000 ...
BYTES_PER_MESSAGE = 700_000  # ... and at most 786,432 bytes (768 KiB)


def headers(kind: str, scan_id: str, first_index: int | None = None) -> list[tuple[str, bytes]]:
    """CloudEvents attributes as Kafka headers. Only ce_type and ce_subject are required."""
    found = [("ce_type", f"vn.scanline.scan.{kind}.v1".encode()), ("ce_subject", scan_id.encode())]
    if first_index is not None:
        found.append(("ce_firstindex", str(first_index).encode()))
    return found


def arrays(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """(index of the first record, JSON array). Cut by the file alone: a second run sends the same arrays."""
    start, size = 0, 0
    for index, line in enumerate(lines):
        if index > start and (index - start == RECORDS_PER_MESSAGE or size + len(line) + 1 > BYTES_PER_MESSAGE):
            yield start, b"[" + b",".join(lines[start:index]) + b"]"
            start, size = index, 0
        size += len(line) + 1
    if lines:
        yield start, b"[" + b",".join(lines[start:]) + b"]"


def publish(bootstrap: str, tenant: str, lines: list[bytes], scan_id: str) -> None:
    """Publishes a whole scan and waits until the brokers have it. Raises RuntimeError when they do not."""
    failures: list[str] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            # librdkafka's own default (CRC32) would put the tenant into another partition than all other clients do
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 5,
        }
    )

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failures.append(str(error))

    def send(kind: str, value: bytes, first_index: int | None = None) -> None:
        producer.produce(
            TOPIC, value, tenant.encode(), headers=headers(kind, scan_id, first_index), on_delivery=delivered
        )
        producer.poll(0)

    send("opened", json.dumps({"source": "direct_publisher", "records_total": len(lines), "language": "vi"}).encode())
    for first_index, array in arrays(lines):
        send("records", array, first_index)
    send("closed", json.dumps({"records_total": len(lines)}).encode())
    if producer.flush(60) or failures:
        raise RuntimeError(f"not everything was delivered ({failures[:1]}): run again with scan id {scan_id}")


def main() -> None:
    """Reads the arguments and publishes."""
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    bootstrap, tenant, file = sys.argv[1:4]
    scan_id = str(uuid.UUID(sys.argv[4])) if len(sys.argv) == 5 else str(uuid.uuid4())
    lines = [line for line in Path(file).read_bytes().split(b"\n") if line.strip()]
    publish(bootstrap, tenant, lines, scan_id)
    print(scan_id)


if __name__ == "__main__":
    main()
