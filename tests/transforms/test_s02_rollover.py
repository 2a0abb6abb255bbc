"""Unused free units: how many carry over, in what order they are used up, and when they lapse."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.period import Schedule
from tests.transforms.billing_rows import d
from tests.transforms.months import Tables, bill, bill_months, contract, plan

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = ("2026-01", "2026-02", "2026-03", "2026-04")


def metric(**price: Any) -> dict[str, Any]:
    return {"unit": "calls", "rate": 1, "includedFree": 100, "rollover": True, **price}


def months(*used: int, **price: Any) -> list[Tables]:
    agreed = contract(plan(metrics=[metric(**price)]), JANUARY)
    return list(bill_months([agreed], dict(zip(MONTHS, used, strict=False))).values())


def carried(made: list[Tables]) -> list[Decimal]:
    return [tables["rollovers"]["carried"].sum() for tables in made]


def charged(made: list[Tables]) -> list[Decimal]:
    assert all(set(tables["routed_lines"]["destination"]) == {"INVOICE"} for tables in made)
    return [tables["rated_lines"]["amount"].sum() for tables in made]


def test_a_subscriptions_first_period_has_nothing_carried_in() -> None:
    assert carried(months(30)) == [0]


def test_what_one_period_leaves_the_next_may_use_up() -> None:
    made = months(30, 160, 120)
    assert (carried(made), charged(made)) == ([0, 70, 10], [0, 0, 10])


def test_units_carried_in_are_used_up_first_and_lapse_after_one_period() -> None:
    """60 of February's 100 stay although 40 were used: those came out of January's 100, of which 60 lapse."""
    made = months(0, 40, 0, 250)
    assert carried(made) == [0, 100, 100, 100]
    assert charged(made) == [0, 0, 0, 50]


@pytest.mark.parametrize(("cap", "expected"), [(None, 70), (70, 70), ("69.5", "69.5"), (10, 10)])
def test_no_more_carries_over_than_the_cap(cap: Any, expected: Any) -> None:
    agreed = {"enabled": True} if cap is None else {"cap": cap}
    assert carried(months(30, 0, rollover=agreed)) == [0, d(expected)]


def test_a_part_of_a_period_leaves_the_part_of_its_free_units() -> None:
    agreed = contract(plan(metrics=[metric(includedFree=310)]), datetime(2026, 1, 22, tzinfo=UTC))
    made = bill_months([agreed], {"2026-01": 0, "2026-02": 0})
    assert made["2026-02"]["rollovers"]["carried"].to_list() == [d(100)]


def test_a_change_of_plan_lets_unused_units_lapse() -> None:
    february = datetime(2026, 2, 1, tzinfo=UTC)
    old = contract(plan(metrics=[metric()]), JANUARY, february)
    new = contract(
        plan(metrics=[metric(includedFree=50)]), february, earlier_ends=(february,), schedule=old.schedule
    )
    made = bill_months([old, new], {"2026-01": 0, "2026-02": 0, "2026-03": 0})
    assert carried(list(made.values())) == [0, 0, 50]


def test_the_period_before_may_be_a_quarter_ago() -> None:
    agreed = contract(
        plan(metrics=[metric()]), JANUARY, schedule=Schedule(JANUARY.date(), "QUARTERLY", 1, "UTC")
    )
    first = bill("2026-03", [agreed], [(datetime(2026, 2, 10, tzinfo=UTC), 30)])
    second = bill("2026-06", [agreed], before=first["allowances"])
    assert second["rollovers"].select("carried", "from_month").rows() == [(d(70), "2026-03")]


def test_a_period_before_that_was_not_billed_holds_the_customer_and_says_which() -> None:
    agreed = contract(plan(metrics=[metric()]), JANUARY)
    made = bill("2026-02", [agreed])
    assert set(made["routed_lines"]["destination"]) == {"HELD"}
    assert (
        "ROLLOVER_UNKNOWN: what Calls of subscription sub carries over from 2026-01"
        in made["routed_lines"]["hold_reason"][0]
    )
    later = bill("2026-03", [agreed], before=made["allowances"])
    assert set(later["routed_lines"]["destination"]) == {"HELD"}


def test_prices_by_dimension_share_what_is_carried_in() -> None:
    made = months(30, 160, dimensionPricing={"field": "tool", "values": {"search": 2}})
    assert (carried(made), charged(made)) == ([0, 70], [0, 0])


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(0, 300), min_size=2, max_size=4),
    st.none() | st.integers(1, 150),
    st.integers(0, 120),
)
def test_free_units_are_never_used_twice_and_events_earn_what_lines_cost(
    used: list[int], cap: int | None, free: int
) -> None:
    made = months(*used, rollover={"enabled": True} if cap is None else {"cap": cap}, includedFree=free)
    assert sum(tables["allowances"]["included"].sum() for tables in made) <= free * len(used)
    before = 0
    for quantity, tables in zip(used, made, strict=True):
        expected = min(before, cap if cap is not None else before)
        assert carried([tables]) == [expected]
        assert charged([tables]) == [max(quantity - free - expected, 0)]
        earned = (
            tables["metered_events"].filter(pl.col("disposition") == "BILLABLE")["marginal_revenue"].sum()
        )
        assert earned == tables["rated_lines"]["unrounded"].sum()
        before = free - min(max(quantity - expected, 0), free)


@pytest.mark.parametrize("behavior", ["BLOCK", "IGNORE"])
def test_a_limit_that_is_the_free_units_grows_by_those_carried_in(behavior: str) -> None:
    """70 carried into February: 170 may be used, all free. March has none carried in, and none to carry on."""
    made = months(30, 200, 120, ovBehavior=behavior)
    assert (carried(made), charged(made)) == ([0, 70, 0], [0, 0, 0])
    checks = [tables["quota_checks"].row(0, named=True) for tables in made]
    assert [(check["cap"], check["beyond"]) for check in checks] == [(100, 0), (170, 30), (100, 20)]
    says = [tables["rated_lines"]["description"].to_list() for tables in made]
    told = [
        "Calls",
        "Calls, 30 beyond the limit of 170 not charged",
        "Calls, 20 beyond the limit of 100 not charged",
    ]
    assert says == [[text if behavior == "BLOCK" else "Calls"] for text in told]
    for tables in made:
        assert set(tables["metered_events"]["marginal_revenue"]) == {0}


def test_a_limit_of_its_own_stays_where_it_is_whatever_is_carried_in() -> None:
    made = months(30, 200, limit=150, ovBehavior="IGNORE")
    assert (carried(made), charged(made)) == ([0, 70], [0, 0])
    assert made[1]["quota_checks"]["cap"].to_list() == [150]
