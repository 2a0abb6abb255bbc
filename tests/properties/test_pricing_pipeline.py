"""Whatever a month holds, the ten stages lose nothing, double nothing, and do not depend on how usage arrived."""

from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.billing_rows import d, metered, term, terms, tiers
from transforms.frames import TABLES
from transforms.pipeline import run

BANDS = tiers((100, "0.1", 1), (1000, "0.05", 2), (None, "0.01"))
PLANS: list[dict[str, Any]] = [
    {"rate": d("0.0033")},
    {"model": "FLAT_RATE", "flat_amount": d("9.995")},
    {"model": "PERCENTAGE", "rate": d("0.025"), "min_fee": d(2)},
    {"model": "INCLUDED_QUOTA", "rate": d("0.7"), "block_size": d(7), "included_free": d(50)},
    {"model": "GRADUATED", "tiers": BANDS},
    {"model": "VOLUME_TIERED", "tiers": BANDS},
]
LINES = [
    term(f"unit_{place}", customer_id=customer, line_order=place + 1, **price)
    for customer in ("c1", "c2", "c3")
    for place, price in enumerate(PLANS)
]
FEES = [term(None, customer_id=customer, flat_amount=d("49.00")) for customer in ("c1", "c2", "c3")]
FROZEN = terms(*LINES, *FEES)
ORPHAN = term("gpu_hours", customer_id="c3", line_id=None, subscription_id=None)

events = st.lists(st.tuples(st.sampled_from(LINES), st.decimals("0", "500", places=9)), max_size=30)
few = settings(max_examples=25, deadline=None)


def bill(rows: list[tuple[dict[str, Any], Decimal]], orphans: int = 0) -> dict[str, pl.DataFrame]:
    billed = metered(*((line, str(quantity)) for line, quantity in rows))
    lost = metered(*[(ORPHAN, 1)] * orphans).with_columns(
        disposition=pl.lit("NO_SUBSCRIPTION"), raw_seq=pl.col("raw_seq") + 1000
    )
    return run(metered_events=pl.concat([billed, lost]), terms=FROZEN)


@few
@given(events, st.integers(0, 2))
def test_every_event_and_every_term_ends_on_exactly_one_line(
    rows: list[tuple[dict[str, Any], Decimal]], orphans: int
) -> None:
    made = bill(rows, orphans)
    lines = made["routed_lines"]
    assert lines["events"].sum() == len(rows) + orphans
    assert lines.height == FROZEN.height + min(orphans, 1)
    assert lines["line_id"].n_unique() == lines.height
    for name, frame in made.items():
        assert frame.schema == pl.Schema(TABLES[name].schema)
        for rule in TABLES[name].rules:
            assert frame.filter(~rule.holds).is_empty(), (name, rule.name)


@few
@given(events, st.integers(0, 1))
def test_what_is_settled_is_the_sum_of_the_lines_that_are_not_held(
    rows: list[tuple[dict[str, Any], Decimal]], orphans: int
) -> None:
    made = bill(rows, orphans)
    invoiced = made["routed_lines"].filter(pl.col("destination") == "INVOICE")
    assert made["settlements"]["subtotal"].sum() == invoiced["amount"].sum()
    assert made["settlements"]["amount_due"].sum() == invoiced["amount"].sum()
    assert made["settlements"]["customer_id"].to_list() == ["c1", "c2", "c3"][: 3 - orphans]


@few
@given(events, st.randoms())
def test_order_and_splitting_of_events_change_no_amount(
    rows: list[tuple[dict[str, Any], Decimal]], random: Any
) -> None:
    halves = [(line, quantity, (quantity / 2).quantize(d("1e-9"))) for line, quantity in rows]
    parts = [(line, half) for line, _, half in halves] + [
        (line, whole - half) for line, whole, half in halves
    ]
    random.shuffle(parts)
    whole, split = bill(rows), bill(parts)
    assert split["settlements"].equals(whole["settlements"])
    assert split["rated_lines"].drop("events").equals(whole["rated_lines"].drop("events"))
