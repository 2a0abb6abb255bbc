"""Limits in money of a subscription: what of its usage is not billed, and what bounds and commitments see of it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.spend_limit import SpendLimit
from tests.transforms.billing_rows import DECEMBER, MID_NOVEMBER, NOVEMBER, d, metered, term, terms
from tests.transforms.months import bill, contract, plan
from transforms.frames import AMOUNT
from transforms.pipeline import run
from transforms.spend_limits import beyond_limits

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def charged(limit: SpendLimit | None, calls: Any, **of_plan: Any) -> dict[str, Decimal]:
    """By description, what March's lines come to before discounts."""
    agreed = plan(**{"metrics": [{"unit": "calls", "rate": 1}], **of_plan})
    used = [(datetime(2026, 3, 10, tzinfo=UTC), calls)] if calls else []
    made = bill("2026-03", [contract(agreed, MARCH, spend_limit=limit)], used)["committed_lines"]
    return {
        line["description"]: line["amount"] + line["commit_adjustment"] for line in made.iter_rows(named=True)
    }


LIMIT = SpendLimit(d(50))
TRUE_UP = {"commitment": {"type": "MONTHLY", "amount": 80}}


@pytest.mark.parametrize(
    ("limit", "calls", "of_plan", "came"),
    [
        pytest.param(LIMIT, 49, {}, {"Calls": 49}, id="below it nothing is cut"),
        pytest.param(LIMIT, 50, {}, {"Calls": 50}, id="at it neither"),
        pytest.param(LIMIT, "50.01", {}, {"Calls": 50}, id="beyond it what is beyond"),
        pytest.param(SpendLimit(d(50), "IGNORE"), 90, {}, {"Calls": 50}, id="ignored is not billed either"),
        pytest.param(SpendLimit(d(50), "CHARGE"), 90, {}, {"Calls": 90}, id="charged is billed"),
        pytest.param(SpendLimit(d(0)), 90, {}, {"Calls": 0}, id="nothing at all"),
        pytest.param(None, 90, {}, {"Calls": 90}, id="no limit"),
        pytest.param(LIMIT, 90, {"baseFee": 30}, {"Pro plan: base fee": 30, "Calls": 50}, id="fees are owed in any case"),
        pytest.param(LIMIT, 90, {"minimumSpend": 70}, {"Calls": 70}, id="a minimum is met by what is billed"),
        pytest.param(LIMIT, 90, {"maximumSpend": 40}, {"Calls": 40}, id="a maximum below it goes further"),
        pytest.param(LIMIT, 90, {"maximumSpend": 60}, {"Calls": 50}, id="a maximum above it does nothing"),
        pytest.param(LIMIT, 90, TRUE_UP, {"Calls": 50, "Pro plan: monthly commitment, true-up": 30}, id="a commitment too"),
    ],
)  # fmt: skip
def test_usage_beyond_the_limit_is_not_billed(
    limit: SpendLimit | None, calls: Any, of_plan: dict[str, Any], came: dict[str, Any]
) -> None:
    assert charged(limit, calls and d(calls), **of_plan) == {said: d(amount) for said, amount in came.items()}


def test_all_units_count_together_and_share_the_cut_by_amount() -> None:
    """90 + 30 under a limit of 100: 20 too much, of which each line bears its part."""
    lines = [term(unit, line_order=place, rate=d(1), spend_limit=d(100)) for place, unit in enumerate("ab")]
    made = run(metered_events=metered((lines[0], 90), (lines[1], 30)), terms=terms(*lines))
    assert made["committed_lines"]["commit_adjustment"].to_list() == [d(-15), d(-5)]
    assert made["settlements"]["total"].to_list() == [d(100)]


def test_stretches_of_a_period_have_one_limit_and_a_part_of_a_period_its_part() -> None:
    """Half of November has half of 100; both halves, under different plans, have all of it."""
    first = term("a", rate=d(1), spend_limit=d(100), active_end=MID_NOVEMBER)
    second = term("b", rate=d(1), spend_limit=d(100), active_start=MID_NOVEMBER, plan="other", line_order=2)
    alone = run(metered_events=metered((first, 90)), terms=terms(first))
    assert alone["settlements"]["total"].to_list() == [d(50)]
    both = run(metered_events=metered((first, 90), (second, 30)), terms=terms(first, second))
    assert both["settlements"]["total"].to_list() == [d(100)]
    assert (second["period_start"], second["period_end"]) == (NOVEMBER, DECEMBER)


def test_another_subscription_has_its_own_and_its_problems_change_nothing() -> None:
    mine = term("a", rate=d(1), spend_limit=d(10))
    other = term("a", rate=d(1), customer_id="c2")
    made = run(metered_events=metered((mine, 90), (other, 90)), terms=terms(mine, other))
    assert made["settlements"]["total"].to_list() == [d(10), d(90)]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.decimals("0", "1000", places=2), min_size=1, max_size=6), st.decimals("0", "3000", places=2)
)
def test_what_is_left_is_the_limit_to_the_cent_and_no_line_is_cut_below_zero(
    amounts: list[Decimal], limit: Decimal
) -> None:
    lines = [term(f"u{at}", line_order=at, spend_limit=limit) for at in range(len(amounts))]
    frozen = terms(*lines)
    rated = frozen.select("month", "line_id").with_columns(pl.Series("amount", amounts, dtype=AMOUNT))
    cuts = dict(beyond_limits(rated, frozen).select("line_id", "cut").iter_rows())
    left = [amount + cuts.get(line["line_id"], 0) for amount, line in zip(amounts, lines, strict=True)]
    assert sum(left, d(0)) == min(sum(amounts, d(0)), limit)
    assert all(each >= 0 for each in left)
