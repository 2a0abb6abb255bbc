"""A charge of 10^17 holds its customer by name, and nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from tests.transforms.billing_rows import MID_NOVEMBER, d, term, terms, tiers
from tests.transforms.event_rows import event, metered_month, validated
from transforms.pipeline import run

HUGE = "99999999999999999"


def billed(*lines: tuple[dict[str, Any], list[str]]) -> dict[str, pl.DataFrame]:
    frozen = terms(*(line for line, _ in lines))
    events = [
        event(line, quantity, MID_NOVEMBER + timedelta(minutes=place))
        for line, quantities in lines
        for place, quantity in enumerate(quantities)
    ]
    metered = metered_month(validated(*events), frozen)
    return {"metered_events": metered, **run(metered_events=metered.lazy(), terms=frozen)}


@pytest.mark.parametrize(
    ("line", "quantities"),
    [
        ({"rate": d(2)}, [HUGE]),
        ({"rate": d(1)}, [HUGE, HUGE]),
        ({"model": "GRADUATED", "tiers": tiers((10, "1"), (None, "7"))}, [HUGE]),
        ({"model": "VOLUME_TIERED", "tiers": tiers((10, "1"), (None, "7"))}, [HUGE]),
        ({"model": "PERCENTAGE", "rate": d(2), "per_event_fee": d(1)}, ["1", HUGE]),
        ({"model": "PERCENTAGE", "rate": d("0.9"), "per_event_fee": d(1)}, [HUGE, HUGE]),
    ],
)
def test_the_customer_is_held_with_the_reason_and_the_others_are_billed(
    line: dict[str, Any], quantities: list[str]
) -> None:
    small = term("calls", customer_id="c2", rate=d(1))
    made = billed((term("bytes", customer_id="c1", **line), quantities), (small, ["5"]))
    lines = made["routed_lines"]
    mine = lines.filter(customer_id="c1").row(0, named=True)
    assert (mine["destination"], mine["amount"]) == ("HELD", 0)
    assert mine["hold_reason"].startswith("CHARGE_TOO_LARGE: bytes of plan ")
    assert lines.filter(customer_id="c2")["amount"].to_list() == [d(5)]
    others = made["metered_events"].filter(customer_id="c2")
    assert others["marginal_revenue"].to_list() == [d(5)]
    assert made["settlements"].filter(customer_id="c2")["total"].to_list() == [d(5)]


def test_a_charge_just_below_it_is_billed_exactly_through_all_stages() -> None:
    made = billed((term("bytes", rate=d("0.9")), [HUGE]))
    assert made["rated_lines"]["unrounded"].to_list() == [d("89999999999999999.1")]
    assert made["settlements"]["total"].to_list() == [d("89999999999999999.10")]
    assert made["metered_events"]["marginal_revenue"].sum() == d("89999999999999999.1")


def test_what_is_too_large_only_in_the_invoices_currency_is_held_too() -> None:
    line = term("bytes", rate=d("0.9"), currency="JPY", exponent=0, price_currency="USD", fx_rate=d(150))
    made = billed((line, [HUGE]))
    assert made["routed_lines"]["hold_reason"][0] == "CHARGE_TOO_LARGE: bytes comes to 10^17 JPY or more"
