"""What an accepted event adds to counters."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.access import CustomerRights, FilterCondition, SubscriptionRights, UnitRecord
from domain.counters import Bump, Counting, bumps
from domain.usage import Door, UsageEvent, read_event

CALLS = UnitRecord("calls", "Calls", "COUNT")
TOKENS = UnitRecord("tokens", "Tokens", "SUM")
SOME = UnitRecord("some", "Some", "COUNT", filters=(FilterCondition("metadata.kind", "EQUALS", "x"),))
UNITS = {unit.key: unit for unit in (CALLS, TOKENS, SOME)}
Told = list[tuple[list[tuple[int, int]], set[str]]]
NOW = 1_772_366_400_000_000
PERIODS = st.tuples(st.integers(-5, 5), st.integers(1, 6)).map(lambda p: (NOW + p[0], NOW + p[0] + p[1]))
SUBSCRIPTIONS = st.lists(
    st.tuples(st.lists(PERIODS, max_size=3), st.sets(st.sampled_from(sorted(UNITS)))), max_size=3
)


def event(unit: str, moment: int) -> tuple[UsageEvent, dict[str, object]]:
    sent = {
        "customerId": "acme",
        "metricName": unit,
        "quantity": 3,
        "idempotencyKey": "k",
        "metadata": {"kind": "x"},
    }
    return replace(read_event(sent, Door("t1", UNITS), received_at=NOW), occurred_at=moment), sent


def rights(subscriptions: Told) -> CustomerRights:
    return CustomerRights(
        "acme",
        tuple(
            SubscriptionRights(f"s{n}", "pro", "pro", "ACTIVE", tuple(periods), (), tuple(units))
            for n, (periods, units) in enumerate(subscriptions)
        ),
    )


@given(
    SUBSCRIPTIONS, SUBSCRIPTIONS,
    st.lists(st.tuples(st.sampled_from(sorted(UNITS)), st.integers(-8, 14)), min_size=1, max_size=12),
)  # fmt: skip
def test_what_is_remembered_is_what_would_be_worked_out(
    before: Told, after: Told, asked: list[tuple[str, int]]
) -> None:
    counting = Counting()
    for known in (rights(before), rights(after), None):
        for unit, moved in asked:
            read, sent = event(unit, NOW + moved)
            assert list(counting.bumps(read, sent, known)) == bumps(read, sent, known)


def test_an_event_counts_in_the_period_it_happened_in() -> None:
    known = rights([([(NOW - 10, NOW), (NOW, NOW + 10)], {"calls"})])
    counting = Counting()
    for moment, start in ((NOW - 1, NOW - 10), (NOW, NOW), (NOW + 9, NOW), (NOW - 10, NOW - 10)):
        read, sent = event("calls", moment)
        assert counting.bumps(read, sent, known) == [Bump("acme", f"calls|{start}", "+", 1_000_000)]
    assert counting.bumps(*event("calls", NOW + 10), known) == []
