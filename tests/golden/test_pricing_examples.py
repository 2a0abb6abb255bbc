"""The worked examples of the pricing rules, and the values around each of their bounds: from a plan as it is sent, through all ten
stages, to what is due. All by hand; money to the cent, ties to the even one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.catalog.fields import Fields
from domain.catalog.plan_price import price_plan
from domain.catalog.plan_reading import read_plan
from domain.catalog.plans import RatePlan
from domain.pricing import percentage
from domain.terms import terms_of_month
from tests.transforms.billing_rows import metered, terms
from tests.transforms.months import contract
from transforms.pipeline import run


def plan(model: str, **price: Any) -> RatePlan:
    zero = {} if "ratePercent" in price else {"rate": 0}
    metric = {"metricId": "calls", "metricName": "Calls", "model": model, **zero, **price}
    sent = {"key": "p", "name": "P", "pricingModel": model, "currency": "USD", "metricConfigs": [metric]}
    return read_plan(Fields(sent, ""), "USD")


def bands(*rows: tuple[int, int, str] | tuple[int, int, str, str]) -> dict[str, Any]:
    """Tiers as sent: (tierStart, tierEnd or -1, unitPrice[, flatFee])."""
    tiers = [
        {
            "tierStart": start,
            "tierEnd": end,
            "unitPrice": price,
            "flatFee": fee[0] if fee else 0,
            "sortOrder": place,
        }
        for place, (start, end, price, *fee) in enumerate(rows)
    ]
    return {"tiers": tiers}


WIDE = bands((0, 1000, "0.010"), (1000, 10_000, "0.008"), (10_000, -1, "0.005"))
NARROW = bands((0, 1000, "0.001"), (1000, 10_000, "0.0008"), (10_000, -1, "0.0005"))
FLAT = bands((0, 10, "1", "5"), (10, -1, "0.5", "3"))

PLANS: dict[str, tuple[RatePlan, dict[str, str]]] = {
    # max(0, quantity − 100 free) × 0.02
    "per unit": (
        plan("PER_UNIT", rate="0.02", includedFree=100),
        {"0": "0", "99": "0", "100": "0", "101": "0.02", "250": "3.00"},
    ),
    # 25.00, whatever is used.
    "flat rate": (plan("FLAT_RATE", flatRate=25), {"0": "25", "1": "25", "1000000": "25"}),
    # 2.5 % of what was transacted, at least 5.00: 200 × 0.025 is 5.00 itself; 201 × 0.025 = 5.025, a tie.
    "percentage, in percent": (
        plan("PERCENTAGE", ratePercent="2.5", minFee=5),
        {"0": "5.00", "100": "5.00", "200": "5.00", "201": "5.02", "1000": "25.00"},
    ),
    # The same as a fraction.
    "percentage, as a fraction": (
        plan("PERCENTAGE", rate="0.025", minFee=5),
        {"0": "5.00", "199.99": "5.00", "1000": "25.00"},
    ),
    # max(0, quantity − 1,000) × 0.001: 150 over are 0.15; 1,005 come to 0.005, a tie.
    "quota, by the unit": (
        plan("INCLUDED_QUOTA", rate="0.001", includedFree=1000),
        {"999": "0", "1000": "0", "1005": "0.00", "1150": "0.15", "1200": "0.20"},
    ),
    # Whole blocks of 100, each unit of them at 0.001.
    "quota, in blocks at a price a unit": (
        plan("INCLUDED_QUOTA", rate="0.001", includedFree=1000, blockSize=100, blockRateBasis="PER_UNIT"),
        {"1000": "0", "1001": "0.10", "1100": "0.10", "1101": "0.20", "1150": "0.20", "1200": "0.20", "1201": "0.30"},
    ),
    # Whole blocks of 100 at 0.25 each; that the price is the block's is the usual.
    "quota, in blocks at a price a block": (
        plan("INCLUDED_QUOTA", rate="0.25", includedFree=1000, blockSize=100),
        {"1000": "0", "1001": "0.25", "1100": "0.25", "1150": "0.50", "1200": "0.50", "1201": "0.75"},
    ),
    # 15,000 = 1,000 × 0.010 + 9,000 × 0.008 + 5,000 × 0.005 = 10 + 72 + 25.
    # 1,001: 10.008; 10,001: 82.005, a tie.
    "graduated": (
        plan("GRADUATED", **WIDE),
        {"0": "0", "1000": "10.00", "1001": "10.01", "10000": "82.00", "10001": "82.00", "15000": "107.00"},
    ),
    # 5,000 = 1.00 + 4,000 × 0.0008; 15,000 = 1.00 + 7.20 + 5,000 × 0.0005.
    "graduated, in thousandths": (
        plan("GRADUATED", **NARROW),
        {"500": "0.50", "1000": "1.00", "5000": "4.20", "10000": "8.20", "15000": "10.70"},
    ),
    # A band's flat fee is due once a unit falls into it: 10 × 1 + 5; then + 3 + 0.50.
    "graduated, with flat fees": (
        plan("GRADUATED", **FLAT),
        {"0": "0", "1": "6.00", "10": "15.00", "10.000000001": "18.00", "11": "18.50"},
    ),
    # All at the rate of the tier the total falls in: 15,000 × 0.005; 1,001 × 0.008 = 8.008; 10,001 × 0.005 = 50.005, a tie.
    "by volume": (
        plan("VOLUME_TIERED", **WIDE),
        {"0": "0", "1000": "10.00", "1001": "8.01", "10000": "80.00", "10001": "50.00", "15000": "75.00"},
    ),
    "by volume, in thousandths": (
        plan("VOLUME_TIERED", **NARROW),
        {"500": "0.50", "1000": "1.00", "5000": "4.00", "15000": "7.50"},
    ),
    # Only the flat fee of the tier the total falls in: 10 + 5; 11 × 0.5 + 3.
    "by volume, with flat fees": (
        plan("VOLUME_TIERED", **FLAT),
        {"0": "0", "10": "15.00", "11": "8.50"},
    ),
}  # fmt: skip


def due(of: RatePlan, *quantities: str) -> list[Decimal]:
    """What each quantity comes to: a month in which each is used by a customer of its own."""
    march = datetime(2026, 3, 1, tzinfo=UTC)
    agreed = contract(of, march)
    lines, used = [], []
    for place, quantity in enumerate(quantities):
        own = replace(agreed, customer_id=f"c{place:02}", subscription_id=f"sub{place:02}")
        lines += (rows := list(terms_of_month(own, "2026-03")))
        used.append((next(row for row in rows if row["unit"] == "calls"), quantity))
    made = run(metered_events=metered(*used), terms=terms(*lines))
    return made["settlements"].sort("customer_id")["amount_due"].to_list()


@pytest.mark.parametrize("name", PLANS)
def test_an_example_comes_to_what_the_hand_computed(name: str) -> None:
    of, charges = PLANS[name]
    expected = {used: Decimal(charge) for used, charge in charges.items()}
    assert dict(zip(charges, due(of, *charges), strict=True)) == expected
    assert {used: price_plan(of, {"calls": [Decimal(used)]}).total for used in charges} == expected


@pytest.mark.parametrize(("base", "rate"), [("-100", "0.025"), ("100", "-0.025"), ("-100", "-0.025")])
def test_a_negative_base_or_rate_comes_to_the_minimum_fee(base: str, rate: str) -> None:
    share, fraction, least = Decimal(base), Decimal(rate), Decimal(5)
    assert percentage.charge(share, rate=fraction, min_fee=least) == least
    if fraction > 0:  # a negative one is refused where a plan is written
        assert due(plan("PERCENTAGE", rate=rate, minFee=5), base) == [least]
