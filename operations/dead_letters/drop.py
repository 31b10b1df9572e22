"""Puts letters aside for good: they stay in Kafka until their time is over, and are not listed or sent any more."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from operations.dead_letters.dead_letter import DeadLetter, State
from operations.dead_letters.ledger import DeadLetterLedger
from operations.dead_letters.recovery import settled

# what is claimed after a look into scan.records.v1 was never sent
_DROPPABLE: Final = ("open", "claimed")


def drop(
    ledger: DeadLetterLedger,
    bootstrap: str,
    chunks: Iterable[list[DeadLetter]],
    note: str,
    most: int,
) -> Counter[State]:
    """Drops what is open, at most `most` (0: any number). Returns how many are dropped now, and how many of those that were
    meant had been retried before. Raises InfraError."""
    ledger.take_turn()
    done: Counter[State] = Counter()
    for chunk in chunks:
        states, _ = settled(ledger, bootstrap, chunk)
        chosen = [letter for letter in chunk if states[letter.id] in _DROPPABLE]
        if most:
            chosen = chosen[: most - done["dropped"]]
        ledger.drop(chosen, note)
        done["dropped"] += len(chosen)
        done["retried"] += sum(states[letter.id] == "retried" for letter in chunk)
        if most and done["dropped"] >= most:
            break
    return done
