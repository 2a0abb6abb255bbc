"""What each event adds: running totals, and marginal revenue that sums to the line."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from tests.transforms.billing_rows import MID_NOVEMBER, d, term, terms, tiers
from tests.transforms.event_rows import event, metered_month, validated
from transforms.engine import collected
from transforms.estimate_revenue import in_order

BANDS = tiers((10, "1", 5), (20, "0.5"), (None, "0.1"))


def running(line: dict[str, Any], *quantities: str | int, **given: Any) -> list[tuple[Any, Any]]:
    """(running total, marginal revenue) of events a minute apart."""
    events = [
        event(line, quantity, MID_NOVEMBER + timedelta(minutes=place), **given)
        for place, quantity in enumerate(quantities)
    ]
    found = metered_month(validated(*events), terms(line))
    rows: list[tuple[Any, Any]] = found.select("running_total", "marginal_revenue").rows()
    return rows


def decimals(*rows: tuple[str | int | None, str | int]) -> list[tuple[Decimal | None, Decimal]]:
    return [(None if total is None else d(total), d(revenue)) for total, revenue in rows]


def test_each_event_adds_what_it_costs_beyond_the_ones_before_it() -> None:
    assert running(term(rate=d("0.01")), 3, 4) == decimals((3, "0.03"), (7, "0.04"))


def test_free_units_earn_nothing_until_they_are_used_up() -> None:
    line = term(rate=d(1), included_free=d(5))
    assert running(line, 3, 3, 3) == decimals((3, 0), (6, 1), (9, 3))


def test_an_event_that_crosses_a_graduated_bound_is_split_by_it() -> None:
    assert running(term(model="GRADUATED", tiers=BANDS), 8, 4, 10) == decimals((8, 13), (12, 3), (22, "4.2"))


def test_volume_prices_reprice_all_units_so_an_event_can_earn_less_than_nothing() -> None:
    assert running(term(model="VOLUME_TIERED", tiers=BANDS), 10, 1) == decimals((10, 15), (11, "-9.5"))


def test_the_first_event_carries_what_a_period_costs_without_usage() -> None:
    assert running(term(model="FLAT_RATE", flat_amount=d(9)), 1, 1) == decimals((1, 9), (2, 0))
    floor = term(model="PERCENTAGE", rate=d("0.1"), min_fee=d(2))
    assert running(floor, 10, 30) == decimals((10, 2), (40, 2))


def test_a_flat_rate_is_shared_out_for_the_part_of_the_period_that_was_live() -> None:
    half = term(model="FLAT_RATE", flat_amount=d(9), active_start=MID_NOVEMBER)
    assert running(half, 1, 1) == decimals((1, "4.5"), (2, 0))


def test_a_correction_takes_back_what_it_corrects() -> None:
    assert running(term(rate=d("0.01")), 10, -4) == decimals((10, "0.1"), (6, "-0.04"))


def test_whole_blocks_are_paid_by_the_event_that_begins_them() -> None:
    line = term(model="INCLUDED_QUOTA", rate=d(2), block_size=d(10), included_free=d(5))
    assert running(line, 5, 1, 9, 1) == decimals((5, 0), (6, 2), (15, 0), (16, 2))


def test_events_with_charges_of_their_own_earn_these() -> None:
    line = term(model="PERCENTAGE", rate=d("0.1"), per_event_min=d(1), per_event_max=d(3))
    assert [revenue for _, revenue in running(line, 5, 20, 99)] == [d(1), d(2), d(3)]


@pytest.mark.parametrize(
    ("aggregation", "totals"),
    [
        ("COUNT", [1, 2, 3]),
        ("MAX", [4, 9, 9]),
        ("MIN", [4, 4, 2]),
        ("LATEST", [4, 9, 2]),
        ("AVG", [None, None, 5]),
        ("PERCENTILE_95", [None, None, 9]),
    ],
)
def test_running_totals_follow_the_aggregation_or_stand_with_the_last_event(
    aggregation: str, totals: list[int | None]
) -> None:
    found = running(term(aggregation=aggregation, rate=d(1)), 4, 9, 2)
    assert [total for total, _ in found] == totals
    assert sum(revenue for _, revenue in found) == totals[-1]


def test_a_value_seen_before_adds_nothing_to_unique() -> None:
    line = term(aggregation="UNIQUE", event_field="user", rate=d(1))
    texts = ['{"user": 1}', '{"user": 2}', '{"user": 1}', "{}"]
    events = [
        event(line, 1, MID_NOVEMBER + timedelta(minutes=n), payload=text) for n, text in enumerate(texts)
    ]
    found = metered_month(validated(*events), terms(line))
    assert found.select("running_total", "marginal_revenue").rows() == decimals(
        (1, 1), (2, 1), (2, 0), (2, 0)
    )


def test_a_line_without_its_price_stops_no_other_line() -> None:
    blank, good = term("exports", rate=None), term(rate=d(1))
    found = metered_month(validated(event(blank), event(good)), terms(blank, good))
    assert dict(found.select("unit", "marginal_revenue").iter_rows()) == {"exports": None, "api_calls": d(1)}


def test_events_are_told_apart_by_line() -> None:
    lines = [term(unit, rate=d(1)) for unit in ("a", "b")]
    found = metered_month(validated(*(event(line, 2) for line in lines * 2)), terms(*lines))
    assert found["running_total"].to_list() == [2, 4, 2, 4]


@pytest.mark.parametrize("apart", [1, 2**62], ids=["in one number", "too far apart for one number"])
def test_order_is_line_then_time_then_key_hash(apart: int) -> None:
    rows = [
        (line, at, key) for line in (0, 1) for at in (-apart, 0, apart) for key in (-(2**63), 5, 2**63 - 1)
    ]
    frame = pl.DataFrame(rows, schema=["term_no", "occurred_at", "key_hash"], orient="row").with_columns(
        pl.col("term_no").cast(pl.UInt32),
        pl.col("occurred_at").cast(pl.Datetime("us", "UTC")),
        raw_seq=pl.int_range(18),
    )
    ordered = collected(in_order(nw.from_native(frame.sample(fraction=1, shuffle=True, seed=1).lazy())))
    assert ordered.drop("position").equals(frame)
    assert ordered["position"].to_list() == list(range(18))
