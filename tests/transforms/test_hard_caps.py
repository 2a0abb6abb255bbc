"""Usage beyond a hard cap: where it begins, that it earns nothing, and who is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from tests.transforms.billing_rows import MID_NOVEMBER, d, term, terms, tiers
from tests.transforms.event_rows import event, metered_month, validated
from transforms.pipeline import run

BANDS = tiers((10, "1", 5), (20, "0.5"), (None, "0.1"))


def billed(line: dict[str, Any], *quantities: str | int) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """(METERED_EVENTS, tables of the stages) of events a minute apart, in order."""
    events = [
        event(line, quantity, MID_NOVEMBER + timedelta(minutes=place))
        for place, quantity in enumerate(quantities)
    ]
    frozen = terms(line)
    metered = metered_month(validated(*events), frozen)
    return metered, run(metered_events=metered.lazy(), terms=frozen)


def capped(cap: int, behavior: str | None = "BLOCK", **given: Any) -> dict[str, Any]:
    return term(cap=d(cap), cap_behavior=behavior, **({"rate": d(1)} | given))


@pytest.mark.parametrize(
    ("behavior", "used", "verdict", "beyond", "amount"),
    [
        ("BLOCK", 9, "WITHIN", 0, 9),
        ("BLOCK", 10, "WITHIN", 0, 10),
        ("BLOCK", 11, "BLOCKED", 1, 10),
        ("IGNORE", 11, "IGNORED", 1, 10),
        (None, 11, "BLOCKED", 1, 10),
        ("CHARGE", 11, "UNCAPPED", None, 11),
        ("BLOCK", "10.000000001", "BLOCKED", "0.000000001", 10),
        ("BLOCK", 0, "WITHIN", 0, 0),
    ],
)
def test_usage_at_the_cap_is_billed_and_beyond_it_is_not(
    behavior: str | None, used: Any, verdict: str, beyond: Any, amount: int
) -> None:
    _, made = billed(capped(10, behavior), used)
    check = made["quota_checks"].row(0, named=True)
    assert (check["verdict"], check["beyond"]) == (verdict, None if beyond is None else d(beyond))
    assert made["rated_lines"]["amount"].to_list() == [d(amount)]


def test_the_event_that_crosses_the_cap_counts_up_to_it_and_those_after_it_earn_nothing() -> None:
    metered, made = billed(capped(10), 6, 7, 3)
    assert metered["marginal_revenue"].to_list() == [d(6), d(4), d(0)]
    check = made["quota_checks"].row(0, named=True)
    assert (check["used"], check["beyond"], check["events_beyond"]) == (d(16), d(6), 2)
    assert check["first_beyond_at"] == MID_NOVEMBER + timedelta(minutes=1)


def test_a_correction_brings_usage_back_within_the_cap() -> None:
    metered, made = billed(capped(10), 15, -10)
    assert metered["marginal_revenue"].to_list() == [d(10), d(-5)]
    assert made["quota_checks"]["verdict"].to_list() == ["WITHIN"]


def test_blocked_usage_is_said_on_the_line_and_ignored_usage_is_not() -> None:
    said = [
        billed(capped(10, behavior), 12)[1]["rated_lines"]["description"][0]
        for behavior in ("BLOCK", "IGNORE")
    ]
    assert said == ["api_calls, 2 beyond the limit of 10 not charged", "api_calls"]


def test_free_units_lie_within_the_cap() -> None:
    _, made = billed(capped(10, included_free=d(4)), 12)
    row = made["allowances"].row(0, named=True)
    assert (row["included"], row["billable"], row["beyond"]) == (d(4), d(6), d(2))


@pytest.mark.parametrize(
    ("line", "amount"),
    [
        (capped(15, model="GRADUATED", tiers=BANDS), "17.5"),
        (capped(15, model="VOLUME_TIERED", tiers=BANDS), "7.5"),
        (capped(15, model="FLAT_RATE", flat_amount=d(9), rate=None), "9"),
        (capped(15, model="PERCENTAGE", rate=d("0.1"), min_fee=d(1)), "1.5"),
        (capped(15, model="INCLUDED_QUOTA", block_size=d(10), rate=d(3)), "6"),
        (capped(15, aggregation="MAX"), "15"),
        (capped(2, aggregation="COUNT"), "2"),
    ],
)
def test_every_model_prices_what_lies_within_the_cap(line: dict[str, Any], amount: str) -> None:
    metered, made = billed(line, 4, 6, 20)
    assert made["rated_lines"]["unrounded"].to_list() == [d(amount)]
    assert metered["marginal_revenue"].sum() == d(amount)


def test_an_events_own_charge_is_that_of_its_part_within_the_cap() -> None:
    line = capped(100, model="PERCENTAGE", rate=d("0.1"), per_event_fee=d(1))
    metered, made = billed(line, 60, 90, 5, -95)
    assert metered["event_charge"].to_list() == [d(7), d(5), d(0), d(-5)]
    assert made["rated_lines"]["unrounded"].to_list() == [d(7)]
