"""Why a lane waits. Imports nothing of ours, so that a command that only asks starts quickly."""

from typing import Literal

PauseReason = Literal["database", "dead_letter_topic", "dead_letter_limit", "log_replaced", "unexpected"]
WaitReason = PauseReason | Literal["standing"]  # the last where no other is known
