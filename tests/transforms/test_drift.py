"""Fresh numbers against exact ones."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from tests.transforms.billing_rows import DECEMBER, MID_NOVEMBER, NOVEMBER, d, term
from tests.transforms.event_rows import event, validated
from transforms.drift import COUNTERS, PERIODS, drift

CALLS = term()
MICROSECOND = timedelta(microseconds=1)


def period(aggregation: str = "SUM", **given: Any) -> dict[str, Any]:
    row = {"tenant_id": "acme", "customer_id": "c1", "unit": "api_calls", "aggregation": aggregation}
    return row | {"period_start": NOVEMBER, "period_end": DECEMBER} | given


def counter(counted: str | int, **given: Any) -> dict[str, Any]:
    row = {"tenant_id": "acme", "customer_id": "c1", "unit": "api_calls", "period_start": NOVEMBER}
    return row | {"counted": d(counted)} | given


def found(
    counters: list[dict[str, Any]], periods: list[dict[str, Any]], *events: dict[str, Any]
) -> list[tuple[Decimal, Decimal, Decimal]]:
    frame = drift(
        counters=pl.DataFrame(counters, schema=COUNTERS),
        periods=pl.DataFrame(periods, schema=PERIODS),
        validated_events=validated(*events).lazy(),
    )
    rows: list[tuple[Decimal, Decimal, Decimal]] = frame.select("counted", "in_lake", "drift").rows()
    return rows


def test_a_counter_that_agrees_with_the_lake_has_no_drift() -> None:
    assert found([counter(7)], [period()], event(CALLS, 3), event(CALLS, 4)) == [(7, 7, 0)]


def test_count_counts_events_whatever_their_quantity() -> None:
    assert found([counter(2)], [period("COUNT")], event(CALLS, 30), event(CALLS, 40)) == [(2, 2, 0)]


def test_events_still_in_the_log_are_a_positive_drift_and_lost_counts_a_negative_one() -> None:
    assert found([counter(9)], [period()], event(CALLS, 4)) == [(9, 4, 5)]
    assert found([], [period()], event(CALLS, 4)) == [(0, 4, -4)]


def test_only_events_of_the_period_are_compared() -> None:
    at = [NOVEMBER - MICROSECOND, NOVEMBER, DECEMBER - MICROSECOND, DECEMBER]
    assert found([counter(2)], [period()], *(event(CALLS, 1, moment) for moment in at)) == [(2, 2, 0)]


def test_events_are_rounded_to_the_millionths_the_edge_counts() -> None:
    events = [event(CALLS, quantity) for quantity in ("0.0000005", "0.0000015", "0.000000499")]
    assert found([counter("0.000002")], [period()], *events) == [(d("0.000002"), d("0.000002"), 0)]


def test_subscriptions_that_share_a_period_share_its_counter() -> None:
    shorter = period(period_end=MID_NOVEMBER)
    assert found([counter(4)], [period(), shorter], event(CALLS, 4, NOVEMBER)) == [(4, 4, 0)]


def test_the_largest_quantity_is_compared_with_the_largest_of_the_period() -> None:
    events = [event(CALLS, 3), event(CALLS, "7.5"), event(CALLS, 99, DECEMBER)]
    assert found([counter("7.5")], [period("MAX")], *events) == [(d("7.5"), d("7.5"), 0)]
    assert found([counter(3)], [period("MAX")], *events) == [(3, d("7.5"), d("-4.5"))]


def test_what_does_not_follow_from_quantities_is_not_compared() -> None:
    assert found([counter(1)], [period("UNIQUE")], event(CALLS, 1)) == []


def test_tenants_and_customers_have_counters_of_their_own() -> None:
    mine, theirs = event(CALLS, 1), event(CALLS, 2, tenant_id="other")
    periods = [period(), period(tenant_id="other"), period(customer_id="c2")]
    assert found([counter(1), counter(2, tenant_id="other")], periods, mine, theirs) == [
        (1, 1, 0),
        (0, 0, 0),
        (2, 2, 0),
    ]


def test_events_voided_or_amended_since_count_as_they_now_stand() -> None:
    one, other = event(CALLS, 3, idempotency_key="a"), event(CALLS, 4, idempotency_key="b")
    when = {"origin_received_at": MID_NOVEMBER}
    void = event(CALLS, 0, idempotency_key="v", act="VOID", corrects="a", **when)
    amendment = event(CALLS, 6, idempotency_key="m", act="AMEND", corrects="b", **when)
    assert found([counter(6)], [period()], one, other, void, amendment) == [(6, 6, 0)]
