"""Requests counted ahead of time: never more than there is room for."""

from collections.abc import Sequence
from random import Random

import pytest

from domain.limits import Counted, Limit
from storage.permits import Limits, Permits

NAME = "{acme}:key:k:access"
WIDE = [(NAME, Limit(50_000, 5_000))]


def counted(remaining: int) -> Sequence[Counted]:
    return [Counted(False, remaining, 60, 0)]


def busy(permits: Permits, now: float, *, limits: Limits = WIDE, left: Sequence[int] = (40_000,)) -> int:
    """Twenty requests at once, each counted by itself; how many it asks for then."""
    asked = 0
    for _ in range(20):
        permit, many = permits.take(limits, now)
        assert permit is None
        asked += many
        permits.heard(limits, [counted(each)[0] for each in left], now)
    return asked


def test_a_request_now_and_then_is_counted_by_itself() -> None:
    permits = Permits()
    for now in range(100):
        assert permits.take(WIDE, float(now)) == (None, 0)
        permits.heard(WIDE, counted(40_000), float(now))


def test_of_many_some_are_counted_ahead_and_told_what_is_left_as_if_each_had_asked() -> None:
    permits = Permits()
    many = busy(permits, 1.0)
    # Eight requests in a twentieth of a second, for a whole one; and then no more until they are there.
    assert many == 160
    permits.granted(WIDE, counted(39_000), many, 1.0, 1.0)
    taken = [permits.take(WIDE, 1.1)[0] for _ in range(many)]
    assert [each[0].remaining for each in taken if each] == list(range(39_000 + many - 1, 38_999, -1))
    assert permits.take(WIDE, 1.1)[0] is None


def test_more_is_asked_for_before_they_are_used_up() -> None:
    permits = Permits()
    permits.granted(WIDE, counted(39_000), busy(permits, 1.0), 1.0, 1.0)
    told = [permits.take(WIDE, 1.02)[1] for _ in range(90)]
    assert told == [0] * 80 + [39_000 // 64 - 79] + [0] * 9, "at most a part of what is left"


@pytest.mark.parametrize(
    ("left", "many"), [(20_000, 160), (6_400, 100), (1_600, 25), (1_024, 16), (1_023, 0), (0, 0)]
)
def test_the_less_is_left_the_fewer_and_near_the_limit_none(left: int, many: int) -> None:
    assert busy(Permits(), 1.0, left=[left]) == many


def test_the_tightest_of_several_windows_decides() -> None:
    both = [*WIDE, ("{acme}:tenant:access", Limit(2_000))]
    assert busy(Permits(), 1.0, limits=both, left=[40_000, 1_600]) == 25


def test_they_are_good_for_two_seconds() -> None:
    permits = Permits()
    permits.granted(WIDE, counted(39_000), busy(permits, 1.0), 1.1, 1.0)
    assert permits.take(WIDE, 2.99)[0] is not None
    assert permits.take(WIDE, 3.0)[0] is None
    permits.granted(WIDE, counted(39_000), 5, 3.5, 3.5)
    taken = [permits.take(WIDE, 3.6)[0] for _ in range(6)]
    assert [each is None for each in taken] == [False] * 5 + [True], "the old ones are gone"


def test_of_a_short_window_they_are_good_for_a_thirtieth() -> None:
    permits, short = Permits(), [(NAME, Limit(50_000, window=3))]
    permits.granted(short, counted(39_000), busy(permits, 1.0, limits=short), 1.0, 1.0)
    assert permits.take(short, 1.09)[0] is not None
    assert permits.take(short, 1.11)[0] is None


def test_another_limit_is_counted_anew() -> None:
    permits = Permits()
    permits.granted(WIDE, counted(39_000), busy(permits, 1.0), 1.0, 1.0)
    assert permits.take([(NAME, Limit(10))], 1.1)[0] is None


def test_after_a_refusal_each_is_counted_by_itself_again() -> None:
    permits = Permits()
    assert busy(permits, 1.0) > 0
    permits.refused(WIDE, 1.0)
    assert permits.take(WIDE, 1.0) == (None, 0)


def test_without_limits_everybody_has_one() -> None:
    assert Permits().take([], 1.0) == ((), 0)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_handed_out_was_counted_whatever_happens(seed: int) -> None:
    """A window of 20,000 that others use too: requests let through and permits held never exceed it."""
    rng, permits, now = Random(seed), Permits(), 0.0
    used = passed = ahead = 0
    waiting: list[tuple[int, float]] = []
    limits = [(NAME, Limit(20_000))]
    while now < 20 and passed < 19_000:
        now += rng.choice([0.0, 0.0001, 0.01, 0.4])
        if rng.random() < 0.05:
            used = min(used + rng.randrange(200), 20_000)
        if waiting and rng.random() < 0.5:
            many, asked = waiting.pop()
            if rng.random() < 0.1 or used + many > 20_000:
                permits.refused(limits, now)
            else:
                used += many
                permits.granted(limits, counted(20_000 - used), many, now, asked)
        for _ in range(rng.randrange(40)):
            permit, many = permits.take(limits, now)
            if permit is not None:
                passed, ahead = passed + 1, ahead + 1
            elif used < 20_000:
                used, passed = used + 1, passed + 1
                permits.heard(limits, counted(20_000 - used), now)
            if many:
                waiting.append((many, now))
                assert len(waiting) == 1
        assert passed <= used <= 20_000
    assert passed > ahead > 0
