"""Recovers from a run that died between sending and marking: finds which claimed letters are in scan.records.v1
already."""

from collections.abc import Iterable, Sequence
from contextlib import closing

from kafka_client.message_headers import headers_of
from operations.dead_letters.dead_letter import DeadLetter, State
from operations.dead_letters.ledger import DeadLetterLedger, RetryClaim
from operations.dead_letters.reader import consumer, kafka_must_answer, messages, spans
from schemas.dead_letters import DeadLetterId
from schemas.topics import RECORDS_TOPIC, RETRY_LETTER


def record_ends(bootstrap: str) -> dict[int, int]:
    """The end of each partition of scan.records.v1 now. Raises InfraError."""
    client = consumer(bootstrap)
    with closing(client), kafka_must_answer(bootstrap):
        return {number: end for number, (_, end) in spans(client, RECORDS_TOPIC, bootstrap).items()}


def found_again(bootstrap: str, claims: Sequence[RetryClaim]) -> dict[DeadLetterId, tuple[int, int]]:
    """Finds which of these are there, and where. Reads from where the topic ended before the first of them was sent."""
    wanted = {claim.id for claim in claims}
    found: dict[DeadLetterId, tuple[int, int]] = {}
    client = consumer(bootstrap)
    with closing(client), kafka_must_answer(bootstrap):
        places = {
            number: (max(start, min(claim.ends.get(number, 0) for claim in claims)), end)
            for number, (start, end) in spans(client, RECORDS_TOPIC, bootstrap).items()
        }
        for polled in messages(client, RECORDS_TOPIC, places):
            for message in polled:
                name = DeadLetterId.of_header(dict(headers_of(message)).get(RETRY_LETTER))
                if name in wanted:
                    found.setdefault(name, (message.partition(), message.offset()))
        return found


def settle(ledger: DeadLetterLedger, bootstrap: str, ids: Iterable[DeadLetterId]) -> set[DeadLetterId]:
    """Marks those of the letters that were sent and not marked, and returns them; the others were never sent."""
    claims = ledger.in_doubt(ids)
    found = {claim.id: claim.arrived for claim in claims if claim.arrived is not None}
    unknown = [claim for claim in claims if claim.arrived is None]
    if unknown:
        found |= found_again(bootstrap, unknown)
    ledger.mark_sent(
        [
            (claim, {"partition": place[0], "offset": place[1], "recognised": True})
            for claim in claims
            for place in [found.get(claim.id)]
            if place is not None
        ]
    )
    return set(found)


def settled(
    ledger: DeadLetterLedger, bootstrap: str, letters: Sequence[DeadLetter]
) -> tuple[dict[DeadLetterId, State], set[DeadLetterId]]:
    """The state of each letter, where it may be acted on: what is still "claimed" was never sent. Also which of them an
    earlier run had sent and could not mark; they are marked now. Topics are read only for letters that are in doubt."""
    states = ledger.states(letter.id for letter in letters)
    # whatever was touched: the worker may have met it, or somebody dropped it before, and still it is to be marked
    doubtful = [name for name, state in states.items() if state != "open"]
    recognised = settle(ledger, bootstrap, doubtful) if doubtful else set()
    return states | dict.fromkeys(recognised, "retried"), recognised
