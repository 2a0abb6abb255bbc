"""Prices by a field of the event: which line an event is on, what it costs, and how lines share free units."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.catalog.fields import Fields
from domain.catalog.plan_reading import read_plan
from domain.catalog.units import Unit
from domain.period import Schedule
from domain.terms import Contract, plan_terms, terms_of_month
from domain.terms_by_dimension import by_dimension
from tests.transforms.billing_rows import MID_NOVEMBER, d, terms
from tests.transforms.event_rows import event, metered_month, validated
from transforms.pipeline import run

START = datetime(2023, 11, 1, tzinfo=UTC)
BANDS = [{"upTo": 10, "unitPrice": 1, "flatFee": 5}, {"unitPrice": "0.5"}]
Usage = tuple[str | None, str | int]


def frozen(dimensions: dict[str, Any], **price: Any) -> pl.DataFrame:
    """BILLING_TERMS of November for a plan with one unit, calls."""
    written = {
        "key": "p",
        "metrics": [
            {
                "unit": "calls",
                "dimensionPricing": dimensions,
                **(({"rate": 1} if "model" not in price else {}) | price),
            }
        ],
    }
    plan = read_plan(Fields(written, ""), "USD")
    agreed = plan_terms("p", 1, plan.content({"calls": Unit("calls", "Calls", "SUM")}))
    schedule = Schedule(START.date(), "MONTHLY", 1, "UTC")
    contract = Contract(
        "acme", "c1", "sub", schedule, START, None, "o", "POSTPAID", "main", "HALF_EVEN", agreed
    )
    return terms(*terms_of_month(contract, "2023-11"))


def billed(lines: pl.DataFrame, *usage: Usage, field: str = "tool") -> dict[str, pl.DataFrame]:
    """All tables, with metered_events, of events (value of the field, quantity) a second apart."""
    unit = {"tenant_id": "acme", "customer_id": "c1", "unit": "calls"}
    events = [
        event(unit, quantity, MID_NOVEMBER + timedelta(seconds=at), payload=json.dumps({} if value is None else {field: value}))
        for at, (value, quantity) in enumerate(usage)
    ]  # fmt: skip
    metered = metered_month(validated(*events), lines)
    return {"metered_events": metered, **run(metered_events=metered.lazy(), terms=lines)}


def charges(made: dict[str, pl.DataFrame]) -> dict[str, Decimal]:
    lines = made["rated_lines"]
    assert lines["problem"].null_count() == lines.height
    return dict(lines.select("description", "unrounded").iter_rows())


BY_TOOL = {"field": "tool", "values": {"search": {"multiplier": 2}, "draw": {"price": "0.25"}}}


def test_each_value_is_a_line_of_its_own_and_all_others_pay_the_units_price() -> None:
    made = billed(frozen(BY_TOOL), ("search", 3), ("draw", 4), ("other", 5), (None, 6))
    assert charges(made) == {"Calls": 11, "Calls: search": 6, "Calls: draw": 1}
    assert made["settlements"]["total"].to_list() == [18]


def test_values_nobody_used_are_not_on_the_bill() -> None:
    assert charges(billed(frozen(BY_TOOL), (None, 1))) == {"Calls": 1}
    assert charges(billed(frozen(BY_TOOL))) == {"Calls": 0}


@pytest.mark.parametrize("field", ["tool_name", "endpoint_path", "capability_name"])
def test_without_a_field_the_usual_ones_are_looked_at(field: str) -> None:
    assert charges(billed(frozen({"search": 2}), ("search", 3), field=field)) == {
        "Calls": 0,
        "Calls: search": 6,
    }


@pytest.mark.parametrize(
    ("price", "amount"),
    [
        ({"model": "PER_UNIT", "rate": 1}, 30),
        ({"model": "PERCENTAGE", "ratePercent": 10}, 3),
        ({"model": "PERCENTAGE", "ratePercent": 10, "perEventFee": 1}, 5),
        ({"model": "INCLUDED_QUOTA", "rate": 3, "blockSize": 10}, 12),
        ({"model": "GRADUATED", "tiers": BANDS}, 35),
        ({"model": "VOLUME_TIERED", "tiers": BANDS}, 15),
    ],
)
def test_a_multiplier_multiplies_whatever_the_model_asks_for(price: dict[str, Any], amount: int) -> None:
    lines = frozen({"field": "tool", "values": {"search": {"multiplier": 2}}}, **price)
    made = billed(lines, ("search", 15))
    assert charges(made)["Calls: search"] == amount
    assert made["metered_events"]["marginal_revenue"].sum() == amount


def test_a_flat_rate_is_not_split_by_prices_of_the_whole_plan() -> None:
    item = {"model": "FLAT_RATE", "unit": "calls"}
    assert by_dimension(item, {"values": {"search": {"multiplier": "2"}}}) == [item]


def test_lines_of_a_unit_share_its_free_units_the_units_own_price_first() -> None:
    made = billed(frozen(BY_TOOL, includedFree=10), ("search", 8), (None, 6), ("draw", 8))
    assert dict(made["rated_lines"].select("description", "included").iter_rows()) == {
        "Calls": 6, "Calls: draw": 4, "Calls: search": 0,
    }  # fmt: skip
    assert charges(made) == {"Calls": 0, "Calls: draw": 1, "Calls: search": 16}


def test_what_cannot_be_shared_out_holds_the_customer() -> None:
    made = billed(frozen(BY_TOOL, minFee=5), ("search", 3))
    assert set(made["routed_lines"]["destination"]) == {"HELD"}
    assert "a price by dimension with a minimum fee" in made["routed_lines"]["hold_reason"][0]


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["search", "draw", "x", None]), st.decimals("0", "500", places=9)), max_size=12),
    st.integers(0, 800),
    st.sampled_from([{"model": "PER_UNIT", "rate": 1}, {"model": "GRADUATED", "tiers": BANDS}, {"model": "VOLUME_TIERED", "tiers": BANDS}]),
)  # fmt: skip
def test_however_usage_is_spread_free_units_are_used_once_and_events_earn_what_lines_cost(
    usage: list[Any], free: int, price: dict[str, Any]
) -> None:
    made = billed(frozen(BY_TOOL, **price, includedFree=free), *usage)
    total = sum((quantity for _, quantity in usage), Decimal(0))
    assert made["allowances"]["included"].sum() == min(total, d(free))
    assert made["rated_lines"]["quantity"].sum() == total
    earned = dict(
        made["metered_events"].group_by("line_id").agg(pl.col("marginal_revenue").sum()).iter_rows()
    )
    lines = made["rated_lines"].filter(pl.col("events") > 0)
    assert dict(lines.select("line_id", "unrounded").iter_rows()) == earned


def shares(made: dict[str, pl.DataFrame]) -> dict[str, tuple[Decimal, Decimal, str]]:
    """By line: what lies beyond the unit's cap, what is charged, and what the line says of it."""
    beyond = made["quota_checks"].select("line_id", "cap", "beyond")
    lines = made["rated_lines"].join(beyond, on="line_id").select("description", "beyond", "unrounded").rows()
    return {said.split(",")[0]: (over, amount, said.partition(", ")[2]) for said, over, amount in lines}


CAPPED = {"limit": 10, "ovBehavior": "BLOCK"}


@pytest.mark.parametrize(
    ("price", "used", "expected"),
    [
        ({}, [(None, 4), ("search", 6)], {"Calls": (0, 4, ""), "Calls: search": (0, 12, "")}),
        # The third event crosses the limit of 10, and what comes after it is beyond.
        ({}, [(None, 4), ("search", 5), (None, 3), ("search", 2)],
         {"Calls": (2, 5, "2 beyond the unit's limit not charged"), "Calls: search": (2, 10, "2 beyond the unit's limit not charged")}),
        ({}, [("search", 12), (None, 4)],
         {"Calls": (4, 0, "4 beyond the unit's limit not charged"), "Calls: search": (2, 20, "2 beyond the unit's limit not charged")}),
        ({"ovBehavior": "IGNORE"}, [("search", 12)], {"Calls": (0, 0, ""), "Calls: search": (2, 20, "")}),
        ({"ovBehavior": "CHARGE"}, [("search", 12)], {"Calls": (None, 0, ""), "Calls: search": (None, 24, "")}),
        # Free units cover the unit's own price first: 5 of 5, then 1 of 5.
        ({"includedFree": 6, "ovBehavior": "IGNORE"}, [(None, 4), ("search", 5), (None, 3)],
         {"Calls": (2, 0, ""), "Calls: search": (0, 8, "")}),
        ({"limit": None, "includedFree": 6, "ovBehavior": "IGNORE"}, [(None, 4), ("search", 5)],
         {"Calls": (0, 0, ""), "Calls: search": (3, 0, "")}),
    ],
)  # fmt: skip
def test_lines_share_the_units_hard_cap_in_order_of_time(
    price: dict[str, Any], used: list[Usage], expected: dict[str, Any]
) -> None:
    agreed = {name: value for name, value in (CAPPED | price).items() if value is not None}
    made = billed(frozen(BY_TOOL, **agreed), *used)
    assert shares(made) == expected
    earned = made["metered_events"].group_by("line_id").agg(pl.col("marginal_revenue").sum())
    both = made["rated_lines"].join(earned, on="line_id")
    assert both["unrounded"].to_list() == both["marginal_revenue"].to_list()


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([None, "search", "draw"]), st.integers(0, 9)), max_size=10),
    st.integers(1, 30),
)
def test_no_more_than_the_cap_is_billed_and_nothing_less(
    used: list[tuple[str | None, int]], limit: int
) -> None:
    made = billed(frozen(BY_TOOL, limit=limit, ovBehavior="IGNORE"), *used)
    assert made["allowances"]["billable"].sum() == min(sum(units for _, units in used), limit)
    assert made["allowances"]["value"].sum() == sum(units for _, units in used)
    left, expected = limit, {None: 0, "search": 0, "draw": 0}
    for value, units in used:
        expected[value] += min(left, units)
        left -= min(left, units)
    assert (
        sum(charges(made).values()) == expected[None] + 2 * expected["search"] + d("0.25") * expected["draw"]
    )


def test_a_unit_that_is_not_a_sum_cannot_share_a_cap() -> None:
    written = {"key": "p", "metrics": [{"unit": "calls", "rate": 1, "dimensionPricing": BY_TOOL, **CAPPED}]}
    content = read_plan(Fields(written, ""), "USD").content({"calls": Unit("calls", "Calls", "MAX")})
    items = plan_terms("p", 1, content).items
    assert {str(item["unsupported"]) for item in items} == {
        "a price by dimension under a hard cap, of a unit that is neither counted nor summed"
    }
