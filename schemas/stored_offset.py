"""The offset that a store has of a partition, beside the rows that it counts."""

from typing import NamedTuple


class StoredOffset(NamedTuple):
    """Where a partition is to be read on. `topic_id` is Kafka's, of the topic whose messages the offset counts; None: not known,
    because the offset is older than the column, or the broker than topic ids."""

    next_offset: int
    topic_id: str | None = None

    def counts_another(self, topic_id: str | None) -> bool:
        """Whether the offset certainly counts the messages of another topic than the one of this id. None: not known."""
        return None not in (self.topic_id, topic_id) and self.topic_id != topic_id
