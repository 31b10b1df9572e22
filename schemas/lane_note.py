"""What a worker notes beside the offset that it commits for monitors: who it is, and whether the lane waits. The note
goes the way of the offset, so that whoever asks the group knows it, wherever the worker runs and also when it is gone."""

import json
from typing import Final, NamedTuple, Self, cast, get_args

from schemas.wait_reasons import PauseReason, WaitReason

_REASONS: Final = frozenset({*get_args(PauseReason), "standing"})
_END: Final = "\0"


class LaneNote(NamedTuple):
    """A note. `member` is the worker's id in the consumer group: a note of any other member than the one that owns the
    partition now is an old one. `reason` is None where the lane does not wait; `since` is when it came to this, in Unix
    seconds by the worker's clock."""

    member: str
    worker: str  # host:pid, as in stream_offsets
    reason: WaitReason | None
    since: int

    def text(self) -> str:
        """The note as Kafka keeps it: `offset.metadata.max.bytes` is 4,096. It ends with NUL, since there are clients
        that read on to the next one."""
        return json.dumps(self._asdict(), separators=(",", ":")) + _END

    @classmethod
    def of(cls, text: str | None) -> Self | None:
        """The note in this text; None where it is not one, such as an earlier worker's empty text."""
        try:
            found = json.loads((text or "").partition(_END)[0])
            member, worker, reason, since = (found[name] for name in cls._fields)
        except (ValueError, KeyError, TypeError):
            return None
        if reason is not None and reason not in _REASONS:
            return None
        return cls(str(member), str(worker), cast(WaitReason | None, reason), int(since))
