"""A header whose name is no UTF-8, which any client in C can write: the broker takes it, and it stops nobody."""

import pytest
from aiokafka.structs import TopicPartition

from kafka_client.bounded_fetch.fetcher import _SliceRecords
from kafka_client.bounded_fetch.record_batches import Batches
from tests.header_names import batch

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


@pytest.mark.parametrize("codec", CODECS)
def test_every_message_of_the_batch_is_read_once_and_in_order(codec: str) -> None:
    raw = batch([(b"ok", b"a"), (b"\xff\xfe", b"b"), (b"ok", b"c")], CODECS[codec])
    plain = batch([(b"ok", b"d")], CODECS[codec], first=3)
    records = _SliceRecords(TopicPartition("t", 0), Batches(raw + plain), [], 0, None, None, True, 1)
    found = list(records)
    assert [message.offset for message in found] == [0, 1, 2, 3]
    assert [message.value for message in found] == [b"a", b"b", b"c", b"d"]
    names = [[name for name, _ in message.headers] for message in found]
    assert names == [["ok"], ["\ufffd\ufffd"], ["ok"], ["ok"]]
    assert [[value for _, value in message.headers] for message in found] == [[b"1"]] * 4
    assert records.next_fetch_offset == 4
