"""What is ruled out beforehand does not happen: no charge is more than an amount holds where nobody looks any more."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import narwhals as nw
import polars as pl
from hypothesis import event, given
from hypothesis import strategies as st

from domain.pricing import percentage
from tests.properties.test_pricing import few, reference
from tests.transforms.billing_rows import term, terms
from transforms.charges import TOO_MUCH, charge, may_be_too_much, price_columns, tier_count
from transforms.frames import QUANTITY

magnitudes = st.builds(
    lambda digits, place: Decimal(digits).scaleb(place), st.integers(1, 9999), st.integers(-6, 12)
)
"""Numbers whose products lie on both sides of 10^17."""
fees = st.none() | magnitudes


@st.composite
def bands(draw: st.DrawFn) -> list[dict[str, Any]]:
    bounds = sorted(draw(st.sets(magnitudes, max_size=3)))
    return [
        {"up_to": bound, "unit_price": draw(magnitudes), "flat_fee": draw(magnitudes)}
        for bound in (*bounds, None)
    ]


plans = st.one_of(
    st.builds(lambda rate: term(rate=rate), magnitudes),
    st.builds(lambda rate, least: term(model="PERCENTAGE", rate=rate, min_fee=least), magnitudes, fees),
    st.builds(
        lambda rate, size, basis: term(
            model="INCLUDED_QUOTA", rate=rate, block_size=size, block_rate_basis=basis
        ),
        magnitudes,
        fees,
        st.sampled_from([None, "PER_BLOCK", "PER_UNIT"]),
    ),
    st.builds(lambda tiers: term(model="GRADUATED", tiers=tiers), bands()),
    st.builds(lambda tiers: term(model="VOLUME_TIERED", tiers=tiers), bands()),
)


@few
@given(st.lists(st.tuples(plans, magnitudes), min_size=1, max_size=4))
def test_where_too_much_is_ruled_out_every_charge_is_the_references_without_a_guard(
    rows: list[tuple[dict[str, Any], Decimal]],
) -> None:
    values = pl.Series("billable", [value for _, value in rows], dtype=QUANTITY)
    lines = terms(*(line for line, _ in rows)).with_columns(values)
    priced = price_columns(lines)
    ruled_out = not may_be_too_much(priced, float(max(values)))
    expected = [reference(line, value) for line, value in rows]
    event(f"ruled out: {ruled_out}, too much: {any(cost >= TOO_MUCH for cost in expected)}")
    if not ruled_out:
        return
    assert all(cost < TOO_MUCH for cost in expected)
    frame = nw.from_native(priced.lazy()).with_columns(own=nw.lit(None, dtype=nw.Decimal(38, 21)))
    found = frame.select(cost=charge(nw.col("billable"), nw.col("own"), tier_count(lines), guarded=False))
    assert found.to_native().collect()["cost"].to_list() == expected


@few
@given(magnitudes, fees, fees, st.lists(magnitudes, min_size=1, max_size=4))
def test_where_too_much_is_ruled_out_the_events_own_charges_fit_together(
    rate: Decimal, fee: Decimal | None, least: Decimal | None, quantities: list[Decimal]
) -> None:
    agreed = {"per_event_fee": fee, "per_event_min": least}
    priced = price_columns(terms(term(model="PERCENTAGE", rate=rate, **agreed)))
    used = max(float(sum(quantities)), float(len(quantities)))
    own = [
        percentage.event_charge(each, rate=rate, fee=fee, least=least, greatest=None) for each in quantities
    ]
    ruled_out = not may_be_too_much(priced, used)
    event(f"ruled out: {ruled_out}")
    assert not (ruled_out and sum(own) >= TOO_MUCH)
