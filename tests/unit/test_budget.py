"""Room for bodies: whatever bodies come, however their clients send, the sum stays within the limit and every one is taken."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer_api.http.budget import STEP, Budget, Overloaded, Room

LIMIT: Final = 24 * STEP
MESSAGE: Final = 6 * STEP  # the most that one message takes, in these tests
FOREVER: Final = 1e9


class Client:
    """Someone who sends a body, a piece when he is told to; between two pieces he may rest for as long as he likes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sending = asyncio.Event()
        self.resting = False
        self.task: asyncio.Task[None] | None = None

    async def piece(self) -> None:
        """Returns when the next piece has come."""
        self.resting = True
        await self.sending.wait()
        self.sending.clear()


class Crowd:
    """Clients and a Kafka that do what a chance tells them, one step after the other, on one event loop."""

    def __init__(self, chance: random.Random, limit: int = LIMIT) -> None:
        self._chance = chance
        self.limit = limit
        self.budget = Budget(limit, FOREVER)
        self.clients: list[Client] = []
        self.on_their_way: list[asyncio.Future[None]] = []

    def join(self, body: Callable[["Crowd", Client], Awaitable[None]]) -> Client:
        """One more body begins."""
        client = Client(len(self.clients))
        client.task = asyncio.create_task(body(self, client))  # type: ignore[arg-type]
        self.clients.append(client)
        return client

    def lend(self, room: Room, size: int) -> None:
        """A message is handed to Kafka."""
        way: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_their_way.append(way)
        room.lend(size, way)

    async def settle_down(self) -> None:
        """Until everybody waits for room, or rests."""
        for _ in range(6):
            await asyncio.sleep(0)
            assert 0 <= self.budget.used <= self.limit

    async def step(self) -> bool:
        """One client sends a piece, or Kafka takes a message; False when nobody can do anything."""
        await self.settle_down()
        able: list[Any] = [client for client in self.clients if client.resting]
        able += self.on_their_way
        if not able:
            return False
        one = self._chance.choice(able)
        if isinstance(one, Client):
            one.resting = False
            one.sending.set()
        else:
            self.on_their_way.remove(one)
            one.set_result(None)
        await self.settle_down()
        return True

    async def run(self) -> None:
        """Until nobody can do anything: then every body must have been taken."""
        while await self.step():
            pass
        stuck = [client.number for client in self.clients if client.task is not None and not client.task.done()]
        assert not stuck, f"{stuck} wait for each other"
        for client in self.clients:
            assert client.task is not None
            client.task.result()
        assert self.budget.used == 0


def stream(sizes: list[int], leaves_after: int | None = None) -> Callable[[Crowd, Client], Awaitable[None]]:
    """Messages of these sizes, gathered piece by piece and lent to Kafka; maybe the client goes away in the middle."""

    async def body(crowd: Crowd, client: Client) -> None:
        async with crowd.budget.hold(STEP, STEP + MESSAGE) as room:
            for number, size in enumerate(sizes):
                for gathered in range(0, size, STEP):
                    await client.piece()
                    await room.grow_to(STEP + min(size, gathered + STEP))
                    if number == leaves_after:
                        return
                crowd.lend(room, size)

    return body


def whole(size: int, most: int) -> Callable[[Crowd, Client], Awaitable[None]]:
    """A body that is held as a whole until Kafka has it."""

    async def body(crowd: Crowd, client: Client) -> None:
        async with crowd.budget.hold(STEP, STEP + most) as room:
            for gathered in range(0, size, STEP):
                await client.piece()
                await room.grow_to(STEP + min(size, gathered + STEP))
            room.settle(size)
            way: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            crowd.on_their_way.append(way)
            await way

    return body


STREAMS: Final = st.builds(
    stream,
    st.lists(st.integers(1, MESSAGE), min_size=1, max_size=4),
    st.one_of(st.none(), st.integers(0, 3)),
)
WHOLE: Final = st.integers(1, LIMIT - STEP).flatmap(
    lambda size: st.builds(whole, st.just(size), st.integers(size, LIMIT - STEP))
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(STREAMS, WHOLE), min_size=1, max_size=14), st.integers(0, 2**32))
def test_whatever_comes_is_taken_and_the_sum_stays_within_the_limit(bodies: list[Any], seed: int) -> None:
    async def run() -> None:
        crowd = Crowd(random.Random(seed))
        for body in bodies:
            crowd.join(body)
        await crowd.run()

    asyncio.run(run())


def test_all_streams_move_together() -> None:
    """Many more streams than messages of full size would fit."""

    async def run() -> None:
        crowd = Crowd(random.Random(1))
        for _ in range(12):
            crowd.join(stream([MESSAGE] * 3))
        await crowd.settle_down()
        assert all(client.resting for client in crowd.clients), "every one of them is being read from"
        await crowd.run()

    asyncio.run(run())


def test_clients_that_rest_hold_no_more_than_they_have_sent() -> None:
    async def run() -> None:
        crowd = Crowd(random.Random(2), 2 * LIMIT)
        resting = [crowd.join(stream([MESSAGE])) for _ in range(10)]
        await crowd.settle_down()
        for client in resting:  # each has sent a piece, and rests now
            client.resting = False
            client.sending.set()
        await crowd.settle_down()
        quick = [crowd.join(stream([MESSAGE] * 5)) for _ in range(3)]
        others, crowd.clients = crowd.clients, quick
        while await crowd.step():
            pass
        assert all(client.task is not None and client.task.done() for client in quick)
        crowd.clients = others
        await crowd.run()

    asyncio.run(run())


@pytest.mark.parametrize("late", [stream([MESSAGE]), whole(10 * STEP, 12 * STEP)], ids=["a stream", "a whole body"])
@pytest.mark.parametrize("seed", range(5))
def test_who_comes_late_gets_his_turn_among_streams_without_an_end(late: Any, seed: int) -> None:
    async def run() -> None:
        crowd = Crowd(random.Random(seed))
        for _ in range(10):
            crowd.join(stream([MESSAGE] * 400))
        for _ in range(200):
            assert await crowd.step()
        client = crowd.join(late)
        assert client.task is not None
        for _ in range(3_000):
            await crowd.step()
            if client.task.done():
                break
        assert client.task.done(), "others were let past him for ever"
        for each in crowd.clients:
            assert each.task is not None
            each.task.cancel()

    asyncio.run(run())


def test_who_waits_is_refused_only_when_the_line_stands_still() -> None:
    async def run() -> None:
        budget = Budget(4 * STEP, 0.2)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def take(seconds: float) -> None:
            async with budget.hold(4 * STEP, 4 * STEP):
                await asyncio.sleep(seconds)

        await asyncio.gather(*(take(0.1) for _ in range(8)))  # 0.8 s for the last: the line moved all the while
        async with budget.hold(4 * STEP, 4 * STEP) as room:
            room.lend(room.size, done)
        with pytest.raises(Overloaded):
            await take(0)  # Kafka keeps what it was lent
        done.set_result(None)
        await take(0)
        assert budget.used == 0

    asyncio.run(run())


def test_what_can_never_fit_is_refused_at_once() -> None:
    async def run() -> None:
        budget = Budget(4 * STEP, FOREVER)
        async with budget.hold(STEP, 100 * STEP) as room:
            with pytest.raises(Overloaded):
                await room.grow_to(5 * STEP)

    asyncio.run(run())


@pytest.mark.parametrize("granted_in_the_same_moment", [False, True])
def test_who_goes_away_while_he_waits_leaves_nothing_behind(granted_in_the_same_moment: bool) -> None:
    async def run() -> None:
        budget = Budget(4 * STEP, FOREVER)

        async def take() -> None:
            async with budget.hold(4 * STEP, 4 * STEP):
                await asyncio.sleep(0)

        async with budget.hold(STEP, 4 * STEP):
            waiting, behind = asyncio.create_task(take()), asyncio.create_task(take())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if not granted_in_the_same_moment:
                waiting.cancel()
                await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, behind, return_exceptions=True)
        assert behind.exception() is None
        assert budget.used == 0

    asyncio.run(run())
