"""`scanline lag`: what has been sent and is not written yet."""

from cli.options import PIPELINE, Json, Pipeline
from cli.output import print_json, show, stderr
from infra.settings import InfraSettings
from operations.lag import measure, written_offsets
from schemas.numbers import number
from schemas.topics import RECORDS_TOPIC


def _shown(value: int | None) -> str:
    return "-" if value is None else number(value, "vi")


def lag(
    pipeline: Pipeline = PIPELINE,
    json: Json = False,
) -> None:
    """Lượng tồn đọng của từng phân vùng. / How many messages of each partition wait to be written."""
    settings = InfraSettings()
    url = settings.postgres_read_url
    written = None if url is None else written_offsets(url.get_secret_value(), pipeline)
    found = measure(settings.kafka_bootstrap, pipeline, written)
    total = sum(each.lag for each in found)
    if written is None:
        why = (
            ("Chưa có SCANLINE_POSTGRES_READ_URL", "SCANLINE_POSTGRES_READ_URL is not set")
            if url is None
            else ("PostgreSQL không trả lời", "PostgreSQL does not answer")
        )
        stderr.print(f"{why[0]}: tính theo offset của nhóm. / {why[1]}: counted by the group's offsets.")
    if json:
        document = {
            "topic": RECORDS_TOPIC,
            "pipeline": pipeline,
            "lag": total,
            "partitions": [each._asdict() for each in found],
        }
        print_json(document)
        return
    rows = [
        {
            "phân vùng / partition": str(each.partition),
            "cuối / end": _shown(each.end),
            "nhóm / committed": _shown(each.committed),
            "đã ghi / written": _shown(each.written),
            "tồn đọng / lag": _shown(each.lag),
        }
        for each in found
    ]
    sums = {"phân vùng / partition": "∑", "cuối / end": "", "nhóm / committed": "", "đã ghi / written": ""}
    show([*rows, {**sums, "tồn đọng / lag": _shown(total)}], title=RECORDS_TOPIC, as_json=False)
