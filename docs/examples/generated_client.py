"""A scan through a client that openapi-python-client generated: submitted, followed to its end, and corrected.

    openapi-python-client generate --url API/openapi.json --meta none --config openapi-client.yml --output-path scanline_client
    python generated_client.py API TENANT FILE

API is an address like http://127.0.0.1:8000, FILE has one record a line. The scanner of this example gave `confidence` in per
cent; those records are rejected, corrected and sent again.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from scanline_client import Client
from scanline_client.api.default import correct_records, get_scan, list_rejected_records, submit_scan
from scanline_client.models import (
    Accepted,
    Correction,
    Corrections,
    CorrectionsAccepted,
    Record,
    RejectedRecord,
    RejectedRecordPage,
    ScanState,
    ScanStatus,
    Submission,
)

ENDED = {ScanState.COMPLETED, ScanState.COMPLETED_WITH_ERRORS, ScanState.FAILED, ScanState.CANCELLED}


def followed(client: Client, tenant: str, scan: UUID, version: int = 0) -> ScanStatus:
    """The scan's status once it has ended, and has that version."""
    while True:
        status = get_scan.sync(tenant, scan, client=client)
        assert isinstance(status, ScanStatus), status
        print(f"{status.status}: {status.records_stored} stored, {status.records_rejected} rejected")
        if status.status in ENDED and status.version >= version:
            return status
        time.sleep(0.2)


def rejected(client: Client, tenant: str, scan: UUID) -> Iterator[RejectedRecord]:
    """All of them, page by page."""
    cursor: dict[str, Any] = {}
    while True:
        page = list_rejected_records.sync(tenant, scan, client=client, **cursor)
        assert isinstance(page, RejectedRecordPage), page
        yield from page.errors
        if page.next_cursor is None:
            return
        cursor = {"cursor": page.next_cursor}


def corrected(each: RejectedRecord) -> Correction:
    """The record with a confidence from 0 to 1, for the place of its rejection."""
    record = {**each.record, "confidence": each.record["confidence"] / 100}
    return Correction(index=each.index, id=each.id, record=Record.from_dict(record))


def main(api: str, tenant: str, file: str) -> None:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    with Client(base_url=api) as client:
        records = [Record.from_dict(json.loads(line)) for line in lines]
        accepted = submit_scan.sync(
            tenant,
            client=client,
            body=Submission(records=records, source="generated-client"),
            idempotency_key=Path(file).name,
        )
        assert isinstance(accepted, Accepted), accepted
        followed(client, tenant, accepted.scan_id)
        corrections = [corrected(each) for each in rejected(client, tenant, accepted.scan_id)]
        taken = correct_records.sync(tenant, accepted.scan_id, client=client, body=Corrections(corrections=corrections))
        assert isinstance(taken, CorrectionsAccepted), taken
        status = followed(client, tenant, accepted.scan_id, taken.version)
    print(json.dumps(status.to_dict(), ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
