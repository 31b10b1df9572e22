"""Prepares micro-batches for a sink, without the records that it cannot be given."""

from typing import Any

from schemas.decoder import Incoming
from sinks.files.skipped_records import SkippedRecords
from sinks.protocol import MicroBatch, Sink


def prepared_for(sink: Sink[Any], batch: MicroBatch, passed_over: SkippedRecords) -> Any:
    """Prepares the micro-batch. Records for which anything is raised are skipped: one never stops the others."""
    try:
        return sink.prepare(batch)
    except Exception:
        messages = [_without_bad(sink, batch, message, passed_over) for message in batch.messages]
        return sink.prepare(batch._replace(messages=messages))


def _without_bad(sink: Sink[Any], batch: MicroBatch, message: Incoming, passed_over: SkippedRecords) -> Incoming:
    kept = []
    for at, record in enumerate(message.records):
        alone = message._replace(records=[record], positions=[message.positions[at]], rejected=())
        try:
            sink.prepare(batch._replace(messages=[alone]))
            kept.append(at)
        except Exception as error:
            envelope, index = message.envelope, message.index_of(message.positions[at])
            passed_over.add(envelope.tenant_id, envelope.scan_id, record.activity_key, index, error)
    records, positions = [message.records[at] for at in kept], [message.positions[at] for at in kept]
    return message._replace(records=records, positions=positions)
