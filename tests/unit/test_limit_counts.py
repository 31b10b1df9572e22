"""The dead-letter limit counts a partition's last messages: in a row, as a share, and without the worst sender."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.lanes.dead_letter_limit import History, Limit, Sender, WindowCounts

LIMIT = Limit(run=10, share=0.5, window=50)
GOOD = "good"


def history(*messages: Sender, limit: Limit = LIMIT) -> History:
    """Of messages in order: GOOD, or the sender of an unreadable one."""
    bad = {offset: sender for offset, sender in enumerate(messages) if sender != GOOD}
    return History(limit).after(range(len(messages)), bad)


@pytest.mark.parametrize(
    ("messages", "over"),
    [
        ([], False),
        (["a"] * 9, False),
        (["a"] * 10, True),
        (["a"] * 9 + [GOOD] + ["a"] * 9, True),  # not in a row, but most of what there is
        (["a", GOOD] * 25, False),  # half, and no more
        (["a", "a", GOOD] * 17, True),
        (["a", "a", GOOD] * 4, False),  # too few to say anything
        ([GOOD] * 1_000 + ["a"] * 9, False),
        ([None] * 10, True),  # nobody can be told
        (["a"] * 9 + [GOOD] * 50, False),  # long ago
    ],
)
def test_in_a_row_or_most_of_the_window(messages: list[Sender], over: bool) -> None:
    assert history(*messages).over_limit() is over


def test_one_sender_alone_is_told_from_several() -> None:
    flood = history(*["flood"] * 40, "b", GOOD, "b")
    assert flood.over_limit() and flood.worst_sender() == "flood"
    assert not flood.over_limit_without("flood")
    assert history(*["a", "b"] * 10).over_limit_without("a")
    # the others' messages between do not end what is left out, and what is left out does not end theirs
    assert history(*["flood"] * 5, *["b", "flood"] * 10).over_limit_without("flood")


def test_the_history_before_stays_as_it_was() -> None:
    before = history(*["a"] * 9)
    assert before.after([9], {9: "a"}).over_limit()
    assert not before.over_limit()
    before.passed(1)
    assert before.after([9], {9: "a"}).found() == WindowCounts(9, 10, 11)


@given(st.lists(st.sampled_from([GOOD, "a", "b", None]), max_size=200), st.integers(1, 60))
def test_counts_are_those_of_the_last_messages(messages: list[Sender], window: int) -> None:
    limit = Limit(run=5, share=0.5, window=window)
    last = messages[-max(window, limit.run) :]
    run = longest = 0
    for message in last:
        run = 0 if message == GOOD else run + 1
        longest = max(longest, run)
    bad = sum(message != GOOD for message in last)
    assert history(*messages, limit=limit).found() == WindowCounts(longest, bad, len(last))


@given(st.lists(st.integers(1, 300), max_size=5))
def test_good_ones_may_be_counted_together(counts: list[int]) -> None:
    together, apart = History(LIMIT), history(*[GOOD] * sum(counts))
    for count in counts:
        together.passed(count)
    assert together.found() == apart.found()
