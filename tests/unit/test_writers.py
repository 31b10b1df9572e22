"""Slots for the lanes' calls: lent on by those that take long, given back once, in the order in which they were asked for."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from stream_app.lanes.writers import Writers


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What held calls wait for."""
    event = threading.Event()
    yield event
    event.set()


async def test_who_waits_long_holds_up_nobody(release: threading.Event) -> None:
    writers = Writers(2, 10)
    held = [asyncio.create_task(writers.call(release.wait)) for _ in range(6)]
    assert await asyncio.wait_for(writers.call(lambda: "through"), 30) == "through"
    assert not any(task.done() for task in held)
    release.set()
    await asyncio.gather(*held)
    writers.close()


async def test_afterwards_there_are_as_many_slots_as_before(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that has lent its slot has none to give back at its end, however it ends."""
    writers = Writers(1, 10)
    lent = [asyncio.create_task(writers.call(release.wait)) for _ in range(3)]
    given_up = asyncio.create_task(writers.call(release.wait))
    await asyncio.wait_for(writers.call(lambda: None), 30)
    given_up.cancel()
    release.set()
    await asyncio.gather(*lent, given_up, return_exceptions=True)
    monkeypatch.setattr("stream_app.lanes.writers.LEND_SECONDS", 600)
    together = threading.Barrier(2, timeout=0.3)
    met = await asyncio.gather(*(writers.call(together.wait) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in met] == [threading.BrokenBarrierError] * 2
    writers.close()


async def test_slots_go_to_those_who_asked_first() -> None:
    writers = Writers(1, 4)
    order: list[int] = []
    await asyncio.gather(*(writers.call(lambda number=number: order.append(number)) for number in range(20)))
    assert order == list(range(20))
    writers.close()


async def test_new_threads_where_all_are_caught(release: threading.Event) -> None:
    begun = threading.Event()

    def catch() -> None:
        begun.set()
        release.wait()

    writers = Writers(1, 1)
    caught = asyncio.create_task(writers.call(catch))
    queued = asyncio.create_task(writers.call(lambda: "queued"))
    await asyncio.to_thread(begun.wait)
    while writers._slots.locked():
        await asyncio.sleep(0.01)  # until both have lent their slots: the second waits for the only thread
    assert not queued.done()
    writers.replace()
    assert await asyncio.wait_for(writers.call(lambda: "new"), 30) == "new"
    assert not caught.done()
    release.set()
    assert await queued == "queued"
    await caught
    writers.close()
