"""From validated to metered events: each event once, and the same bytes however they came."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from tests.transforms.billing_rows import MID_NOVEMBER, d, term, terms, tiers
from tests.transforms.event_rows import event, metered_month, validated
from transforms.enrich import UniqueWithoutField
from transforms.frames import METERED_EVENTS
from transforms.meter import meter_by_customers
from transforms.s01_quota_check import quota_check
from transforms.s03_aggregate import aggregate

AGGREGATIONS = ("COUNT", "SUM", "UNIQUE", "MAX", "MIN", "AVG", "LATEST", "PERCENTILE_95", "PERCENTILE_99")
LINES = [
    term(
        kind.lower(),
        "GRADUATED",
        aggregation=kind,
        event_field="user",
        tiers=tiers((9, "0.3"), (None, "0.1")),
    )
    for kind in AGGREGATIONS
]
FROZEN = terms(*LINES, term(None))
STRANGE = LINES[0] | {"unit": "gpu_hours"}
EVENTS = validated(
    *(
        event(line, n * n % 17, MID_NOVEMBER + timedelta(seconds=n % 5), payload=f'{{"user": {n % 4}}}')
        for line in (*LINES, STRANGE, STRANGE | {"customer_id": "stranger"})
        for n in range(20)
    )
)


def test_every_event_of_the_month_is_metered_once() -> None:
    metered = metered_month(EVENTS, FROZEN)
    assert sorted(metered["raw_seq"]) == EVENTS["raw_seq"].to_list()
    assert metered.schema == pl.Schema(METERED_EVENTS.schema)
    assert metered["quantity"].sum() == EVENTS["quantity"].sum()


def test_a_month_without_events_is_an_empty_table() -> None:
    assert metered_month(EVENTS.head(0), FROZEN).equals(METERED_EVENTS.empty())


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_events_and_terms_changes_no_byte(seed: int) -> None:
    shuffled = [frame.sample(fraction=1, shuffle=True, seed=seed) for frame in (EVENTS, FROZEN)]
    one, other = metered_month(EVENTS, FROZEN), metered_month(*shuffled)
    assert other.equals(one)
    checks = quota_check(metered_events=one.lazy(), terms=FROZEN)
    aggregates = [
        aggregate(metered_events=metered.lazy(), quota_checks=checks, terms=frozen)
        for metered, frozen in ((one, FROZEN), (other, shuffled[1]))
    ]
    assert aggregates[1].equals(aggregates[0])


def test_the_order_of_arrival_changes_no_number() -> None:
    """Other arrival, other raw positions: only the column that names them differs."""
    late = EVENTS.with_columns(raw_seq=pl.col("raw_seq").reverse())
    one, other = (metered_month(events, FROZEN).drop("raw_seq") for events in (EVENTS, late))
    assert other.equals(one)


def test_only_the_asked_months_events_are_read() -> None:
    line = term(rate=d(1))
    before = event(line, 5, MID_NOVEMBER - timedelta(days=31))
    assert metered_month(validated(before, event(line, 7)), terms(line))["quantity"].to_list() == [7]


@pytest.mark.parametrize("most", [1, 70, 10_000])
def test_some_customers_at_a_time_come_to_the_same_rows(most: int) -> None:
    many = pl.concat(
        EVENTS.with_columns(
            tenant_id=pl.lit(tenant),
            customer_id=pl.col("customer_id") + customer,
            raw_seq=pl.col("raw_seq") + n * 1000,
        )
        for n, (tenant, customer) in enumerate([("acme", ""), ("acme", "-2"), ("other", ""), ("other", "-3")])
    )
    parts = list(
        meter_by_customers(validated_events=many.lazy(), terms=FROZEN, month="2023-11", most=most).frames
    )
    whole = metered_month(many, FROZEN)
    order = ["raw_seq"]
    assert pl.concat(parts).sort(order).equals(whole.sort(order))
    customers = many.select("tenant_id", "customer_id").n_unique()
    assert len(parts) == {1: customers, 70: 6, 10_000: 1}[most]


def test_terms_that_make_no_sense_are_found_without_usage_of_theirs_too() -> None:
    idle = term("users", aggregation="UNIQUE", event_field=None, customer_id="idle")
    two = pl.concat([EVENTS, EVENTS.with_columns(pl.col("customer_id") + "-2", pl.col("raw_seq") + 1000)])
    frozen = pl.concat([FROZEN, terms(idle)])
    with pytest.raises(UniqueWithoutField):
        list(meter_by_customers(validated_events=two.lazy(), terms=frozen, month="2023-11", most=1).frames)
