"""States, phases and what comes by itself: any sequence of moves leaves a history that is whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.dunning import after_failure, next_attempt_at
from domain.phases import (
    Agreement,
    Phase,
    PlannedChange,
    beginning,
    ended_at,
    granted,
    stretches,
    timeline,
    to_come,
)
from domain.subscription_states import LEGAL, TERMINAL, IllegalTransition, State, is_legal, require_legal

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SPEC = {
    "CREATED": "TRIALING ACTIVE CANCELLED",
    "TRIALING": "ACTIVE CANCELLED PAUSED",
    "ACTIVE": "PAST_DUE PAUSED EXPIRING_SOON EXPIRED CANCELLED SUSPENDED",
    "PAST_DUE": "ACTIVE SUSPENDED CANCELLED EXPIRED",
    "PAUSED": "ACTIVE CANCELLED EXPIRED",
    "EXPIRING_SOON": "ACTIVE EXPIRED CANCELLED",
    "SUSPENDED": "ACTIVE CANCELLED EXPIRED",
    "EXPIRED": "",
    "CANCELLED": "",
}


def phase(state: State, day: float, offering: str = "pro", version: int = 1) -> Phase:
    return Phase(state, offering, offering, version, JANUARY + day * DAY, "because")


def days(phases: list[Phase]) -> list[tuple[str, float]]:
    return [(str(each.state), (each.starts_at - JANUARY) / DAY) for each in phases]


@pytest.mark.parametrize("state", State)
def test_exactly_the_agreed_transitions_are_legal(state: State) -> None:
    legal = {following for following in State if is_legal(state, following)}
    assert legal == {State(name) for name in SPEC[state].split()} | {state}


def test_an_illegal_move_names_what_is_possible() -> None:
    with pytest.raises(
        IllegalTransition, match="'s' is PAUSED, so it cannot become PAST_DUE; possible: ACTIVE"
    ):
        require_legal("s", State.PAUSED, State.PAST_DUE)


_MOMENTS = st.none() | st.integers(-5, 60).map(lambda day: JANUARY + day * DAY)
_CHANGES = st.none() | st.builds(
    PlannedChange,
    st.integers(0, 60).map(lambda day: JANUARY + day * DAY),
    st.just("max"),
    st.just("max"),
    st.just(1),
    st.just("x"),
)
_AGREEMENTS = st.builds(
    Agreement,
    starts_at=st.integers(0, 20).map(lambda day: JANUARY + day * DAY),
    ends_at=st.none() | st.integers(21, 60).map(lambda day: JANUARY + day * DAY),
    trial_ends_at=_MOMENTS,
    auto_convert=st.booleans(),
    cancel_at=_MOMENTS,
    change=_CHANGES,
)


@given(
    _AGREEMENTS,
    st.integers(-10, 70),
    st.lists(st.tuples(st.sampled_from(State), st.integers(0, 9)), max_size=12),
)
def test_any_sequence_of_moves_leaves_history_and_state_consistent(
    agreement: Agreement, agreed_on: int, moves: list[tuple[State, int]]
) -> None:
    """Legal moves are recorded, illegal ones refused; whatever is asked for, phases follow each other in time, the state is
    the last phase's, and nothing follows a terminal one."""
    now = JANUARY + agreed_on * DAY
    history = beginning(agreement, offering="pro", plan="pro", version=1, at=now, actor="ann")
    for wanted, wait in moves:
        now += wait * DAY
        history += [each for each in to_come(history, agreement) if each.starts_at <= now]
        recorded, last = list(history), history[-1]
        if is_legal(last.state, wanted) and wanted is not last.state:
            history.append(replace(last, state=wanted, starts_at=max(now, last.starts_at)))
        else:
            assert wanted is last.state or wanted not in LEGAL[last.state]
        assert history[: len(recorded)] == recorded, "what was recorded stays"
    whole = timeline(history, agreement)
    assert all(a.starts_at <= b.starts_at for a, b in pairwise(whole))
    assert all(is_legal(a.state, b.state) for a, b in pairwise(whole))
    assert all(each.state not in TERMINAL for each in whole[:-1])
    billed = stretches(whole)
    assert all(a.ends_at is not None and a.ends_at <= b.starts_at for a, b in pairwise(billed))
    assert all(each.ends_at is None or each.starts_at < each.ends_at for each in billed)
    if agreement.ends_at is not None or agreement.cancel_at is not None:
        assert ended_at(whole) is not None


def test_a_trial_converts_by_itself_at_its_end() -> None:
    agreement = Agreement(JANUARY, trial_ends_at=JANUARY + 14 * DAY)
    first = beginning(agreement, offering="pro", plan="pro", version=1, at=JANUARY, actor="ann")
    assert days(timeline(first, agreement)) == [("TRIALING", 0), ("ACTIVE", 14)]
    assert [(each.free, each.starts_at) for each in stretches(timeline(first, agreement))] == [
        (True, JANUARY),
        (False, JANUARY + 14 * DAY),
    ]


def test_a_trial_nobody_converts_pauses() -> None:
    agreement = Agreement(JANUARY, trial_ends_at=JANUARY + 14 * DAY, auto_convert=False)
    assert days(timeline([phase(State.TRIALING, 0)], agreement)) == [("TRIALING", 0), ("PAUSED", 14)]


def test_ending_comes_before_everything_else_at_the_same_instant() -> None:
    at = JANUARY + 14 * DAY
    change = PlannedChange(at, "max", "max", 1, "x")
    agreement = Agreement(JANUARY, trial_ends_at=at, cancel_at=at, change=change)
    assert days(timeline([phase(State.TRIALING, 0)], agreement)) == [("TRIALING", 0), ("CANCELLED", 14)]


def test_billing_sees_a_stretch_per_offering_and_none_of_a_pause() -> None:
    history = [
        phase(State.ACTIVE, 0),
        phase(State.PAST_DUE, 3),
        phase(State.ACTIVE, 5),
        phase(State.ACTIVE, 10, "max"),
        phase(State.PAUSED, 20, "max"),
        phase(State.ACTIVE, 25, "max"),
    ]
    seen = [
        (each.offering, (each.starts_at - JANUARY).days, each.ends_at and (each.ends_at - JANUARY).days)
        for each in stretches(history)
    ]
    assert seen == [("pro", 0, 10), ("max", 10, 20), ("max", 25, None)]


def test_rights_end_with_the_next_phase_that_grants_none_or_another_offering() -> None:
    history = [
        phase(State.TRIALING, 0),
        phase(State.ACTIVE, 5),
        phase(State.ACTIVE, 9, "max"),
        phase(State.PAUSED, 12, "max"),
    ]
    trial = granted(history, JANUARY + 1 * DAY)
    assert trial == (history[0], JANUARY + 9 * DAY)
    assert granted(history, JANUARY + 13 * DAY) is None
    assert granted(history, JANUARY - DAY) is None


def test_payment_attempts_are_due_on_day_0_3_and_7() -> None:
    state, attempt, due = State.ACTIVE, 0, []
    for _ in range(3):
        state, attempt = after_failure(state, attempt)
        due.append(next_attempt_at(JANUARY, attempt))
    assert due == [JANUARY + 3 * DAY, JANUARY + 7 * DAY, None]
    assert state is State.SUSPENDED
