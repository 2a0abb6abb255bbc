"""Bonus units: which usage they cover, from which grant, and what is left to pay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.billing_rows import d, term, terms, units_granted
from tests.transforms.event_rows import event, validated
from tests.transforms.months import bill, contract, plan
from transforms.bonus_units import Covered, cover
from transforms.frames import ALLOWANCES, METERED_EVENTS, QUANTITY
from transforms.meter import meter
from transforms.pipeline import run

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
Grant = tuple[str, Any, int, int | None]
"""(id, units, good from this day of March, and before that one)"""
Used = Sequence[tuple[int, Any]]
"""(day of March, quantity)"""


def day(number: int | None) -> datetime | None:
    return None if number is None else MARCH + timedelta(days=number - 1)


def granted(*grants: Grant, **given: Any) -> pl.DataFrame:
    """BONUS_BALANCES, burned in the order given."""
    return units_granted(
        *(
            {"grant_id": name, "available": d(units), "effective_at": day(start), "expires_at": day(end)}
            | given
            for name, units, start, end in grants
        )
    )


def month(metric: dict[str, Any], used: Used, bonus: pl.DataFrame, **of_plan: Any) -> dict[str, pl.DataFrame]:
    agreed = plan(metrics=[{"unit": "calls", **metric}], **of_plan)
    made = bill("2026-03", [contract(agreed, MARCH)], [(day(at), units) for at, units in used], bonus=bonus)  # type: ignore[misc]
    for table in (ALLOWANCES, METERED_EVENTS):
        for rule in table.rules:
            assert made[table.name].filter(~rule.holds).is_empty(), rule.name
    return made


def draws(made: dict[str, pl.DataFrame]) -> dict[str, Decimal]:
    found = made["allowances"].select("bonus_draws").explode("bonus_draws").drop_nulls().unnest("bonus_draws")
    return dict(found.group_by("grant_id").agg(pl.col("units").sum()).sort("grant_id").iter_rows())


def paid(made: dict[str, pl.DataFrame]) -> Decimal:
    """What the usage costs; its events' marginal revenues add up to it."""
    lines = made["rated_lines"].filter(pl.col("line_type") == "USAGE_FEE")
    earned = made["metered_events"].group_by("line_id").agg(pl.col("marginal_revenue").sum())
    both = lines.join(earned, on="line_id", how="inner")
    assert both.filter(pl.col("unrounded") != pl.col("marginal_revenue")).is_empty()
    return Decimal(lines["amount"].sum())


RATE = {"rate": 1}
USED = ((5, 60), (20, 60))


@pytest.mark.parametrize(
    ("metric", "grants", "used", "drawn", "amount"),
    [
        pytest.param(RATE, [("g", 100, 1, None)], USED, {"g": 100}, 20, id="units come off what is to pay"),
        pytest.param(RATE, [("g", 500, 1, None)], USED, {"g": 120}, 0, id="what is not used is left"),
        pytest.param(RATE, [("g", 500, 1, None)], (), {}, 0, id="without usage nothing is drawn"),
        pytest.param(RATE, [("g", 500, 10, None)], USED, {"g": 60}, 60, id="usage before it takes effect is paid"),
        pytest.param(RATE, [("g", 500, 1, 10)], USED, {"g": 60}, 60, id="usage after it expired is paid"),
        pytest.param(RATE, [("g", 500, 5, 20)], USED, {"g": 60}, 60, id="from its first instant until before its last"),
        pytest.param(RATE, [("a", 70, 1, 21), ("b", 500, 1, None)], USED, {"a": 70, "b": 50}, 0, id="one after the other"),
        pytest.param(RATE, [("a", 70, 1, 10), ("b", 30, 1, None)], USED, {"a": 60, "b": 30}, 30, id="the rest of an expired one lapses"),
        pytest.param(RATE | {"includedFree": 50}, [("g", 20, 1, None)], USED, {"g": 20}, 50, id="the plan's free units first"),
        pytest.param(RATE | {"includedFree": 50}, [("g", 500, 1, 10)], USED, {"g": 10}, 60, id="in order of time"),
        pytest.param(RATE | {"limit": 90, "ovBehavior": "IGNORE"}, [("g", 500, 1, None)], USED, {"g": 90}, 0, id="none for usage beyond a cap"),
        pytest.param(RATE | {"minFee": 5}, [("g", 500, 1, None)], USED, {"g": 120}, 5, id="a minimum fee stays"),
        pytest.param({"model": "GRADUATED", "tiers": [{"upTo": 10, "unitPrice": 2}, {"unitPrice": 1}]},
                     [("g", 100, 1, None)], USED, {"g": 100}, 30, id="tiers begin behind them"),
        pytest.param({"model": "FLAT_RATE", "flatRate": 7}, [("g", 100, 1, None)], USED, {}, 7, id="none where usage costs nothing"),
        pytest.param({"model": "PERCENTAGE", "ratePercent": 1, "perEventFee": 1}, [("g", 100, 1, None)], USED, {}, "3.2",
                     id="none where each event has a price"),
        pytest.param({"model": "PERCENTAGE", "ratePercent": 10}, [("g", 100, 1, None)], USED, {"g": 100}, 2, id="a share of what is left"),
        pytest.param(RATE, [("g", "0.5", 1, None)], USED, {"g": "0.5"}, "119.5", id="parts of units"),
    ],
)  # fmt: skip
def test_usage_draws_at_its_time(
    metric: dict[str, Any], grants: list[Grant], used: Used, drawn: dict[str, Any], amount: Any
) -> None:
    made = month(metric, used, granted(*grants))
    assert draws(made) == {name: d(units) for name, units in drawn.items()}
    assert paid(made) == d(amount)


def test_the_line_says_how_many_and_counts_them_as_free() -> None:
    made = month(RATE | {"includedFree": 10}, USED, granted(("g", "20.50", 1, None)))
    line = made["rated_lines"].row(0, named=True)
    assert line["description"] == "Calls, 20.5 bonus units used"
    assert (line["quantity"], line["included"], line["billable"]) == (d(120), d("30.5"), d("89.5"))
    assert made["routed_lines"]["bonus_draws"].to_list() == [[{"grant_id": "g", "units": d("20.5")}]]


def test_units_of_another_unit_or_customer_cover_nothing() -> None:
    for other in ({"unit": "tokens"}, {"customer_id": "c2"}, {"tenant_id": "rival"}):
        assert draws(month(RATE, USED, granted(("g", 100, 1, None), **other))) == {}


def test_usage_that_is_taken_back_was_never_used() -> None:
    """100 on the 5th, 80 back on the 20th: of the grant that expired between them 20 are used, and the other is not touched."""
    unit = {"tenant_id": "acme", "customer_id": "c1", "unit": "calls"}
    events = validated(event(unit, 100, day(5)), event(unit, -80, day(20)))  # type: ignore[arg-type]
    frozen = month(RATE, USED, granted())["billing_terms"]
    bonus = granted(("a", 60, 1, 10), ("b", 60, 1, None))
    metered = meter(validated_events=events.lazy(), terms=frozen, month="2026-03", bonus_balances=bonus)
    made = run(metered_events=metered.lazy(), terms=frozen, bonus_balances=bonus)
    assert draws(made) == {"a": d(20)}
    assert paid({"metered_events": metered, **made}) == 0


def test_unused_free_units_carry_over_as_if_there_were_no_bonus() -> None:
    metric = RATE | {"includedFree": 100, "rollover": True}
    made = month(metric, ((5, 60),), granted(("g", 500, 1, None)))
    assert (draws(made), made["allowances"]["unused"].to_list()) == ({}, [d(40)])


def test_stretches_of_a_period_and_prices_by_dimension_share_a_grant_in_order_of_time() -> None:
    written = {
        "unit": "calls",
        "rate": 1,
        "dimensionPricing": {"field": "tool", "values": {"draw": {"price": 3}}},
    }
    agreed = plan(metrics=[written])
    halves = [contract(agreed, MARCH, day(16)), contract(agreed, day(16), None, earlier_ends=(day(16),), schedule=contract(agreed, MARCH).schedule)]  # type: ignore[arg-type]  # fmt: skip
    frozen = terms(*(row for each in halves for row in bill("2026-03", [each])["billing_terms"].to_dicts()))
    unit = {"tenant_id": "acme", "customer_id": "c1", "unit": "calls"}
    used = [(3, 10, "draw"), (4, 10, None), (5, 10, "draw"), (20, 10, "draw"), (21, 10, None)]
    events = validated(
        *(event(unit, units, day(at), payload=json.dumps({"tool": tool})) for at, units, tool in used)  # type: ignore[arg-type]
    )
    bonus = granted(("g", 38, 1, None))
    metered = meter(validated_events=events.lazy(), terms=frozen, month="2026-03", bonus_balances=bonus)
    made = run(metered_events=metered.lazy(), terms=frozen, bonus_balances=bonus)
    by_line = made["allowances"].sort("line_id").select("value", "bonus", "billable").rows()
    assert sorted(by_line, key=str) == sorted(
        [(d(20), d(20), d(0)), (d(10), d(10), d(0)), (d(10), d(8), d(2)), (d(10), None, d(10))], key=str
    )
    assert paid({"metered_events": metered, **made}) == 2 * 3 + 10


def reference(used: Used, free: Decimal, grants: Sequence[Grant]) -> dict[str, Decimal]:
    """Event by event, as a person would."""
    left = {name: d(units) for name, units, _, _ in grants}
    drawn = dict.fromkeys(left, d(0))
    for at, units in sorted(used):
        own = min(free, units)
        free -= own
        units -= own
        for name, _, start, end in grants:
            if start <= at and (end is None or at < end):
                part = min(units, left[name])
                left[name] -= part
                drawn[name] += part
                units -= part
    return {name: units for name, units in drawn.items() if units}


days = st.integers(1, 31)
sizes = st.decimals("0", "50", places=2)
grants_ = st.lists(
    st.tuples(sizes, days, st.none() | st.integers(1, 15)).map(
        lambda each: (each[0], each[1], None if each[2] is None else each[1] + each[2])
    ),
    max_size=4,
).map(lambda found: [(f"g{at}", *each) for at, each in enumerate(found)])


def covered(used: Used, free: Decimal, bonus: pl.DataFrame) -> Covered:
    total, rows = d(0), []
    for place, (at, units) in enumerate(sorted(used)):
        total += units
        rows.append(("ln", day(at), place, place, max(total - free, d(0))))
    schema = {name: METERED_EVENTS.schema[name] for name in ("line_id", "occurred_at", "key_hash", "raw_seq")}
    events = pl.DataFrame(rows, schema=schema | {"left": QUANTITY}, orient="row")
    return cover(events.sample(fraction=1, shuffle=True), terms(term("calls", line_id="ln")), bonus)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(days, sizes), max_size=12, unique_by=lambda each: each[0]), sizes, grants_)
def test_any_usage_draws_what_a_person_would_and_again_the_same(
    used: list[tuple[int, Decimal]], free: Decimal, grants: list[Grant]
) -> None:
    known = [grant for grant in grants if grant[1]]
    found = covered(used, free, granted(*known))
    drawn = draws({"allowances": found.draws})
    assert drawn == reference(used, free, known)
    assert all(drawn.get(name, 0) <= units for name, units, _, _ in known)
    assert sum(found.events["covered"], d(0)) == sum(drawn.values(), d(0))
    # Billed again when the invoice stands, a grant has what the invoice took.
    kept = [(name, drawn[name], start, end) for name, _, start, end in known if name in drawn]
    assert draws({"allowances": covered(used, free, granted(*kept)).draws}) == drawn
